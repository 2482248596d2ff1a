"""The audit log's fold: kept once, in order of time, old rows leave a bounded number at a time."""

from typing import Any

import msgspec
import pytest
from tests.fakes import START_MS, LazyView, MemoryView, MemoryWorkspace

from arco.core.ids import ulid_from_int
from arco.core.limits import AUDIT_EXPIRED_PER_EVENT
from arco.domains.access.events import AuditRecorded, audit_facts
from arco.domains.access.fold import AccessDomain
from arco.domains.access.queries import ROWS_LOOKED_AT_MAX, AuditFilter, audit_page
from arco.domains.access.rows import AUDIT, AuditRow
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, FoldContext, InvalidEvent, NotLoaded, UnsupportedEvent

DAY_MS = 86_400_000
CONTEXT = FoldContext(START_MS, 2)


def a_row(number: int = 0, **fields: Any) -> AuditRow:
    at = START_MS + number
    given = {
        "event_id": ulid_from_int(at << 80),
        "occurred_at": at,
        "action": "AUTH_ALLOW",
        "actor": "user:" + "0" * 32,
        "resource": "/api/v1/catalogs",
        "decision_reason": "jwt_valid",
    }
    return AuditRow(**{**given, **fields})


def an_event(*rows: AuditRow, version: int = 1, **fields: Any) -> Envelope:
    payload = {"kind": "recorded", "rows": list(rows), "expire_before": 0, **fields}
    return Envelope(
        event_type="access.audit",
        event_version=version,
        idempotency_key="auto:x",
        occurred_at="2026-01-01T00:00:00Z",
        source="api:acme",
        payload=msgspec.Raw(msgspec.json.encode(payload)),
        event_id=ulid_from_int(1),
    )


def kept(view: MemoryView) -> list[AuditRow]:
    return list(view.scan(AUDIT, ()))


def test_recorded_rows_are_kept_once_however_often_they_are_written():
    view = MemoryView()
    for _ in range(2):
        assert AccessDomain().fold(view, an_event(a_row(2), a_row(1)), CONTEXT) == Accepted()
    assert kept(view) == [a_row(1), a_row(2)]


def test_rows_that_are_old_enough_leave_and_the_others_stay():
    view = MemoryView()
    AccessDomain().fold(view, an_event(*(a_row(n) for n in range(10))), CONTEXT)
    AccessDomain().fold(view, an_event(a_row(20), expire_before=START_MS + 4), CONTEXT)
    assert [row.occurred_at - START_MS for row in kept(view)] == [4, 5, 6, 7, 8, 9, 20]


def test_a_bounded_number_of_rows_leaves_with_one_event():
    view = MemoryView()
    AccessDomain().fold(view, an_event(*(a_row(n) for n in range(AUDIT_EXPIRED_PER_EVENT + 5))), CONTEXT)
    AccessDomain().fold(view, an_event(expire_before=START_MS + DAY_MS), CONTEXT)
    assert len(kept(view)) == 5


def test_what_is_not_loaded_is_asked_for_and_not_taken_for_absent():
    view = LazyView({"audit": {}})
    with pytest.raises(NotLoaded):
        AccessDomain().fold(view, an_event(a_row()), CONTEXT)


@pytest.mark.parametrize(
    "row",
    [
        a_row(event_id="not a ulid"),
        a_row(occurred_at=-1),
        a_row(occurred_at=2**60),
        a_row(count=0),
        a_row(count=2**60),
        a_row(actor=""),
        a_row(resource="x" * 5_000),
    ],
)
def test_a_row_that_no_column_or_answer_can_hold_is_refused(row):
    with pytest.raises(InvalidEvent):
        AccessDomain().fold(MemoryView(), an_event(row), CONTEXT)


def test_an_event_of_a_newer_build_waits_for_it():
    for event in (an_event(version=2), an_event(kind="exported")):
        with pytest.raises(UnsupportedEvent):
            AccessDomain().fold(MemoryView(), event, CONTEXT)


def test_facts_carry_the_time_before_which_rows_may_leave():
    draft = audit_facts(DAY_MS).event([a_row()], START_MS)
    assert draft.payload == AuditRecorded(rows=[a_row()], expire_before=START_MS - DAY_MS)


async def a_log(count: int, **fields: Any) -> Any:
    workspace = MemoryWorkspace(AccessDomain())
    draft = audit_facts(0).event([a_row(n, **fields) for n in range(count)], 0)
    await workspace.submit([UnitDraft(domain="access", events=(draft,))], source="api:acme")
    return await workspace.head()


async def test_pages_are_newest_first_and_continue_where_the_last_one_ended():
    snapshot = await a_log(5)
    first = await audit_page(snapshot, AuditFilter(), limit=3, after=None)
    second = await audit_page(snapshot, AuditFilter(), limit=3, after=first.after)
    assert [row.occurred_at - START_MS for row in first.rows + second.rows] == [4, 3, 2, 1, 0]
    assert second.after is None


async def test_times_bound_a_page_at_both_ends():
    wanted = AuditFilter(since_ms=START_MS + 2, until_ms=START_MS + 4)
    page = await audit_page(await a_log(6), wanted, limit=10, after=None)
    assert [row.occurred_at - START_MS for row in page.rows] == [3, 2]


async def test_a_filter_that_finds_little_looks_at_a_bounded_number_of_rows_and_goes_on_with_the_next_page():
    snapshot = await a_log(ROWS_LOOKED_AT_MAX + 10)
    wanted = AuditFilter(action="AUTH_DENY")
    page = await audit_page(snapshot, wanted, limit=10, after=None)
    assert page.rows == []
    assert page.after is not None
    assert (await audit_page(snapshot, wanted, limit=10, after=page.after)).after is None


async def test_events_of_one_millisecond_at_the_end_of_a_page_are_neither_lost_nor_shown_twice():
    snapshot = await a_log(1_500)
    seen: list[str] = []
    after = None
    while True:
        page = await audit_page(snapshot, AuditFilter(actor=a_row().actor), limit=500, after=after)
        seen += [row.event_id for row in page.rows]
        after = page.after
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 1_500
    assert seen == sorted(seen, reverse=True)
