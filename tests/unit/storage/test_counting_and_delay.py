import asyncio
from pathlib import Path

import pytest
from tests.unit.storage.clocks import FrozenClock

from arco.core.paths import InvalidKey, Key
from arco.storage.counting import CountingStore, sequential_rounds
from arco.storage.delayed import DelayedStore
from arco.storage.local import LocalStore
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, Stored


async def test_operations_are_recorded_with_their_sizes_and_results():
    store = CountingStore(MemoryStore())
    stored = await store.put(Key("a"), b"12345", when=Absent())
    assert isinstance(stored, Stored)
    await store.put(Key("a"), b"123", when=Matches(stored.version))
    await store.get(Key("a"))
    await store.head(Key("b"))
    recorded = [(each.name, each.key, each.sent_bytes, each.got_bytes, each.result) for each in store.operations]
    assert recorded == [
        ("create", "a", 5, 0, "Stored"),
        ("replace", "a", 3, 0, "Stored"),
        ("get", "a", 0, 3, "StoredObject"),
        ("head", "b", 0, 0, "NoneType"),
    ]
    assert sequential_rounds(store.operations) == 4
    store.forget()
    assert store.operations == []


async def test_failures_are_recorded_too():
    store = CountingStore(MemoryStore())
    with pytest.raises(InvalidKey):
        await store.get(Key("../x"))
    assert [each.result for each in store.operations] == ["InvalidKey"]
    assert store.operations[0].ended > store.operations[0].started


@pytest.mark.parametrize("kind", ["memory", "local"])
async def test_operations_of_one_gather_are_one_round(kind: str, tmp_path: Path):
    store = CountingStore(MemoryStore() if kind == "memory" else LocalStore(tmp_path))
    await asyncio.gather(*(store.get(Key(f"k{number}")) for number in range(20)))
    assert sequential_rounds(store.operations) == 1
    await asyncio.gather(store.get(Key("a")), store.head(Key("b")))
    assert sequential_rounds(store.operations) == 2


async def test_rounds_are_the_longest_sequence():
    store = CountingStore(MemoryStore())

    async def three_in_sequence() -> None:
        for number in range(3):
            await store.get(Key(f"k{number}"))

    await asyncio.gather(three_in_sequence(), store.get(Key("x")), store.get(Key("y")))
    assert len(store.operations) == 5
    assert sequential_rounds(store.operations) == 3


async def test_a_far_store_delays_each_operation_and_not_settling():
    clock = FrozenClock()
    store = DelayedStore(MemoryStore(), clock, 30)
    stored = await store.put(Key("a"), b"x", when=Absent())
    assert isinstance(stored, Stored)
    await store.get(Key("a"))
    await store.get_range(Key("a"), 0, 1)
    await store.head(Key("a"))
    await store.list_page("")
    await store.delete(Key("a"), when=Matches(stored.version))
    await store.settle(Key("a"))
    assert clock.slept_ms == [30] * 6
