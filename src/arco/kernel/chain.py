"""A chain: the dense sequence of manifests of one writer, and how its head is found.

Guarantees: `follow` never reports a head older than one it was given, and believes only manifests that continue the
chain (parent hash of the previous raw bytes; a well-formed one that does not is void, an unreadable one fails
closed). Nothing is ever listed, and finding the head takes a number of rounds that is logarithmic in how far the hint
is behind. Source: architecture.md "The commit point is a new name"; catalog.md 2.4, 2.5.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from arco.core import paths
from arco.core.errors import CorruptData
from arco.kernel.manifest import Manifest, decode_manifest, decode_pointer, hash_text
from arco.kernel.retention.record import RetentionRecord, decode_record
from arco.storage.port import ObjectStore, StoredObject

_GALLOP_MAX: Final = 12
_REFINE: Final = 16
_VOID_MAX: Final = 64


class ChainSpec(msgspec.Struct, frozen=True):
    """A chain by name, and the domains whose pointers it moves; the first one's moves with every commit.

    `hinted` are domains whose pointer is a manifest of their own that is swapped in place, and is there from their
    first change on (catalog.md 2.6). `root` is the object that says that the chain was made.
    """

    name: str
    domains: tuple[str, ...]
    hinted: tuple[str, ...] = ()
    root: paths.Key = paths.ROOT_MANIFEST


CATALOG_CHAIN: Final = ChainSpec("catalog", ("catalog", "lineage", "search"), hinted=("executions",))
"""The compactor's chain: all its domains, atomic by construction."""

ORCHESTRATION_CHAIN: Final = ChainSpec("orchestration", ("orchestration",), root=paths.ORCHESTRATION_ROOT)
"""The flow-compactor's chain."""


class Head(msgspec.Struct, frozen=True):
    """A valid manifest, the hash of its raw bytes, its storage version, and how many void ones follow it."""

    manifest: Manifest
    raw_hash: str
    version: str
    voids: int = 0

    @property
    def number(self) -> int:
        """The manifest's number."""
        return self.manifest.number

    @property
    def next_number(self) -> int:
        """The number the next manifest gets: void ones keep theirs."""
        return self.number + 1 + self.voids


class Chain:
    """Reads the manifests of one chain of one scope."""

    def __init__(self, store: ObjectStore, spec: ChainSpec) -> None:
        self._store = store
        self.spec = spec

    def key(self, number: int) -> paths.Key:
        """The storage key of a manifest."""
        return paths.manifest(self.spec.name, number)

    async def read(self, number: int) -> Head | None:
        """The manifest with this number as it stands, valid or void; None when there is none."""
        found = await self._store.get(self.key(number))
        return None if found is None else self._head(number, found)

    async def read_kept(self, number: int) -> Head | None:
        """The version with this number as a copy that outlived its name; None when none was kept."""
        found = await self._store.get(paths.kept_manifest(self.spec.name, number))
        return None if found is None else self._head(number, found)

    async def retention(self) -> RetentionRecord:
        """What of the chain is kept beyond its names, for readers; an empty record when there is none."""
        found = await self._store.get(paths.retention_record(self.spec.name))
        return RetentionRecord() if found is None else decode_record(found.body)

    async def read_valid(self, number: int, newest: int) -> Head | None:
        """The manifest with this number if the chain up to `newest` goes through it; None when void or gone."""
        found = await self.read(number)
        if found is None:
            return None
        key = str(self.key(number))
        for later in range(number + 1, min(newest, number + _VOID_MAX) + 1):
            successor = await self.read(later)
            if successor is not None and successor.manifest.parent_hash == found.raw_hash:
                return found
            if successor is not None and successor.manifest.previous_manifest_path != key:
                continue
        return None

    async def find(self) -> Head | None:
        """The head from nothing: pointer, then the manifests from there on. None: no workspace yet."""
        hinted = await self._store.get(paths.pointer(self.spec.domains[0]))
        if hinted is None:
            return None
        number = int(decode_pointer(hinted.body).manifest_id)
        start, following = await asyncio.gather(self.read(number), self._store.get(self.key(number + 1)))
        if start is None:
            raise CorruptData(f"the pointer names manifest {number}, which does not exist")
        return start if following is None else await self.follow(start)

    async def follow(self, head: Head, expected: int = 0) -> Head:
        """The newest valid manifest at or after `head`: one read when nothing is newer.

        Numbers are dense, so existence is monotone: the last one is found by galloping, and only it and its parent
        are read. A writer never builds on a void manifest, so one that continues its parent is valid. `expected` is a
        number the caller was told exists (a receipt): then it and the question whether there is a newer one travel
        together.
        """
        number = max(head.next_number, expected)
        if expected > head.number:
            found, beyond = await asyncio.gather(self._store.get(self.key(number)), self._exist([number + 1]))
        else:
            found, beyond = await self._store.get(self.key(number)), []
        if found is None:
            return head if number == head.next_number else await self.follow(head)
        last = await self._last(number) if beyond != [False] else number
        bodies = {number: found}
        voids = 0
        while last - voids > head.number:
            newest = await self._continuing(last - voids, head, bodies)
            if newest is not None:
                # Another process's manifest may be visible before its directory entry is durable.
                await self._store.settle(self.key(newest.number))
                return msgspec.structs.replace(newest, voids=voids)
            voids += 1
            if voids > _VOID_MAX:
                raise CorruptData(f"{voids} manifests in a row before {last} do not continue the chain")
        return msgspec.structs.replace(head, voids=last - head.number)

    async def _last(self, known: int) -> int:
        """The highest number that exists; `known` does."""
        absent, reach = None, 1
        while absent is None:
            probes = [known + (1 << shift) for shift in range(reach)]
            found = await self._exist(probes)
            absent = next((number for number, there in zip(probes, found, strict=True) if not there), None)
            known = max([known, *(number for number, there in zip(probes, found, strict=True) if there)])
            reach = min(reach * 3, _GALLOP_MAX)
        while absent - known > 1:
            step = max(1, (absent - known) // _REFINE)
            probes = list(range(known + step, absent, step))
            found = await self._exist(probes)
            absent = next((number for number, there in zip(probes, found, strict=True) if not there), absent)
            known = max([known, *(number for number, there in zip(probes, found, strict=True) if there)])
        return known

    async def _exist(self, numbers: list[int]) -> list[bool]:
        infos = await asyncio.gather(*(self._store.head(self.key(number)) for number in numbers))
        return [info is not None for info in infos]

    async def _continuing(self, number: int, head: Head, bodies: Mapping[int, StoredObject]) -> Head | None:
        """The manifest with this number if it continues the one it names as its parent; `bodies` were read already."""
        found = self._head(number, bodies[number]) if number in bodies else await self.read(number)
        if found is None:
            raise CorruptData(f"manifest {number} was there and is gone")
        previous = found.manifest.previous_manifest_path
        digits = (previous or "")[-25:-5]
        if not digits.isdecimal() or previous != self.key(int(digits)):
            return None
        between = range(int(digits) + 1, number)
        # Whoever skips a number says that it is void; when one of them is not, this one is.
        if len(between) > _VOID_MAX or any([await self._continuing(one, head, bodies) for one in between]):
            return None
        if previous == self.key(head.number):
            return found if found.manifest.parent_hash == head.raw_hash else None
        parent = await self._store.get(paths.Key(previous))
        return found if parent is not None and hash_text(parent.body) == found.manifest.parent_hash else None

    def _head(self, number: int, found: StoredObject) -> Head:
        manifest = decode_manifest(found.body)
        if manifest.number != number:
            raise CorruptData(f"manifest {number} says it is {manifest.manifest_id}")
        return Head(manifest, hash_text(found.body), found.version)
