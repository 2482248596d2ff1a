"""The collector of one chain: gives versions up a grace after the pointers passed them, and removes what they held.

A run is bounded and may be broken off between any two operations: what was decided stands in the record, and the next
run, anybody's, goes on from there. Manifests are removed strictly ascending, each only once everything before it is
known to be gone, so that no number ever looks free to a sleeper. Safe with any number of collectors at once. Sources:
architecture.md "The commit point is a new name"; reliability.md R-08; ADR 0013.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core import paths
from arco.core.errors import CorruptData
from arco.core.retention import Horizons
from arco.kernel.manifest import decode_pointer
from arco.kernel.retention import plan
from arco.kernel.retention.reach import Reach
from arco.kernel.retention.record import HeldRecord, RecordKeeper, RecordRaced, Released, RetentionRecord
from arco.kernel.retention.remover import Remover
from arco.kernel.retention.strays import Ground, StrayWalker
from arco.kernel.retention.sweep import Garbage, Retained, garbage_of, take_away
from arco.kernel.retention.versions import Stretch, Versions
from arco.kernel.workshop import Workshop

BATCH: Final = 64
"""Manifests read, decided on and removed together: bounds memory, and what a run that breaks off leaves to do again."""

BATCHES_PER_RUN: Final = 32
RELEASES_PER_RUN: Final = 64
_SHOWN: Final = 200


class Collection(msgspec.Struct, kw_only=True):
    """What a run did; in a dry run what it would do with the next batch."""

    applied: bool
    outcome: str = "completed"
    head: int = 0
    floor: int = 0
    due: int = 0
    manifests: int = 0
    objects: int = 0
    bytes: int = 0
    kept: int = 0
    pins: int = 0
    released: int = 0
    strays: int = 0
    removals: list[plan.Removal] = []
    issues: list[str] = []

    @property
    def more(self) -> bool:
        """True when versions are due that this run had no room for."""
        return self.applied and self.outcome == "completed" and self.due > BATCH * BATCHES_PER_RUN

    def note(self, reason: str, keys: Sequence[str]) -> None:
        """Remember what goes and why, up to a number worth showing."""
        room = _SHOWN - len(self.removals)
        self.removals.extend(plan.Removal(key, reason) for key in keys[: max(room, 0)])

    def take(self, garbage: Garbage, reason: str) -> None:
        """Remember what a sweep found."""
        self.note(reason, garbage.paths)
        self.issues.extend(
            f"{path} cannot be read; what is below it stays until the next walk" for path in garbage.unreadable
        )


class Collector:
    """Collects one chain of one scope. The grace is never shorter than what readers and writers rely on."""

    def __init__(self, shop: Workshop, horizons: Horizons) -> None:
        self._shop = shop
        self._chain = shop.chain
        self._horizons = horizons
        self._keeper = RecordKeeper(shop.store, shop.chain.spec.name)
        self._versions = Versions(shop.store, shop.chain, shop.clock)
        self._reach = Reach(shop.store, shop.loader)
        self._walker = StrayWalker(shop.store, self._reach, shop.chain.spec.name)

    async def run(self, *, apply: bool = True, walk: bool = False) -> Collection:
        """Collect what is due, a bounded part of it.

        `walk` begins or goes on with the walk over all names although it is not due. Raises `StorageUnavailable` and
        `CorruptData`; what was removed by then stays removed, and the record says so.
        """
        report = Collection(applied=apply, removals=[], issues=[])
        remover = Remover(self._shop.store, self._shop.clock)
        try:
            await self._run(await self._keeper.read(), report, remover, walk=walk)
        except RecordRaced:
            report.outcome = "raced"
        except CorruptData:
            # What another collector has removed meanwhile is not corrupt.
            known = self._keeper.epoch
            if (await self._keeper.read()).record.epoch == known:
                raise
            report.outcome = "raced"
        if apply:
            report.objects, report.bytes = remover.removed, remover.removed_bytes
        return report

    async def _run(self, found: HeldRecord, report: Collection, remover: Remover, *, walk: bool) -> None:
        sight = await self._look()
        if sight is None:
            return
        held = await self._noted(found, sight)
        now_ms = held.written_ms
        goal = plan.floor_to(held.record, sight, self._horizons, now_ms=now_ms)
        report.head, report.due = sight.head, goal - held.record.floor
        if not report.applied:
            await self._rehearse(held, goal, now_ms, report)
        else:
            held = await self._release(held, now_ms, report, remover)
            for _ in range(BATCHES_PER_RUN):
                if held.record.swept < held.record.floor:
                    held = await self._sweep(held, report, remover)
                if held.record.floor >= goal:
                    break
                held = await self._give_up(held, goal, now_ms, report)
            if held.record.swept < held.record.floor:
                held = await self._sweep(held, report, remover)
        if walk or (report.applied and now_ms >= held.record.strays.next_ms):
            held = await self._walk(held, now_ms, report, remover)
        report.floor, report.kept, report.pins = held.record.floor, len(held.record.kept), len(held.record.pins)

    # --- looking ------------------------------------------------------------------------------------------------------

    async def _look(self) -> plan.Sight | None:
        """The head and the lowest pointer. The pointers of domains that rest are brought to the head."""
        head = await self._chain.find()
        if head is None:
            return None
        numbers = await self._pointed_at()
        if min(numbers) < numbers[0]:
            await self._shop.pointers.bring(head)
            numbers = await self._pointed_at()
        previous = head.manifest.previous_manifest_path
        parent = head.number if previous is None else paths.number_in(previous)
        return plan.Sight(head.number, parent or 0, min(numbers))

    async def _pointed_at(self) -> list[int]:
        spec = self._chain.spec
        keys = [*map(paths.pointer, spec.domains), *map(paths.hint, spec.hinted)]
        found = await asyncio.gather(*map(self._shop.store.get, keys))
        # A domain that never changed has no hint; one without a pointer is told from all of history.
        there = [one for index, one in enumerate(found) if one is not None or index < len(spec.domains)]
        return [0 if one is None else int(decode_pointer(one.body).manifest_id) for one in there]

    async def _noted(self, held: HeldRecord, sight: plan.Sight) -> HeldRecord:
        """The record with this look in it. Its storage time is the run's time: no machine's clock is asked."""
        samples = plan.timed(held.record.samples, held.written_ms)
        looked = plan.with_look(samples, sight.bound, self._horizons.grace_ms)
        return await self._keeper.swap(held, msgspec.structs.replace(held.record, samples=looked))

    async def _rehearse(self, held: HeldRecord, goal: int, now_ms: int, report: Collection) -> None:
        """What the next batch would be."""
        record = held.record
        goes = plan.released(record, now_ms=now_ms, horizons=self._horizons)
        report.released = len(goes)
        stretch = await self._versions.onward(record, min(goal, record.floor + BATCH))
        pinned = record.pinned(now_ms)
        keeps = plan.history(stretch.spans(), now_ms=now_ms, horizons=self._horizons, pinned=pinned)
        numbers = {one.number for one in keeps}
        doomed = [head for head in stretch.versions if head.number not in numbers]
        retained = Retained(self._versions, _copies(record), stretch.after.manifest)
        # Those that would be kept as copies still stand in the chain.
        for head in stretch.versions:
            if head.number in numbers:
                retained.add(head.manifest)
        garbage = await garbage_of(self._reach, [head.manifest for head in doomed], retained)
        report.take(garbage, "held only by versions that are given up")
        report.manifests = len(doomed)
        report.objects = len(garbage.paths)

    # --- giving up and removing ---------------------------------------------------------------------------------------

    async def _give_up(self, held: HeldRecord, goal: int, now_ms: int, report: Collection) -> HeldRecord:
        """Decide on the next batch below `goal`: what outlives its name is copied, the rest is given up for ever."""
        record = held.record
        until = min(goal, record.floor + BATCH)
        stretch = await self._versions.onward(record, until)
        pinned = record.pinned(now_ms)
        keeps = plan.history(stretch.spans(), now_ms=now_ms, horizons=self._horizons, pinned=pinned)
        numbers = {one.number for one in keeps}
        await asyncio.gather(*(self._versions.copy(head) for head in stretch.versions if head.number in numbers))
        decided = msgspec.structs.replace(
            record,
            floor=until,
            floor_hash=stretch.versions[-1].raw_hash if stretch.versions else record.floor_hash,
            samples=plan.fresh_samples(record, until),
            kept=(*record.kept, *keeps),
            pins=tuple(pin for pin in record.pins if pin.live(now_ms)),
            lost={number: raw_hash for number, raw_hash in record.lost.items() if int(number) >= until},
        )
        return await self._keeper.swap(held, decided)

    async def _sweep(self, held: HeldRecord, report: Collection, remover: Remover) -> HeldRecord:
        """Remove what was given up and still stands: what it alone holds, then the names, strictly ascending."""
        record = held.record
        versions = await self._versions.given_up(record)
        stretch = await self._versions.onward(record, record.floor)
        stays = {one.number for one in record.kept}
        retained = Retained(self._versions, _copies(record), stretch.after.manifest)
        doomed = [head.manifest for head in versions if head.number not in stays]
        garbage = await garbage_of(self._reach, doomed, retained)
        report.take(garbage, "held only by versions that are given up")
        await take_away(garbage, remover)
        for number in range(record.swept, record.floor):
            await remover.remove(self._chain.key(number))
        report.manifests += record.floor - record.swept
        return await self._keeper.swap(held, msgspec.structs.replace(record, swept=record.floor))

    async def _release(self, held: HeldRecord, now_ms: int, report: Collection, remover: Remover) -> HeldRecord:
        """Give up copies nobody wants any longer; remove, with what they alone hold, those given up a grace ago."""
        record = held.record
        goes = plan.released(record, now_ms=now_ms, horizons=self._horizons)[:RELEASES_PER_RUN]
        if goes:
            kept = tuple(one for one in record.kept if one.number not in goes)
            given_up = tuple(Released(number, now_ms) for number in goes)
            fresh = msgspec.structs.replace(record, kept=kept, releasing=(*record.releasing, *given_up))
            held = await self._keeper.swap(held, fresh)
            record = held.record
        gone = plan.removable(record, now_ms=now_ms, horizons=self._horizons)
        if not gone:
            return held
        copies = await self._versions.copies(gone)
        stretch = await self._versions.onward(record, record.floor)
        # Those given up more lately may still be open somewhere.
        stays = [number for number in _copies(record) if number not in gone]
        retained = Retained(self._versions, stays, stretch.after.manifest)
        garbage = await garbage_of(self._reach, [copies[number] for number in sorted(copies)], retained)
        report.take(garbage, "held only by copies that are given up")
        await take_away(garbage, remover)
        name = self._chain.spec.name
        await remover.remove_all([paths.kept_manifest(name, number) for number in gone])
        report.released += len(gone)
        rest = tuple(one for one in record.releasing if one.number not in gone)
        return await self._keeper.swap(held, msgspec.structs.replace(record, releasing=rest))

    async def _walk(self, held: HeldRecord, now_ms: int, report: Collection, remover: Remover) -> HeldRecord:
        """Remove what no version ever held, among the next names of the walk."""
        record = held.record
        stretch: Stretch = await self._versions.onward(record, record.floor)
        kept = await self._versions.copies(_copies(record))
        ground = Ground(stretch.after.manifest, tuple(kept.values()), record)
        found, walk = await self._walker.walk(ground, now_ms)
        report.strays = len(found)
        report.note("no version ever held it", [one.key for one in found])
        if not report.applied:
            return held
        names = sorted(one.key for one in found if one.key.startswith("manifests/"))
        await remover.remove_all([one.key for one in found if not one.key.startswith("manifests/")])
        for name in names:
            await remover.remove(name)
        return await self._keeper.swap(held, msgspec.structs.replace(record, strays=walk))


def _copies(record: RetentionRecord) -> list[int]:
    """The versions that stand as copies: those wanted, and those given up that may still be open somewhere."""
    return [*(one.number for one in record.kept), *(one.number for one in record.releasing)]
