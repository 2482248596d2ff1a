"""Asking lineage: the edges around one node, one hop or many, from one snapshot.

A single hop is a range of rows in one table. Deeper walks use the index of the snapshot's edges when there is one, and
otherwise fetch node after node from the tables; the answers are equal.
"""

import asyncio
from typing import Final

import msgspec

from arco.core.scope import Scope
from arco.domains.lineage.graph import Bounds, EdgeIndex, Reach, Walk
from arco.domains.lineage.index_cache import IndexCache
from arco.domains.lineage.rows import LINEAGE_EDGES, LINEAGE_EDGES_BY_TARGET, EdgeRow
from arco.kernel.reading import Snapshot

EDGES_MAX: Final = 10_000
"""Edges of one answer in each direction: a few MB of JSON; a longer answer is cut and says so."""

SCANS_AT_ONCE: Final = 16
"""Nodes fetched together when a walk goes over the tables: hides a store's latency, bounds what is in flight."""

UPSTREAM: Final = "upstream"
DOWNSTREAM: Final = "downstream"


class LineageQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Which edges: around `node`, within `bounds` in each of the wanted directions."""

    node: str
    bounds: Bounds = Bounds(1, EDGES_MAX)
    upstream: bool = True
    downstream: bool = True


class ReachedNode(msgspec.Struct, frozen=True):
    """A node met on the way: its fewest hops from the node asked about, and in which direction."""

    id: str
    distance: int
    direction: str


class Lineage(msgspec.Struct, frozen=True):
    """The answer: edges that lead to the node and edges that lead away from it, nearest first.

    A node or edge on a cycle is in both. `truncated` says that there are more edges within the bounds.
    """

    upstream: list[EdgeRow]
    downstream: list[EdgeRow]
    nodes: list[ReachedNode]
    truncated: bool

    @property
    def edges(self) -> list[EdgeRow]:
        """Every edge once, whichever direction met it."""
        met = {(edge.source_id, edge.id): edge for edge in (*self.upstream, *self.downstream)}
        return list(met.values())


async def lineage_of(
    question: LineageQuestion, snapshot: Snapshot | None, *, scope: Scope, indexes: IndexCache | None
) -> Lineage:
    """What `snapshot` of `scope` knows about the node: an unknown node, or no snapshot, has no edges.

    Without `indexes` every walk goes over the tables: the same answer, later.
    """
    if snapshot is None:
        return Lineage([], [], [], False)
    index = await indexes.fitting(scope, snapshot) if indexes is not None and question.bounds.depth != 1 else None
    reaches = {}
    for direction, wanted in ((UPSTREAM, question.upstream), (DOWNSTREAM, question.downstream)):
        if not wanted:
            reaches[direction] = Reach[EdgeRow]([], [], False)
        elif index is None:
            reaches[direction] = await _walked(question, snapshot, downstream=direction == DOWNSTREAM)
        else:
            reaches[direction] = _looked_up(question, index, downstream=direction == DOWNSTREAM)
    return Lineage(
        upstream=reaches[UPSTREAM].edges,
        downstream=reaches[DOWNSTREAM].edges,
        nodes=[ReachedNode(*node, direction) for direction, reach in reaches.items() for node in reach.nodes],
        truncated=any(reach.truncated for reach in reaches.values()),
    )


def _looked_up(question: LineageQuestion, index: EdgeIndex, *, downstream: bool) -> Reach[EdgeRow]:
    reach = index.reach(question.node, question.bounds, downstream=downstream)
    return Reach(reach.nodes, index.rows(reach.edges), reach.truncated)


async def _walked(question: LineageQuestion, snapshot: Snapshot, *, downstream: bool) -> Reach[EdgeRow]:
    table = LINEAGE_EDGES if downstream else LINEAGE_EDGES_BY_TARGET
    walk: Walk[EdgeRow] = Walk(question.node, question.bounds)
    while nodes := walk.due(SCANS_AT_ONCE):
        wanted = walk.wanted
        fetched = await asyncio.gather(*(snapshot.scan(table, prefix=(node,), limit=wanted) for node in nodes))
        for edges in fetched:
            walk.absorb(((edge.target_id if downstream else edge.source_id), edge) for edge in edges)
    return walk.reach()
