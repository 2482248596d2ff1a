"""Reading the versions a collection is about: from the chain, and the copies that outlive their names."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from arco.core import instant, paths
from arco.core.clock import Clock
from arco.core.errors import CorruptData
from arco.kernel.chain import Chain, Head
from arco.kernel.manifest import Manifest, decode_manifest, hash_text
from arco.kernel.retention.record import Kept, RetentionRecord
from arco.storage.port import Absent, Lost, ObjectStore, StorageUnavailable, Stored, Unsure

_VOID_MAX: Final = 64
_READ_AHEAD: Final = 16
_TRIES: Final = 6
_BACKOFF_MS: Final = 50


class Stretch(msgspec.Struct, frozen=True):
    """Consecutive valid manifests, and the first valid one after them."""

    versions: tuple[Head, ...]
    after: Head

    def spans(self) -> list[Kept]:
        """When each of the versions was the newest."""
        times = [instant.parse_ms(head.manifest.updated_at) for head in (*self.versions, self.after)]
        return [Kept(head.number, times[at], times[at + 1]) for at, head in enumerate(self.versions)]


class Versions:
    """Reads versions of one chain, and copies those that shall outlive their names."""

    def __init__(self, store: ObjectStore, chain: Chain, clock: Clock) -> None:
        self._store = store
        self._chain = chain
        self._clock = clock

    async def onward(self, record: RetentionRecord, until: int) -> Stretch:
        """The valid manifests in `[floor, until)`, and the first after. Raises `CorruptData` when the chain breaks off.

        What was valid below `floor` is known by its hash, so validity is told going forward: whoever names the last
        valid one as its parent is valid.
        """
        valid: list[Head] = []
        known, start = record.floor_hash, record.floor
        while start < until + _VOID_MAX:
            numbers = range(start, start + _READ_AHEAD)
            for number, found in zip(numbers, await asyncio.gather(*map(self._read, numbers)), strict=True):
                if isinstance(found, CorruptData) or str(number) in record.lost:
                    known = _known_as(record, number, found)
                    continue
                if found is None or (found.number and found.manifest.parent_hash != known):
                    continue
                if number >= until:
                    return Stretch(tuple(valid), found)
                valid.append(found)
                known = found.raw_hash
            start += _READ_AHEAD
        raise CorruptData(f"no manifest continues the chain between {record.floor} and {start}")

    async def given_up(self, record: RetentionRecord) -> tuple[Head, ...]:
        """The valid manifests in `[swept, floor)` that are still there, oldest first."""
        numbers = range(record.swept, record.floor)
        there: dict[str, Head] = {}
        for start in range(0, len(numbers), _READ_AHEAD):
            for found in await asyncio.gather(*map(self._read, numbers[start : start + _READ_AHEAD])):
                if isinstance(found, Head):
                    there[found.raw_hash] = found
        valid: list[Head] = []
        wanted = record.floor_hash
        while (head := there.get(wanted)) is not None:
            valid.append(head)
            wanted = head.manifest.parent_hash or ""
        return tuple(reversed(valid))

    async def _read(self, number: int) -> Head | CorruptData | None:
        try:
            return await self._chain.read(number)
        except CorruptData as error:
            return error

    async def copy(self, head: Head) -> None:
        """Make sure that a copy of the manifest stands where it outlives its name. Raises `StorageUnavailable`."""
        found = await self._store.get(self._chain.key(head.number))
        if found is None or hash_text(found.body) != head.raw_hash:
            raise CorruptData(f"manifest {head.number} is not what it was when it was read")
        key = paths.kept_manifest(self._chain.spec.name, head.number)
        for attempt in range(_TRIES):
            match await self._store.put(key, found.body, when=Absent()):
                case Stored():
                    return
                case Lost() | Unsure():
                    present = await self._store.get(key)
                    if present is not None and present.body == found.body:
                        await self._store.settle(key)
                        return
                    if present is not None:
                        raise CorruptData(f"{key} is not the manifest it is named after")
            await self._clock.sleep_ms(_BACKOFF_MS << attempt)
        raise StorageUnavailable(f"{key} could not be written")

    async def copies(self, numbers: Sequence[int]) -> Mapping[int, Manifest]:
        """The kept copies of these numbers, as far as they are there."""
        keys = [paths.kept_manifest(self._chain.spec.name, number) for number in numbers]
        found = await asyncio.gather(*(self._store.get(key) for key in keys))
        return {
            number: decode_manifest(one.body) for number, one in zip(numbers, found, strict=True) if one is not None
        }


def _known_as(record: RetentionRecord, number: int, error: object) -> str:
    """The hash by which the successor of an unreadable manifest knows it, once repair has found it out."""
    known = record.lost.get(str(number))
    if known is None:
        raise CorruptData(f"manifest {number} is not readable ({error}); run `arco repair`")
    return known
