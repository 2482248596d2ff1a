"""The lineage fold: a set that only grows, whose first assertion wins."""

from typing import Any

import msgspec
import pytest
from tests.unit.lineage.fakes import NOW_MS, FoldingDesk, MemoryView, StillClock, edge, event_of, folded

from arco.core.errors import InvariantViolated, OutcomeUnknown, Unavailable
from arco.domains.lineage.commands import AddEdges, Clerk, add_edges
from arco.domains.lineage.events import TIME_END_MS
from arco.domains.lineage.rows import LINEAGE_EDGES, LINEAGE_EDGES_BY_TARGET, EdgeRow
from arco.domains.lineage.rules import minted
from arco.kernel.fold import Accepted, InvalidEvent, NotLoaded, Subject, UnsupportedEvent


def added(*rows: EdgeRow) -> dict[str, Any]:
    return {"kind": "edges_added", "edges": [msgspec.to_builtins(row) for row in rows]}


def test_new_edges_are_kept_under_both_ends_and_told_of_in_history() -> None:
    view = MemoryView()
    rows = minted([edge("a", "b"), edge("b", "c")], NOW_MS)
    decision = folded(view, event_of(added(*rows)))
    subject = Subject("edges_added", "lineage_edges", "01JGFJJZ00000000000000000A", "2 edges")
    assert decision == Accepted(subject)
    assert [row.source_id for row in view.rows(LINEAGE_EDGES)] == ["a", "b"]
    assert [row.target_id for row in view.rows(LINEAGE_EDGES_BY_TARGET)] == ["b", "c"]


def test_known_edges_keep_their_time_and_leave_no_trace() -> None:
    view = MemoryView()
    folded(view, event_of(added(*minted([edge("a", "b")], NOW_MS))))
    decision = folded(view, event_of(added(*minted([edge("a", "b")], NOW_MS + 5))))
    assert decision == Accepted(None)
    assert [row.created_at for row in view.rows(LINEAGE_EDGES)] == [NOW_MS]
    assert [row.created_at for row in view.rows(LINEAGE_EDGES_BY_TARGET)] == [NOW_MS]


def test_only_the_new_edges_of_a_mixed_event_are_counted() -> None:
    view = MemoryView()
    folded(view, event_of(added(*minted([edge("a", "b")], NOW_MS))))
    decision = folded(view, event_of(added(*minted([edge("a", "b"), edge("a", "c"), edge("a", "c")], NOW_MS))))
    assert isinstance(decision, Accepted)
    assert decision.subject is not None
    assert decision.subject.object_name == "1 edges"


def test_an_id_older_than_the_scheme_is_taken_as_it_is() -> None:
    view = MemoryView()
    old = EdgeRow(id="01JGFJJZ00000000000000000B", source_id="a", target_id="b", edge_type="reads", created_at=1)
    folded(view, event_of(added(old)))
    assert view.rows(LINEAGE_EDGES) == [old]


def test_an_event_without_the_run_column_still_decodes() -> None:
    view = MemoryView()
    row = {"id": "x", "source_id": "a", "target_id": "b", "edge_type": "t", "created_at": 1}
    folded(view, event_of({"kind": "edges_added", "edges": [row]}))
    assert view.rows(LINEAGE_EDGES)[0].run_id is None


@pytest.mark.parametrize(
    ("payload", "version"), [({"kind": "edges_added", "edges": []}, 2), ({"kind": "edges_removed", "ids": []}, 1)]
)
def test_events_of_a_newer_build_wait_for_it(payload: Any, version: int) -> None:
    with pytest.raises(UnsupportedEvent):
        folded(MemoryView(), event_of(payload, version=version))


_ROW = {"id": "x", "source_id": "a", "target_id": "b", "edge_type": "t", "run_id": None, "created_at": 1}


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {"edges": []},
        {"kind": "edges_added"},
        {"kind": "edges_added", "edges": [{"id": "x"}]},
        {"kind": "edges_added", "edges": [_ROW | {"created_at": "soon"}]},
        {"kind": "edges_added", "edges": [_ROW | {"created_at": -1}]},
        {"kind": "edges_added", "edges": [_ROW | {"created_at": TIME_END_MS}]},
        {"kind": "edges_added", "edges": [_ROW, _ROW | {"source_id": ""}]},
        {"kind": "edges_added", "edges": [_ROW | {"id": ""}]},
    ],
)
def test_payloads_no_table_could_hold_are_quarantined_whole(payload: Any) -> None:
    view = MemoryView()
    with pytest.raises(InvalidEvent):
        folded(view, event_of(payload))
    assert view.rows(LINEAGE_EDGES) == []


def test_rows_that_are_not_in_memory_are_asked_for() -> None:
    (row,) = minted([edge("a", "b")], NOW_MS)
    with pytest.raises(NotLoaded):
        folded(MemoryView(absent=[LINEAGE_EDGES.key_of(row)]), event_of(added(row)))
    with pytest.raises(NotLoaded):
        folded(MemoryView(absent=[LINEAGE_EDGES_BY_TARGET.key_of(row)]), event_of(added(row)))


@pytest.mark.parametrize(
    ("status", "error"),
    [("expired", Unavailable), ("unsupported", OutcomeUnknown), ("quarantined", InvariantViolated)],
)
async def test_a_unit_that_was_not_accepted_is_told_as_a_fact(status: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await add_edges(Clerk(FoldingDesk(status), StillClock()), AddEdges((edge("a", "b"),)), actor="api:acme")
