"""The write path as commands see it: drafts in, outcomes out.

A command builds `UnitDraft`s from what it read; a `Desk` names them, appends them to the ledger and has them folded.
The kernel's implementation is `kernel.ledger.LedgerDesk`; nothing else may write.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome


class EventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An event without id and time. `payload` is what `msgspec.to_builtins` and JSON can write."""

    event_type: str
    event_version: int
    payload: Any
    base_row_version: int | None = None


class UnitDraft(msgspec.Struct, frozen=True, kw_only=True):
    """1..k events that are one fact, with the idempotency key they claim."""

    domain: str
    events: tuple[EventDraft, ...]
    claim: Claim | None = None


class Desk(Protocol):
    """Where commands hand in their units."""

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        """Append and fold the units, in order; one outcome each.

        All units of one call lie in one ledger object and are folded in the given order (each on its own).
        Raises `Overloaded` or `Unavailable` before anything was appended, `OutcomeUnknown` when it is not known
        whether the units were or will be folded.
        """
        ...
