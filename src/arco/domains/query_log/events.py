"""Query log events: `query_log.history` version 1, kind `recorded`: rows as JSON objects, and what may leave."""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.ids import is_ulid
from arco.core.limits import QUERIES_EXPIRED_PER_EVENT
from arco.domains.query_log.rows import QUERY_LOG, QueryRow
from arco.kernel.desk import EventDraft, FactKind
from arco.kernel.envelope import Envelope
from arco.kernel.fold import InvalidEvent, UnsupportedEvent

QUERY_HISTORY_EVENT: Final = "query_log.history"
RECORDED: Final = "recorded"
RECORDED_VERSION: Final = 1

_TIME_END_MS: Final = 253_402_300_800_000
_COUNT_MAX: Final = 2**53
_TEXT_CHARS_MAX: Final = 8 * 1024


class QueriesRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """Queries that were asked, and the time (ms) before which rows may leave; 0 lets none leave."""

    kind: str = RECORDED
    rows: list[QueryRow]
    expire_before: int = 0


class _Kind(msgspec.Struct, frozen=True):
    kind: str


_KIND: Final = msgspec.json.Decoder(_Kind)
_RECORDED: Final = msgspec.json.Decoder(QueriesRecorded)


def query_facts(keep_ms: int) -> FactKind:
    """Asked queries as lazy facts (`kernel.facts`): each event also lets rows older than `keep_ms` leave."""

    def event(rows: Sequence[QueryRow], now_ms: int) -> EventDraft:
        payload = QueriesRecorded(rows=list(rows), expire_before=max(0, now_ms - keep_ms))
        return EventDraft(event_type=QUERY_HISTORY_EVENT, event_version=RECORDED_VERSION, payload=payload)

    return FactKind("query", QUERY_LOG, event)


def decoded(event: Envelope) -> QueriesRecorded:
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


def expired_at_most(recorded: QueriesRecorded) -> int:
    """How many rows one event may let leave: bounded, and always more than it brings."""
    return max(QUERIES_EXPIRED_PER_EVENT, 2 * len(recorded.rows))


def _check(row: QueryRow, index: int) -> None:
    if not is_ulid(row.query_id):
        raise InvalidEvent(f"rows[{index}].query_id is not a ULID")
    if not 0 <= row.started_at < _TIME_END_MS:
        raise InvalidEvent(f"rows[{index}].started_at is not a time in ms since 1970")
    for name in ("duration_ms", "rows", "bytes"):
        if not 0 <= getattr(row, name) <= _COUNT_MAX:
            raise InvalidEvent(f"rows[{index}].{name} is out of range")
    for name in ("actor", "endpoint", "result", "statement_hash", "statement", "relations"):
        if len(getattr(row, name)) > _TEXT_CHARS_MAX:
            raise InvalidEvent(f"rows[{index}].{name} is too long")
