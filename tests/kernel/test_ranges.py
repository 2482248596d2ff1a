"""Sifting ranges and looking many keys up at once, against a plain sorted dictionary: over deep trees and deltas."""

import asyncio
import random
from typing import Any

import pytest

from arco.kernel import merge as merge_module
from arco.kernel.reading import Range, Sieve
from arco.storage.memory import MemoryStore

from .world import PAIRS, Machine, VirtualClock

Model = dict[tuple[str, str], str]


def lucky(names: list[str], values: list[str]) -> list[int]:
    """Passes about every third row."""
    return [index for index, (name, value) in enumerate(zip(names, values, strict=True)) if is_lucky(name, value)]


def is_lucky(name: str, value: str) -> bool:
    return (len(name) + len(value)) % 3 == 0 or name.endswith("7")


async def a_machine(rng: random.Random, model: Model, *, unmerged: int) -> Machine:
    """Three groups of names in a deep tree, and changes over it that are not merged."""
    machine = Machine(MemoryStore(), VirtualClock()).start()

    async def change(count: int) -> None:
        units = []
        for number in range(count):
            key = (rng.choice("xyz"), f"n{rng.randrange(400):03d}")
            if key in model and rng.random() < 0.3:
                del model[key]
                units.append(machine.unit({"action": "drop", "group": key[0], "name": key[1]}))
                continue
            model[key] = "v" * rng.randrange(1, 5) + str(number)
            units.append(machine.unit({"action": "put", "group": key[0], "name": key[1], "value": model[key]}))
        await machine.submit(*units)

    await change(500)
    await machine.compactor.settle()
    if unmerged:
        await change(unmerged)
    return machine


@pytest.fixture
def small_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in [("SEGMENT_ROWS_TARGET", 8), ("SEGMENT_ROWS_MAX", 16), ("PAGE_FANOUT_TARGET", 4)]:
        monkeypatch.setattr(merge_module, name, size)
    for name, size in [("_UNDERFULL", 2), ("PAGE_FANOUT_MAX", 8), ("ROOT_FANOUT_MAX", 4)]:
        monkeypatch.setattr(merge_module, name, size)


async def sifted(snapshot: Any, low: Any, high: Any, most: int, *, rare: bool = False) -> list[Any]:
    """All pages of a sifted range; none looks at much more than it may."""
    rows: list[Any] = []
    while True:
        page = await snapshot.sift(PAIRS, Range(low, high), Sieve(("name", "value"), lucky, rare), most=most)
        rows += page.rows
        if page.reached is None:
            return rows
        assert page.examined >= most
        low = (*page.reached, "")


@pytest.mark.usefixtures("small_nodes")
@pytest.mark.parametrize("seed", range(4))
def test_a_sifted_range_is_what_passes_of_it_whatever_the_size_of_a_page(seed: int) -> None:
    async def story() -> None:
        rng, model = random.Random(seed), Model()
        machine = await a_machine(rng, model, unmerged=40 * (seed % 2))
        for _ in range(12):
            snapshot: Any = await machine.reader(cold=rng.random() < 0.5).head()
            assert snapshot.state.tree("pairs").level > 0
            low, high = sorted([(rng.choice("wxyz"), f"n{rng.randrange(400):03d}"), (rng.choice("xyz{"),)])
            found = await sifted(snapshot, low, high, rng.choice([1, 7, 50, 1_000]), rare=rng.random() < 0.5)
            expected = sorted(key for key in model if low <= key < high and is_lucky(key[1], model[key]))
            assert [(row.group, row.name) for row in found] == expected
            assert all(row.value == model[row.group, row.name] for row in found)
        await machine.compactor.stop()

    asyncio.run(story())


@pytest.mark.usefixtures("small_nodes")
@pytest.mark.parametrize("seed", range(4))
def test_keys_that_are_looked_up_together_are_found_like_each_alone(seed: int) -> None:
    async def story() -> None:
        rng, model = random.Random(seed), Model()
        machine = await a_machine(rng, model, unmerged=40 * (seed % 2))
        for _ in range(12):
            snapshot: Any = await machine.reader(cold=rng.random() < 0.5).head()
            names = {(f"n{rng.randrange(420):03d}",) for _ in range(rng.randrange(60))}
            firsts = await snapshot.firsts(PAIRS, ("y",), names, lambda row: is_lucky(row.name, row.value))
            assert firsts.segments <= 2 * len(names)
            found = firsts.rows
            expected = {key for key in names if is_lucky(key[0], model.get(("y", *key), "")) and ("y", *key) in model}
            assert found.keys() == expected
            assert all(row.value == model["y", *key] for key, row in found.items())
            # The first of many rows that begin alike is the first that is wanted.
            first: dict[Any, str] = {}
            for key in sorted(model):
                if is_lucky(key[1], model[key]):
                    first.setdefault(key[:1], key[1])
            wide = await snapshot.firsts(PAIRS, (), [("x",), ("y",), ("q",)], lambda row: is_lucky(row.name, row.value))
            assert {key: row.name for key, row in wide.rows.items()} == {k: v for k, v in first.items() if k[0] in "xy"}
        await machine.compactor.stop()

    asyncio.run(story())
