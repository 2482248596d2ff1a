"""Anti-entropy, forgetting, repair: what nobody came back for is decided, what is old goes, what is broken is told."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest

from arco.core import paths
from arco.core.ids import ulid_from_int
from arco.core.paths import Key
from arco.core.retention import Horizons
from arco.kernel import compose as compose_module
from arco.kernel.antientropy import SETTLED_MS, Bounds, Cursor
from arco.kernel.chores import Busy, Upkeep
from arco.kernel.envelope import Unit, encode_units
from arco.kernel.fold import Outcome
from arco.kernel.manifest import encode
from arco.kernel.records import IDEMPOTENCY, OUTCOMES
from arco.kernel.retention import collector as collector_module
from arco.kernel.retention import ledger as ledger_module
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches

from .world import Machine, VirtualClock

HOUR_MS: Final = 3_600_000
GRACE_MS: Final = 75 * 60_000
HORIZONS: Final = Horizons(keep_newest=3, grace_ms=GRACE_MS, fine_ms=0, coarse_ms=0, ledger_ms=2 * HOUR_MS)
ALL: Final = Bounds()


class Workspace:
    """A store, a clock, a compactor and its chores."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.machine = Machine(self.store, self.clock, grace_ms=GRACE_MS).start()
        self.upkeep = self.chores(self.machine)

    def chores(self, machine: Machine, *, alone: bool = False) -> Upkeep:
        async def submit(units: Sequence[Unit], size_bytes: int) -> Sequence[Outcome]:
            return (await machine.compactor.submit(units, size_bytes)).outcomes

        return Upkeep(machine.shop, submit, HORIZONS, alone=alone)

    async def append(self, *units: Unit) -> str:
        """What an api does before it calls the compactor; here it never does."""
        key = paths.ledger_object("catalog", units[0].unit_id)
        await self.store.put(key, encode_units(units), when=Absent())
        return key

    def orphan(self, name: str, **more: Any) -> Unit:
        return self.machine.unit({"action": "put", "name": name}, **more)

    async def outcome(self, unit: Unit) -> str | None:
        snapshot = await self.machine.reader(cold=True).head()
        row = None if snapshot is None else await snapshot.get(OUTCOMES, (unit.unit_id,))
        return None if row is None else row.status

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.store._objects if key.startswith(prefix)]

    async def ages(self, ms: int) -> None:
        """Time passes with nobody writing, but for a collector that comes by."""
        for _ in range(3):
            self.clock.ms += ms // 3
            await self.upkeep.collect(apply=True)


@pytest.fixture
async def world() -> AsyncIterator[Workspace]:
    made = Workspace()
    yield made
    await made.machine.compactor.stop()


async def test_an_event_whose_compactor_never_came_back_is_folded(world: Workspace) -> None:
    unit = world.orphan("lost")
    pair = [world.orphan("a"), world.orphan("b")]
    await world.append(unit)
    await world.append(*pair)
    young = await world.upkeep.walk("catalog", ALL)
    assert young.missed == 0 and young.objects_scanned == 2, "its api may still be at it"
    world.clock.ms += 20_000
    found = await world.upkeep.walk("catalog", ALL)
    assert (found.missed, found.pending, found.scan_complete) == (3, 0, True)
    assert [await world.outcome(one) for one in (unit, *pair)] == ["accepted"] * 3
    again = await world.upkeep.walk("catalog", ALL)
    assert again.missed == 0


async def test_an_orphan_past_its_deadline_expires_and_an_unknown_one_waits(world: Workspace) -> None:
    late = world.orphan("late", deadline=world.clock.ms + 1_000)
    newer = world.machine.unit({"action": "unknown", "name": "newer"})
    await world.append(late)
    await world.append(newer)
    world.clock.ms += SETTLED_MS * 2
    found = await world.upkeep.walk("catalog", ALL)
    assert (found.missed, found.pending) == (2, 1)
    assert await world.outcome(late) == "expired"
    assert await world.outcome(newer) is None, "a build that knows it may come"
    assert found.decided_below <= newer.unit_id


async def test_bytes_that_can_never_be_valid_are_quarantined_and_nothing_else_is(world: Workspace) -> None:
    bad = paths.ledger_object("catalog", world.machine.ids.ulid())
    await world.store.put(bad, b"{not json", when=Absent())
    good = world.orphan("good")
    await world.append(good)
    world.clock.ms += 20_000
    found = await world.upkeep.walk("catalog", ALL)
    assert (found.missed, found.quarantined) == (1, 1)
    assert await world.outcome(good) == "accepted"
    assert world.keys("quarantine/") == [paths.quarantined("catalog", bad.rsplit("/", 1)[1])]


async def test_a_walk_is_bounded_and_goes_on_where_it_left_off(world: Workspace) -> None:
    units = [world.orphan(f"n{number}") for number in range(25)]
    for unit in units:
        await world.append(unit)
    world.clock.ms += 20_000
    bounds = Bounds(objects_max=10)
    sweeps = [await world.upkeep.walk("catalog", bounds) for _ in range(3)]
    assert [sweep.objects_scanned for sweep in sweeps] == [10, 10, 5]
    assert [sweep.missed for sweep in sweeps] == [10, 10, 5] and sweeps[-1].scan_complete
    assert [await world.outcome(unit) for unit in units] == ["accepted"] * 25


async def test_where_much_is_written_a_walk_comes_to_its_end_and_elsewhere_it_takes_its_time(world: Workspace) -> None:
    async def written(*names: str) -> None:
        for name in names:
            unit = world.orphan(name)
            await world.append(unit)
            await world.machine.submit(unit)
        await world.machine.compactor.settle()

    async def looked_at(upkeep: Upkeep = world.upkeep) -> int:
        sweeps = await upkeep.walk_all(Bounds(objects_max=1))
        return sum(sweep.objects_scanned for sweep in sweeps)

    assert await looked_at() == 0
    await written("a", "b", "c", "d", "e")
    assert await looked_at() == 5
    assert await looked_at() == 1
    await written("f")
    # It goes on where the quiet round left off, to the end.
    assert await looked_at() == 5
    # Whoever only comes by knows nothing of before, and must not walk every ledger of a store to its end.
    assert await looked_at(world.chores(world.machine)) == 1


async def test_two_walks_of_one_ledger_do_not_run_at_once(world: Workspace) -> None:
    await world.append(world.orphan("x"))
    world.clock.ms += 20_000
    first, second = await asyncio.gather(
        world.upkeep.walk("catalog", ALL), world.upkeep.walk("catalog", ALL), return_exceptions=True
    )
    assert {type(first), type(second)} >= {Busy}


async def test_what_was_decided_long_ago_is_forgotten_and_never_folded_again(world: Workspace) -> None:
    first = world.orphan("first", key="k1")
    body = encode_units([first])
    path = await world.append(first)
    assert (await world.machine.submit(first)).outcomes[0].status == "accepted"
    for number in range(40):
        unit = world.orphan(f"n{number}")
        await world.append(unit)
        await world.machine.submit(unit)
    for _ in range(2):  # a walk knows the storage's time from the one before
        world.clock.ms += SETTLED_MS + HOUR_MS
        await world.upkeep.walk("catalog", ALL)
    assert len(world.keys("ledger/")) == 41
    await world.ages(4 * HOUR_MS)
    assert world.keys("ledger/") == []
    snapshot = await world.machine.reader(cold=True).head()
    assert snapshot is not None and snapshot.count(OUTCOMES) < 5 and snapshot.count(IDEMPOTENCY) == 0
    rows = await world.machine.rows()

    await world.store.put(Key(path), body, when=Absent())  # a sleeper's append arrives now
    (outcome,) = (await world.machine.submit(first)).outcomes
    assert (outcome.status, outcome.code) == ("expired", "forgotten")
    swept = await world.upkeep.walk("catalog", ALL)
    assert swept.missed == 0 and await world.machine.rows() == rows
    again = world.orphan("first", key="k1")
    assert (await world.machine.submit(again)).outcomes[0].status == "accepted", "the key is free again"
    assert (await world.machine.verify()).ok


async def test_nothing_undecided_or_young_is_forgotten(world: Workspace) -> None:
    waiting = world.machine.unit({"action": "unknown", "name": "waiting"})
    await world.append(waiting)
    for number in range(10):
        unit = world.orphan(f"n{number}")
        await world.append(unit)
        await world.machine.submit(unit)
    for _ in range(5):
        world.clock.ms += HOUR_MS
        await world.upkeep.walk("catalog", ALL)
        await world.upkeep.collect(apply=True)
    assert len(world.keys("ledger/")) == 11, "nothing at or above what waits is given up"
    snapshot = await world.machine.reader(cold=True).head()
    assert snapshot is not None and snapshot.count(OUTCOMES) >= 10


class SkewedClock:
    """Another machine's clock: the same time, told wrong."""

    def __init__(self, inner: VirtualClock, ahead_ms: int) -> None:
        self._inner = inner
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return self._inner.now_ms() + self._ahead_ms

    def steady_ms(self) -> int:
        return self._inner.steady_ms()

    async def sleep_ms(self, duration_ms: int) -> None:
        await self._inner.sleep_ms(duration_ms)


async def test_a_clock_a_day_ahead_does_not_make_a_pending_event_count_as_decided(world: Workspace) -> None:
    ahead = Machine(world.store, SkewedClock(world.clock, 24 * HOUR_MS), 7, GRACE_MS).start()
    await world.machine.put("there", "v")
    for _ in range(3):
        claimed = await world.chores(ahead).walk("catalog", ALL)
        assert claimed.decided_below <= world.machine.ids.ulid(), "nothing that may still be written is decided"
        world.clock.ms += 60_000
    waiting = world.machine.unit({"action": "unknown", "name": "waiting"})
    await world.append(waiting)
    for _ in range(8):
        world.clock.ms += HOUR_MS
        await world.upkeep.walk("catalog", ALL)
        await world.upkeep.collect(apply=True)
    assert len(world.keys("ledger/")) == 1
    (outcome,) = (await world.machine.submit(waiting)).outcomes
    assert outcome.status == "unsupported", "a build that knows it may come: it was not forgotten"
    await ahead.compactor.stop()


async def test_a_claim_of_a_clock_that_was_ahead_is_taken_back_by_the_next_walk(world: Workspace) -> None:
    await world.machine.put("there", "v")
    await world.upkeep.walk("catalog", ALL)
    key = paths.anti_entropy_cursor("catalog")
    held = await world.store.get(key)
    assert held is not None
    future = str(ulid_from_int((world.clock.ms + 24 * HOUR_MS) << 80))
    poisoned = encode(Cursor(decided_below=future, completed_scans=1, last_updated="2026-01-01T00:00:00Z"))
    await world.store.put(key, poisoned, when=Matches(held.version))
    waiting = world.machine.unit({"action": "put", "name": "a"}, {"action": "unknown", "name": "waiting"})
    await world.append(world.orphan("b"), waiting)
    world.clock.ms += HOUR_MS
    found = await world.upkeep.walk("catalog", ALL)
    assert found.pending == 2 and found.decided_below < waiting.unit_id


async def test_a_clock_that_is_behind_does_not_keep_what_was_missed_from_being_found(world: Workspace) -> None:
    behind = Machine(world.store, SkewedClock(world.clock, -24 * HOUR_MS), 7, GRACE_MS).start()
    await world.machine.put("there", "v")
    await world.chores(behind).walk("catalog", ALL)
    await world.append(world.orphan("missed"))
    world.clock.ms += 60_000
    await world.chores(behind).walk("catalog", ALL)
    found = await world.chores(behind).walk("catalog", ALL)
    assert found.missed == 1
    await behind.compactor.stop()


async def test_a_broken_segment_does_not_keep_the_other_tables_from_being_merged_and_is_rebuilt_by_repair(
    world: Workspace,
) -> None:
    for number in range(30):
        await world.machine.put(f"n{number:02d}", "v")
    await world.machine.compactor.settle()
    rows = await world.machine.rows()
    (segment,) = world.keys("snapshots/catalog/pairs/")
    held = world.store._objects[segment]
    world.store._objects[segment] = type(held)(b"x" + held.body[1:], held.version, held.modified_ms)

    fresh = Machine(world.store, world.clock, 5, GRACE_MS).start()
    head = await fresh.shop.chain.find()
    assert head is not None
    state = await fresh.shop.state_of(head)
    report, nothing = await world.chores(fresh).reconcile("catalog", "full", repair=False, deep=True)
    assert nothing is None
    assert [(issue.issue_type, issue.path, issue.severity) for issue in report.issues] == [
        ("missing_snapshot", segment, "critical")
    ]
    assert state.manifest.tables["pairs"].refs[0].path == segment
    _, actions = await world.chores(fresh).reconcile("catalog", "full", repair=True, deep=True)
    assert actions is not None and all(action.done for action in actions) and actions
    assert await world.machine.rows() == rows
    report, _ = await world.chores(fresh).reconcile("catalog", "full", repair=False, deep=True)
    assert report.issues == []
    await fresh.put("after", "repair")
    assert (await fresh.verify()).ok
    await fresh.compactor.stop()


async def test_one_unreadable_table_waits_alone(world: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_module, "INLINE_DELTA_BYTES_MAX", 300)
    for number in range(10):
        await world.machine.put(f"n{number:02d}", "v")
    await world.machine.compactor.settle()
    (segment,) = world.keys("snapshots/catalog/pairs/")
    held = world.store._objects[segment]
    world.store._objects[segment] = type(held)(b"x" + held.body[1:], held.version, held.modified_ms)
    fresh = Machine(world.store, world.clock, 5, GRACE_MS)
    head = await fresh.shop.chain.find()
    assert head is not None
    unit = fresh.unit({"action": "put", "group": "z", "name": "outside"})
    fresh.start()
    await fresh.submit(unit)
    await fresh.compactor.settle()
    after = await fresh.shop.chain.find()
    assert after is not None
    assert {table for delta in after.manifest.deltas for table in delta.tables} == {"pairs"}
    assert after.manifest.tables["outcomes"].rows == 11
    assert "table_not_merged" in [event for event, _ in fresh.log.events]
    await fresh.compactor.stop()


async def test_a_busy_workspace_is_collected_as_fast_as_it_makes_garbage(
    world: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "BATCH", 2)
    monkeypatch.setattr(collector_module, "BATCHES_PER_RUN", 2)
    monkeypatch.setattr(ledger_module, "LEDGER_OBJECTS_PER_RUN", 4)
    for number in range(30):
        unit = world.machine.unit({"action": "put", "name": f"n{number:02d}"})
        await world.append(unit)
        await world.machine.submit(unit)
    await world.machine.compactor.settle()
    await world.upkeep.collect(apply=True)
    for _ in range(2):  # a walk knows the storage's time from the one before
        world.clock.ms += 2 * HOUR_MS
        await world.upkeep.walk("catalog", ALL)
    (rehearsed,) = [done async for done in world.upkeep.rounds(apply=False)]
    assert rehearsed.objects, "a rehearsal is one round"
    rounds = [done async for done in world.upkeep.rounds(apply=True)]
    assert [done.more for done in rounds] == [True] * (len(rounds) - 1) + [False]
    assert len(rounds) > 5
    assert not world.keys("ledger/"), "all of it is decided, and its time is over"
    assert len(world.keys("manifests/catalog/")) <= HORIZONS.keep_newest
    assert (await world.machine.verify()).ok


@pytest.mark.parametrize("what", ["gone", "unreadable"])
async def test_a_break_in_the_chain_is_told_and_stepped_over_by_repair(world: Workspace, what: str) -> None:
    for number in range(30):
        await world.machine.put(f"n{number:02d}", "v")
    await world.machine.compactor.settle()
    key = paths.manifest("catalog", 6)
    held = world.store._objects[key]
    if what == "gone":
        world.store._delete(key, Matches(held.version))
    else:
        world.store._objects[key] = type(held)(held.body[:-20], held.version, held.modified_ms)
    report, _ = await world.upkeep.reconcile("catalog", "full", repair=False)
    assert [(issue.issue_type, issue.path) for issue in report.issues] == [("missing_manifest", key)]
    _, actions = await world.upkeep.reconcile("catalog", "full", repair=True)
    assert actions is not None and [(action.path, action.done) for action in actions] == [(key, True)]
    await world.upkeep.collect(apply=True)
    world.clock.ms += GRACE_MS
    done = await world.upkeep.collect(apply=True)
    assert done.chain.outcome == "completed" and done.chain.floor > 20
    assert (await world.machine.verify()).ok


async def test_an_unreadable_newest_manifest_is_replaced_and_its_units_are_folded_again(world: Workspace) -> None:
    for number in range(5):
        await world.machine.put(f"n{number}", "v")
    await world.machine.shop.pointers.flush()
    last = world.orphan("acknowledged")
    assert (await world.machine.submit(last)).outcomes[0].status == "accepted"
    await world.machine.compactor.stop()
    rows = await world.machine.rows()
    key = max(world.keys("manifests/catalog/"))
    held = world.store._objects[key]
    world.store._objects[key] = type(held)(held.body[:-20], held.version, held.modified_ms)

    careful = Machine(world.store, world.clock, 6, GRACE_MS).start()
    _, refused = await world.chores(careful).reconcile("catalog", "full", repair=True)
    assert refused is not None and [action.done for action in refused] == [False]
    report, actions = await world.chores(careful, alone=True).reconcile("catalog", "full", repair=True)
    assert report.issues[0].severity == "critical" and actions is not None and all(one.done for one in actions)
    assert await world.outcome(last) == "accepted"
    assert await careful.rows() == rows
    assert (await careful.verify()).ok
    await careful.compactor.stop()


async def busy_for(commits: int, every: int) -> list[int]:
    """How many objects there are after each stretch of a long write load with collection on."""
    world = Workspace()
    counts: list[int] = []
    for number in range(commits):
        unit = world.orphan(f"n{number % 300:03d}", deadline=world.clock.ms + 60_000)
        await world.append(unit)
        await world.machine.submit(unit)
        world.clock.ms += 20_000
        if number % 50 == 49:
            await world.machine.compactor.settle()
        if number % every == every - 1:
            await world.machine.shop.pointers.flush()
            await world.upkeep.walk("catalog", ALL)
            await world.upkeep.collect(apply=True)
            counts.append(len(world.store._objects))
    assert (await world.machine.verify()).ok
    await world.machine.compactor.stop()
    return counts


async def test_the_number_of_objects_stays_flat_under_a_long_write_load() -> None:
    """A sample; `python -m tests.kernel.test_upkeep` makes ten thousand commits."""
    counts = await busy_for(2_400, every=100)
    settled = counts[len(counts) // 2 :]
    assert max(settled) < 1.15 * min(settled), counts


if __name__ == "__main__":
    sys.stdout.write(f"objects after each 500 of 10,000 commits: {asyncio.run(busy_for(10_000, every=100))[4::5]}\n")
