"""What arco relies on in a store, tried out on one scratch object (reliability.md 9, storage/port.py).

The object is removed at the end; on a store that breaks its promises it may stay, below `__arco/doctor/`.
"""

from collections.abc import Awaitable, Callable

import msgspec

from arco.core.paths import Key
from arco.storage.port import Absent, Deleted, Lost, Matches, ObjectStore, PutOutcome, StorageUnavailable, Stored


class Promise(msgspec.Struct, frozen=True):
    """One thing a store promises, and whether it kept it."""

    name: str
    kept: bool
    detail: str


class Examination(msgspec.Struct, frozen=True):
    """The promises in the order they were tried, and the store's own time of the scratch object's last write."""

    promises: tuple[Promise, ...]
    modified_ms: int | None


class _Broken(Exception):
    """The store did something else than it should."""


class _Scratch:
    """The scratch object through its life. Each step checks one promise and leaves the next one its ground."""

    def __init__(self, store: ObjectStore, key: Key) -> None:
        self._store = store
        self._key = key
        self._first = ""
        self._second = ""
        self.modified_ms: int | None = None

    async def create(self) -> str:
        outcome = await self._store.put(self._key, b"first", when=Absent())
        self._first = _version_of(outcome, "creating a new object")
        return "a new name was created"

    async def create_again(self) -> str:
        outcome = await self._store.put(self._key, b"thief", when=Absent())
        _expect(isinstance(outcome, Lost), f"creating an existing object answered {outcome!r}")
        return "a taken name was refused"

    async def read(self) -> str:
        found = await self._store.get(self._key)
        _expect(found is not None and found.body == b"first", "a read did not see the write before it")
        info = await self._store.head(self._key)
        _expect(info is not None and info.version == self._first, "the object's version is not the written one")
        self.modified_ms = info.modified_ms if info else None
        return "a read sees the write before it"

    async def swap(self) -> str:
        outcome = await self._store.put(self._key, b"second", when=Matches(self._first))
        self._second = _version_of(outcome, "replacing the expected version")
        _expect(self._second != self._first, "a new version has the name of the old one")
        return "the expected version was replaced"

    async def swap_stale(self) -> str:
        outcome = await self._store.put(self._key, b"stale", when=Matches(self._first))
        _expect(isinstance(outcome, Lost), f"replacing a version that is gone answered {outcome!r}")
        found = await self._store.get(self._key)
        _expect(found is not None and found.body == b"second", "a refused write changed the object")
        return "a version that is gone was not replaced"

    async def delete(self) -> str:
        stale = await self._store.delete(self._key, when=Matches(self._first))
        _expect(isinstance(stale, Lost), f"deleting a version that is gone answered {stale!r}")
        outcome = await self._store.delete(self._key, when=Matches(self._second))
        _expect(isinstance(outcome, Deleted), f"deleting the expected version answered {outcome!r}")
        _expect(await self._store.get(self._key) is None, "a deleted object can still be read")
        return "only the expected version was deleted"


async def examine(store: ObjectStore, key: str) -> Examination:
    """Try the promises on a scratch object named `key`; stops at the first that is broken."""
    scratch = _Scratch(store, Key(key))
    steps: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
        ("create", scratch.create),
        ("create-only", scratch.create_again),
        ("read-after-write", scratch.read),
        ("compare-and-swap", scratch.swap),
        ("stale swap", scratch.swap_stale),
        ("conditional delete", scratch.delete),
    )
    promises: list[Promise] = []
    for name, step in steps:
        try:
            promises.append(Promise(name, True, await step()))
        except (_Broken, StorageUnavailable, OSError) as error:
            promises.append(Promise(name, False, str(error) or type(error).__name__))
            break
    return Examination(tuple(promises), scratch.modified_ms)


def _version_of(outcome: PutOutcome, what: str) -> str:
    if isinstance(outcome, Stored):
        return outcome.version
    raise _Broken(f"{what} answered {outcome!r}")


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _Broken(otherwise)
