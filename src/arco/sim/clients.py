"""Simulated clients: they wish, ask again when they do not know, and never ask under a new name.

A wish with an idempotency key is asked with that key until its answer is known. One without is asked once; its outcome
is looked up by event id, and otherwise it is given up and stays unknown.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

import msgspec

from arco.core.errors import ArcoError, OutcomeUnknown
from arco.core.scope import Scope
from arco.kernel.desk import EventDraft, UnitDraft
from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome
from arco.sim.domain import APPENDED, NAMED, UNHEARD_OF, Appended, Named
from arco.sim.faults import FaultStream
from arco.sim.history import Asked, History
from arco.sim.loop import SimLoop
from arco.sim.machines import Desks
from arco.sim.monitors import ChainMonitor, Violations
from arco.sim.network import Network
from arco.sim.plan import ClientPlan, Wish
from arco.storage.port import StorageUnavailable

T = TypeVar("T")

UNCLEAR: Final = (ArcoError, StorageUnavailable, ConnectionError, TimeoutError)
"""What a client may be told instead of an answer: all of it means that it does not know."""

_PAUSES_S: Final = (0.05, 0.5, 2.0, 10.0)


class Seen:
    """What everybody has seen of one scope: reads never go back, and one manifest is one state (R-28, P3)."""

    def __init__(self, monitor: ChainMonitor, violations: Violations) -> None:
        self.monitor = monitor
        self.floor = -1
        self._states: dict[tuple[int, str], Any] = {}
        self._violations = violations

    def read(self, number: int, floor: int) -> None:
        """Judge a read that saw this manifest and was asked for when `floor` was known to exist."""
        if number < floor:
            self._violations.add("R-28", f"a read saw manifest {number} after {floor} had been seen")
        self.floor = max(self.floor, number)

    def state(self, number: int, what: str, value: Any) -> None:
        """Judge what was read of a manifest."""
        if self._states.setdefault((number, what), value) != value:
            self._violations.add("R-07", f"manifest {number} shows two states of {what}")


class Place(Protocol):
    """The world as a client knows it."""

    loop: SimLoop
    network: Network
    history: History

    def api(self, caller: str) -> Desks | None:
        """An api this client's next request ends up at, dead or alive."""
        ...

    def seen(self, scope: Scope) -> Seen:
        """What everybody has seen of a scope."""
        ...


class Client:
    """One client of one scope."""

    def __init__(self, plan: ClientPlan, scope: Scope, place: Place, faults: FaultStream) -> None:
        self.plan = plan
        self.scope = scope
        self.pending: list[tuple[Wish, Asked, UnitDraft]] = []
        self._place = place
        self._faults = faults
        self._seen = place.seen(scope)
        self._last: tuple[Wish, UnitDraft] | None = None

    async def run(self) -> None:
        """Wish everything."""
        for step, wish in enumerate(self.plan.wishes):
            await asyncio.sleep(wish.pause_s)
            if wish.kind in ("read", "look_back"):
                await self.read(wish)
            else:
                await self._wish(wish, f"{self.plan.name}.{step}")

    async def finish(self) -> None:
        """Ask for everything that is still not known, now that nothing goes wrong any more (R-29)."""
        pending, self.pending = self.pending, []
        for wish, asked, draft in pending:
            await self._ask(msgspec.structs.replace(wish, patience_s=60.0, tries=6), asked, draft)

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _wish(self, wish: Wish, token: str) -> None:
        draft = self._draft(wish, token)
        if draft is None:
            return
        asked = Asked(
            client=self.plan.name,
            scope=self.scope,
            kind=wish.kind,
            name=wish.name,
            argument=wish.other if wish.kind in ("move", "both") else "",
            token=token if wish.kind in ("append", "both", "other_body") else "",
            invoked_s=self._place.loop.seconds,
        )
        self._place.history.ask(asked)
        await self._ask(wish, asked, draft)

    def _draft(self, wish: Wish, token: str) -> UnitDraft | None:
        claim = Claim(wish.kind, token, token) if wish.key else None
        padding = "x" * wish.padding
        events: tuple[EventDraft, ...]
        match wish.kind:
            case "append":
                events = (_event(APPENDED, Appended([wish.name], token, padding)),)
            case "both":
                events = tuple(_event(APPENDED, Appended([name], token)) for name in (wish.name, wish.other))
            case "make":
                events = (_event(NAMED, Named(new=wish.name, object_id=token)),)
            case "drop" | "move":
                events = (_event(NAMED, Named(old=wish.name, new=wish.other if wish.kind == "move" else "")),)
            case "other_body":
                if self._last is None or self._last[1].claim is None:
                    return None
                before = self._last[1].claim
                claim = Claim(before.operation, before.key_hash, "another body")
                events = (_event(APPENDED, Appended([wish.name], token)),)
            case "invalid":
                events = (_event(APPENDED, {"lists": "no list"}),)
            case _:
                events = (_event(UNHEARD_OF, {}),)
        return UnitDraft(domain="catalog", events=events, claim=claim)

    async def _ask(self, wish: Wish, asked: Asked, draft: UnitDraft) -> None:
        for attempt in range(wish.tries if wish.key else 1):
            floor = self._seen.floor
            try:
                if wish.kind in ("drop", "move"):
                    draft = await self._based(wish, draft)
                outcome = await self._submitted(wish, asked, draft)
            except UNCLEAR:
                await asyncio.sleep(_PAUSES_S[min(attempt, 3)])
                continue
            self._seen.monitor.answered(outcome, _claim_of(draft))
            if outcome.manifest_id:
                self._seen.floor = max(self._seen.floor, floor, int(outcome.manifest_id))
            if outcome.code == "stale_base" or (outcome.status == "expired" and wish.key):
                continue
            self._answered(wish, asked, draft, outcome)
            return
        if wish.key and wish.kind != "unheard_of":
            self.pending.append((wish, asked, draft))

    def _answered(self, wish: Wish, asked: Asked, draft: UnitDraft, outcome: Outcome) -> None:
        asked.returned_s = self._place.loop.seconds
        asked.result = outcome.code or outcome.status
        if wish.kind == "append" and outcome.status == "accepted":
            self._last = (wish, draft)

    async def _submitted(self, wish: Wish, asked: Asked, draft: UnitDraft) -> Outcome:
        try:
            outcomes = await self._called(
                wish, lambda desks: desks.desks[self.scope].submit([draft], source=f"api:{self.plan.name}")
            )
        except OutcomeUnknown as error:
            return await self._looked_up(wish, str(error.details.get("event_id", "")))
        asked.unit_ids.append(outcomes[0].unit_id)
        return outcomes[0]

    async def _looked_up(self, wish: Wish, event_id: str) -> Outcome:
        """The outcome of an event by its id. Raises `OutcomeUnknown` while there is none."""
        floor = self._seen.floor
        number, row = await self._called(wish, lambda desks: desks.outcome(self.scope, event_id))
        self._seen.read(number, floor)
        if row is None:
            raise OutcomeUnknown("not folded yet")
        # What a row says is what was recorded; whether that was of an earlier unit with the key, it does not say.
        return Outcome(
            unit_id=row.unit_id,
            status=row.status,
            code=row.code or "",
            manifest_id=row.manifest_id,
            replayed=True,
            final=row.code not in ("expired", "stale_base"),
        )

    async def _based(self, wish: Wish, draft: UnitDraft) -> UnitDraft:
        """The draft with the row version it is made from, as commands read it."""
        floor = self._seen.floor
        number, version = await self._called(wish, lambda desks: desks.row_version(self.scope, wish.name))
        self._seen.read(number, floor)
        (event,) = draft.events
        return msgspec.structs.replace(draft, events=(msgspec.structs.replace(event, base_row_version=version),))

    async def _called(self, wish: Wish, work: Callable[[Desks], Coroutine[Any, Any, T]]) -> T:
        desks = self._place.api(self.plan.name)
        if desks is None:
            raise ConnectionRefusedError("nobody listens")
        return await self._place.network.call(
            self._faults, desks.machine.process, lambda: work(desks), patience_s=wish.patience_s, repeatable=wish.key
        )

    # --- reading ------------------------------------------------------------------------------------------------------

    async def read(self, wish: Wish) -> bool:
        """Read a list and all names, now or (`look_back`) at an old manifest; False when there was no answer."""
        asked = Asked(
            client=self.plan.name,
            scope=self.scope,
            kind="read",
            name=wish.name,
            argument="",
            token="",
            invoked_s=self._place.loop.seconds,
        )
        floor, numbers = self._seen.floor, self._seen.monitor.numbers
        old = numbers[len(numbers) // 2] if wish.kind == "look_back" and numbers else None
        try:
            found = await self._called(wish, lambda desks: desks.contents(self.scope, wish.name, old))
        except UNCLEAR:
            return False
        if found is None:
            return True
        self._seen.state(found.number, wish.name, found.tokens)
        self._seen.state(found.number, "names", found.names)
        if old is None:
            self._seen.read(found.number, floor)
            asked.returned_s = self._place.loop.seconds
            asked.result = (found.tokens, found.names)
            self._place.history.ask(asked)
        return True


def _event(event_type: str, payload: Any) -> EventDraft:
    return EventDraft(event_type=event_type, event_version=1, payload=payload)


def _claim_of(draft: UnitDraft) -> tuple[str, str] | None:
    return None if draft.claim is None else (draft.claim.operation, draft.claim.key_hash)
