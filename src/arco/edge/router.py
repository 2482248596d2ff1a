"""Finds the resource of a path in time that does not grow with the number of routes.

Segments are compared after each was percent-decoded once, so `%2F` inside a name stays inside that name. There is one
spelling of every path: no slash redirects, no dot segments, no case folding.
"""

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from arco.core.errors import InvalidInput
from arco.edge.endpoint import Resource


class _Node:
    __slots__ = ("any", "fixed", "names", "resource")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.resource: Resource | None = None
        self.names: tuple[str, ...] = ()


class Router:
    """A tree of path segments; a fixed segment wins over a parameter."""

    def __init__(self, resources: Sequence[Resource]) -> None:
        self._root = _Node()
        for resource in resources:
            self._add(resource)

    def find(self, scope: Scope) -> Resource | None:
        """The resource of the request's path, its parameters stored in `scope["path_params"]`.

        Raises `InvalidInput` for a path that is not UTF-8 or holds control characters.
        """
        values: list[str] = []
        node = _walk(self._root, _segments(scope), 0, values)
        if node is None:
            return None
        scope["path_params"] = dict(zip(node.names, values, strict=True))
        return node.resource

    def _add(self, resource: Resource) -> None:
        node = self._root
        names: list[str] = []
        for segment in resource.template.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.fixed.setdefault(segment, _Node())
        if node.resource is not None:
            raise ValueError(f"{resource.template} and {node.resource.template} are the same path")
        node.resource, node.names = resource, tuple(names)


def _walk(node: _Node, segments: Sequence[str], index: int, values: list[str]) -> _Node | None:
    if index == len(segments):
        return node if node.resource is not None else None
    segment = segments[index]
    if (fixed := node.fixed.get(segment)) is not None:
        found = _walk(fixed, segments, index + 1, values)
        if found is not None:
            return found
    if node.any is None or not segment:
        return None
    values.append(segment)
    found = _walk(node.any, segments, index + 1, values)
    if found is None:
        values.pop()
    return found


def _segments(scope: Scope) -> list[str]:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if not raw.startswith(b"/"):
        raise InvalidInput("The request target must be a path that starts with '/'")
    try:
        if b"%" not in raw:
            parts = raw.decode().split("/")[1:]
        else:
            parts = [unquote_to_bytes(part).decode() for part in raw.split(b"/")[1:]]
    except UnicodeDecodeError:
        raise InvalidInput("The path must be UTF-8, percent-encoded") from None
    if not all(map(str.isprintable, parts)) and any(_has_control(part) for part in parts):
        raise InvalidInput("The path must not contain control characters")
    return parts


def _has_control(text: str) -> bool:
    return any(ord(char) < 32 or ord(char) == 127 for char in text)
