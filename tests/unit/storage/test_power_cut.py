"""The file adapter under power cuts: what was answered is there after the boot, whole; what was not may be or not.

The power goes between any two system calls of two processes that create, replace, delete and settle objects on one
disk. Source: reliability.md 3.2; architecture.md ("visible must mean durable").
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arco.core.paths import Key
from arco.storage.local import LocalStore
from arco.storage.port import Absent, Deleted, Matches, StorageUnavailable, Stored

from .power_cut import CutDisk, HeldSync, NoDirectorySync, NoFileSync

ROOT = Path("/store")
NAMES = [Key(f"a/{'d' * (number % 3 + 1)}/o{number}") for number in range(6)]


class Life:
    """What the users of one disk know: per key, every body it may hold (None: no object)."""

    def __init__(self, disk: CutDisk, chance: random.Random) -> None:
        self.disk = disk
        self.chance = chance
        self.may_be: dict[Key, set[bytes | None]] = {name: {None} for name in NAMES}
        self.written = 0
        self.creating: dict[Key, bytes] = {}

    async def live(self, steps: int) -> None:
        """Two processes use the disk until they have had enough or the power goes."""
        stores = [LocalStore(ROOT, disk=self.disk) for _ in range(2)]
        try:
            await asyncio.gather(*(self._use(store, number, steps) for number, store in enumerate(stores)))
        finally:
            for store in stores:
                store.close()

    async def _use(self, store: LocalStore, number: int, steps: int) -> None:
        mine = [name for place, name in enumerate(NAMES) if place % 2 == number]
        for _ in range(steps):
            if self.disk.dead:
                return
            try:
                await self._step(store, self.chance.choice(mine), self.chance.choice(NAMES))
            except StorageUnavailable:
                continue

    async def _step(self, store: LocalStore, mine: Key, any_key: Key) -> None:
        what = self.chance.choice(("write", "write", "delete", "look"))
        if what == "look":
            await self._look(store, any_key)
            return
        found = await store.get(mine)
        body = f"{mine} {self.written}".encode() * self.chance.choice((1, 50))
        self.written += 1
        after = None if what == "delete" and found else body
        before = set(self.may_be[mine])
        self.may_be[mine] = before | {after}
        self.creating.pop(mine, None)
        if found is None:
            self.creating[mine] = body
        if found and after is None:
            outcome: Any = await store.delete(mine, when=Matches(found.version))
        else:
            outcome = await store.put(mine, body, when=Matches(found.version) if found else Absent())
        if isinstance(outcome, Stored | Deleted):
            self.may_be[mine] = {after}

    async def _look(self, store: LocalStore, key: Key) -> None:
        """Who sees another's object and settles it may act on it: from then on it must stay."""
        before = self.may_be[key]
        seen = await store.get(key)
        await store.settle(key)
        if seen is not None and self.may_be[key] is before and self.creating.get(key) == seen.body:
            # What is under way created it, and it was seen: it is settled now.
            self.may_be[key] = {seen.body}


async def _after(disk: CutDisk) -> dict[Key, bytes | None]:
    store = LocalStore(ROOT, disk=disk)
    try:
        found: dict[Key, bytes | None] = {}
        for name in NAMES:
            present = await store.get(name)
            found[name] = None if present is None else present.body
            outcome = await store.put(name, b"new", when=Matches(present.version) if present else Absent())
            assert isinstance(outcome, Stored), f"{name} cannot be written after the boot"
        return found
    finally:
        store.close()


def _survives(seed: int, make: Callable[..., CutDisk] = CutDisk) -> list[str]:
    chance = random.Random(seed)
    disk = make(unnamed=chance.random() < 0.7)
    life = Life(disk, chance)
    wrong: list[str] = []
    for _ in range(3):  # some boots
        life.disk.calls_left = chance.randrange(20, 900)
        asyncio.run(life.live(40))
        rebooted = life.disk.cut(chance)
        found = asyncio.run(_after(rebooted))
        wrong += [f"{key}: {body!r}" for key, body in found.items() if body not in life.may_be[key]]
        life.disk = rebooted
        life.may_be = {name: {b"new"} for name in NAMES}
    return wrong


@pytest.mark.parametrize("block", range(4))
def test_what_was_answered_survives_a_power_cut_at_any_system_call(block: int) -> None:
    for seed in range(block * 15, block * 15 + 15):
        assert _survives(seed) == [], f"seed {seed}"


@pytest.mark.parametrize("defect", [NoDirectorySync, NoFileSync])
def test_an_adapter_that_forgets_a_sync_is_caught(defect: type[CutDisk]) -> None:
    assert any(_survives(seed, defect) for seed in range(25))


async def test_what_was_settled_by_who_saw_it_survives_although_its_writer_was_not_done() -> None:
    disk, name = HeldSync(), Key("a/seen")
    writer, other = LocalStore(ROOT, disk=disk), LocalStore(ROOT, disk=disk)
    await writer.put(Key("a/before"), b"1", when=Absent())
    disk.hold_next = True
    writing = asyncio.ensure_future(writer.put(name, b"2", when=Absent()))
    await asyncio.get_running_loop().run_in_executor(None, disk.is_held.wait, 20)
    assert await other.get(name) is not None
    await other.settle(name)
    for seed in range(8):
        store = LocalStore(ROOT, disk=disk.cut(random.Random(seed)))
        found = await store.get(name)
        store.close()
        assert found is not None and found.body == b"2"
    disk.release.set()
    await asyncio.gather(writing, return_exceptions=True)
    writer.close()
    other.close()
