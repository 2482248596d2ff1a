"""Counts and times the operations on one scope's objects, by kind, key family and result: never by key or scope.

`operations.md` 4: `arco_storage_operations_total`, `arco_storage_operation_seconds`, `arco_storage_bytes_total`.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from arco.core.metrics import CounterSeries, HistogramSeries, Registry
from arco.core.paths import Key
from arco.storage.port import Absent, DeleteOutcome, Matches, ObjectInfo, ObjectStore, PutOutcome, StoredObject

T = TypeVar("T")

_FAMILIES: Final = frozenset(
    {"ledger", "manifests", "snapshots", "commits", "quarantine", "state", "locks", "transactions", "delta", "tables"}
)
_Series = tuple[CounterSeries, HistogramSeries, CounterSeries]


class MeteredStore:
    """An object store whose operations are counted in a registry."""

    def __init__(self, store: ObjectStore, registry: Registry) -> None:
        self._store = store
        labels = ("operation", "prefix", "result")
        self._total = registry.counter("arco_storage_operations_total", "Operations on object storage", labels)
        self._seconds = registry.histogram("arco_storage_operation_seconds", "Time of an operation", ("operation",))
        self._bytes = registry.counter("arco_storage_bytes_total", "Bytes read and written", ("operation", "prefix"))
        self._series: dict[tuple[str, str, str], _Series] = {}

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None."""
        return await self._measured("get", key, self._store.get(key))

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped."""
        return await self._measured("get", key, self._store.get_range(key, start, end))

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None."""
        return await self._measured("head", key, self._store.head(key))

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds."""
        name = "cas" if isinstance(when, Matches) else "create"
        return await self._measured(name, key, self._store.put(key, body, when=when), len(body))

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version."""
        return await self._measured("delete", key, self._store.delete(key, when=when))

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """A page of keys in order."""
        return await self._measured("list", prefix, self._store.list_page(prefix, after=after, limit=limit))

    async def settle(self, key: Key) -> None:
        """Make durable what was seen under this key."""
        await self._store.settle(key)

    async def _measured(self, name: str, key: str, work: Awaitable[T], sent_bytes: int = 0) -> T:
        loop = asyncio.get_running_loop()
        began = loop.time()
        result = "error"
        try:
            value = await work
            result = "absent" if value is None else _result(value)
            if isinstance(value, StoredObject):
                sent_bytes = len(value.body)
            return value
        finally:
            total, seconds, moved = self._found(name, key.partition("/")[0], result)
            total.value += 1
            seconds.observe(loop.time() - began)
            moved.value += sent_bytes

    def _found(self, name: str, family: str, result: str) -> _Series:
        key = (name, family, result)
        found = self._series.get(key)
        if found is None:
            prefix = family if family in _FAMILIES else "other"
            found = self._series[name, prefix, result] = (
                self._total.series(name, prefix, result),
                self._seconds.series(name),
                self._bytes.series(name, prefix),
            )
        return found


def _result(value: object) -> str:
    kind = type(value).__name__
    return {"Stored": "success", "Deleted": "success", "Lost": "precondition_failed", "Unsure": "unknown"}.get(
        kind, "success"
    )
