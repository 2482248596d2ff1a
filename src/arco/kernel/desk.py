"""The write path as commands see it: drafts in, outcomes out.

A command builds `UnitDraft`s from what it read; a `Desk` names them, appends them to the ledger and has them folded.
The kernel's implementation is `kernel.ledger.LedgerDesk`; nothing else may write.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from arco.core.scope import Scope
from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome


class EventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An event without id and time. `payload` is what `msgspec.to_builtins` and JSON can write.

    `key` is the event's own idempotency key where a contract has one, for who reads the ledger; without it the key is
    made from the payload. What de-duplicates is the fold. `at_ms` is when it happened, if that was not just now.
    """

    event_type: str
    event_version: int
    payload: Any
    base_row_version: int | None = None
    key: str | None = None
    at_ms: int | None = None


class UnitDraft(msgspec.Struct, frozen=True, kw_only=True):
    """1..k events that are one fact, with the idempotency key they claim."""

    domain: str
    events: tuple[EventDraft, ...]
    claim: Claim | None = None
    actor: str | None = None
    """Who asked for it, as audit shows people: a keyed hash. None when only the `source` is known."""
    trace_id: str | None = None
    lasting: bool = False
    """True for what has happened anyway: it may be folded however late."""


class Desk(Protocol):
    """Where commands hand in their units."""

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        """Append and fold the units, in order; one outcome each.

        All units of one call lie in one ledger object and are folded in the given order (each on its own).
        Raises `Overloaded` or `Unavailable` before anything was appended, `OutcomeUnknown` when it is not known
        whether the units were or will be folded.
        """
        ...


class SignedDesk(msgspec.Struct, frozen=True):
    """A desk that says of every unit who asked for it, and in which request."""

    desk: Desk
    actor: str
    trace_id: str | None

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        """Hand the units in, signed. See `Desk.submit`."""
        signed = [msgspec.structs.replace(unit, actor=self.actor, trace_id=self.trace_id) for unit in units]
        return await self.desk.submit(signed, source=source)


FACT_BYTES: Final = 400
"""What a fact is taken to weigh when nobody says."""


class FactKind(msgspec.Struct, frozen=True):
    """A kind of fact: its name in metrics, its domain, and the event that facts of it become at a time (ms)."""

    name: str
    domain: str
    event: Callable[[Sequence[Any], int], EventDraft]


class FactSink(Protocol):
    """Where facts are left to be written later."""

    def add(self, scope: Scope, kind: FactKind, fact: Any, *, size_bytes: int = FACT_BYTES) -> bool:
        """Leave a fact, which must have an id of its own. False when it was dropped for load; never raises."""
        ...

    async def close(self) -> None:
        """Write what is held; what cannot be written in time is lost, and said to be."""
        ...


class _Dropped:
    """A sink that keeps nothing."""

    def add(self, scope: Scope, kind: FactKind, fact: Any, *, size_bytes: int = FACT_BYTES) -> bool:
        return False

    async def close(self) -> None:
        return


DROPPED: Final[FactSink] = _Dropped()
"""Where facts go when nobody keeps them."""
