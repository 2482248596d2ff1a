"""One bounded cache of immutable decoded objects, shared by every snapshot of every scope in a process.

Keys are full storage paths, and what lies under a path never changes, so nothing is ever invalidated; the least
recently used objects leave when the budget of bytes is reached.
"""

from collections import OrderedDict
from typing import Any


class ObjectCache:
    """Decoded segments, pages and deltas by path, up to `budget_bytes`."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._objects: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, path: str) -> Any | None:
        """The object under this path, if it is here."""
        entry = self._objects.get(path)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        self._objects.move_to_end(path)
        return entry[0]

    def put(self, path: str, value: Any, size_bytes: int) -> None:
        """Keep an object; older ones may leave for it."""
        old = self._objects.pop(path, None)
        self.size_bytes += size_bytes - (old[1] if old else 0)
        self._objects[path] = (value, size_bytes)
        while self.size_bytes > self._budget and len(self._objects) > 1:
            _, (_, freed) = self._objects.popitem(last=False)
            self.size_bytes -= freed


class ScopedCache:
    """The part of an `ObjectCache` that belongs to one scope; a scope can name no other's objects."""

    def __init__(self, cache: ObjectCache, prefix: str) -> None:
        self._cache = cache
        self._prefix = prefix

    def get(self, path: str) -> Any | None:
        """The object under this scope-relative path, if it is here."""
        return self._cache.get(self._prefix + path)

    def put(self, path: str, value: Any, size_bytes: int) -> None:
        """Keep an object under a scope-relative path."""
        self._cache.put(self._prefix + path, value, size_bytes)
