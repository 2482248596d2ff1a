"""Strongly connected components, without recursion (Tarjan 1972, "Depth-first search and linear graph algorithms")."""

from collections.abc import Iterable, Iterator, Mapping, Sequence


def components(following: Mapping[int, Sequence[int]], nodes: Iterable[int]) -> list[list[int]]:
    """The strongly connected components of the graph, each sorted."""
    walk = _Walk(following)
    for node in nodes:
        if node not in walk.index:
            walk.visit(node)
    return walk.found


class _Walk:
    def __init__(self, following: Mapping[int, Sequence[int]]) -> None:
        self._following = following
        self.index: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self._open: list[int] = []
        self._is_open: set[int] = set()
        self.found: list[list[int]] = []

    def visit(self, root: int) -> None:
        """Everything reachable from `root` that was not visited before."""
        path: list[tuple[int, Iterator[int]]] = [self._enter(root)]
        while path:
            node, targets = path[-1]
            target = next(targets, None)
            if target is None:
                path.pop()
                if path:
                    self._low[path[-1][0]] = min(self._low[path[-1][0]], self._low[node])
                self._leave(node)
            elif target not in self.index:
                path.append(self._enter(target))
            elif target in self._is_open:
                self._low[node] = min(self._low[node], self.index[target])

    def _enter(self, node: int) -> tuple[int, Iterator[int]]:
        self.index[node] = self._low[node] = len(self.index)
        self._open.append(node)
        self._is_open.add(node)
        return node, iter(self._following.get(node, ()))

    def _leave(self, node: int) -> None:
        """Close the component whose first visited node this is."""
        if self._low[node] != self.index[node]:
            return
        component: list[int] = []
        while not component or component[-1] != node:
            component.append(self._open.pop())
            self._is_open.discard(component[-1])
        self.found.append(sorted(component))
