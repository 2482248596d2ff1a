"""Pins: somebody wants one version kept, with everything it reaches, until a moment or for ever.

A pin copies its manifest, because names are removed without holes. It is made by swapping the retention record, so a
version that was given up is never promised, and a promise is seen by every later decision (reliability.md R-08, R-23).
"""

from typing import Final

import msgspec

from arco.core.errors import InvalidInput, NotFound, Unavailable
from arco.core.limits import PINS_MAX
from arco.kernel.retention.record import HeldRecord, Pin, RecordKeeper, RecordRaced, RetentionRecord
from arco.kernel.retention.versions import Versions
from arco.kernel.workshop import Workshop

_TRIES: Final = 16
_TEXT_MAX: Final = 500
TTL_MS_MAX: Final = 10 * 365 * 86_400_000


class PinBoard:
    """The pins of one chain."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._keeper = RecordKeeper(shop.store, shop.chain.spec.name)
        self._versions = Versions(shop.store, shop.chain, shop.clock)

    async def pins(self) -> list[Pin]:
        """The pins that hold, oldest first."""
        now_ms = self._shop.clock.now_ms()
        return [pin for pin in (await self._read()).record.pins if pin.live(now_ms)]

    async def pin(self, manifest_id: str | None, *, ttl_ms: int | None, reason: str = "", owner: str = "") -> Pin:
        """Pin a version, by default the newest. Raises `NotFound` when it is gone, `InvalidInput`, `Unavailable`."""
        if ttl_ms is not None and not 0 < ttl_ms <= TTL_MS_MAX:
            raise InvalidInput("ttl must be more than nothing and at most ten years; leave it out to pin for ever")
        if len(reason) > _TEXT_MAX or len(owner) > _TEXT_MAX:
            raise InvalidInput(f"reason must be at most {_TEXT_MAX} characters")
        pin_id = self._shop.ids.ulid()
        for _ in range(_TRIES):
            held = await self._read()
            number = await self._pinnable(held.record, manifest_id)
            # Whether another's pin holds is told by the storage's time: our clock may be ahead of it, or behind.
            now_ms = max(self._shop.clock.now_ms(), held.written_ms)
            live = tuple(pin for pin in held.record.pins if pin.live(held.written_ms))
            ours = next((pin for pin in live if pin.pin_id == pin_id), None)
            if ours is not None:
                return ours  # our swap's answer was lost, and somebody has swapped since
            if len(live) >= PINS_MAX:
                raise InvalidInput(f"there are {PINS_MAX} pins; release one first")
            made = Pin(
                pin_id=pin_id,
                number=number,
                created_ms=now_ms,
                expires_ms=None if ttl_ms is None else now_ms + ttl_ms,
                reason=reason,
                owner=owner,
            )
            if await self._swapped(held, msgspec.structs.replace(held.record, pins=(*live, made))):
                return made
        raise Unavailable("the retention record is being changed by many; try again")

    async def unpin(self, pin_id: str) -> Pin:
        """Release a pin; what it alone kept goes with a later collection. Raises `NotFound`, `Unavailable`."""
        released: Pin | None = None
        for _ in range(_TRIES):
            held = await self._read()
            found = next((pin for pin in held.record.pins if pin.pin_id == pin_id), None)
            if found is None and released is not None:
                return released  # our swap's answer was lost
            if found is None:
                raise NotFound(f"there is no pin {pin_id}")
            released = found
            rest = tuple(pin for pin in held.record.pins if pin is not found)
            if await self._swapped(held, msgspec.structs.replace(held.record, pins=rest)):
                return found
        raise Unavailable("the retention record is being changed by many; try again")

    async def _read(self) -> HeldRecord:
        try:
            return await self._keeper.read()
        except RecordRaced as raced:
            raise Unavailable("the retention record is being changed by many; try again") from raced

    async def _swapped(self, held: HeldRecord, record: RetentionRecord) -> bool:
        try:
            await self._keeper.swap(held, record)
        except RecordRaced:
            return False
        return True

    async def _pinnable(self, record: RetentionRecord, manifest_id: str | None) -> int:
        """The number to pin, once its copy stands. Raises `NotFound`."""
        newest = await self._shop.chain.find()
        if newest is None:
            raise NotFound("the workspace has no versions yet")
        if manifest_id is None:
            number = newest.number
        elif manifest_id.isascii() and manifest_id.isdecimal() and len(manifest_id) <= 20:
            number = int(manifest_id)
        else:
            raise InvalidInput("manifest_id must be a manifest's number")
        if any(one.number == number for one in record.kept):
            return number
        head = newest if number == newest.number else None
        if head is None and record.floor <= number < newest.number:
            head = await self._shop.chain.read_valid(number, newest.number)
        if head is None:
            raise NotFound(f"version {number} was collected, or never was")
        await self._versions.copy(head)
        return number
