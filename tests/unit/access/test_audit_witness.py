"""What the audit log witnesses of others' units: changes and refusals, nothing else, and nothing before its time."""

import msgspec
import pytest
from tests.fakes import START_MS, MemoryView

from arco.core.ids import ulid_from_int
from arco.domains.access.fold import WITNESSED_SINCE, WORD_CHARS_MAX, AccessDomain
from arco.domains.access.rows import AUDIT, AuditRow
from arco.kernel.envelope import Envelope, Unit
from arco.kernel.fold import Moment, Outcome, Subject

EVENT_ID = ulid_from_int(7)
DECISION = ulid_from_int(START_MS << 80)
CHANGE = Subject("table_registered", "table", "id-1", "orders")


def a_unit(actor: str | None = "user:1", trace_id: str | None = "req-1") -> Unit:
    event = Envelope(
        event_type="catalog.ddl",
        event_version=1,
        idempotency_key="auto:x",
        occurred_at="2026-01-01T00:00:00Z",
        source="api:acme",
        trace_id=trace_id,
        payload=msgspec.Raw(b"{}"),
        event_id=EVENT_ID,
        actor=actor,
    )
    return Unit((event,))


def witnessed(outcome: Outcome, *, unit: Unit | None = None, fold_version: int = WITNESSED_SINCE) -> list[AuditRow]:
    view = MemoryView()
    AccessDomain().witness(view, unit or a_unit(), outcome, Moment(START_MS, fold_version, DECISION))
    return list(view.scan(AUDIT, ()))


def an_outcome(status: str = "accepted", **fields: object) -> Outcome:
    return Outcome(**{"unit_id": EVENT_ID, "status": status, "snapshot_version": 9, **fields})  # type: ignore[arg-type]  # by name


def test_a_change_says_who_what_on_what_and_in_which_version():
    (row,) = witnessed(an_outcome(subject=CHANGE))
    assert row == AuditRow(
        event_id=DECISION,
        occurred_at=START_MS,
        action="CONTROL_STORE_MUTATE",
        actor="user:1",
        resource="table/id-1",
        decision_reason="committed",
        request_id="req-1",
        operation="table_registered",
        object_name="orders",
        snapshot_version=9,
    )


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("rejected", "already_exists", "already_exists"),
        ("expired", "expired", "expired"),
        ("quarantined", "", "quarantined"),
    ],
)
def test_a_refusal_says_why(status, code, reason):
    (row,) = witnessed(an_outcome(status, code=code))
    assert (row.action, row.decision_reason, row.resource) == ("CONTROL_STORE_DENY", reason, f"event/{EVENT_ID}")
    assert (row.operation, row.snapshot_version) == ("catalog.ddl", None)


def test_what_changed_nothing_leaves_nothing():
    assert witnessed(an_outcome()) == []


def test_commits_from_before_are_replayed_as_they_were_folded():
    assert witnessed(an_outcome(subject=CHANGE), fold_version=WITNESSED_SINCE - 1) == []


def test_an_event_that_names_no_author_is_its_sources():
    (row,) = witnessed(an_outcome(subject=CHANGE), unit=a_unit(None, None))
    assert (row.actor, row.request_id) == ("api:acme", None)


def test_what_an_envelope_says_of_its_author_is_kept_within_bounds():
    (row,) = witnessed(an_outcome(subject=CHANGE), unit=a_unit("a" * 10_000, "t" * 10_000))
    assert (len(row.actor), len(row.request_id or "")) == (WORD_CHARS_MAX, WORD_CHARS_MAX)
