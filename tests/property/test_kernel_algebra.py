"""Fold algebra on the real kernel: how a history was cut into commits leaves no mark on what it says."""

import asyncio
import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.world import PAIRS, Machine, VirtualClock

from arco.kernel.envelope import Unit, decode_units, encode_units
from arco.kernel.fold import Outcome
from arco.kernel.manifest import Delta, Manifest, Ref, TableTree, decode_manifest, encode
from arco.kernel.records import COMMITS, IDEMPOTENCY, OUTCOMES
from arco.storage.memory import MemoryStore

names = st.sampled_from(["a", "b", "c", "é", "𝄞", ""])
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "create", "create", "drop", "clear", "invalid"]),
        st.sampled_from("xy"),
        names,
        st.sampled_from([None, None, "k1", "k2"]),
    ),
    min_size=1,
    max_size=25,
)


def units_of(history: list[tuple[str, str, str, str | None]]) -> list[Unit]:
    """The same units, ids included, for the same history."""
    maker = Machine(MemoryStore(), VirtualClock(), seed=5)
    return [
        maker.unit(
            {"action": action, "group": group, "name": name, "value": str(index)}, key=key, request=f"{action}{name}"
        )
        for index, (action, group, name, key) in enumerate(history)
    ]


class Told(msgspec.Struct, frozen=True):
    """What a history says in the end, without the marks of its cutting."""

    pairs: list[Any]
    outcomes: list[Any]
    claims: list[Any]
    changes: list[Any]
    version: int


async def told(machine: Machine) -> Told:
    snapshot = await machine.reader(cold=True).head()
    assert snapshot is not None
    return Told(
        pairs=await snapshot.scan(PAIRS),
        outcomes=[
            (row.unit_id, row.status, row.code, row.subject_json, row.snapshot_version)
            for row in await snapshot.scan(OUTCOMES)
        ],
        claims=[(row.key_hash, row.unit_id) for row in await snapshot.scan(IDEMPOTENCY)],
        changes=[(row.snapshot_version, row.operation, row.object_id) for row in await snapshot.scan(COMMITS)],
        version=snapshot.snapshot_version,
    )


async def once(units: list[Unit]) -> Told:
    machine = Machine(MemoryStore(), VirtualClock()).start()
    await machine.submit(*units)
    report = await machine.verify()
    assert report.ok, report.differences
    return await told(machine)


@settings(max_examples=40, deadline=None)
@given(history=steps, seed=st.integers(0, 2**32))
def test_any_split_with_duplicates_merges_and_restarts_tells_the_same(history: Any, seed: int) -> None:
    async def story() -> None:
        rng = random.Random(seed)
        units = units_of(history)
        store, clock = MemoryStore(), VirtualClock()
        machine = Machine(store, clock).start()
        position = 0
        while position < len(units):
            size = rng.randint(1, 6)
            await machine.submit(*units[position : position + size])
            position = min(position + size, len(units))
            again = rng.sample(units[:position], k=min(position, rng.randint(0, 3)))
            if again:
                await machine.submit(*again)
            if rng.random() < 0.3:
                await machine.compactor.settle()
            if rng.random() < 0.3:
                # A new process knows nothing: nothing loaded must fold like everything loaded.
                machine = Machine(store, clock, seed=rng.randrange(1 << 30)).start()
        assert await told(machine) == await once(units)
        report = await machine.verify()
        assert report.ok, report.differences

    asyncio.run(story())


@settings(max_examples=60, deadline=None)
@given(history=steps)
def test_ledger_objects_read_back_as_the_units_they_were_made_of(history: Any) -> None:
    units = units_of(history)
    assert decode_units(encode_units(units), units[0].unit_id) == units


keys = st.tuples(st.text(max_size=5), st.integers(-(2**53), 2**53))
refs = st.builds(
    Ref,
    path=st.text(max_size=10),
    rows=st.integers(0, 9),
    bytes=st.integers(0, 9),
    sha256=st.text(max_size=4),
    min_key=keys,
    max_key=keys,
)
manifests = st.builds(
    Manifest,
    manifest_id=st.integers(0, 10**18).map(lambda number: f"{number:020d}"),
    epoch=st.integers(0, 2**53),
    snapshot_version=st.integers(0, 2**53),
    snapshot_path=st.just("s/"),
    edges_path=st.just("s/"),
    base_path=st.just("s/"),
    updated_at=st.just("2026-01-01T00:00:00Z"),
    attempt=st.text(max_size=5),
    counts=st.dictionaries(st.text(max_size=4), st.integers(0, 9), max_size=3),
    tables=st.dictionaries(
        st.text(max_size=4),
        st.builds(TableTree, level=st.integers(0, 3), refs=st.lists(refs, max_size=3).map(tuple)),
        max_size=2,
    ),
    deltas=st.lists(
        st.builds(
            Delta,
            delta_id=st.text(max_size=4),
            tier=st.just(0),
            rows=st.just(1),
            bytes=st.just(1),
            tables=st.just(("t",)),
        ),
        max_size=2,
    ).map(tuple),
)


@given(manifest=manifests)
def test_a_manifest_reads_back_as_it_was_written_and_always_in_the_same_bytes(manifest: Manifest) -> None:
    body = encode(manifest)
    assert decode_manifest(body) == manifest
    assert encode(decode_manifest(body)) == body


def test_an_outcome_says_the_same_when_replayed() -> None:
    async def story() -> None:
        machine = Machine(MemoryStore(), VirtualClock()).start()
        units = units_of([("create", "x", "a", "k1"), ("create", "x", "a", None), ("put", "x", "b", None)])
        first = (await machine.submit(*units)).outcomes
        again = (await machine.submit(*units)).outcomes

        def plain(outcome: Outcome) -> Outcome:
            return msgspec.structs.replace(outcome, replayed=False)

        assert [plain(outcome) for outcome in again] == [plain(outcome) for outcome in first]
        assert all(outcome.replayed for outcome in again)

    asyncio.run(story())
