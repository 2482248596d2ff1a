"""While a manifest is on its way over a slow network the next commit is prepared; it lands only on that manifest."""

import asyncio
import random
from typing import Any

import pytest

from arco.core.paths import Key
from arco.kernel import ahead
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, PutOutcome

from .simulation import LoopClock, Process, simulated
from .world import Machine

ROUND_S = 0.030
LOAD_S = 6.0


class SlowStore:
    """Every operation takes one round trip."""

    def __init__(self, inner: MemoryStore, round_s: float) -> None:
        self.inner = inner
        self.round_s = round_s
        self.manifests = 0

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        self.manifests += key.startswith("manifests/catalog/")
        await asyncio.sleep(self.round_s)
        return await self.inner.put(key, body, when=when)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _machine(store: Any, seed: int) -> Machine:
    clock: Any = LoopClock(Process())
    return Machine(store, clock, seed).start()


async def _load(machines: list[Machine], clients: int) -> int:
    """Clients that put one row after another for a while; how many were acknowledged."""
    loop = asyncio.get_running_loop()
    chance = random.Random(clients)
    end = loop.time() + LOAD_S
    done = 0

    async def client(number: int) -> None:
        nonlocal done
        machine = machines[number % len(machines)]
        while loop.time() < end:
            await asyncio.sleep(ROUND_S * chance.uniform(1, 4))  # a thought, and the append
            told = await machine.put(f"{number}.{done}")
            assert told.outcomes[0].status == "accepted"
            done += 1

    await asyncio.gather(*(client(number) for number in range(clients)))
    return done


async def _story(round_s: float, machines: int, clients: int) -> tuple[int, int, Machine]:
    store = SlowStore(MemoryStore(), round_s)
    party = [_machine(store, seed) for seed in range(machines)]
    done = await _load(party, clients)
    published = sum(machine.compactor.published for machine in party)
    for machine in party:
        await machine.compactor.stop()
    assert len(await party[0].rows()) == done
    report = await party[0].verify()
    assert report.ok, report.differences
    return done, published, party[0]


def test_a_slow_store_takes_more_than_one_commit_per_two_round_trips() -> None:
    _, published, _ = simulated(_story(ROUND_S, 1, 40), random.Random(1))
    assert published > 1.3 * LOAD_S / (2 * ROUND_S), published


def test_a_fast_store_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    original = ahead.Ahead.taken

    async def spied(self: Any) -> Any:
        found = await original(self)
        taken.append(found[0])
        return found

    monkeypatch.setattr(ahead.Ahead, "taken", spied)
    simulated(_story(0.0005, 1, 10), random.Random(1))
    assert taken and not any(taken)


def test_what_was_prepared_on_a_manifest_that_lost_is_committed_all_the_same() -> None:
    done, published, _ = simulated(_story(ROUND_S, 2, 40), random.Random(3))
    assert done > 500 and published > 50


async def _prepares_badly() -> int:
    store = SlowStore(MemoryStore(), ROUND_S)
    machine = _machine(store, 1)
    prepare = machine.compactor._prepare
    failures = 0

    async def failing(parent: Any, batch: Any) -> Any:
        nonlocal failures
        failures += 1
        if failures % 2:
            raise RuntimeError("something is wrong with this batch")
        return await prepare(parent, batch)

    machine.compactor._prepare = failing  # type: ignore[method-assign]  # a batch that cannot be prepared
    done = await _load([machine], 20)
    await machine.compactor.stop()
    assert len(await machine.rows()) == done
    return failures


def test_a_batch_that_could_not_be_prepared_is_committed_the_ordinary_way() -> None:
    assert simulated(_prepares_badly(), random.Random(5)) > 10
