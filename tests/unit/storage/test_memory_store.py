import asyncio

import pytest
from tests.unit.storage.clocks import FrozenClock

from arco.core.paths import InvalidKey, Key
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, Stored, WriteRefused


async def test_every_operation_gives_way_before_it_takes_effect_and_before_its_answer():
    store = MemoryStore()
    writing = asyncio.ensure_future(store.put(Key("a"), b"x", when=Absent()))
    await asyncio.sleep(0)
    assert store._objects == {}
    await asyncio.sleep(0)
    assert list(store._objects) == ["a"]
    assert not writing.done()
    await asyncio.sleep(0)
    assert isinstance(await writing, Stored)


async def test_a_key_may_not_be_the_directory_of_another_here_either():
    store = MemoryStore()
    await store.put(Key("a/b"), b"x", when=Absent())
    for key in ("a", "a/b/c"):
        with pytest.raises(WriteRefused):
            await store.put(Key(key), b"x", when=Absent())


async def test_keys_that_the_local_store_refuses_are_refused_here_too():
    store = MemoryStore()
    for key in ("../a", ".hidden", "a/", "a//b", "x" * 256):
        with pytest.raises(InvalidKey):
            await store.put(Key(key), b"x", when=Absent())


async def test_versions_are_unique_over_all_keys():
    store = MemoryStore()
    outcomes = [await store.put(Key(f"k{number}"), b"same", when=Absent()) for number in range(10)]
    outcomes.append(await store.put(Key("k0"), b"same", when=Matches(outcomes[0].version)))  # type: ignore[union-attr]  # they are Stored
    versions = {outcome.version for outcome in outcomes if isinstance(outcome, Stored)}
    assert len(versions) == 11


async def test_the_modification_time_is_the_clock_s():
    store = MemoryStore(FrozenClock(77))
    await store.put(Key("a"), b"x", when=Absent())
    info = await store.head(Key("a"))
    assert info is not None
    assert info.modified_ms == 77
