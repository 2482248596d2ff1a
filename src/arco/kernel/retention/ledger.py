"""What was decided long ago is forgotten: ledger objects, and the outcomes that kept them from being folded twice.

A ledger object goes when each of its units is seen to be decided and its retention is over; the commit records hold the
same bytes. Outcomes go through a unit in the fold (kernel.housekeeping), never around it, and only below what
anti-entropy has seen to be decided in every ledger. Source: architecture.md "De-duplication"; catalog.md 2.12.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core import instant
from arco.core.errors import ArcoError
from arco.core.ids import ulid_from_int, ulid_ms
from arco.core.limits import COMMAND_DEADLINE_MS
from arco.core.retention import Horizons
from arco.kernel import intake
from arco.kernel.antientropy import AntiEntropy, Submit, is_decided
from arco.kernel.housekeeping import FORGET_MAX, OUTCOME_FLOOR, OutcomesForgotten, forget_unit
from arco.kernel.reader import ChainSnapshot
from arco.kernel.records import FLOORS, OUTCOMES
from arco.kernel.retention.plan import Removal
from arco.kernel.retention.remover import Remover
from arco.kernel.workshop import Workshop
from arco.storage.port import ObjectInfo

LEDGER_OBJECTS_PER_RUN: Final = 1_000
FORGETTINGS_PER_RUN: Final = 16
_STEP_MS: Final = 3_600_000
"""The floor rises by at least an hour: forgetting is a commit of its own."""


class Forgetting(msgspec.Struct, kw_only=True):
    """What a run collected of the ledger and of the outcomes."""

    ledger_objects: int = 0
    outcomes: int = 0
    more: bool = False
    """True when the bound of a run was reached: the next one finds something at once."""
    removals: list[Removal] = []


class LedgerCollector:
    """Forgets what was decided long ago in one scope."""

    def __init__(self, shop: Workshop, submit: Submit, horizons: Horizons) -> None:
        self._shop = shop
        self._submit = submit
        self._horizons = horizons
        self._walker = AntiEntropy(shop, submit)

    async def run(self, now_ms: int, remover: Remover, *, apply: bool) -> Forgetting:
        """Forget what is due at storage time `now_ms`. Raises `StorageUnavailable`, `OutcomeUnknown`."""
        report = Forgetting(removals=[])
        head = await self._shop.chain.find()
        if head is None:
            return report
        snapshot = ChainSnapshot(await self._shop.state_of(head), self._shop.loader)
        bounds = [await self._walker.decided_below(domain) for domain in sorted(self._shop.ledger_domains)]
        for domain, decided in zip(sorted(self._shop.ledger_domains), bounds, strict=True):
            due = await self._due(snapshot, domain, decided, now_ms)
            report.more = report.more or len(due) == LEDGER_OBJECTS_PER_RUN
            for info in due:
                report.removals.append(Removal(info.key, "decided, and its retention is over", info.size_bytes))
        report.ledger_objects = len(report.removals)
        if not apply:
            return report
        await remover.remove_all([one.key for one in report.removals])
        retention = str(ulid_from_int(max(now_ms - self._horizons.ledger_ms, 0) << 80))
        report.outcomes = await self._forget(snapshot, min([retention, *bounds]), now_ms)
        return report

    async def _due(self, snapshot: ChainSnapshot, domain: str, decided: str, now_ms: int) -> Sequence[ObjectInfo]:
        """The oldest objects of a ledger whose time is over and whose units are all decided."""
        found: list[ObjectInfo] = []
        for info in await self._shop.store.list_page(f"ledger/{domain}/", limit=LEDGER_OBJECTS_PER_RUN):
            first = info.key.rsplit("/", 1)[1].removesuffix(".json")
            if first >= decided:
                break
            if now_ms - info.modified_ms < self._horizons.ledger_ms:
                continue
            try:
                item = await intake.read(self._shop, domain, info.key)
            except intake.Quarantined:
                found.append(info)
                continue
            if item is not None and all([await is_decided(snapshot, unit.unit_id) for unit in item.units]):
                found.append(info)
        return found

    async def _forget(self, snapshot: ChainSnapshot, below: str, now_ms: int) -> int:
        """Have outcomes forgotten through the fold, a bounded number; how many."""
        if not below or ulid_ms(below) == 0:
            return 0
        floor = await snapshot.get(FLOORS, (OUTCOME_FLOOR,))
        before = snapshot.count(OUTCOMES)
        oldest = await snapshot.scan(OUTCOMES, limit=FORGET_MAX)
        due = [row for row in oldest if row.unit_id < below and row.decided_at < now_ms - self._horizons.ledger_ms]
        risen_ms = ulid_ms(below) - (ulid_ms(floor.floor) if floor else 0)
        if not due or (len(due) < FORGET_MAX and risen_ms < _STEP_MS):
            return 0
        for _ in range(FORGETTINGS_PER_RUN):
            body = OutcomesForgotten(below=below, decided_before=now_ms - self._horizons.ledger_ms)
            clock_ms = self._shop.clock.now_ms()
            unit = forget_unit(
                self._shop.ids.ulid(),
                body,
                occurred_at=instant.stored_text(clock_ms),
                deadline_ms=clock_ms + COMMAND_DEADLINE_MS,
            )
            (outcome,) = await self._submit([unit], len(unit.events[0].payload))
            if outcome.status != "accepted":
                raise ArcoError(f"outcomes were not forgotten: {outcome.status} {outcome.message}")
            left = await self._count()
            if before - left < FORGET_MAX // 2:
                return max(before - left, 0)
            before = left
        return len(due)

    async def _count(self) -> int:
        head = await self._shop.chain.find()
        return 0 if head is None else head.manifest.counts.get(OUTCOMES.name, 0)
