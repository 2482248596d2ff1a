"""Golden vectors and behaviours 45 and 46 of the catalog contract (catalog.md 8.1, 11.7, Appendix A)."""

import msgspec
import pytest
from tests.unit.lineage.fakes import FoldingDesk, StillClock, edge

from arco.core.errors import InvalidInput
from arco.domains.lineage.commands import AddEdges, Clerk, add_edges
from arco.domains.lineage.rows import LINEAGE_EDGES
from arco.domains.lineage.rules import NewEdge, edge_id


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (edge("src", "tgt"), "ecd2ff1f12200c67859969f53117192017a902d4c311f478e14d1ac20c7651eb"),
        (
            edge("dup-src", "dup-tgt", run="run-dup"),
            "ff4830380f092c64271c507d32603f5a1a054f26d339aa46cdb2ac9230d828c9",
        ),
    ],
)
def test_edge_ids_are_those_of_appendix_a(given: NewEdge, expected: str) -> None:
    assert edge_id(given) == expected


def test_46_the_place_of_a_nul_between_two_ids_decides_the_edge_id() -> None:
    assert edge_id(edge("a", "b\0c")) != edge_id(edge("a\0b", "c"))


def test_an_absent_run_and_an_empty_run_are_different_edges() -> None:
    assert edge_id(edge("a", "b")) != edge_id(edge("a", "b", run=""))


async def test_45_an_edge_posted_twice_counts_each_time_and_is_stored_once() -> None:
    desk, clock = FoldingDesk(), StillClock()
    first = await add_edges(Clerk(desk, clock), AddEdges((edge("a", "b"),)), actor="api:acme")
    clock.time_ms += 1_000
    second = await add_edges(Clerk(desk, clock), AddEdges((edge("a", "b"),)), actor="api:acme")
    (row,) = desk.view.rows(LINEAGE_EDGES)
    assert (first, second) == (1, 1)
    assert row.created_at == clock.time_ms - 1_000


async def test_45_duplicates_inside_a_batch_collapse() -> None:
    desk = FoldingDesk()
    edges = (edge("a", "b"), edge("b", "c"), edge("a", "b"))
    assert await add_edges(Clerk(desk, StillClock()), AddEdges(edges), actor="api:acme") == 2
    assert len(desk.view.rows(LINEAGE_EDGES)) == 2


async def test_45_distinct_runs_are_distinct_rows() -> None:
    desk = FoldingDesk()
    edges = (edge("a", "b"), edge("a", "b", run="r1"), edge("a", "b", run="r2"))
    assert await add_edges(Clerk(desk, StillClock()), AddEdges(edges), actor="api:acme") == 3
    assert sorted(row.run_id or "" for row in desk.view.rows(LINEAGE_EDGES)) == ["", "r1", "r2"]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((), "edges must not be empty"),
        (tuple(edge("a", f"b{n}") for n in range(1_001)), "edge count 1001 exceeds max 1000"),
        ((edge("a", "b"), edge(" \t", "b")), "edges[1].source_id must not be empty"),
        ((edge("a", ""),), "edges[0].target_id must not be empty"),
        ((edge("a", "b", edge_type=" "),), "edges[0].edge_type must not be empty"),
        ((edge("a", "b", run=""),), "edges[0].run_id must not be empty"),
        ((edge("a", "b", edge_type="t" * 65),), "edges[0].edge_type exceeds max length (64 bytes)"),
        ((edge("é" * 129, "b"),), "edges[0].source_id exceeds max length (256 bytes)"),
        ((edge("a", "b", run="r" * 257),), "edges[0].run_id exceeds max length (256 bytes)"),
        ((edge("a\0b", "c"),), "edges[0].source_id must not contain control characters (found U+0000)"),
        ((edge("a", "b\0c"),), "edges[0].target_id must not contain control characters (found U+0000)"),
        (
            (edge("a", "b", edge_type="x\u0085"),),
            "edges[0].edge_type must not contain control characters (found U+0085)",
        ),
        ((edge("a", "b", run="r\n1"),), "edges[0].run_id must not contain control characters (found U+000A)"),
    ],
)
async def test_46_edges_against_the_rules_are_refused_and_nothing_is_handed_in(
    edges: tuple[NewEdge, ...], message: str
) -> None:
    desk = FoldingDesk()
    with pytest.raises(InvalidInput) as caught:
        await add_edges(Clerk(desk, StillClock()), AddEdges(edges), actor="api:acme")
    assert caught.value.message == message
    assert desk.drafts == []


async def test_the_longest_texts_are_accepted() -> None:
    longest = edge("s" * 256, "é" * 128, edge_type="t" * 64, run="r" * 256)
    batch = (longest, *(edge("a", f"b{n}") for n in range(999)))
    assert await add_edges(Clerk(FoldingDesk(), StillClock()), AddEdges(batch), actor="api:acme") == 1_000


async def test_the_event_holds_the_rows_with_all_their_keys() -> None:
    desk = FoldingDesk()
    await add_edges(Clerk(desk, StillClock()), AddEdges((edge("src", "tgt"),)), actor="api:acme")
    (unit,) = desk.drafts
    (draft,) = unit.events
    assert (unit.domain, unit.claim, desk.sources) == ("lineage", None, ["api:acme"])
    assert (draft.event_type, draft.event_version) == ("lineage.ddl", 1)
    assert msgspec.to_builtins(draft.payload) == {
        "kind": "edges_added",
        "edges": [
            {
                "id": "ecd2ff1f12200c67859969f53117192017a902d4c311f478e14d1ac20c7651eb",
                "source_id": "src",
                "target_id": "tgt",
                "edge_type": "derives_from",
                "run_id": None,
                "created_at": 1_767_225_605_123,
            }
        ],
    }


def test_the_public_columns_are_those_of_the_contract() -> None:
    columns = [(field.name, field.kind, field.nullable) for field in LINEAGE_EDGES.public_fields]
    assert columns == [
        ("id", "utf8", False),
        ("source_id", "utf8", False),
        ("target_id", "utf8", False),
        ("edge_type", "utf8", False),
        ("run_id", "utf8", True),
        ("created_at", "int64", False),
    ]
