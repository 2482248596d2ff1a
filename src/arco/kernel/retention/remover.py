"""Deleting what was given up, and knowing that it is gone.

Every delete is conditional on the version just seen. An unknown outcome is resolved by looking again; a delete that
cannot be shown to have happened ends the run, so that nothing later is deleted out of order.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from arco.core.clock import Clock
from arco.core.paths import Key
from arco.storage.port import Deleted, Lost, Matches, ObjectStore, StorageUnavailable, Unsure

_TRIES: Final = 8
_BACKOFF_MS: Final = 50
_PARALLEL: Final = 16


class Remover:
    """Removes objects of one scope and counts what it removed."""

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.removed = 0
        self.removed_bytes = 0

    async def remove(self, key: str) -> None:
        """Return when the object is gone, whoever removed it. Raises `StorageUnavailable`."""
        unsure_of = 0
        for attempt in range(_TRIES):
            info = await self._store.head(Key(key))
            if info is None:
                self._count(unsure_of)
                return
            match await self._store.delete(info.key, when=Matches(info.version)):
                case Deleted():
                    self._count(info.size_bytes)
                    return
                case Lost(current=None):
                    return
                case Unsure():
                    unsure_of = info.size_bytes
                    await self._clock.sleep_ms(_BACKOFF_MS << attempt)
                case Lost():
                    await self._clock.sleep_ms(_BACKOFF_MS << attempt)
        raise StorageUnavailable(f"{key} could not be shown to be gone")

    def _count(self, size_bytes: int) -> None:
        if size_bytes:
            self.removed += 1
            self.removed_bytes += size_bytes

    async def remove_all(self, keys: Iterable[str]) -> None:
        """Remove objects in any order. Raises `StorageUnavailable` when one of them may still be there."""
        gate = asyncio.Semaphore(_PARALLEL)

        async def gated(key: str) -> None:
            async with gate:
                await self.remove(key)

        results = await asyncio.gather(*(gated(key) for key in keys), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
