"""The collector on a store that breaks off, forgets and comes late; and the sleepers it must not betray."""

import asyncio
import contextlib
import copy
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from arco.core import paths
from arco.core.errors import CorruptData, NotFound
from arco.core.paths import Key
from arco.core.retention import Horizons
from arco.kernel import compose as compose_module
from arco.kernel import merge as merge_module
from arco.kernel.manifest import Manifest
from arco.kernel.retention.collector import Collection, Collector
from arco.kernel.retention.pins import PinBoard
from arco.kernel.retention.reach import Reach, direct
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, PutOutcome, StorageUnavailable, Unsure

from .world import PAIRS, Machine, VirtualClock

GRACE_MS: Final = 40_000
HORIZONS: Final = Horizons(
    keep_newest=2,
    grace_ms=GRACE_MS,
    fine_ms=100_000,
    coarse_ms=100_000,
    ledger_ms=GRACE_MS,
    fine_period_ms=50_000,
    coarse_period_ms=50_000,
)
NO_HISTORY: Final = Horizons(keep_newest=1, grace_ms=GRACE_MS, fine_ms=0, coarse_ms=0, ledger_ms=GRACE_MS)


@pytest.fixture(autouse=True)
def _small_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small_trees(monkeypatch)


def make_small_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees of several levels, spilled deltas and merges at a few dozen rows."""
    monkeypatch.setattr(compose_module, "INLINE_DELTA_BYTES_MAX", 1_500)
    monkeypatch.setattr(compose_module, "DELTA_TIER_WIDTH", 3)
    for name, value in {
        "SEGMENT_ROWS_TARGET": 6,
        "SEGMENT_ROWS_MAX": 10,
        "PAGE_FANOUT_TARGET": 3,
        "PAGE_FANOUT_MAX": 5,
        "ROOT_FANOUT_MAX": 3,
        "_UNDERFULL": 2,
    }.items():
        monkeypatch.setattr(merge_module, name, value)


def a_machine(store: Any, clock: VirtualClock, seed: int = 0) -> Machine:
    return Machine(store, clock, seed, GRACE_MS)


async def written(machine: Machine, commits: int, *, first: int = 0, merge_every: int = 7) -> None:
    for number in range(first, first + commits):
        await machine.put(f"n{number * 37 % 101:03d}", f"v{number}")
        machine.clock.ms += 3_000
        if number % merge_every == merge_every - 1:
            await machine.compactor.settle()
    await machine.shop.pointers.flush()


async def collected(machine: Machine, rounds: int = 4, horizons: Horizons = HORIZONS) -> list[Collection]:
    reports = []
    for _ in range(rounds):
        machine.clock.ms += GRACE_MS
        reports.append(await Collector(machine.shop, horizons).run(walk=True))
    return reports


def cloned(store: MemoryStore, clock: VirtualClock) -> MemoryStore:
    clone = MemoryStore(clock)
    clone._objects, clone._keys = dict(store._objects), list(store._keys)
    clone._directories, clone._versions = set(store._directories), copy.copy(store._versions)
    return clone


async def retained(machine: Machine) -> dict[int, Manifest]:
    """Every version that may still be asked for."""
    chain = machine.shop.chain
    record, head = await chain.retention(), await chain.find()
    assert head is not None
    found = {head.number: head.manifest}
    for number in range(record.floor, head.number):
        version = await chain.read_valid(number, head.number)
        if version is not None:
            found[number] = version.manifest
    for kept in record.kept:
        kept_copy = await chain.read_kept(kept.number)
        assert kept_copy is not None, f"copy {kept.number} is gone"
        found[kept.number] = kept_copy.manifest
    return found


async def needed(machine: Machine) -> set[str]:
    """Every object a retained version reaches."""
    reach, found = Reach(machine.store, a_machine(machine.store, machine.clock).shop.loader), set[str]()
    for manifest in (await retained(machine)).values():
        found |= direct(manifest)
        for table in manifest.tables:
            found |= await reach.everything([manifest], table)
    return found


def stored(store: MemoryStore) -> set[str]:
    return {key for key in store._objects if key.startswith(("snapshots/", "commits/"))}


async def is_whole(machine: Machine, store: MemoryStore) -> None:
    missing = await needed(machine) - stored(store)
    assert not missing, f"reachable and gone: {sorted(missing)}"


async def no_holes(store: MemoryStore) -> None:
    numbers = [int(key[-25:-5]) for key in store._objects if key.startswith("manifests/catalog/")]
    assert numbers == list(range(min(numbers), max(numbers) + 1))


class Crashed(Exception):
    """The collector's process ended here."""


class Meddling:
    """A way to a store on which the n-th operation, and all after it, go wrong as told."""

    def __init__(self, store: MemoryStore, at: int, kind: str) -> None:
        self.inner = store
        self.at = at
        self.kind = kind
        self.count = 0
        self.late: list[Awaitable[Any]] = []

    async def _do(self, writes: bool, work: Callable[[], Awaitable[Any]]) -> Any:
        self.count += 1
        if self.count < self.at:
            return await work()
        if self.kind in ("crash before", "crash after"):
            if self.count == self.at and self.kind == "crash after":
                await work()
            raise Crashed
        if not writes or self.count > self.at + 3:
            return await work()
        if self.kind == "late":
            self.late.append(work())
        elif self.kind == "lost":
            await work()
        return Unsure("no answer")

    async def get(self, key: Key) -> Any:
        return await self._do(False, lambda: self.inner.get(key))

    async def head(self, key: Key) -> Any:
        return await self._do(False, lambda: self.inner.head(key))

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        outcome: PutOutcome = await self._do(True, lambda: self.inner.put(key, body, when=when))
        return outcome

    async def delete(self, key: Key, *, when: Matches) -> Any:
        return await self._do(True, lambda: self.inner.delete(key, when=when))

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Any:
        return await self._do(False, lambda: self.inner.list_page(prefix, after=after, limit=limit))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_what_is_retained_stays_whole_and_nothing_else_is_left() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 60)
    before = await machine.rows()
    reports = await collected(machine, 6)
    assert sum(report.manifests for report in reports) > 40
    await is_whole(machine, store)
    await no_holes(store)
    assert stored(store) == await needed(machine)
    assert await machine.rows() == before
    assert (await machine.verify()).ok and (await machine.verify()).checkpoint > 0
    await written(machine, 5, first=60)
    assert (await machine.verify()).units == 5 + 1
    await machine.compactor.stop()


KINDS: Final = ("crash before", "crash after", "fail", "lost", "late")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_may_break_off_at_any_operation(kind: str) -> None:
    """One operation of a run goes wrong; the next collector brings it to the same end.

    A sample of them; `python -m tests.kernel.test_collector` goes through all of them.
    """
    await broken_off(kind, step=11)


async def broken_off(kind: str, step: int) -> None:
    clock = VirtualClock()
    origin = MemoryStore(clock)
    machine = a_machine(origin, clock).start()
    await written(machine, 18, merge_every=4)
    await machine.compactor.stop()
    pin = await PinBoard(machine.shop).pin("5", ttl_ms=None)
    await Collector(machine.shop, HORIZONS).run()
    clock.ms += GRACE_MS
    rows, began_ms = await machine.rows(), clock.ms

    async def attempt(at: int) -> tuple[int, set[str]]:
        clock.ms = began_ms
        store = cloned(origin, clock)
        meddling = Meddling(store, at, kind)
        victim = a_machine(meddling, clock, seed=at + 1)
        with contextlib.suppress(Crashed, StorageUnavailable):
            await Collector(victim.shop, HORIZONS).run(walk=True)
        after = a_machine(store, clock, seed=at + 10_000)
        await is_whole(after, store)
        await no_holes(store)
        for coming_late in meddling.late:
            await coming_late
        await is_whole(after, store)
        await collected(after, 4)
        await is_whole(after, store)
        assert await after.rows() == rows
        assert pin.number in await retained(after)
        assert stored(store) == await needed(after)
        return meddling.count, stored(store)

    total, end = await attempt(10**9)
    assert total > 100
    for at in range(1, total + 1, step):
        _, found = await attempt(at)
        assert found == end, f"operation {at} of {total}"


async def test_two_collectors_at_once_do_what_one_does() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 60)
    for _ in range(6):
        clock.ms += GRACE_MS
        others = [Collector(a_machine(store, clock, seed=number).shop, HORIZONS) for number in range(3)]
        reports = await asyncio.gather(*(other.run(walk=True) for other in others))
        assert {report.outcome for report in reports} <= {"completed", "raced"}
        await is_whole(machine, store)
    await collected(machine, 3)
    assert stored(store) == await needed(machine)
    await machine.compactor.stop()


class Sleepy:
    """A store whose writer falls asleep before the first write that it is told of."""

    def __init__(self, store: MemoryStore, before: Callable[[str], bool]) -> None:
        self.inner = store
        self.before = before
        self.asleep = asyncio.Event()
        self.woken = asyncio.Event()

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if not self.asleep.is_set() and self.before(key):
            self.asleep.set()
            await self.woken.wait()
        return await self.inner.put(key, body, when=when)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def _gone_by(machine: Machine, number: int, first: int) -> None:
    """Let the chain go on and the collector come, until this number is gone."""
    await written(machine, 12, first=first)
    await collected(machine, 4, NO_HISTORY)
    assert await machine.shop.chain.read(number) is None


@pytest.mark.parametrize("others", ["rest", "write on"])
async def test_a_writer_that_slept_past_the_collector_never_publishes_what_was_collected(others: str) -> None:
    """It has written all but its manifest. If the chain rested, its objects are still there; else it has lost."""
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    head = await machine.shop.chain.find()
    assert head is not None
    mine = paths.manifest("catalog", head.number + 1)
    sleepy = Sleepy(store, lambda key: key == mine)
    sleeper = a_machine(sleepy, clock, seed=9).start()
    big = asyncio.ensure_future(sleeper.put("slept", "v" * 2_000))
    await sleepy.asleep.wait()
    if others == "write on":
        await _gone_by(machine, head.number + 1, first=40)
    else:
        await collected(machine, 5, NO_HISTORY)
    sleepy.woken.set()
    done = await big
    assert done.outcomes[0].status == "accepted"
    await is_whole(machine, store)
    assert (await machine.rows())["g", "slept"] == "v" * 2_000
    assert (await machine.verify()).ok
    await collected(machine, 5, NO_HISTORY)
    await is_whole(machine, store)
    await sleeper.compactor.stop()
    await machine.compactor.stop()
    await collected(machine, 5, NO_HISTORY)
    assert stored(store) == await needed(machine), "what the sleeper left is found by the walk"
    await no_holes(store)


async def test_two_writers_that_slept_past_the_collector_do_not_found_a_chain_of_their_own() -> None:
    """The first to wake leaves a manifest under a collected number; the second must not build on it."""
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    head = await machine.shop.chain.find()
    assert head is not None
    mine = paths.manifest("catalog", head.number + 1)
    sleepies = [Sleepy(store, lambda key: key == mine) for _ in range(2)]
    sleepers = [a_machine(sleepy, clock, seed=9 + at).start() for at, sleepy in enumerate(sleepies)]
    waiting = [asyncio.ensure_future(sleeper.put(f"slept{at}")) for at, sleeper in enumerate(sleepers)]
    for sleepy in sleepies:
        await sleepy.asleep.wait()
    await _gone_by(machine, head.number + 2, first=40)
    for sleepy, done in zip(sleepies, waiting, strict=True):
        sleepy.woken.set()
        assert (await done).outcomes[0].status == "accepted"
    assert {("g", "slept0"), ("g", "slept1")} <= (await machine.rows()).keys()
    assert (await machine.verify()).ok
    for one in (*sleepers, machine):
        await one.compactor.stop()


@pytest.mark.parametrize("others", ["rest", "merge"])
async def test_a_merge_that_slept_past_the_collector_lands_whole_or_not_at_all(others: str) -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30, merge_every=1_000)
    head = await machine.shop.chain.find()
    assert head is not None and head.manifest.deltas
    landing = paths.manifest("catalog", head.number + 1)
    sleepy = Sleepy(store, lambda key: key == landing)
    sleeper = a_machine(sleepy, clock, seed=9).start()
    merging = asyncio.ensure_future(sleeper.compactor.settle())
    await sleepy.asleep.wait()
    if others == "merge":
        await machine.compactor.settle()
        await _gone_by(machine, head.number + 1, first=40)
    else:
        await collected(machine, 5, NO_HISTORY)
    sleepy.woken.set()
    await merging
    await is_whole(machine, store)
    assert (await machine.verify()).ok
    await sleeper.compactor.stop()
    await machine.compactor.stop()
    await collected(machine, 6, NO_HISTORY)
    await is_whole(machine, store)
    assert stored(store) == await needed(machine)


async def test_a_merge_whose_deltas_still_wait_keeps_its_segments_however_long_it_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others write on and nobody merges: the sleeper's merge may still land, so what it wrote must be there."""
    monkeypatch.setattr(compose_module, "DELTA_TIER_WIDTH", 10_000)
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30, merge_every=1_000)
    head = await machine.shop.chain.find()
    assert head is not None and head.manifest.deltas
    landing = paths.manifest("catalog", head.number + 1)
    sleepy = Sleepy(store, lambda key: key == landing)
    sleeper = a_machine(sleepy, clock, seed=9).start()
    merging = asyncio.ensure_future(sleeper.compactor.settle())
    await sleepy.asleep.wait()
    await written(machine, 12, first=40, merge_every=1_000)
    await collected(machine, 4, NO_HISTORY)
    assert await machine.shop.chain.read(head.number + 1) is None
    sleepy.woken.set()
    await merging
    await is_whole(machine, store)
    assert (await machine.verify()).ok
    await sleeper.compactor.stop()
    await machine.compactor.stop()


async def test_a_manifest_that_cannot_be_shown_to_be_gone_ends_the_run() -> None:
    """Deletes of one name get no answer and do nothing: no later name may go before it."""
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    await Collector(machine.shop, NO_HISTORY).run()
    clock.ms += GRACE_MS
    stuck = paths.manifest("catalog", 7)

    class Stuck(Meddling):
        async def delete(self, key: Key, *, when: Matches) -> Any:
            return Unsure("no answer") if key == stuck else await self.inner.delete(key, when=when)

    with pytest.raises(StorageUnavailable):
        await Collector(a_machine(Stuck(store, 10**9, ""), clock, seed=5).shop, NO_HISTORY).run()
    numbers = [int(key[-25:-5]) for key in store._objects if key.startswith("manifests/catalog/")]
    assert min(numbers) == 7
    await no_holes(store)
    await collected(machine, 2, NO_HISTORY)
    await no_holes(store)
    assert await machine.shop.chain.read(7) is None
    await machine.compactor.stop()


async def test_a_reader_that_slept_past_the_collector_does_not_take_an_old_version_for_the_head() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 10)
    reader = machine.reader()
    first = await reader.head()
    assert first is not None
    await _gone_by(machine, int(first.manifest_id), first=10)
    now = await reader.head()
    assert now is not None and int(now.manifest_id) > int(first.manifest_id)
    assert await now.scan(PAIRS)
    await machine.compactor.stop()


async def test_a_pin_keeps_its_version_readable_until_it_is_released_and_a_grace_longer() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 10)
    board = PinBoard(machine.shop)
    pin = await board.pin(None, ttl_ms=None, reason="audit", owner="me")
    rows = await machine.rows()
    await written(machine, 30, first=10)
    await collected(machine, 6, NO_HISTORY)
    assert await machine.shop.chain.read(pin.number) is None
    reader = machine.reader(cold=True)
    pinned = await reader.at_manifest(f"{pin.number:020d}")
    assert pinned is not None
    assert {(row.group, row.name): row.value for row in await pinned.scan(PAIRS)} == rows
    assert await reader.at_manifest(f"{pin.number - 1:020d}") is None
    by_time = await reader.at_time(pinned.published_ms)
    assert by_time is not None and by_time.manifest_id == pinned.manifest_id
    assert [one.pin_id for one in await board.pins()] == [pin.pin_id]

    open_still = await machine.reader(cold=True).at_manifest(pinned.manifest_id)
    await board.unpin(pin.pin_id)
    await Collector(machine.shop, NO_HISTORY).run()
    assert await reader.at_manifest(pinned.manifest_id) is None, "nobody opens it any more"
    assert open_still is not None and await open_still.scan(PAIRS), "who has it open keeps it"
    with pytest.raises(NotFound):
        await board.pin(pinned.manifest_id, ttl_ms=None)
    await collected(machine, 2, NO_HISTORY)
    assert stored(store) == await needed(machine)
    with pytest.raises(NotFound):
        await board.unpin(pin.pin_id)
    await machine.compactor.stop()


async def test_releasing_one_of_two_neighbouring_pins_leaves_the_other_whole() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 20)
    board = PinBoard(machine.shop)
    pins = [await board.pin(str(number), ttl_ms=None) for number in (9, 10, 11)]
    await written(machine, 20, first=20)
    await collected(machine, 4, NO_HISTORY)
    for released in (pins[1], pins[0]):
        await board.unpin(released.pin_id)
        await collected(machine, 3, NO_HISTORY)
        await is_whole(machine, store)
    assert 11 in await retained(machine)
    assert stored(store) == await needed(machine)
    await machine.compactor.stop()


async def test_a_pin_that_expires_lets_go() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 5)
    pin = await PinBoard(machine.shop).pin("3", ttl_ms=6 * GRACE_MS)
    await written(machine, 20, first=5)
    await collected(machine, 3, NO_HISTORY)
    assert pin.number in await retained(machine)
    await collected(machine, 8, NO_HISTORY)
    assert pin.number not in await retained(machine)
    assert await PinBoard(machine.shop).pins() == []
    assert stored(store) == await needed(machine)
    await machine.compactor.stop()


@pytest.mark.parametrize("skew_ms", [86_400_000, -86_400_000])
async def test_a_clock_that_is_wrong_ends_nobodys_pin(skew_ms: int) -> None:
    clock, wrong = VirtualClock(), VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 10)
    pin = await PinBoard(machine.shop).pin("3", ttl_ms=20 * GRACE_MS)
    await Collector(machine.shop, NO_HISTORY).run()
    wrong.ms = clock.ms + skew_ms
    other = await PinBoard(a_machine(store, wrong, seed=5).shop).pin("5", ttl_ms=20 * GRACE_MS)
    await written(machine, 20, first=10)
    await collected(machine, 6, NO_HISTORY)
    assert {pin.number, other.number} <= (await retained(machine)).keys()
    await is_whole(machine, store)
    await machine.compactor.stop()


@pytest.mark.parametrize("at", [*range(1, 26, 3), *range(26, 90, 8)])
async def test_pinning_while_the_collector_decides_is_a_promise_or_a_refusal(at: int) -> None:
    """A pin is made between any two operations of a run that would give its version up."""
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    await Collector(machine.shop, NO_HISTORY).run()
    clock.ms += GRACE_MS

    class Between(Meddling):
        async def _do(self, writes: bool, work: Callable[[], Awaitable[Any]]) -> Any:
            self.count += 1
            if self.count == self.at:
                await pinning()
            return await work()

    promised: list[int] = []

    async def pinning() -> None:
        try:
            promised.append((await PinBoard(machine.shop).pin("4", ttl_ms=None)).number)
        except NotFound:
            promised.append(-1)

    await Collector(a_machine(Between(store, at, ""), clock, seed=5).shop, NO_HISTORY).run()
    assert len(promised) == 1
    await collected(machine, 4, NO_HISTORY)
    assert (4 in await retained(machine)) == (promised == [4])
    await is_whole(machine, store)
    await machine.compactor.stop()


async def test_a_resting_domains_pointer_does_not_keep_all_of_history() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 20)
    (first, *_) = await collected(machine, 3, NO_HISTORY)
    assert first.outcome == "completed"
    record = await machine.shop.chain.retention()
    assert record.floor > 10
    for domain in ("catalog", "lineage", "search"):
        found = await store.get(paths.pointer(domain))
        assert found is not None
    await machine.compactor.stop()


async def test_a_dry_run_deletes_nothing_and_says_what_would_go() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    await Collector(machine.shop, NO_HISTORY).run(apply=False)
    clock.ms += GRACE_MS
    before = set(store._objects)
    report = await Collector(machine.shop, NO_HISTORY).run(apply=False)
    assert report.due > 20 and report.removals and report.objects > 20
    assert {one.key for one in report.removals} <= before == set(store._objects)
    done = await Collector(machine.shop, NO_HISTORY).run()
    assert {one.key for one in report.removals} <= before - set(store._objects)
    assert done.manifests >= report.manifests
    await machine.compactor.stop()


async def test_a_broken_chain_stops_the_collector() -> None:
    """An unreadable manifest is not stepped over: what is behind it could not be told from what is void."""
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    held = store._objects[paths.manifest("catalog", 6)]
    store._objects[paths.manifest("catalog", 6)] = type(held)(held.body[:-20], held.version, held.modified_ms)
    await Collector(machine.shop, NO_HISTORY).run()
    clock.ms += GRACE_MS
    with pytest.raises(Exception, match="manifest 6 is not readable"):
        await Collector(machine.shop, NO_HISTORY).run()
    assert len(stored(store)) > 20
    await machine.compactor.stop()


async def test_a_pointer_that_names_what_is_not_there_is_told_and_not_taken_for_a_race() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    machine = a_machine(store, clock).start()
    await written(machine, 30)
    await collected(machine, 3, NO_HISTORY)
    await machine.compactor.stop()
    (head, *_) = sorted(key for key in store._objects if key.startswith("manifests/catalog/"))[::-1]
    info = await store.head(Key(head))
    assert info is not None
    await store.delete(Key(head), when=Matches(info.version))
    with pytest.raises(CorruptData):
        await Collector(machine.shop, NO_HISTORY).run()


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patching:
        make_small_trees(patching)
        for one in KINDS:
            asyncio.run(broken_off(one, step=1))
            sys.stdout.write(f"{one}: every operation\n")
