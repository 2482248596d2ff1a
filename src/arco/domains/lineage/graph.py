"""Walking lineage: breadth first from one node, in one direction, within bounds. Pure.

Guarantees: every edge whose nearer end is less than `depth` hops away is taken once, in the order the nearer ends were
reached and, among the edges of one node, in the order they are kept; cycles and self-edges end by themselves, because
a node is expanded once. When there are more edges than asked for, the walk stops and says so. `Walk` (edges fetched
from tables) and `EdgeIndex` (edges in memory) keep the same promise to the letter; a property test holds them together.

The index is a pair of compressed sparse rows over numbered nodes. Dictionaries of lists were measured at ten times the
memory and no faster; graph libraries are faster by half and cost a native dependency.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from arco.domains.lineage.columns import Digests, Repeats, Texts
from arco.domains.lineage.rows import EdgeRow

E = TypeVar("E")

UNBOUNDED: Final = 0
"""The depth that means "as far as it goes"."""


class Bounds(msgspec.Struct, frozen=True):
    """How far a walk goes: `depth` hops (`UNBOUNDED` for no bound) and at most `edges` edges."""

    depth: int
    edges: int


class Reach(msgspec.Struct, Generic[E], frozen=True):
    """What a walk met: nodes other than the start with their distance in hops, nearest first, and the edges taken."""

    nodes: list[tuple[str, int]]
    edges: list[E]
    truncated: bool


class Walk(Generic[E]):
    """A walk whose edges somebody else fetches: ask `due`, fetch, `absorb` in the same order, until nothing is due."""

    def __init__(self, start: str, bounds: Bounds) -> None:
        self._bounds = bounds
        self._distances = {start: 0}
        self._queue = [start]
        self._expanded = 0
        self._edges: list[E] = []
        self._truncated = False

    @property
    def wanted(self) -> int:
        """How many edges of one node are enough to go on: one more than still fit, so that a cut is noticed."""
        return self._bounds.edges - len(self._edges) + 1

    def due(self, count: int) -> list[str]:
        """The next nodes to expand, at most `count`; empty when the walk is over."""
        if self._truncated:
            return []
        depth = self._bounds.depth
        nodes = self._queue[self._expanded : self._expanded + count]
        return [node for node in nodes if depth == UNBOUNDED or self._distances[node] < depth]

    def absorb(self, edges: Iterable[tuple[str, E]]) -> None:
        """Take the edges of the first node due, each with the node at its farther end."""
        if self._truncated:
            return
        distance = self._distances[self._queue[self._expanded]] + 1
        self._expanded += 1
        for node, edge in edges:
            if len(self._edges) == self._bounds.edges:
                self._truncated = True
                return
            self._edges.append(edge)
            if node not in self._distances:
                self._distances[node] = distance
                self._queue.append(node)

    def reach(self) -> Reach[E]:
        """What was met so far."""
        nodes = [(node, self._distances[node]) for node in self._queue[1:]]
        return Reach(nodes, self._edges, self._truncated)


class Adjacency(msgspec.Struct, frozen=True, kw_only=True):
    """The edges as numbers. Edge `p` leads from `sources[p]` to `targets[p]`; edges are sorted by source.

    The edges out of node `n` are `p` in `[out_starts[n], out_starts[n + 1])`; those into it are `by_target[q]` for `q`
    in `[in_starts[n], in_starts[n + 1])`, where `by_target` is the edges sorted by target, stably.
    """

    sources: "array[int]"
    targets: "array[int]"
    out_starts: "array[int]"
    in_starts: "array[int]"
    by_target: "array[int]"


class EdgeColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the edges that walking does not need, in the same order. `created` is ms."""

    ids: Digests | Texts
    types: Repeats
    runs: Repeats
    created: "array[int]"


class EdgeIndex:
    """All edges of one workspace in memory, about 65 bytes each; `names` are the nodes, sorted by UTF-8 bytes."""

    def __init__(self, names: Texts, adjacency: Adjacency, columns: EdgeColumns) -> None:
        self._names = names
        self._adjacency = adjacency
        self._columns = columns

    def __len__(self) -> int:
        return len(self._adjacency.targets)

    @property
    def size_bytes(self) -> int:
        """Bytes held, without the few objects around the arrays."""
        links, columns = self._adjacency, self._columns
        numbers = (links.sources, links.targets, links.out_starts, links.in_starts, links.by_target, columns.created)
        rest = (self._names, columns.ids, columns.types, columns.runs)
        return sum(len(part) * part.itemsize for part in numbers) + sum(part.size_bytes for part in rest)

    def reach(self, start: str, bounds: Bounds, *, downstream: bool) -> Reach[int]:
        """The walk from `start`; its edges are positions that `rows` turns into rows."""
        first = self._names.find(start)
        if first is None:
            return Reach([], [], False)
        links = self._adjacency
        starts = links.out_starts if downstream else links.in_starts
        seen, frontier, distance = {first}, [first], 0
        nodes: list[tuple[str, int]] = []
        edges: list[int] = []
        truncated = False
        while frontier and not truncated and distance != (bounds.depth or -1):
            distance += 1
            fresh: list[int] = []
            for node in frontier:
                low, high = starts[node], starts[node + 1]
                end = min(high, low + bounds.edges - len(edges))
                taken = range(low, end) if downstream else links.by_target[low:end]
                others = links.targets[low:end] if downstream else [links.sources[position] for position in taken]
                edges.extend(taken)
                # Parallel edges name a neighbour twice; a dictionary keeps the first place of each.
                unseen = [other for other in dict.fromkeys(others) if other not in seen]
                seen.update(unseen)
                fresh += unseen
                if end < high:
                    truncated = True
                    break
            nodes.extend([(name, distance) for name in self._names.take(fresh)])
            frontier = fresh
        return Reach(nodes, edges, truncated)

    def rows(self, positions: Sequence[int]) -> list[EdgeRow]:
        """The edges at these positions."""
        links, columns = self._adjacency, self._columns
        sources = [links.sources[position] for position in positions]
        targets = [links.targets[position] for position in positions]
        nodes = list({*sources, *targets})
        names = dict(zip(nodes, self._names.take(nodes), strict=True))
        ids, types, runs = (column.take(positions) for column in (columns.ids, columns.types, columns.runs))
        return [
            EdgeRow(
                id=identity,
                source_id=names[source],
                target_id=names[target],
                edge_type=edge_type,
                run_id=run,
                created_at=columns.created[position],
            )
            for position, identity, source, target, edge_type, run in zip(
                positions, ids, sources, targets, types, runs, strict=True
            )
        ]
