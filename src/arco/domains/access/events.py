"""Access events: `access.audit` version 1, kind `recorded`: rows as JSON objects, and what may leave for them."""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.ids import is_ulid
from arco.core.limits import AUDIT_EXPIRED_PER_EVENT
from arco.domains.access.rows import ACCESS, AuditRow
from arco.kernel.desk import EventDraft, FactKind
from arco.kernel.envelope import Envelope
from arco.kernel.fold import InvalidEvent, UnsupportedEvent

ACCESS_AUDIT: Final = "access.audit"
RECORDED: Final = "recorded"
RECORDED_VERSION: Final = 1

_TIME_END_MS: Final = 253_402_300_800_000
_COUNT_MAX: Final = 2**53
_TEXT_CHARS_MAX: Final = 4 * 1024


class AuditRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that were written down, and the time (ms) before which rows may leave; 0 lets none leave."""

    kind: str = RECORDED
    rows: list[AuditRow]
    expire_before: int = 0


class _Kind(msgspec.Struct, frozen=True):
    kind: str


_KIND: Final = msgspec.json.Decoder(_Kind)
_RECORDED: Final = msgspec.json.Decoder(AuditRecorded)


def audit_facts(keep_ms: int) -> FactKind:
    """Audit rows as lazy facts (`kernel.facts`): each event also lets rows older than `keep_ms` leave."""

    def event(rows: Sequence[AuditRow], now_ms: int) -> EventDraft:
        payload = AuditRecorded(rows=list(rows), expire_before=max(0, now_ms - keep_ms))
        return EventDraft(event_type=ACCESS_AUDIT, event_version=RECORDED_VERSION, payload=payload)

    return FactKind("audit", ACCESS, event)


def decoded(event: Envelope) -> AuditRecorded:
    """The event's payload. Raises `UnsupportedEvent` for a version or kind of a newer build, `InvalidEvent`."""
    if event.event_version != RECORDED_VERSION:
        raise UnsupportedEvent(f"{event.event_type} version {event.event_version} is not known to this build")
    try:
        kind = _KIND.decode(event.payload).kind
        if kind != RECORDED:
            raise UnsupportedEvent(f"{event.event_type} kind {kind} is not known to this build")
        recorded = _RECORDED.decode(event.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"{event.event_type}: {error}") from error
    for index, row in enumerate(recorded.rows):
        _check(row, index)
    if not 0 <= recorded.expire_before < _TIME_END_MS:
        raise InvalidEvent("expire_before is not a time in ms since 1970")
    return recorded


def expired_at_most(recorded: AuditRecorded) -> int:
    """How many rows one event may let leave: bounded, and always more than it brings."""
    return max(AUDIT_EXPIRED_PER_EVENT, 2 * len(recorded.rows))


def _check(row: AuditRow, index: int) -> None:
    if not is_ulid(row.event_id):
        raise InvalidEvent(f"rows[{index}].event_id is not a ULID")
    if not 0 <= row.occurred_at < _TIME_END_MS:
        raise InvalidEvent(f"rows[{index}].occurred_at is not a time in ms since 1970")
    if not 1 <= row.count <= _COUNT_MAX:
        raise InvalidEvent(f"rows[{index}].count is out of range")
    for name in ("action", "actor", "resource", "decision_reason"):
        if not 0 < len(getattr(row, name)) <= _TEXT_CHARS_MAX:
            raise InvalidEvent(f"rows[{index}].{name} is empty or too long")
