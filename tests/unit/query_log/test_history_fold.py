"""The query history's fold: each row once, in order of time; old rows leave a bounded number at a time."""

from typing import Any

import msgspec
import pytest
from tests.fakes import START_MS, MemoryView

from arco.core.ids import ulid_from_int
from arco.core.limits import QUERIES_EXPIRED_PER_EVENT
from arco.domains.query_log.events import QueriesRecorded, query_facts
from arco.domains.query_log.fold import QueryLogDomain
from arco.domains.query_log.rows import QUERY_HISTORY, QueryRow
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, FoldContext, InvalidEvent, UnsupportedEvent

CONTEXT = FoldContext(START_MS, 2)


def a_row(number: int = 0, **fields: Any) -> QueryRow:
    given = {
        "query_id": ulid_from_int((START_MS + number) << 80),
        "started_at": START_MS + number,
        "duration_ms": 3,
        "actor": "user:" + "0" * 32,
        "endpoint": "query",
        "result": "answered",
        "statement_hash": "h",
        "statement": "SELECT ?",
    }
    return QueryRow(**{**given, **fields})


def an_event(*rows: QueryRow, version: int = 1, **fields: Any) -> Envelope:
    payload = {"kind": "recorded", "rows": list(rows), "expire_before": 0, **fields}
    return Envelope(
        event_type="query_log.history",
        event_version=version,
        idempotency_key="auto:x",
        occurred_at="2026-01-01T00:00:00Z",
        source="api:acme",
        payload=msgspec.Raw(msgspec.json.encode(payload)),
        event_id=ulid_from_int(1),
    )


def kept(view: MemoryView) -> list[QueryRow]:
    return list(view.scan(QUERY_HISTORY, ()))


def test_queries_are_kept_once_however_often_they_are_written():
    view = MemoryView()
    for _ in range(2):
        assert QueryLogDomain().fold(view, an_event(a_row(2), a_row(1)), CONTEXT) == Accepted()
    assert kept(view) == [a_row(1), a_row(2)]


def test_queries_that_are_old_enough_leave_a_bounded_number_at_a_time():
    view = MemoryView()
    rows = [a_row(number) for number in range(QUERIES_EXPIRED_PER_EVENT + 10)]
    QueryLogDomain().fold(view, an_event(*rows), CONTEXT)
    QueryLogDomain().fold(view, an_event(a_row(90_000), expire_before=START_MS + 50_000), CONTEXT)
    assert len(kept(view)) == 11
    QueryLogDomain().fold(view, an_event(expire_before=START_MS + 50_000), CONTEXT)
    assert kept(view) == [a_row(90_000)]


def test_the_event_of_gathered_queries_lets_those_beyond_the_retention_leave():
    kind = query_facts(keep_ms=1_000)
    payload = kind.event([a_row()], START_MS).payload
    assert isinstance(payload, QueriesRecorded)
    assert (payload.rows, payload.expire_before) == ([a_row()], START_MS - 1_000)
    assert kind.event([], 10).payload.expire_before == 0


@pytest.mark.parametrize(
    "row",
    [
        a_row(query_id="x"),
        a_row(started_at=-1),
        a_row(duration_ms=-1),
        a_row(rows=2**60),
        a_row(statement="x" * 9_000),
    ],
)
def test_rows_that_cannot_be_are_not_folded(row):
    with pytest.raises(InvalidEvent):
        QueryLogDomain().fold(MemoryView(), an_event(row), CONTEXT)


def test_events_of_a_newer_build_stay_pending():
    for event in (an_event(version=2), an_event(kind="else")):
        with pytest.raises(UnsupportedEvent):
            QueryLogDomain().fold(MemoryView(), event, CONTEXT)
