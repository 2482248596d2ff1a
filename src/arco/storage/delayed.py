"""A store that is far away: another store plus a fixed latency on every operation, for benchmarks.

The latency comes before the operation takes effect, as on the way to a remote store. `settle` adds none: remote stores
have nothing to do there.
"""

from collections.abc import Sequence

from arco.core.clock import Clock
from arco.core.paths import Key
from arco.storage.port import Absent, DeleteOutcome, Matches, ObjectInfo, ObjectStore, PutOutcome, StoredObject


class DelayedStore:
    """Adds `delay_ms` to each operation of `store`, by the injected clock."""

    def __init__(self, store: ObjectStore, clock: Clock, delay_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._delay_ms = delay_ms

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None."""
        await self._travel()
        return await self._store.get(key)

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped."""
        await self._travel()
        return await self._store.get_range(key, start, end)

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None."""
        await self._travel()
        return await self._store.head(key)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds."""
        await self._travel()
        return await self._store.put(key, body, when=when)

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version."""
        await self._travel()
        return await self._store.delete(key, when=when)

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """A page of keys in order."""
        await self._travel()
        return await self._store.list_page(prefix, after=after, limit=limit)

    async def settle(self, key: Key) -> None:
        """Make durable what was seen under this key."""
        await self._store.settle(key)

    async def _travel(self) -> None:
        await self._clock.sleep_ms(self._delay_ms)
