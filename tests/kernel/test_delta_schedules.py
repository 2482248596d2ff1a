"""Seeded schedules of Delta writers on a store that goes wrong: versions are dense, none is lost, none is doubled.

Writers run in processes that crash, pause and have skewed clocks; every kind of fault of `simulation` strikes. Whoever
is not told an outcome asks again with the same key. When the faults stop, what was left in the middle is finished by
somebody else. `python -m tests.kernel.test_delta_schedules 0 1000` runs as many as one wants.
"""

import asyncio
import json
import random
import sys
from typing import Any, Final

import pytest
from tests.delta_logs import add, creation, payload

from arco.core import paths
from arco.core.errors import Conflict, OutcomeUnknown, Overloaded, Unavailable
from arco.core.limits import DELTA_RESERVATION_MS
from arco.domains.delta import commands, queries
from arco.domains.delta.fold import DeltaDomain
from arco.domains.delta.rows import RESERVATIONS
from arco.storage.memory import MemoryStore
from arco.storage.port import StorageUnavailable

from .chains import ChainProcess
from .simulation import KINDS, LoopClock, Process, WildStore, simulated

SCHEDULES: Final = 30
SCHEDULES_PER_TEST: Final = 10
TABLE: Final = "019b7700-2222-7abc-9def-0123456789ab"
ROOT: Final = "warehouse/orders"
_UNKNOWN: Final = (OutcomeUnknown, Overloaded, Unavailable, StorageUnavailable, TimeoutError)


class World:
    """One schedule."""

    def __init__(self, seed: int, rng: random.Random) -> None:
        self.rng = rng
        self.seed = seed
        self.shared = MemoryStore(LoopClock(Process()))
        level = rng.choice((0.0, 0.05, 0.15, 0.3))
        self.rates = {kind: level * rng.random() for kind in KINDS if rng.random() < 0.5}
        self.machines: list[tuple[ChainProcess, Process, WildStore]] = []
        self.made = 0
        self.acknowledged: dict[int, str] = {}
        self.refused: set[str] = set()
        self.payloads: dict[str, str] = {}
        self.troubled = True

    def make(self) -> None:
        process = Process()
        store = WildStore(self.shared, process, self.rng, self.rates)
        self.made += 1
        clock: Any = LoopClock(process, self.rng.choice((0, 0, -20_000, 20_000)))
        machine = ChainProcess(store, clock, [DeltaDomain()], seed=self.seed * 1_000 + self.made)
        self.machines.append((machine, process, store))

    def clerk(self) -> commands.Clerk:
        machine = self.rng.choice([machine for machine, process, _ in self.machines if process.alive])
        return commands.Clerk(
            desk=machine.desk,
            reader=machine.reader,
            store=machine.store,
            clock=machine.clock,
            ids=machine.ids,
            source="api:test",
        )

    async def writer(self, number: int) -> None:
        """Commit a few versions, one after another, each until it is acknowledged or definitely refused."""
        for step in range(self.rng.randint(1, 4)):
            await asyncio.sleep(self.rng.choice((0, 0, 0.05, 0.5, 4)))
            name = f"{number}.{step}"
            for attempt in range(60):
                if await self.attempted(f"{name}.{attempt}"):
                    break

    async def attempted(self, name: str) -> bool:
        """One key from staging to its answer. True when it is acknowledged."""
        base = await self.asked(self.latest)
        text = creation(add(name)) if base == -1 else payload(add(name))
        staged = await self.asked(lambda: commands.stage(self.clerk(), TABLE, text))
        self.payloads[name] = text
        command = commands.Commit(
            table_id=TABLE, read_version=base, staged_path=staged.path, staged_version=staged.version, key=name
        )
        try:
            done = await self.asked(lambda: commands.commit(self.clerk(), command, find_root))
        except Conflict as refusal:
            if "already reserved" not in refusal.message:
                self.refused.add(name)
            await asyncio.sleep(self.rng.choice((0.01, 0.3)))
            return False
        assert done.version not in self.acknowledged, "a version was acknowledged twice"
        assert done.delta_log_path == paths.delta_log(ROOT, done.version)
        self.acknowledged[done.version] = name
        return True

    async def latest(self) -> int:
        return (await queries.coordinator(await self.clerk().reader.head(), TABLE)).latest_version

    async def asked(self, ask: Any) -> Any:
        """The answer, asked for again while it is unknown; machines that crashed never answer."""
        for _ in range(400):
            patience = self.rng.choice((0.05, 0.5, 30, 30)) if self.troubled else 3_000
            try:
                return await asyncio.wait_for(ask(), patience)
            except _UNKNOWN:
                await asyncio.sleep(self.rng.choice((0, 0.1, 1)))
        raise AssertionError("it was never told")

    async def trouble(self) -> None:
        """Crashes and pauses, for a while."""
        for _ in range(self.rng.randint(0, 6)):
            await asyncio.sleep(self.rng.choice((0.01, 0.1, 1, 5)))
            machine = self.rng.choice(self.machines)
            if self.rng.random() < 0.5:
                machine[1].alive = False
                self.make()
            else:
                machine[1].paused_until = asyncio.get_running_loop().time() + self.rng.choice((0.5, 20, 400))

    async def run(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.make()
        writers = [asyncio.ensure_future(self.writer(number)) for number in range(self.rng.randint(1, 6))]
        await self.trouble()
        await asyncio.sleep(self.rng.choice((1, 20)))
        self.troubled = False
        self.rates.clear()
        await asyncio.wait_for(asyncio.gather(*writers), 50_000)
        await self.finished_by_somebody_else()
        await self.checked()

    async def finished_by_somebody_else(self) -> None:
        self.make()
        await asyncio.sleep(DELTA_RESERVATION_MS / 1_000 + 60)
        machine = self.machines[-1][0]
        clerk = self.clerk()
        snapshot = await machine.reader.head()
        for held in await queries.overdue(snapshot, machine.clock.now_ms() + 60_000):
            await commands.finish(clerk, held.table_id)

    async def checked(self) -> None:
        machine = self.machines[-1][0]
        snapshot = await machine.reader.head()
        if snapshot is None:
            return
        assert snapshot.count(RESERVATIONS) == 0, "a reservation was left"
        latest = (await queries.coordinator(snapshot, TABLE)).latest_version
        logged: list[str] = []
        for version in range(latest + 1):
            held = await self.shared.get(paths.delta_log(ROOT, version))
            assert held is not None, f"version {version} is missing"
            logged.append(json.loads(held.body.splitlines()[-1])["add"]["path"])
            assert held.body.decode() == self.payloads[logged[-1]]
        assert await self.shared.get(paths.delta_log(ROOT, latest + 1)) is None
        assert len(set(logged)) == len(logged), "a payload was committed twice"
        for version, name in self.acknowledged.items():
            assert logged[version] == name, "an acknowledged version holds something else"
        assert not self.refused & set(logged), "what was definitely refused was committed"
        report = await machine.verify()
        assert not report.differences, report.differences


async def find_root(_snapshot: object) -> str:
    return ROOT


def run_schedule(seed: int) -> None:
    """One schedule from its seed alone."""
    rng = random.Random(seed)
    try:
        simulated(World(seed, rng).run(), rng)
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


@pytest.mark.parametrize("first", range(0, SCHEDULES, SCHEDULES_PER_TEST))
def test_versions_are_dense_and_each_is_acknowledged_once_whatever_goes_wrong(first):
    for seed in range(first, first + SCHEDULES_PER_TEST):
        run_schedule(seed)


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        run_schedule(number)
