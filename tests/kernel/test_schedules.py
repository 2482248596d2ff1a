"""Seeded schedules of clients, readers and compactors on a store that goes wrong: nothing lost, nothing doubled.

Each seed draws its own world: how many compactors and clients, which faults and how often, when deltas spill and merge,
crashes, suspended machines, storage that falls silent, and (in one of three) a collector at work. A failing seed is run
again by its test's id. Source: reliability.md 4 and 5.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterable
from typing import Any, Final

import pytest

from arco.core import paths
from arco.core.errors import OutcomeUnknown
from arco.core.retention import Horizons
from arco.kernel import compactor as compactor_module
from arco.kernel import compose as compose_module
from arco.kernel.compactor import Compactor
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome
from arco.kernel.manifest import Manifest
from arco.kernel.reader import ChainReader
from arco.kernel.retention.collector import Collection, Collector
from arco.kernel.retention.reach import Reach, direct, oldest_landing
from arco.storage.memory import MemoryStore
from arco.storage.port import StorageUnavailable

from .simulation import KINDS, LoopClock, Process, SimulatedLoop, WildStore, simulated
from .world import PAIRS, Machine

SCHEDULES: Final = 200
SCHEDULES_PER_TEST: Final = 20
GRACE_MS: Final = 40_000
HORIZONS: Final = Horizons(
    keep_newest=1,
    grace_ms=GRACE_MS,
    fine_ms=100_000,
    coarse_ms=200_000,
    ledger_ms=GRACE_MS,
    fine_period_ms=5_000,
    coarse_period_ms=60_000,
)
HOPELESS_S: Final = 20_000
"""While trouble lasts clients may go on asking; how soon a world without it comes to rest, `arco.sim` judges."""
_REFUSALS: Final = (OutcomeUnknown, StorageUnavailable, TimeoutError)


class Wanted:
    """A unit somebody wants folded, and what it was told."""

    def __init__(self, unit: Unit, kind: str, names: tuple[str, ...]) -> None:
        self.unit = unit
        self.kind = kind
        self.names = names
        self.outcome: Outcome | None = None

    @property
    def accepted(self) -> bool:
        return self.outcome is not None and self.outcome.status == "accepted"


class World:
    """One schedule."""

    def __init__(self, seed: int, rng: random.Random) -> None:
        self.seed = seed
        self.rng = rng
        self.shared = MemoryStore(LoopClock(Process()))
        level = rng.choice((0.0, 0.05, 0.15, 0.4))
        self.rates = {kind: level * rng.random() for kind in KINDS if rng.random() < 0.5}
        self.collected = rng.random() < 0.33
        self.machines: list[tuple[Machine, Process, WildStore]] = []
        self.made = 0
        self.wanted: list[Wanted] = []
        self.floor = 0
        self.seen: dict[int, dict[str, tuple[str, int]]] = {}
        self.troubled = True
        self.collections: list[Collection] = []

    # --- who is there -------------------------------------------------------------------------------------------------

    def make(self, *, compacting: bool = True) -> tuple[Machine, Process, WildStore]:
        process = Process()
        store = WildStore(self.shared, process, self.rng, self.rates)
        self.made += 1
        clock: Any = LoopClock(process, self.rng.choice((0, 0, -20_000, 20_000)))
        grace_ms = GRACE_MS if self.collected else 86_400_000
        machine = Machine(store, clock, self.seed * 1_000 + self.made, grace_ms)
        machine.compactor = Compactor(machine.shop, idle_merge_ms=self.rng.choice((50, 500, 5_000)))
        if compacting:
            self.machines.append((machine.start(), process, store))
        return machine, process, store

    def running(self) -> list[Machine]:
        return [machine for machine, process, _ in self.machines if process.alive]

    # --- what they do -------------------------------------------------------------------------------------------------

    async def client(self, number: int) -> None:
        machine, _, _ = self.make(compacting=False)
        reader = machine.reader()
        for step in range(self.rng.randint(2, 6)):
            await asyncio.sleep(self.rng.choice((0, 0, 0.05, 0.5, 4, 20)))
            wanted = self.wish(machine, number, step)
            self.wanted.append(wanted)
            await self.submitted(wanted)
            if self.rng.random() < 0.3:
                await self.look(reader)

    def wish(self, machine: Machine, number: int, step: int) -> Wanted:
        kind = self.rng.choice(("put", "put", "create", "claim", "two"))
        value = "v" * self.rng.choice((1, 1, 50, 900))
        own = f"{number}.{step}"
        if kind == "put":
            return Wanted(machine.unit({"action": "put", "name": own, "value": value}), kind, (own,))
        if kind == "two":
            actions = [{"action": "put", "name": own + end, "group": end} for end in "ab"]
            return Wanted(machine.unit(*actions), kind, (own + "a", own + "b"))
        name = f"{kind}{self.rng.randint(0, 3)}"
        if kind == "create":
            return Wanted(machine.unit({"action": "create", "name": name, "value": own}), kind, (name,))
        return Wanted(machine.unit({"action": "put", "name": name}, key=name), kind, (name,))

    async def submitted(self, wanted: Wanted) -> None:
        """Hand the unit in, to whomever and as often as it takes, unless it stays unknown for very long."""
        for _ in range(40):
            patience = self.rng.choice((0, 0.01, 0.1, 30, 30, 30, 30)) if self.troubled else 300
            try:
                done = await asyncio.wait_for(self.rng.choice(self.running()).submit(wanted.unit), patience)
            except _REFUSALS:
                await asyncio.sleep(self.rng.choice((0, 0.1, 1)))
                continue
            (outcome,) = done.outcomes
            assert outcome.status in ("accepted", "rejected"), outcome
            assert int(done.manifest_id) >= int(outcome.manifest_id)
            before = wanted.outcome
            if before is not None:
                assert (outcome.status, outcome.code) == (before.status, before.code), (
                    "a decided unit was decided again"
                )
                assert outcome.manifest_id == before.manifest_id, "a decided unit was decided again"
            wanted.outcome = outcome
            self.floor = max(self.floor, int(done.manifest_id))
            return

    async def look(self, reader: ChainReader) -> None:
        """Read the head: nothing acknowledged is missing, nothing goes back, one manifest is one state."""
        floor = self.floor
        known = {name for wanted in self.wanted if wanted.accepted for name in wanted.names}
        if self.rng.random() < 0.3:
            reader.expect(f"{floor:020d}")
        with contextlib.suppress(StorageUnavailable):
            snapshot = await reader.head()
            if snapshot is None:
                assert floor == 0
                return
            number = int(snapshot.manifest_id)
            assert number >= floor, f"read {number} after {floor}"
            self.floor = max(self.floor, number)
            rows = {row.name: (row.value, row.writes) for row in await snapshot.scan(PAIRS)}
            assert snapshot.count(PAIRS) == len(rows)
            assert known <= set(rows), known - set(rows)
            assert self.seen.setdefault(number, rows) == rows
            for other, there in self.seen.items():
                first, second = (there, rows) if other < number else (rows, there)
                assert set(first) <= set(second)

    async def watch(self) -> None:
        """Readers that come in groups; sometimes the one whose probe the others wait for leaves."""
        readers = [self.make(compacting=False) for _ in range(2)]
        shared = [machine.reader() for machine, _, _ in readers]
        while self.troubled:
            chosen = self.rng.randrange(2)
            if self.collected and self.rng.random() < 0.1:
                readers[chosen][1].paused_until = _now() + self.rng.uniform(0, 100)
            tasks = [asyncio.ensure_future(self.look(shared[chosen])) for _ in range(self.rng.randint(1, 4))]
            if self.rng.random() < 0.3:
                await asyncio.sleep(self.rng.choice((0, 0.01)))
                tasks[0].cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                    raise result
            await asyncio.sleep(self.rng.choice((0, 0.05, 1)))

    async def trouble(self) -> None:
        for _ in range(self.rng.randint(0, 6)):
            await asyncio.sleep(self.rng.uniform(0, 5))
            machine, process, store = self.rng.choice(self.machines)
            match self.rng.choice(("crash", "pause", "silence", "settle", "stop")):
                case "crash":
                    process.alive = False
                    self.make()
                case "pause":
                    process.paused_until = _now() + self.rng.choice((1, 10, 30, 100))
                case "silence":
                    store.unsure_until = _now() + self.rng.choice((1, 12, 30))
                case "settle":
                    with contextlib.suppress(*_REFUSALS, Exception):
                        await asyncio.wait_for(machine.compactor.settle(), 20)
                case _:
                    self.make()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(machine.compactor.stop(), 60)
                    process.alive = False

    async def collect(self) -> None:
        """A real collector, or two, on machines of their own that crash and sleep like any other."""
        while self.collected and self.troubled:
            machine, process, _ = self.make(compacting=False)
            collector = Collector(machine.shop, HORIZONS)
            for _ in range(self.rng.randint(1, 12)):
                await asyncio.sleep(self.rng.choice((0.5, 2, 10)))
                running = asyncio.ensure_future(collector.run(walk=self.rng.random() < 0.2))
                if self.rng.random() < 0.2:
                    process.paused_until = _now() + self.rng.uniform(0, 100)
                if self.rng.random() < 0.2:
                    await asyncio.sleep(self.rng.choice((0, 0.01, 0.1, 1)))
                    process.alive = False
                    running.cancel()
                    break
                try:
                    self.collections.append(await running)
                except (StorageUnavailable, asyncio.CancelledError):
                    await asyncio.sleep(self.rng.choice((0, 1)))

    async def retained_is_whole(self, last: Machine) -> None:
        """Everything that may still be asked for can be read, and nothing else is left once the collector is done."""
        collector = Collector(last.shop, HORIZONS)
        for _ in range(6):
            await asyncio.sleep(GRACE_MS / 1000)
            report = await collector.run(walk=True)
            assert report.outcome == "completed" and not report.issues
        record = await last.shop.chain.retention()
        head = await last.shop.chain.find()
        assert head is not None and record.swept == record.floor
        reach, needed, number = Reach(self.shared, last.shop.loader), {"manifests/root.manifest.json"}, record.floor
        manifests: dict[int, Manifest] = {}
        for kept in record.kept:
            copy = await last.shop.chain.read_kept(kept.number)
            assert copy is not None
            manifests[kept.number] = copy.manifest
        while number <= head.number:
            found = await last.shop.chain.read_valid(number, head.number) if number < head.number else head
            if found is not None:
                manifests[number] = found.manifest
            needed.add(paths.manifest("catalog", number))
            number += 1
        for manifest in manifests.values():
            needed |= direct(manifest) | await self.tables_of(reach, manifest)
        stored = {key for key in self.shared._objects if key.split("/")[0] in ("commits", "manifests", "snapshots")}
        stored -= {key for key in stored if key.endswith("pointer.json")}
        assert not needed - stored, f"reachable and gone: {sorted(needed - stored)}"
        barrier = min(oldest_landing(manifests[min(n for n in manifests if n >= record.floor)]), record.swept)
        left = {key for key in stored - needed if (paths.number_in(key) or 0) < barrier}
        assert not left, f"garbage left: {sorted(left)}"

    @staticmethod
    async def tables_of(reach: Reach, manifest: Manifest) -> set[str]:
        found: set[str] = set()
        for table in manifest.tables:
            found |= await reach.everything([manifest], table)
        return found

    # --- the story ----------------------------------------------------------------------------------------------------

    async def story(self) -> None:
        for _ in range(self.rng.choice((1, 2, 2, 3))):
            self.make()
        backstage = (self.watch(), self.collect(), self.collect())
        background = [asyncio.ensure_future(one) for one in backstage]
        await asyncio.gather(self.trouble(), *(self.client(number) for number in range(self.rng.randint(2, 4))))
        self.rates.clear()
        self.troubled = False
        await asyncio.gather(*background)
        for _, process, store in self.machines:
            process.paused_until = store.unsure_until = 0.0
        last, _, _ = self.make()
        for wanted in self.wanted:
            await self.submitted(wanted)
            assert wanted.outcome is not None, "a unit stays unknown although nothing goes wrong any more"
        before = await last.rows()
        for machine in self.running():
            # The first time it may hear of a merge that began to fail while there still was trouble.
            with contextlib.suppress(StorageUnavailable):
                await machine.compactor.settle()
            await machine.compactor.settle()
            await machine.compactor.stop()
        assert await last.rows() == before
        await self.all_is_there(last)
        assert not _lost_errors()

    async def all_is_there(self, last: Machine) -> None:
        snapshot = await last.reader(cold=True).head()
        assert snapshot is not None and not snapshot.state.manifest.deltas
        rows = {row.name: row for row in await snapshot.scan(PAIRS)}
        assert set(rows) == {name for wanted in self.wanted for name in wanted.names}
        assert [name for name, row in rows.items() if row.writes != 1] == []
        for wanted in self.wanted:
            assert wanted.accepted or wanted.kind == "create"
        creates = [wanted for wanted in self.wanted if wanted.kind == "create" and wanted.accepted]
        assert len({wanted.names for wanted in creates}) == len(creates)
        if self.collected:
            await self.retained_is_whole(last)
        report = await last.verify()
        assert report.ok, report.differences


def _now() -> float:
    return asyncio.get_running_loop().time()


def _lost_errors() -> list[str]:
    """What nobody heard of, but for reads that failed after everybody who waited for them had left."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return [text for text in loop.lost_errors if "StorageUnavailable" not in text]


def run_schedule(seed: int) -> None:
    """One schedule from its seed alone."""
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose_module, "INLINE_DELTA_BYTES_MAX", rng.choice((300, 3_000, 32_768)))
        patch.setattr(compose_module, "DELTA_TIER_WIDTH", rng.choice((2, 3, 8)))
        patch.setattr(compactor_module, "DELTA_BYTES_MERGE", rng.choice((2_000, 8_000, 1 << 23)))
        patch.setattr(compactor_module, "DELTA_BYTES_MAX", rng.choice((4_000, 1 << 23)))
        simulated(asyncio.wait_for(World(seed, rng).story(), HOPELESS_S), rng)


def seeds() -> Iterable[int]:
    """The first seed of each test."""
    return range(0, SCHEDULES, SCHEDULES_PER_TEST)


@pytest.mark.parametrize("first", seeds())
def test_no_schedule_loses_or_doubles_what_was_acknowledged(first: int) -> None:
    for seed in range(first, first + SCHEDULES_PER_TEST):
        try:
            run_schedule(seed)
        except BaseException as error:
            error.add_note(f"the schedule's seed is {seed}: run_schedule({seed})")
            raise


def test_a_seed_is_a_schedule() -> None:
    def trace(seed: int) -> list[str]:
        rng = random.Random(seed)
        world = World(seed, rng)
        simulated(world.story(), rng)
        return [f"{key}@{held.modified_ms}" for key, held in world.shared._objects.items()]

    assert trace(5) == trace(5)
