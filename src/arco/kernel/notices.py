"""Notices of ledger objects that nobody waits for: gathered, and folded by the hundred or every 5 s (catalog.md 3.8).

A notice that is lost, or whose batch fails, loses nothing: anti-entropy finds the object.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.errors import ArcoError
from arco.kernel import intake
from arco.kernel.antientropy import Submit
from arco.kernel.fold import Outcome
from arco.kernel.workshop import Workshop
from arco.storage.port import StorageUnavailable

FLUSH_OBJECTS: Final = 100
FLUSH_MS: Final = 5_000
PENDING_MAX: Final = 10_000


class DomainResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one domain's notices."""

    domain: str
    events_processed: int
    snapshot_version: int | None = None
    error: str | None = None


class Flushed(msgspec.Struct, frozen=True):
    """What became of a batch."""

    events_processed: int
    domains_updated: list[str]
    domain_results: dict[str, DomainResult]


class Notices:
    """The notices of one scope."""

    def __init__(self, shop: Workshop, submit: Submit) -> None:
        self._shop = shop
        self._submit = submit
        self._pending: dict[str, dict[str, None]] = {}
        self._timer: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Ledger objects waiting for a batch."""
        return sum(len(paths) for paths in self._pending.values())

    def note(self, domain: str, path: str) -> None:
        """Queue one object; the same one twice is one."""
        self._pending.setdefault(domain, {})[path] = None

    async def settle(self, *, now: bool) -> Flushed | None:
        """Fold what is queued when it is asked for or enough; None when it goes on waiting (5 s at most)."""
        if now or self.pending >= FLUSH_OBJECTS:
            return await self.flush()
        if self._timer is None or self._timer.done():
            self._timer = asyncio.get_running_loop().create_task(self._later())
        return None

    async def flush(self) -> Flushed:
        """Fold everything that is queued."""
        taken, self._pending = self._pending, {}
        results = {domain: await self._fold(domain, list(paths)) for domain, paths in sorted(taken.items())}
        return Flushed(
            events_processed=sum(one.events_processed for one in results.values()),
            domains_updated=[domain for domain, one in results.items() if one.events_processed],
            domain_results=results,
        )

    async def stop(self) -> None:
        """Drop the timer; what is queued is found by anti-entropy."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.wait({self._timer})

    async def _later(self) -> None:
        # What comes while others are being folded has no timer of its own.
        while self._pending:
            await self._shop.clock.sleep_ms(FLUSH_MS)
            await self.flush()

    async def _fold(self, domain: str, paths: Sequence[str]) -> DomainResult:
        processed, version, problems = 0, None, []
        for start in range(0, len(paths), FLUSH_OBJECTS):
            try:
                items = [
                    item for path in paths[start : start + FLUSH_OBJECTS] if (item := await self._read(domain, path))
                ]
                if not items:
                    continue
                units = [unit for item in items for unit in item.units]
                outcomes = await self._submit(units, sum(item.size_bytes for item in items))
                processed += _fresh(outcomes)
                version = max([version or 0, *(one.snapshot_version for one in outcomes)])
            except (ArcoError, StorageUnavailable) as error:
                problems.append(str(error))
        return DomainResult(domain, processed, version, "; ".join(problems[:3]) or None)

    async def _read(self, domain: str, path: str) -> intake.LedgerObject | None:
        try:
            return await intake.read(self._shop, domain, path)
        except intake.Quarantined:
            return None


def _fresh(outcomes: Sequence[Outcome]) -> int:
    return sum(1 for one in outcomes if one.status == "accepted" and not one.replayed)
