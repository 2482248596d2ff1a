"""Objects in this process's memory: for tests, for the simulation and for a catalog that may be forgotten.

Guarantees what the port promises and is no kinder than a real store: every operation gives way to the event loop
before it takes effect and again before its answer arrives, so that races show; versions are never used twice;
a key that is the directory of other keys is refused, as on a disk.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from itertools import count

import msgspec

from arco.core.clock import Clock, SystemClock
from arco.core.errors import invariant
from arco.core.paths import Key
from arco.storage.names import list_limit, list_prefix, object_key
from arco.storage.port import (
    Absent,
    Deleted,
    DeleteOutcome,
    Lost,
    Matches,
    ObjectInfo,
    PutOutcome,
    Stored,
    StoredObject,
    WriteRefused,
)


class _Held(msgspec.Struct, frozen=True):
    body: bytes
    version: str
    modified_ms: int


class MemoryStore:
    """An `ObjectStore` of one event loop."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._objects: dict[str, _Held] = {}
        self._keys: list[str] = []
        self._directories: set[str] = set()
        self._versions = count(1)

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None."""
        await _elsewhere()
        held = self._objects.get(object_key(key))
        await _elsewhere()
        return StoredObject(held.body, held.version) if held else None

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped."""
        invariant(0 <= start <= end, "a range begins at or after 0 and does not end before it begins")
        found = await self.get(key)
        return StoredObject(found.body[start:end], found.version) if found else None

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None."""
        await _elsewhere()
        held = self._objects.get(object_key(key))
        await _elsewhere()
        return _info(key, held) if held else None

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds."""
        name, copied = object_key(key), bytes(body)
        await _elsewhere()
        outcome = self._put(name, copied, when)
        await _elsewhere()
        return outcome

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version."""
        name = object_key(key)
        await _elsewhere()
        outcome = self._delete(name, when)
        await _elsewhere()
        return outcome

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """Up to `limit` objects with this prefix and keys greater than `after`, in key order."""
        within, size = list_prefix(prefix), list_limit(limit)
        await _elsewhere()
        first = max(bisect_left(self._keys, within), bisect_right(self._keys, after))
        page = [
            _info(Key(name), self._objects[name])
            for name in self._keys[first : first + size]
            if name.startswith(within)
        ]
        await _elsewhere()
        return page

    async def settle(self, key: Key) -> None:
        """Nothing to do: what is seen here is as durable as it will be."""
        object_key(key)
        await _elsewhere()

    def _put(self, name: Key, body: bytes, when: Absent | Matches) -> PutOutcome:
        held = self._objects.get(name)
        if isinstance(when, Matches):
            if held is None or held.version != when.version:
                return Lost(held.version if held else None)
        elif held is not None:
            return Lost(held.version)
        else:
            self._claim(name)
        version = str(next(self._versions))
        self._objects[name] = _Held(body, version, self._clock.now_ms())
        return Stored(version)

    def _claim(self, name: Key) -> None:
        parents = list(_parents(name))
        if name in self._directories or any(parent in self._objects for parent in parents):
            raise WriteRefused(f"{name}: one key may not be the directory of another")
        self._directories.update(parents)
        insort(self._keys, name)

    def _delete(self, name: Key, when: Matches) -> DeleteOutcome:
        held = self._objects.get(name)
        if held is None or held.version != when.version:
            return Lost(held.version if held else None)
        del self._objects[name]
        del self._keys[bisect_left(self._keys, name)]
        return Deleted()


def _info(key: Key, held: _Held) -> ObjectInfo:
    return ObjectInfo(key, held.version, len(held.body), held.modified_ms)


def _parents(name: str) -> Iterator[str]:
    slash = name.find("/")
    while slash >= 0:
        yield name[:slash]
        slash = name.find("/", slash + 1)


async def _elsewhere() -> None:
    # A real store is another machine: others run while a request or its answer travels.
    await asyncio.sleep(0)
