"""Counts what goes to a store, so that tests can assert how many operations a request costs and how many in sequence.

Counts do not vary between machines; with a remote store latency *is* the number of sequential operations.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from itertools import count
from typing import TypeVar

import msgspec

from arco.core.paths import Key
from arco.storage.port import Absent, DeleteOutcome, Matches, ObjectInfo, ObjectStore, PutOutcome, StoredObject

T = TypeVar("T")


class Operation(msgspec.Struct):
    """One operation. `started` and `ended` are positions in one order of all starts and ends; `ended` is -1 before."""

    name: str
    key: str
    sent_bytes: int
    started: int
    ended: int = -1
    got_bytes: int = 0
    result: str = ""


class CountingStore:
    """Records every operation on another store. `operations` is in order of start."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._order = count()
        self.operations: list[Operation] = []

    def forget(self) -> None:
        """Begin a new list; operations under way stay in the old one."""
        self.operations = []

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None."""
        return await self._recorded("get", key, self._store.get(key))

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped."""
        return await self._recorded("get_range", key, self._store.get_range(key, start, end))

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None."""
        return await self._recorded("head", key, self._store.head(key))

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds; recorded as `create` or `replace`."""
        name = "replace" if isinstance(when, Matches) else "create"
        return await self._recorded(name, key, self._store.put(key, body, when=when), len(body))

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version."""
        return await self._recorded("delete", key, self._store.delete(key, when=when))

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """A page of keys in order."""
        return await self._recorded("list_page", prefix, self._store.list_page(prefix, after=after, limit=limit))

    async def settle(self, key: Key) -> None:
        """Make durable what was seen under this key."""
        await self._recorded("settle", key, self._store.settle(key))

    async def _recorded(self, name: str, key: str, work: Awaitable[T], sent_bytes: int = 0) -> T:
        operation = Operation(name, key, sent_bytes, next(self._order))
        self.operations.append(operation)
        try:
            # The local store answers some operations without giving way; those of one gather must still overlap here.
            await asyncio.sleep(0)
            value = await work
            operation.result = type(value).__name__
            operation.got_bytes = len(value.body) if isinstance(value, StoredObject) else 0
            return value
        except BaseException as error:
            operation.result = type(error).__name__
            raise
        finally:
            operation.ended = next(self._order)
            if asyncio.iscoroutine(work):
                work.close()  # cancelled before it began, it would complain of never having been awaited


def sequential_rounds(operations: Iterable[Operation]) -> int:
    """The length of the longest sequence of operations of which each began after the one before it had ended."""
    rounds, free_from = 0, -1
    for operation in sorted((each for each in operations if each.ended >= 0), key=lambda each: each.ended):
        if operation.started > free_from:
            rounds += 1
            free_from = operation.ended
    return rounds
