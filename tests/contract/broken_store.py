"""A store with one defect at a time, each of which some real adapter has: the conformance suite must catch them all."""

import asyncio
import hashlib
import unicodedata
from collections.abc import Sequence
from enum import Enum, auto

from arco.core.paths import Key
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
)


class Defect(Enum):
    """What is wrong with a `BrokenStore`."""

    CHECKS_THEN_WRITES = auto()
    COMPARES_THEN_SWAPS = auto()
    VERSION_IS_CONTENT_HASH = auto()
    VERSION_RESTARTS_AFTER_DELETE = auto()
    SWAP_CREATES_WHAT_IS_ABSENT = auto()
    DELETE_IGNORES_VERSION = auto()
    DELETE_OF_NOTHING_SUCCEEDS = auto()
    SAME_BYTES_ARE_STORED_TWICE = auto()
    LOSER_LEARNS_NOTHING = auto()
    CURSOR_IS_INCLUSIVE = auto()
    LISTS_IN_ORDER_OF_WRITING = auto()
    LISTS_BY_FOLDER = auto()
    PREFIX_IS_A_FOLDER = auto()
    FOLDS_CASE = auto()
    NORMALISES_NAMES = auto()
    WRITES_IN_TWO_STEPS = auto()
    KEEPS_THE_CALLERS_BUFFER = auto()
    READS_ARE_STALE = auto()
    RANGE_END_IS_INCLUSIVE = auto()
    RANGE_BEYOND_END_IS_ABSENT = auto()
    EMPTY_OBJECTS_ARE_ABSENT = auto()


class BrokenStore:
    """A store in memory with one thing wrong."""

    def __init__(self, defect: Defect) -> None:
        self._defect = defect
        self._written: dict[str, StoredObject] = {}
        self._generation: dict[str, int] = {}
        self._read_before: dict[str, StoredObject | None] = {}

    async def get(self, key: Key) -> StoredObject | None:
        await asyncio.sleep(0)
        found = self._written.get(self._name(key))
        if self._has(Defect.READS_ARE_STALE):
            return self._read_before.setdefault(key, found)
        if self._has(Defect.EMPTY_OBJECTS_ARE_ABSENT) and found is not None and not found.body:
            return None
        return found

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        found = await self.get(key)
        if found is None or (self._has(Defect.RANGE_BEYOND_END_IS_ABSENT) and start >= len(found.body)):
            return None
        last = end + 1 if self._has(Defect.RANGE_END_IS_INCLUSIVE) else end
        return StoredObject(found.body[start:last], found.version)

    async def head(self, key: Key) -> ObjectInfo | None:
        found = await self.get(key)
        return None if found is None else ObjectInfo(key, found.version, len(found.body), 1)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if not self._has(Defect.KEEPS_THE_CALLERS_BUFFER):
            body = bytes(body)
        name = self._name(key)
        await asyncio.sleep(0)
        found = self._written.get(name)
        refused = self._create_refused(found, body) if isinstance(when, Absent) else self._swap_refused(found, when)
        if refused:
            return Lost(None if self._has(Defect.LOSER_LEARNS_NOTHING) or found is None else found.version)
        slow = Defect.CHECKS_THEN_WRITES if isinstance(when, Absent) else Defect.COMPARES_THEN_SWAPS
        if self._has(slow):
            await asyncio.sleep(0)
        version = self._next_version(name, body)
        if self._has(Defect.WRITES_IN_TWO_STEPS):
            self._written[name] = StoredObject(body[: len(body) // 2], version)
            await asyncio.sleep(0)
        self._written[name] = StoredObject(body, version)
        return Stored(version)

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        await asyncio.sleep(0)
        found = self._written.get(self._name(key))
        if found is None:
            return Deleted() if self._has(Defect.DELETE_OF_NOTHING_SUCCEEDS) else Lost(None)
        if found.version != when.version and not self._has(Defect.DELETE_IGNORES_VERSION):
            return Lost(found.version)
        del self._written[self._name(key)]
        if self._has(Defect.VERSION_RESTARTS_AFTER_DELETE):
            self._generation.pop(self._name(key))
        return Deleted()

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        await asyncio.sleep(0)
        names = list(self._written)
        if self._has(Defect.LISTS_BY_FOLDER):
            names.sort(key=lambda name: name.split("/"))
        elif not self._has(Defect.LISTS_IN_ORDER_OF_WRITING):
            names.sort()
        if self._has(Defect.PREFIX_IS_A_FOLDER):
            prefix = prefix if prefix.endswith("/") else f"{prefix}/"
        inclusive = self._has(Defect.CURSOR_IS_INCLUSIVE)
        page = [name for name in names if name.startswith(prefix) and (name > after or (inclusive and name == after))]
        return [
            ObjectInfo(Key(name), self._written[name].version, len(self._written[name].body), 1)
            for name in page[:limit]
        ]

    async def settle(self, key: Key) -> None:
        await asyncio.sleep(0)

    def _create_refused(self, found: StoredObject | None, body: bytes) -> bool:
        if found is not None and found.body == body and self._has(Defect.SAME_BYTES_ARE_STORED_TWICE):
            return False
        return found is not None

    def _swap_refused(self, found: StoredObject | None, when: Matches) -> bool:
        if found is None:
            return not self._has(Defect.SWAP_CREATES_WHAT_IS_ABSENT)
        return found.version != when.version

    def _next_version(self, name: str, body: bytes) -> str:
        if self._has(Defect.VERSION_IS_CONTENT_HASH):
            return hashlib.sha256(body).hexdigest()
        count = self._generation.get(name, 0) + 1
        self._generation[name] = count
        return str(count)

    def _name(self, key: Key) -> str:
        if self._has(Defect.FOLDS_CASE):
            return key.lower()
        return unicodedata.normalize("NFC", key) if self._has(Defect.NORMALISES_NAMES) else key

    def _has(self, defect: Defect) -> bool:
        return self._defect is defect
