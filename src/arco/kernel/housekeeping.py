"""Forgetting what was decided long ago: the kernel's own events, folded like everybody's.

An outcome is forgotten together with the idempotency key that stands for it. The floor says up to which unit outcomes
may have been forgotten: an older unit without one is never folded again, so that forgetting never turns a "decided"
into a second decision (architecture.md, "De-duplication"). Pure.
"""

from typing import Any, Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.ids import is_ulid, ulid_ms
from arco.core.limits import GRACE_MIN_MS
from arco.kernel.envelope import Envelope, Unit
from arco.kernel.fold import Accepted, Decision, FoldContext, InvalidEvent, UnsupportedEvent, View
from arco.kernel.records import FLOORS, IDEMPOTENCY, OUTCOMES, FloorRow, OutcomeRow

EVENT_TYPE: Final = "kernel.housekeeping"
FORGET_MAX: Final = 1_024
"""Outcomes one unit forgets: about two segments."""

OUTCOME_FLOOR: Final = "outcomes"


class OutcomesForgotten(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="outcomes_forgotten"):
    """Outcomes of units below `below` that were decided before `decided_before` (ms) are forgotten, oldest first."""

    below: str
    decided_before: int
    limit: int = FORGET_MAX


_DECODER = msgspec.json.Decoder(OutcomesForgotten)


class Housekeeping:
    """The kernel's own domain: it has no ledger, its units are the compactor's own."""

    name = "kernel"
    event_types = frozenset({EVENT_TYPE})
    tables: tuple[Any, ...] = ()

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Forget, and raise the floor first."""
        if event.event_version != 1:
            raise UnsupportedEvent(f"{EVENT_TYPE} version {event.event_version} is not known to this build")
        try:
            body = _DECODER.decode(event.payload)
        except msgspec.MsgspecError as error:
            raise InvalidEvent(str(error)) from error
        young_ms = context.now_ms - GRACE_MIN_MS
        if not is_ulid(body.below) or ulid_ms(body.below) > young_ms or body.decided_before > young_ms:
            raise InvalidEvent("what was decided lately is not forgotten")
        _raise_floor(view, body.below, context.now_ms)
        scanned: list[OutcomeRow] = list(view.scan(OUTCOMES, (), limit=min(body.limit, FORGET_MAX)))
        for row in scanned:
            if row.unit_id >= body.below:
                break
            if row.decided_at < body.decided_before:
                _forget(view, row)
        return Accepted()


def _raise_floor(view: View, below: str, now_ms: int) -> None:
    present = view.get(FLOORS, (OUTCOME_FLOOR,))
    if present is None or present.floor < below:
        view.put(FLOORS, FloorRow(name=OUTCOME_FLOOR, floor=below, raised_at=now_ms))


def _forget(view: View, row: OutcomeRow) -> None:
    view.delete(OUTCOMES, (row.unit_id,))
    if row.claim_key is None:
        return
    operation, _, key_hash = row.claim_key.partition("/")
    claimed = view.get(IDEMPOTENCY, (operation, key_hash))
    if claimed is not None and claimed.unit_id == row.unit_id:
        view.delete(IDEMPOTENCY, (operation, key_hash))


def forgotten(view: View, unit_id: str, now_ms: int) -> bool:
    """True when the unit is so old that its outcome may have been forgotten; a fresh one costs no look."""
    if ulid_ms(unit_id) > now_ms - GRACE_MIN_MS:
        return False
    floor = view.get(FLOORS, (OUTCOME_FLOOR,))
    return floor is not None and unit_id < floor.floor


def forget_unit(event_id: str, body: OutcomesForgotten, *, occurred_at: str, deadline_ms: int) -> Unit:
    """The unit that forgets; the compactor hands it to itself, and the commit record keeps it."""
    payload = msgspec.json.encode(body)
    return Unit(
        (
            Envelope(
                event_type=EVENT_TYPE,
                event_version=1,
                idempotency_key="auto:" + sha256_hex(payload)[:32],
                occurred_at=occurred_at,
                source="compactor",
                payload=msgspec.Raw(payload),
                event_id=event_id,
                deadline_ms=deadline_ms,
            ),
        )
    )
