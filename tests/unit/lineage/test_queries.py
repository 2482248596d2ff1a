"""Asking lineage: one hop from the tables, many hops from the index or the tables, always the same answer."""

import pyarrow as pa
import pytest
from tests.unit.lineage.fakes import NOW_MS, MemorySnapshot, StillClock, edge, snapshot_of

from arco.core.log import SilentLog
from arco.core.offload import Inline
from arco.core.scope import Scope
from arco.domains.lineage.graph import UNBOUNDED, Bounds
from arco.domains.lineage.index_cache import REST_FACTOR, IndexCache
from arco.domains.lineage.queries import SCANS_AT_ONCE, Lineage, LineageQuestion, lineage_of
from arco.domains.lineage.rows import EdgeRow
from arco.kernel.spec import R, TableSpec

SCOPE = Scope("acme", "prod")
OTHER = Scope("acme", "test")


def cache(clock: StillClock | None = None, **limits: int) -> IndexCache:
    return IndexCache(clock or StillClock(), Inline(), SilentLog(), **limits)


ONE_HOP = Bounds(1, 100)


async def ask(
    snapshot: MemorySnapshot, node: str, bounds: Bounds = ONE_HOP, *, indexes: IndexCache | None = None
) -> Lineage:
    question = LineageQuestion(node=node, bounds=bounds)
    return await lineage_of(question, snapshot, scope=SCOPE, indexes=indexes)


def ends(edges: list[EdgeRow]) -> list[tuple[str, str]]:
    return [(row.source_id, row.target_id) for row in edges]


def nodes(found: Lineage) -> list[tuple[str, int, str]]:
    return [(node.id, node.distance, node.direction) for node in found.nodes]


async def test_one_hop_is_one_range_in_each_table() -> None:
    snapshot = snapshot_of(edge("a", "b"), edge("b", "c"), edge("c", "d"), edge("x", "b"))
    found = await ask(snapshot, "b", indexes=cache())
    assert ends(found.upstream) == [("a", "b"), ("x", "b")]
    assert ends(found.downstream) == [("b", "c")]
    assert nodes(found) == [("a", 1, "upstream"), ("x", 1, "upstream"), ("c", 1, "downstream")]
    assert not found.truncated
    assert snapshot.reads == {"scan": 2}


@pytest.mark.parametrize("indexed", [True, False])
async def test_deeper_walks_meet_every_edge_within_the_depth(indexed: bool) -> None:
    snapshot = snapshot_of(edge("a", "b"), edge("b", "c"), edge("c", "d"), edge("d", "e"), edge("a", "c"))
    found = await ask(snapshot, "a", Bounds(2, 100), indexes=cache() if indexed else None)
    assert sorted(ends(found.downstream)) == [("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")]
    assert sorted(nodes(found)) == [("b", 1, "downstream"), ("c", 1, "downstream"), ("d", 2, "downstream")]
    assert found.upstream == []


@pytest.mark.parametrize("indexed", [True, False])
async def test_cycles_and_self_edges_end_by_themselves(indexed: bool) -> None:
    snapshot = snapshot_of(edge("a", "a"), edge("a", "b"), edge("b", "a"))
    found = await ask(snapshot, "a", Bounds(UNBOUNDED, 100), indexes=cache() if indexed else None)
    assert sorted(ends(found.downstream)) == sorted(ends(found.upstream)) == [("a", "a"), ("a", "b"), ("b", "a")]
    assert nodes(found) == [("b", 1, "upstream"), ("b", 1, "downstream")]
    assert sorted(ends(found.edges)) == [("a", "a"), ("a", "b"), ("b", "a")]


@pytest.mark.parametrize("indexed", [True, False])
async def test_an_unknown_id_has_no_lineage(indexed: bool) -> None:
    found = await ask(snapshot_of(edge("a", "b")), "z", Bounds(5, 10), indexes=cache() if indexed else None)
    assert found == Lineage([], [], [], False)


async def test_an_empty_table_is_indexed_like_any_other() -> None:
    assert await ask(snapshot_of(), "z", Bounds(5, 10), indexes=cache()) == Lineage([], [], [], False)


async def test_a_workspace_without_any_state_has_no_lineage() -> None:
    question = LineageQuestion(node="a")
    assert await lineage_of(question, None, scope=SCOPE, indexes=cache()) == Lineage([], [], [], False)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(("limit", "truncated"), [(1, True), (2, True), (3, False)])
async def test_a_cut_is_said_out_loud_and_only_a_cut(indexed: bool, limit: int, truncated: bool) -> None:
    snapshot = snapshot_of(edge("a", "b"), edge("b", "c"), edge("c", "d"))
    found = await ask(snapshot, "a", Bounds(UNBOUNDED, limit), indexes=cache() if indexed else None)
    assert len(found.downstream) == limit
    assert len(found.nodes) == limit
    assert found.truncated is truncated


async def test_a_direction_that_was_not_asked_for_is_not_walked() -> None:
    snapshot = snapshot_of(edge("a", "b"), edge("b", "c"))
    question = LineageQuestion(node="b", upstream=False)
    found = await lineage_of(question, snapshot, scope=SCOPE, indexes=None)
    assert (ends(found.upstream), ends(found.downstream)) == ([], [("b", "c")])
    assert snapshot.reads == {"scan": 1}


async def test_walks_over_the_tables_fetch_several_nodes_at_once_but_not_all() -> None:
    snapshot = snapshot_of(*(edge("hub", f"n{n}") for n in range(100)))
    found = await ask(snapshot, "hub", Bounds(2, 1_000))
    assert len(found.downstream) == 100
    assert snapshot.scans_at_once_max == SCANS_AT_ONCE


async def test_indexed_rows_are_the_stored_rows_whatever_their_ids_look_like() -> None:
    rows = [
        EdgeRow(id=identity, source_id="a", target_id=f"tgt-{n}-é", edge_type=f"t{n % 2}", run_id=run, created_at=n)
        for n, (identity, run) in enumerate([("01JGFJJZ00000000000000000B", None), ("F" * 64, "r"), ("e" * 64, None)])
    ]
    found = await ask(MemorySnapshot(rows), "a", Bounds(UNBOUNDED, 10), indexes=cache())
    assert sorted(found.downstream, key=lambda row: row.created_at) == rows


async def test_ids_in_capitals_are_not_taken_for_digests() -> None:
    rows = [EdgeRow(id=i * 64, source_id="a", target_id="b", edge_type="t", created_at=1) for i in ("A", "b")]
    found = await ask(MemorySnapshot(rows), "a", Bounds(UNBOUNDED, 10), indexes=cache())
    assert [row.id for row in found.downstream] == ["A" * 64, "b" * 64]


async def test_a_small_table_is_indexed_once_and_then_answers_without_reads() -> None:
    indexes, snapshot = cache(), snapshot_of(edge("a", "b"), edge("b", "c"))
    await ask(snapshot, "a", Bounds(3, 10), indexes=indexes)
    await ask(snapshot, "b", Bounds(3, 10), indexes=indexes)
    assert snapshot.reads == {"arrow": 1}


async def test_an_index_never_answers_for_other_contents() -> None:
    indexes = cache()
    await ask(snapshot_of(edge("a", "b")), "a", Bounds(3, 10), indexes=indexes)
    grown = snapshot_of(edge("a", "b"), edge("a", "c"), version="v2")
    found = await ask(grown, "a", Bounds(3, 10), indexes=indexes)
    assert sorted(ends(found.downstream)) == [("a", "b"), ("a", "c")]


async def test_an_index_never_answers_for_another_workspace() -> None:
    indexes = cache()
    await ask(snapshot_of(edge("a", "secret")), "a", Bounds(3, 10), indexes=indexes)
    question = LineageQuestion(node="a", bounds=Bounds(3, 10))
    found = await lineage_of(question, snapshot_of(edge("a", "b")), scope=OTHER, indexes=indexes)
    assert ends(found.downstream) == [("a", "b")]


async def test_a_large_table_answers_from_the_rows_while_its_index_is_made() -> None:
    indexes, snapshot = cache(at_once_edges_max=1), snapshot_of(edge("a", "b"), edge("b", "c"))
    first = await ask(snapshot, "a", Bounds(3, 10), indexes=indexes)
    assert snapshot.reads["scan"] > 0
    await indexes.settled()
    snapshot.reads.clear()
    second = await ask(snapshot, "a", Bounds(3, 10), indexes=indexes)
    assert second == first
    assert snapshot.reads == {}


async def test_a_large_table_that_keeps_changing_is_not_indexed_all_the_time() -> None:
    clock = StillClock()
    indexes = cache(clock, at_once_edges_max=1)
    first = SlowSnapshot(clock, 500, "v1")
    await ask(first, "a", Bounds(3, 10), indexes=indexes)
    await indexes.settled()
    second = SlowSnapshot(clock, 500, "v2")
    await ask(second, "a", Bounds(3, 10), indexes=indexes)
    await indexes.settled()
    clock.time_ms += 500 * REST_FACTOR
    third = SlowSnapshot(clock, 500, "v3")
    await ask(third, "a", Bounds(3, 10), indexes=indexes)
    await indexes.settled()
    assert [snapshot.reads["arrow"] for snapshot in (first, second, third)] == [1, 0, 1]


async def test_a_table_beyond_the_memory_set_aside_is_walked_row_by_row() -> None:
    indexes, snapshot = cache(edges_max=1), snapshot_of(edge("a", "b"), edge("b", "c"))
    found = await ask(snapshot, "a", Bounds(3, 10), indexes=indexes)
    assert ends(found.downstream) == [("a", "b"), ("b", "c")]
    assert snapshot.reads["arrow"] == 0


async def test_the_index_longest_unused_makes_room_for_a_new_one() -> None:
    indexes = cache(edges_max=3)
    one, other = snapshot_of(edge("a", "b"), edge("b", "c")), snapshot_of(edge("a", "b"), edge("b", "c"))
    question = LineageQuestion(node="a", bounds=Bounds(3, 10))
    for snapshot, scope in ((one, SCOPE), (other, OTHER), (other, OTHER), (one, SCOPE)):
        await lineage_of(question, snapshot, scope=scope, indexes=indexes)
    assert (one.reads["arrow"], other.reads["arrow"]) == (2, 1)


async def test_an_index_that_cannot_be_made_costs_time_and_not_the_answer() -> None:
    class Unindexable(MemorySnapshot):
        async def arrow(self, table: TableSpec[R]) -> pa.Table:
            raise OSError("the disk is on fire")

    log = Lines()
    indexes = IndexCache(StillClock(), Inline(), log)
    snapshot = Unindexable([EdgeRow(id="x", source_id="a", target_id="b", edge_type="t", created_at=NOW_MS)])
    found = await ask(snapshot, "a", Bounds(3, 10), indexes=indexes)
    assert ends(found.downstream) == [("a", "b")]
    assert log.lines == ["lineage_index_failed"]


class SlowSnapshot(MemorySnapshot):
    """Takes its time to be read whole."""

    def __init__(self, clock: StillClock, read_ms: int, version: str) -> None:
        rows = [
            EdgeRow(id=f"{n}", source_id=source, target_id=target, edge_type="t", created_at=NOW_MS)
            for n, (source, target) in enumerate([("a", "b"), ("b", "c")])
        ]
        super().__init__(rows, version=version)
        self._clock = clock
        self._read_ms = read_ms

    async def arrow(self, table: TableSpec[R]) -> pa.Table:
        self._clock.time_ms += self._read_ms
        return await super().arrow(table)


class Lines(SilentLog):
    """Remembers the names of warnings."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append(event)
