"""Three ways to walk lineage agree: over the tables, over the index, and over plain dictionaries."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.lineage.fakes import NOW_MS, MemorySnapshot, StillClock

from arco.core.log import SilentLog
from arco.core.offload import Inline
from arco.core.scope import Scope
from arco.domains.lineage.graph import UNBOUNDED, Bounds
from arco.domains.lineage.index_cache import IndexCache
from arco.domains.lineage.queries import Lineage, LineageQuestion, lineage_of
from arco.domains.lineage.rows import EdgeRow
from arco.domains.lineage.rules import NewEdge, minted

SCOPE = Scope("acme", "prod")
# Few names make cycles, self-edges and parallel edges common; some sort differently by UTF-16 than by UTF-8.
NODES = st.sampled_from(["a", "b", "c", "d", "e", "f", "ab", "é", "\uffee", "\U0001f600", "A"])
EDGES = st.lists(
    st.builds(
        NewEdge,
        source_id=NODES,
        target_id=NODES,
        edge_type=st.sampled_from(["derives_from", "reads"]),
        run_id=st.none() | st.sampled_from(["r1", "r2"]),
    ),
    max_size=40,
)
DEPTHS = st.just(UNBOUNDED) | st.integers(1, 6)


def naive(rows: list[EdgeRow], start: str, depth: int, *, downstream: bool) -> tuple[dict[str, int], set[EdgeRow]]:
    """Distances of the nodes reached, and the edges met, by the book."""
    distances, edges, queue = {start: 0}, set(), deque([start])
    while queue:
        node = queue.popleft()
        if depth != UNBOUNDED and distances[node] >= depth:
            continue
        for row in rows:
            near, far = (row.source_id, row.target_id) if downstream else (row.target_id, row.source_id)
            if near == node:
                edges.add(row)
                if far not in distances:
                    distances[far] = distances[node] + 1
                    queue.append(far)
    del distances[start]
    return distances, edges


async def both(rows: list[EdgeRow], start: str, bounds: Bounds) -> tuple[Lineage, Lineage]:
    """The answer from the tables, and the answer from the index."""
    question = LineageQuestion(node=start, bounds=bounds)
    snapshot = MemorySnapshot(rows)
    walked = await lineage_of(question, snapshot, scope=SCOPE, indexes=None)
    indexes = IndexCache(StillClock(), Inline(), SilentLog())
    looked_up = await lineage_of(question, snapshot, scope=SCOPE, indexes=indexes)
    assert bounds.depth == 1 or snapshot.reads["arrow"] == 1
    return walked, looked_up


@given(edges=EDGES, start=NODES, depth=DEPTHS)
async def test_every_way_meets_the_same_nodes_and_edges(edges: list[NewEdge], start: str, depth: int) -> None:
    rows = minted(edges, NOW_MS)
    walked, looked_up = await both(rows, start, Bounds(depth, 1_000))
    assert walked == looked_up
    for direction, found in (("upstream", walked.upstream), ("downstream", walked.downstream)):
        distances, expected = naive(rows, start, depth, downstream=direction == "downstream")
        assert {node.id: node.distance for node in walked.nodes if node.direction == direction} == distances
        assert set(found) == expected
        assert len(found) == len(expected)
    assert not walked.truncated


@given(edges=EDGES, start=NODES, depth=DEPTHS, limit=st.integers(1, 12))
async def test_a_bounded_walk_is_the_beginning_of_the_unbounded_one(
    edges: list[NewEdge], start: str, depth: int, limit: int
) -> None:
    rows = minted(edges, NOW_MS)
    whole, _ = await both(rows, start, Bounds(depth, 1_000))
    walked, looked_up = await both(rows, start, Bounds(depth, limit))
    assert walked == looked_up
    assert walked.downstream == whole.downstream[:limit]
    assert walked.upstream == whole.upstream[:limit]
    assert walked.truncated == (max(len(whole.downstream), len(whole.upstream)) > limit)
    for direction in ("upstream", "downstream"):
        few = [node for node in walked.nodes if node.direction == direction]
        assert few == [node for node in whole.nodes if node.direction == direction][: len(few)]


@given(edges=EDGES, start=NODES)
async def test_distances_never_step_back(edges: list[NewEdge], start: str) -> None:
    walked, _ = await both(minted(edges, NOW_MS), start, Bounds(UNBOUNDED, 1_000))
    for direction in ("upstream", "downstream"):
        distances = [node.distance for node in walked.nodes if node.direction == direction]
        assert distances == sorted(distances)
