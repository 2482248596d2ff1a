"""Seeded schedules of clients, readers and two compactors on a store that goes wrong: nothing lost, nothing doubled.

A failure names its seed; `ARCO`-free to run again: `pytest tests/kernel/test_schedules.py -k 'schedule[SEED]'`.
"""

import asyncio
import random
from typing import Any

import pytest

from arco.core.errors import OutcomeUnknown
from arco.kernel import compactor as compactor_module
from arco.kernel import compose as compose_module
from arco.kernel import merge as merge_module
from arco.kernel.compactor import Compactor
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome
from arco.kernel.reader import ChainReader
from arco.storage.memory import MemoryStore
from arco.storage.port import StorageUnavailable

from .simulation import KINDS, LoopClock, Process, SimulatedLoop, WildStore, simulated
from .world import PAIRS, Machine

class World:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.shared = MemoryStore(LoopClock(Process()))
        level = self.rng.choice((0.0, 0.02, 0.06, 0.15))
        self.rates = {kind: level * self.rng.random() for kind in KINDS if self.rng.random() < 0.5}
        self.count = 0
        self.machines: list[Machine] = []
        self.processes: list[Process] = []
        self.stores: list[WildStore] = []
        self.wanted: dict[str, tuple[Unit, str, str]] = {}   # unit id -> unit, action, name
        self.told: dict[str, Outcome] = {}
        self.floor = 0
        self.seen: dict[str, dict[Any, tuple[str, int]]] = {}
        self.done = False

    def machine(self) -> Machine:
        process = Process()
        store = WildStore(self.shared, process, self.rng, self.rates)
        self.count += 1
        machine = Machine(store, LoopClock(process, self.rng.choice((0, 0, -20_000, 20_000))), self.seed * 1000 + self.count)
        machine.compactor = Compactor(machine.shop, idle_merge_ms=self.rng.choice((50, 500, 5_000)))
        self.machines.append(machine)
        self.processes.append(process)
        self.stores.append(store)
        return machine.start()

    def alive(self) -> Machine:
        return self.rng.choice([m for m, p in zip(self.machines, self.processes) if p.alive])

    def reader(self) -> ChainReader:
        machine = self.machines[0]
        process = Process()
        store = WildStore(self.shared, process, self.rng, {k: v for k, v in self.rates.items() if k in ("read", "slow")})
        self.count += 1
        return Machine(store, LoopClock(process), self.count).reader()

    async def decide(self, unit: Unit, action: str, name: str, patience: int = 60) -> None:
        self.wanted[unit.unit_id] = (unit, action, name)
        for _ in range(patience):
            try:
                machine = self.alive()
                timeout = self.rng.choice((0.0, 0.01, 0.1, 30, 30, 30, 30, 30)) if not self.done else 300
                done = await asyncio.wait_for(machine.submit(unit), timeout)
            except (OutcomeUnknown, StorageUnavailable, TimeoutError):
                await asyncio.sleep(self.rng.choice((0, 0.1, 1)))
                continue
            (outcome,) = done.outcomes
            before = self.told.get(unit.unit_id)
            assert outcome.status in ("accepted", "rejected"), outcome
            if before is not None:
                assert (before.status, before.code, before.manifest_id) == (outcome.status, outcome.code, outcome.manifest_id)
            assert done.manifest_id >= outcome.manifest_id, (done, outcome)
            self.told[unit.unit_id] = outcome
            self.floor = max(self.floor, int(done.manifest_id))
            return

    async def client(self, number: int) -> None:
        rng = self.rng
        for step in range(rng.randint(2, 6)):
            await asyncio.sleep(rng.choice((0, 0, 0.05, 0.5, 4)))
            machine = self.machines[0]
            kind = rng.choice(("put", "put", "create", "claim", "two"))
            size = rng.choice((1, 1, 50, 900))
            if kind == "put":
                name = f"p{number}.{step}"
                unit = machine.unit({"action": "put", "name": name, "value": "v" * size})
            elif kind == "create":
                name = f"c{rng.randint(0, 3)}"
                unit = machine.unit({"action": "create", "name": name, "value": f"{number}.{step}"})
            elif kind == "claim":
                name = f"k{rng.randint(0, 2)}"
                unit = machine.unit({"action": "put", "name": name}, key=name)
            else:
                name = f"t{number}.{step}"
                unit = machine.unit({"action": "put", "name": name}, {"action": "put", "name": name + "b", "group": "h"})
            await self.decide(unit, kind, name)
            if rng.random() < 0.3:
                await self.look(self.shared_reader)

    async def look(self, reader: ChainReader) -> None:
        floor = self.floor
        known = {name for uid, o in self.told.items() if o.status == "accepted" for _, _, name in [self.wanted[uid]]}
        if self.rng.random() < 0.3:
            reader.expect(f"{self.floor:020d}")
        try:
            snapshot = await reader.head()
        except StorageUnavailable:
            return
        if snapshot is None:
            assert floor == 0
            return
        assert int(snapshot.manifest_id) >= floor, (snapshot.manifest_id, floor)
        self.floor = max(self.floor, int(snapshot.manifest_id))
        try:
            rows = {row.name: (row.value, row.writes) for row in await snapshot.scan(PAIRS)}
        except StorageUnavailable:
            return
        assert snapshot.count(PAIRS) == len(rows)
        assert known <= set(rows)
        assert self.seen.setdefault(snapshot.manifest_id, rows) == rows
        for older, there in self.seen.items():
            if older < snapshot.manifest_id:
                assert set(there) <= set(rows)

    async def watch(self) -> None:
        readers = [self.reader() for _ in range(2)]
        while not self.done:
            reader = self.rng.choice(readers)
            tasks = [asyncio.ensure_future(self.look(reader)) for _ in range(self.rng.randint(1, 4))]
            if self.rng.random() < 0.3:
                await asyncio.sleep(self.rng.choice((0, 0.01)))
                tasks[0].cancel()
            for task in tasks:
                try:
                    await asyncio.wait_for(task, 500)
                except asyncio.CancelledError:
                    assert task is tasks[0]
            await asyncio.sleep(self.rng.choice((0, 0.05, 1)))

    async def trouble(self) -> None:
        rng = self.rng
        for _ in range(rng.randint(0, 5)):
            await asyncio.sleep(rng.uniform(0, 4))
            index = rng.randrange(len(self.machines))
            what = rng.choice(("crash", "pause", "settle", "stop"))
            if what == "crash":
                self.processes[index].alive = False
                self.machine()
            elif what == "pause":
                self.processes[index].paused_until = asyncio.get_running_loop().time() + rng.uniform(0, 40)
            elif what == "settle":
                try:
                    await asyncio.wait_for(self.machines[index].compactor.settle(), 20)
                except (TimeoutError, StorageUnavailable, OutcomeUnknown):
                    pass

    async def story(self) -> None:
        for _ in range(self.rng.choice((1, 2, 2, 3))):
            self.machine()
        self.shared_reader = self.reader()
        watching = asyncio.ensure_future(self.watch())
        await asyncio.gather(self.trouble(), *(self.client(n) for n in range(self.rng.randint(2, 4))))
        self.rates.clear()
        self.done = True
        await watching
        last = self.machine()
        for unit, action, name in list(self.wanted.values()):
            await self.decide(unit, action, name)
        assert set(self.told) == set(self.wanted)
        await self.finish(last)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)

    async def finish(self, last: Machine) -> None:
        before = await last.rows()
        for machine, process in zip(self.machines, self.processes):
            if process.alive:
                await asyncio.wait_for(machine.compactor.settle(), 600)
                await asyncio.wait_for(machine.compactor.stop(), 600)
        assert await last.rows() == before
        snapshot = await last.reader(cold=True).head()
        assert snapshot is not None
        assert not snapshot.state.manifest.deltas
        rows = {row.name: row for row in await snapshot.scan(PAIRS)}
        winners: dict[str, int] = {}
        expected = set()
        for uid, (unit, action, name) in self.wanted.items():
            outcome = self.told[uid]
            if action == "create":
                winners[name] = winners.get(name, 0) + (outcome.status == "accepted")
            else:
                assert outcome.status == "accepted", (action, outcome)
            expected.add(name)
            if action == "two":
                expected.add(name + "b")
        assert set(rows) == expected
        assert all(row.writes == 1 for row in rows.values()), rows
        assert all(count == 1 for count in winners.values()), winners
        report = await last.verify()
        assert report.ok, report.differences


def run_seed(seed: int) -> None:
    rng = random.Random(f"loop{seed}")
    saved = [(m, n, getattr(m, n)) for m, n in ((compose_module, "INLINE_DELTA_BYTES_MAX"), (compose_module, "DELTA_TIER_WIDTH"), (compactor_module, "DELTA_BYTES_MERGE"))]
    try:
        compose_module.INLINE_DELTA_BYTES_MAX = rng.choice((300, 3_000, 32_768))
        compose_module.DELTA_TIER_WIDTH = rng.choice((2, 3, 8))
        compactor_module.DELTA_BYTES_MERGE = rng.choice((2_000, 8_000, 1 << 23))
        simulated(World(seed).story(), rng)
    finally:
        for m, n, v in saved:
            setattr(m, n, v)
