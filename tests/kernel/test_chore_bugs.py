"""Mistakes the chores once made: each test failed before its fix."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from arco.core import paths
from arco.kernel import merge as merge_module
from arco.kernel.envelope import Unit, encode_units
from arco.kernel.fold import Outcome
from arco.kernel.notices import Notices
from arco.kernel.reconcile import Reconciler
from arco.kernel.repair import Repairer
from arco.kernel.retention.pins import PinBoard
from arco.kernel.retention.reach import Reach
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, ObjectInfo

from .test_collector import NO_HISTORY, Sleepy, a_machine, collected, make_small_trees, written
from .world import Machine, VirtualClock


class Interrupted:
    """A store where something happens right before or right after names with a prefix are listed: once, or `again`."""

    def __init__(
        self,
        inner: MemoryStore,
        prefix: str,
        what: Callable[[], Awaitable[Any]],
        *,
        before: bool,
        again: bool = False,
    ) -> None:
        self.inner = inner
        self.prefix = prefix
        self.what: Callable[[], Awaitable[Any]] | None = what
        self.before = before
        self.again = again

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        what = self.what if prefix.startswith(self.prefix) else None
        if what is not None:
            self.what = self.what if self.again else None
            if self.before:
                await what()
        listed = await self.inner.list_page(prefix, after=after, limit=limit)
        if what is not None and not self.before:
            await what()
        return listed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def _appended(machine: Machine, name: str) -> str:
    unit = machine.unit({"action": "put", "name": name})
    key = paths.ledger_object("catalog", unit.unit_id)
    await machine.store.put(key, encode_units([unit]), when=Absent())
    return key


async def test_a_notice_that_comes_while_others_are_folded_waits_its_time_and_not_for_ever() -> None:
    machine = Machine(MemoryStore(), VirtualClock()).start()
    folding, going_on = asyncio.Event(), asyncio.Event()

    async def submit(units: Sequence[Unit], size_bytes: int) -> Sequence[Outcome]:
        folding.set()
        await going_on.wait()
        return (await machine.compactor.submit(units, size_bytes)).outcomes

    notices = Notices(machine.shop, submit)
    notices.note("catalog", await _appended(machine, "first"))
    assert await notices.settle(now=False) is None
    await folding.wait()
    notices.note("catalog", await _appended(machine, "second"))
    assert await notices.settle(now=False) is None
    going_on.set()
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert notices.pending == 0
    assert ("g", "second") in await machine.rows()
    await notices.stop()
    await machine.compactor.stop()


async def test_what_is_written_while_reconcile_looks_is_not_taken_for_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was listed is older than the head: its objects may be missing in the list, and are there."""
    make_small_trees(monkeypatch)
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    busy = Interrupted(store, "snapshots/", lambda: written(machine, 14, first=30), before=False)
    report = await Reconciler(a_machine(busy, clock, seed=5).shop).check("catalog", "full")
    assert report.issues == []
    await machine.compactor.stop()


async def test_what_is_collected_while_reconcile_looks_is_not_taken_for_a_hole() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    busy = Interrupted(store, "manifests/", lambda: collected(machine, 4, NO_HISTORY), before=True)
    report = await Reconciler(a_machine(busy, clock, seed=5).shop).check("catalog", "full")
    assert report.issues == []
    await machine.compactor.stop()


async def test_a_repair_that_slept_past_the_collector_does_not_claim_a_version_nobody_sees() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    await machine.compactor.settle()
    head = await machine.shop.chain.find()
    assert head is not None
    broken = next(key for key in store._objects if key.startswith(f"snapshots/catalog/pairs/{head.number - 1:020d}"))
    held = store._objects[broken]
    store._objects[broken] = type(held)(held.body[:-9], held.version, held.modified_ms)

    sleepy = Sleepy(store, lambda key: key.startswith("snapshots/catalog/pairs/"))
    sleeper = a_machine(sleepy, clock, seed=9)
    report = await Reconciler(sleeper.shop).check("catalog", "current_head_only", deep=True)
    assert [issue.path for issue in report.issues] == [broken]

    async def submit(units: Sequence[Unit], size_bytes: int) -> Sequence[Outcome]:
        return (await machine.compactor.submit(units, size_bytes)).outcomes

    repairing = asyncio.ensure_future(Repairer(sleeper.shop, submit, alone=False).run(report))
    await sleepy.asleep.wait()
    await written(machine, 12, first=40, merge_every=1_000)
    await collected(machine, 4, NO_HISTORY)
    assert await machine.shop.chain.read(head.number + 1) is None
    sleepy.woken.set()
    (action,) = await repairing
    now = await machine.shop.chain.find()
    assert now is not None
    assert action.done == (broken not in (await Reach(store, machine.shop.loader).everything([now.manifest], "pairs")))
    await machine.compactor.stop()


async def test_a_merge_begun_before_a_repair_does_not_bring_back_what_the_repair_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merge_module, "SEGMENT_ROWS_TARGET", 6)
    monkeypatch.setattr(merge_module, "SEGMENT_ROWS_MAX", 10)
    clock = VirtualClock()
    store = MemoryStore(clock)
    sleepy = Sleepy(store, lambda _key: False)
    machine = a_machine(sleepy, clock).start()
    await written(machine, 30)
    await machine.compactor.settle()
    await machine.put("zzz", "last")
    rows = await machine.rows()
    head = await machine.shop.chain.find()
    assert head is not None
    broken = head.manifest.tables["pairs"].refs[0].path
    held = store._objects[broken]
    store._objects[broken] = type(held)(held.body[:-9], held.version, held.modified_ms)

    sleepy.before = lambda key: key.startswith("snapshots/catalog/pairs/")
    merging = asyncio.ensure_future(machine.compactor.settle())
    await sleepy.asleep.wait()
    repairer = a_machine(store, clock, seed=9)
    report = await Reconciler(repairer.shop).check("catalog", "current_head_only", deep=True)
    assert [issue.path for issue in report.issues] == [broken]

    async def submit(units: Sequence[Unit], size_bytes: int) -> Sequence[Outcome]:
        return (await machine.compactor.submit(units, size_bytes)).outcomes

    (action,) = await Repairer(repairer.shop, submit, alone=False).run(report)
    assert action.done
    sleepy.woken.set()
    await merging
    now = await machine.shop.chain.find()
    assert now is not None and not now.manifest.deltas, "the merge was made again, onto what repair had built"
    assert broken not in await Reach(store, repairer.shop.loader).everything([now.manifest], "pairs")
    assert await machine.rows() == rows
    await machine.compactor.stop()


async def test_a_repair_that_meets_a_pin_says_that_it_is_to_be_asked_again() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    broken = paths.manifest("catalog", 20)
    held = store._objects[broken]
    store._objects[broken] = type(held)(held.body[:-20], held.version, held.modified_ms)
    report = await Reconciler(machine.shop).check("catalog", "full")
    assert [issue.path for issue in report.issues] == [broken]

    async def submit(_units: Sequence[Unit], _size_bytes: int) -> Sequence[Outcome]:
        return ()

    pinned: list[str] = []

    async def pin() -> None:
        pinned.append((await PinBoard(machine.shop).pin(None, ttl_ms=None)).pin_id)

    async def repaired(store: Any) -> list[bool]:
        shop = a_machine(store, clock, seed=5).shop
        return [action.done for action in await Repairer(shop, submit, alone=False).run(report)]

    assert await repaired(Interrupted(store, "manifests/", _third(pin), before=True, again=True)) == [False]
    assert pinned
    assert await repaired(store) == [True]
    await machine.compactor.stop()


def _third(what: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """Something that happens when it is called for the third time."""
    calls: list[None] = []

    async def called() -> None:
        calls.append(None)
        if len(calls) == 3:
            await what()

    return called
