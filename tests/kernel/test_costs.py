"""Counts do not vary between machines: object operations and sequential rounds of reads and writes."""

import random

import pytest

from arco.core import paths
from arco.storage.counting import CountingStore, sequential_rounds
from arco.storage.memory import MemoryStore

from .world import PAIRS, Machine, VirtualClock


async def filled(rows: int) -> tuple[CountingStore, Machine]:
    store = CountingStore(MemoryStore())
    machine = Machine(store, VirtualClock()).start()
    numbers = list(range(rows))
    random.Random(7).shuffle(numbers)
    for start in range(0, rows, 1_000):
        units = [machine.unit({"action": "put", "name": f"n{one:07d}"}) for one in numbers[start : start + 1_000]]
        if units:
            await machine.submit(*units)
    await machine.compactor.settle()
    await machine.compactor.stop()
    machine = Machine(store, machine.clock, seed=1).start()
    await machine.put("warm")
    return store, machine


@pytest.mark.parametrize("rows", [0, 3_000, 40_000])
async def test_a_cold_look_up_takes_at_most_four_reads_in_sequence_at_any_size(rows: int) -> None:
    store, machine = await filled(rows)
    await machine.compactor.stop()
    reader = machine.reader(cold=True)
    store.forget()
    snapshot = await reader.head()
    assert snapshot is not None
    row = await snapshot.get(PAIRS, ("g", "n0000001" if rows else "warm"))
    assert row is not None
    assert sequential_rounds(store.operations) <= 4
    assert {operation.name for operation in store.operations} <= {"get", "head", "settle"}


@pytest.mark.parametrize("rows", [0, 3_000])
async def test_a_warm_look_up_asks_only_whether_the_next_manifest_exists(rows: int) -> None:
    store, machine = await filled(rows)
    reader = machine.reader(cold=True)
    for _ in range(2):
        store.forget()
        snapshot = await reader.head()
        assert snapshot is not None
        await snapshot.get(PAIRS, ("g", "n0000001"))
    assert snapshot is not None
    assert [operation.name for operation in store.operations] == ["get"]
    assert store.operations[0].key == paths.manifest("catalog", int(snapshot.manifest_id) + 1)


@pytest.mark.parametrize("rows", [0, 3_000, 40_000])
async def test_a_warm_write_takes_two_rounds_and_its_bytes_do_not_grow(rows: int) -> None:
    store, machine = await filled(rows)
    for index in range(3):
        store.forget()
        await machine.put(f"m{index}")
        written = [operation for operation in store.operations if operation.sent_bytes]
        foreground = [operation for operation in store.operations if "pointer" not in operation.key]
        creating = [operation for operation in foreground if operation.name == "create"]
        assert sequential_rounds(creating) <= 2
        assert not any(operation.name == "list_page" for operation in store.operations)
        assert sum(operation.sent_bytes for operation in written) <= 60_000


async def test_folding_a_batch_of_many_cold_names_loads_them_in_a_few_rounds() -> None:
    store, machine = await filled(20_000)
    await machine.compactor.stop()
    machine = Machine(store, machine.clock, seed=2).start()
    await machine.put("warm up")
    units = [machine.unit({"action": "put", "name": f"n{one:07d}", "value": "x"}) for one in range(0, 20_000, 313)]
    store.forget()
    await machine.submit(*units)
    reads = [operation for operation in store.operations if operation.name == "get" and "snapshots/" in operation.key]
    assert len(reads) > 10
    assert sequential_rounds(reads) <= 3
