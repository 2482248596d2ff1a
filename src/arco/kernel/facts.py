"""Facts worth keeping that nobody waits for: audit events, query logs. They are written together, after the fact.

Leaving one never blocks and never fails a request: a fact is put into a bounded buffer, or dropped and counted when
that, or its workspace's share of it, is full. About once a second what a workspace has gathered becomes one ledger
object and is folded like any unit; with nothing gathered nothing happens at all. Facts carry their own ids and folding
keeps each once, so what could not be shown to be written is simply written again. Lost is at most what was gathered
since the last writing when a process dies, and what storage refused until the patience with it ran out; an orderly end
writes everything first.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from arco.core.clock import Clock
from arco.core.errors import ArcoError, OutcomeUnknown
from arco.core.limits import FACTS_EVENT_BYTES, FACTS_HELD_BYTES_MAX, FACTS_HELD_MAX, FACTS_PER_EVENT, FACTS_SHARE
from arco.core.log import Log
from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.kernel.desk import FACT_BYTES, Desk, FactKind, UnitDraft
from arco.storage.port import StorageUnavailable

LINGER_MS: Final = 1_000
"""How long facts are gathered before they are written, and so what a killed process loses."""

REST_MS_MAX: Final = 60_000
"""The longest pause between two tries to write a workspace's facts."""

TRIES_MAX: Final = 20
"""Tries until a workspace's gathered facts are given up: about a quarter of an hour."""

CLOSE_MS: Final = 5_000
"""How long an orderly end waits for the last facts to be written."""

SCOPES_AT_ONCE: Final = 8


class _Gathered:
    """What one workspace has gathered. `held` counts what is being written as well."""

    def __init__(self) -> None:
        self.facts: list[_Fact] = []
        self.held = self.held_bytes = 0
        self.turn = asyncio.Lock()
        self.tries = 0
        self.rests_until_ms = 0


class _Fact(msgspec.Struct):
    kind: FactKind
    fact: Any
    size_bytes: int
    owner: _Gathered


class LazyFacts:
    """Implements `FactSink` for all scopes of a process. Facts of a workspace that does not exist are not kept."""

    def __init__(
        self,
        desk_for: Callable[[Scope], Desk],
        exists: Callable[[Scope], Awaitable[bool]],
        *,
        clock: Clock,
        log: Log,
        registry: Registry,
        linger_ms: int = LINGER_MS,
    ) -> None:
        self._desk_for = desk_for
        self._exists = exists
        self._clock = clock
        self._log = log
        self._linger_ms = linger_ms
        labels = ("kind", "result")
        self._results = registry.counter("arco_facts_total", "Facts by what became of them", labels)
        self._gathered: dict[Scope, _Gathered] = {}
        self._held = 0
        self._held_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._gate = asyncio.Semaphore(SCOPES_AT_ONCE)

    @property
    def held(self) -> int:
        """Facts that are not written yet."""
        return self._held

    def add(self, scope: Scope, kind: FactKind, fact: Any, *, size_bytes: int = FACT_BYTES) -> bool:
        """Leave a fact to be written later. See `FactSink.add`."""
        owner = self._gathered.get(scope) or _Gathered()
        if self._closed or not self._room(owner, size_bytes):
            self._results.series(kind.name, "dropped").inc()
            return False
        self._gathered[scope] = owner
        owner.facts.append(_Fact(kind, fact, size_bytes, owner))
        owner.held += 1
        owner.held_bytes += size_bytes
        self._held += 1
        self._held_bytes += size_bytes
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return True

    def _room(self, owner: _Gathered, size_bytes: int) -> bool:
        """Whether a workspace may leave one more: within its share, and when all is full if one that holds more yields.

        A share is of the whole, so a few noisy ones together could fill it; then the one that holds most gives up its
        newest to whoever holds less.
        """
        share, share_bytes = FACTS_HELD_MAX // FACTS_SHARE, FACTS_HELD_BYTES_MAX // FACTS_SHARE
        if owner.held >= share or owner.held_bytes + size_bytes > share_bytes:
            return False
        while self._held >= FACTS_HELD_MAX or self._held_bytes + size_bytes > FACTS_HELD_BYTES_MAX:
            heaviest = max((one for one in self._gathered.values() if one.facts), key=_weight, default=owner)
            if _weight(heaviest) <= _weight(owner) or not heaviest.facts:
                return False
            self._leave([heaviest.facts.pop()], "dropped")
        return True

    async def flush(self) -> None:
        """Write what is held now, without waiting for more to come."""
        await asyncio.gather(*(self._written(scope) for scope in list(self._gathered)))

    async def close(self) -> None:
        """Write what is held; what cannot be written in time is lost, and said to be. Nothing is taken any more."""
        self._closed = True
        if self._task is not None:
            ending = {self._task, *self._writing}
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.flush(), CLOSE_MS / 1000)
        for scope in list(self._gathered):
            self._give_up(self._gathered.pop(scope).facts, "the process ended before they were written")

    async def _run(self) -> None:
        try:
            while self._gathered:
                await self._clock.sleep_ms(self._linger_ms)
                self._begin()
                await self._most_are_written()
        finally:
            self._task = None

    def _begin(self) -> None:
        """Begin to write what is due and not being written."""
        now_ms = self._clock.steady_ms()
        for scope, one in self._gathered.items():
            if one.rests_until_ms <= now_ms and not one.turn.locked():
                task = asyncio.get_running_loop().create_task(self._written(scope))
                self._writing.add(task)
                task.add_done_callback(self._writing.discard)

    async def _most_are_written(self) -> None:
        """Wait for the writing to end, but not for ever: a workspace in trouble must not hold up the others."""
        if not self._writing:
            return
        patience = asyncio.ensure_future(self._clock.sleep_ms(self._linger_ms))
        ended = asyncio.ensure_future(asyncio.wait(self._writing))
        try:
            await asyncio.wait({patience, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()
            ended.cancel()

    async def _written(self, scope: Scope) -> None:
        """Write what a workspace has gathered; what could not be shown to be written is kept for the next time."""
        gathered = self._gathered.get(scope)
        if gathered is None:
            return  # somebody else wrote it meanwhile
        async with gathered.turn, self._gate:
            taken, gathered.facts = gathered.facts, []
            try:
                if taken:
                    await self._submit(scope, taken)
            except asyncio.CancelledError:
                gathered.facts = taken + gathered.facts
                raise
            except (ArcoError, StorageUnavailable) as error:
                self._keep(gathered, taken, error)
            except Exception as error:  # noqa: BLE001  # a mistake in one kind of fact must not end the writing of all
                self._give_up(taken, f"{type(error).__name__}: {error}")
            else:
                gathered.tries = gathered.rests_until_ms = 0
            if not gathered.facts and self._gathered.get(scope) is gathered:
                del self._gathered[scope]

    async def _submit(self, scope: Scope, facts: Sequence[_Fact]) -> None:
        # A question about a workspace that nobody ever wrote to must not bring it into being.
        if not await self._exists(scope):
            self._leave(facts, "no_workspace")
            return
        desk = self._desk_for(scope)
        for units in self._units(facts).values():
            outcomes = await desk.submit(units, source=f"api:{scope.tenant}")
            refused = next((one for one in outcomes if one.status != "accepted"), None)
            if refused is not None:
                self._log.warning("facts_refused", code=refused.code, reason=refused.message)
        self._leave(facts, "written")

    def _units(self, facts: Sequence[_Fact]) -> dict[str, list[UnitDraft]]:
        by_domain: dict[str, list[UnitDraft]] = {}
        now_ms = self._clock.now_ms()
        for kind, part in _parts(facts):
            unit = UnitDraft(domain=kind.domain, events=(kind.event(part, now_ms),), lasting=True)
            by_domain.setdefault(kind.domain, []).append(unit)
        return by_domain

    def _keep(self, gathered: _Gathered, taken: list[_Fact], error: Exception) -> None:
        gathered.tries += 1
        # Each unknown outcome may have left an object in the ledger: there must not be many of them.
        weight = 4 if isinstance(error, OutcomeUnknown) else 1
        if gathered.tries * weight > TRIES_MAX:
            self._give_up(taken, str(error))
            gathered.tries = 0
            return
        gathered.facts = taken + gathered.facts
        gathered.rests_until_ms = self._clock.steady_ms() + min(self._linger_ms << gathered.tries, REST_MS_MAX)

    def _give_up(self, facts: Sequence[_Fact], reason: str) -> None:
        if facts:
            self._log.warning("facts_lost", facts=len(facts), reason=reason)
            self._leave(facts, "lost")

    def _leave(self, facts: Sequence[_Fact], result: str) -> None:
        for one in facts:
            self._results.series(one.kind.name, result).inc()
            one.owner.held -= 1
            one.owner.held_bytes -= one.size_bytes
            self._held_bytes -= one.size_bytes
        self._held -= len(facts)


def _weight(one: _Gathered) -> int:
    """How much of the whole one holds, by number or by size, whichever is more."""
    return max(one.held * FACTS_HELD_BYTES_MAX, one.held_bytes * FACTS_HELD_MAX)


def _parts(facts: Sequence[_Fact]) -> list[tuple[FactKind, list[Any]]]:
    """The facts by kind, in pieces that fit into one event each."""
    parts: list[tuple[FactKind, list[Any]]] = []
    open_parts: dict[str, tuple[list[Any], int]] = {}
    for one in facts:
        part, size = open_parts.get(one.kind.name, ([], 0))
        if not part or len(part) >= FACTS_PER_EVENT or size + one.size_bytes > FACTS_EVENT_BYTES:
            part, size = [], 0
            parts.append((one.kind, part))
        part.append(one.fact)
        open_parts[one.kind.name] = (part, size + one.size_bytes)
    return parts
