"""The retention record of a chain: one small object, swapped, that all decisions about keeping go through.

Guarantees: a manifest number below `floor` is given up for ever unless it is in `kept`; nothing at or above `floor` is.
Pins and collectors change the record by compare-and-swap only, so that a pin either comes before a decision to give a
version up, and is seen by it, or is refused. Time in it is the storage's, never a machine's (catalog.md 2.12, "mutation
epoch"; reliability.md R-08).
"""

from typing import Final

import msgspec

from arco.core import paths
from arco.core.errors import CorruptData
from arco.kernel.manifest import encode
from arco.storage.port import Absent, Lost, Matches, ObjectStore, StorageUnavailable, Stored, Unsure

FORMAT_VERSION: Final = 1
_TRIES: Final = 5


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """A look at the pointers: every manifest below `number` had been passed at `seen_ms` (0: not timed yet)."""

    number: int
    seen_ms: int = 0


class Kept(msgspec.Struct, frozen=True):
    """A version that outlives its name in the chain: it was the newest from `since_ms` until `until_ms`."""

    number: int
    since_ms: int
    until_ms: int


class Released(msgspec.Struct, frozen=True):
    """A copy given up at `since_ms`: nobody opens it any more, and who has it open keeps it for a grace."""

    number: int
    since_ms: int


class Pin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody wants one version kept, until a moment or for ever."""

    pin_id: str
    number: int
    created_ms: int
    expires_ms: int | None = None
    reason: str = ""
    owner: str = ""

    def live(self, now_ms: int) -> bool:
        """True while the pin holds."""
        return self.expires_ms is None or now_ms < self.expires_ms


class StrayWalk(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the walk over all names has come, and when it may begin anew."""

    after: str = ""
    next_ms: int = 0
    walks: int = 0


class RetentionRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What of a chain is kept and what is given up.

    Manifests below `swept` are gone from the chain; `floor_hash` is that of the last valid one below `floor`.
    `releasing` are copies given up and not yet removed. `lost` are manifests that repair declared unreadable, with the
    hash their successors know them by.
    """

    format_version: int = FORMAT_VERSION
    epoch: int = 0
    floor: int = 0
    floor_hash: str = ""
    swept: int = 0
    samples: tuple[Sample, ...] = ()
    kept: tuple[Kept, ...] = ()
    releasing: tuple[Released, ...] = ()
    pins: tuple[Pin, ...] = ()
    strays: StrayWalk = StrayWalk()
    lost: dict[str, str] = {}

    def pinned(self, now_ms: int) -> frozenset[int]:
        """The numbers held by live pins."""
        return frozenset(pin.number for pin in self.pins if pin.live(now_ms))


class HeldRecord(msgspec.Struct, frozen=True):
    """A record, its storage version, and the storage's time of that version."""

    record: RetentionRecord
    version: str | None
    written_ms: int


class RecordRaced(Exception):
    """Somebody else changed the record; what was decided on the old one counts for nothing."""


_DECODER = msgspec.json.Decoder(RetentionRecord)


def decode_record(body: bytes) -> RetentionRecord:
    """A record from its raw bytes. Raises `CorruptData`."""
    try:
        record = _DECODER.decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptData(f"the retention record is not readable: {error}") from error
    if record.format_version > FORMAT_VERSION:
        raise CorruptData(f"the retention record has format {record.format_version}; upgrade arco")
    return record


class RecordKeeper:
    """Reads and swaps the retention record of one chain."""

    def __init__(self, store: ObjectStore, chain: str) -> None:
        self._store = store
        self.key = paths.retention_record(chain)
        self.epoch = 0
        """That of the record last read or swapped in by this keeper."""

    async def read(self) -> HeldRecord:
        """The record as it stands; an empty one when there is none. Raises `StorageUnavailable`, `CorruptData`."""
        for _ in range(_TRIES):
            found = await self._store.get(self.key)
            if found is None:
                return HeldRecord(RetentionRecord(), None, 0)
            info = await self._store.head(self.key)
            if info is not None and info.version == found.version:
                record = decode_record(found.body)
                self.epoch = record.epoch
                return HeldRecord(record, found.version, info.modified_ms)
        raise RecordRaced

    async def swap(self, held: HeldRecord, record: RetentionRecord) -> HeldRecord:
        """Replace the record that was read. Raises `RecordRaced`, `StorageUnavailable`.

        An unknown outcome is resolved by reading: the epoch grows with every swap, and the bytes say whose it is.
        """
        fresh = msgspec.structs.replace(record, epoch=held.record.epoch + 1)
        body = encode(fresh)
        when = Absent() if held.version is None else Matches(held.version)
        for _ in range(_TRIES):
            match await self._store.put(self.key, body, when=when):
                case Stored() | Lost() | Unsure():
                    found = await self._store.get(self.key)
            if found is not None and found.body == body:
                info = await self._store.head(self.key)
                if info is None or info.version != found.version:
                    raise RecordRaced
                await self._store.settle(self.key)
                self.epoch = fresh.epoch
                return HeldRecord(fresh, found.version, info.modified_ms)
            if (None if found is None else found.version) != held.version:
                raise RecordRaced
        raise StorageUnavailable("the retention record could not be written")
