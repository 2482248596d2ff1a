"""The compactor: outcomes, group commit, races, unknown answers, sleepers, replay."""

import asyncio
from itertools import pairwise

import pytest

from arco.core import paths
from arco.core.errors import OutcomeUnknown
from arco.kernel.manifest import decode_manifest, decode_pointer
from arco.storage.counting import CountingStore
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches

from .world import PAIRS, FaultyStore, Machine, VirtualClock


@pytest.fixture
def machine() -> Machine:
    return Machine(MemoryStore(), VirtualClock())


async def test_an_accepted_unit_is_visible_at_its_receipt(machine: Machine) -> None:
    machine.start()
    done = await machine.put("a", "1")
    snapshot = await machine.reader(cold=True).at_manifest(done.outcomes[0].manifest_id)
    assert snapshot is not None
    row = await snapshot.get(PAIRS, ("g", "a"))
    assert row is not None and row.value == "1"
    assert done.snapshot_version == 1


async def test_a_batch_of_nothing_but_rejections_is_published_and_stays_a_no(machine: Machine) -> None:
    machine.start()
    await machine.put("a")
    refused = machine.unit({"action": "create", "name": "a"})
    first = await machine.submit(refused)
    await machine.submit(machine.unit({"action": "drop", "name": "a"}))
    again = await machine.submit(refused)
    assert first.published and first.outcomes[0].code == "already_exists"
    assert again.outcomes[0].code == "already_exists" and again.outcomes[0].replayed and not again.published


async def test_a_unit_of_several_events_is_all_or_nothing(machine: Machine) -> None:
    machine.start()
    await machine.put("taken")
    unit = machine.unit({"action": "put", "name": "new"}, {"action": "create", "name": "taken"})
    done = await machine.submit(unit)
    assert done.outcomes[0].status == "rejected"
    assert ("g", "new") not in await machine.rows()
    snapshot = await machine.reader().head()
    assert snapshot is not None and snapshot.count(PAIRS) == 1


async def test_each_caller_of_a_group_gets_its_own_outcome_from_one_commit(machine: Machine) -> None:
    machine.start()
    units = [machine.unit({"action": "create", "name": name}) for name in "abcab"]
    results = await asyncio.gather(*(machine.submit(unit) for unit in units))
    statuses = sorted(result.outcomes[0].status for result in results)
    assert statuses == ["accepted"] * 3 + ["rejected"] * 2
    assert len({result.manifest_id for result in results}) == 1


async def test_the_same_idempotency_key_gives_one_outcome_and_another_request_is_refused(machine: Machine) -> None:
    machine.start()
    first = await machine.submit(machine.unit({"action": "put", "name": "a"}, key="k1"))
    again = await machine.submit(machine.unit({"action": "put", "name": "a"}, key="k1"))
    other = await machine.submit(machine.unit({"action": "put", "name": "b"}, key="k1", request="other"))
    assert again.outcomes[0].replayed and again.outcomes[0].manifest_id == first.outcomes[0].manifest_id
    assert other.outcomes[0].code == "idempotency_mismatch"
    assert again.snapshot_version == first.snapshot_version == 1


async def test_a_unit_past_its_deadline_expires_and_frees_its_key(machine: Machine) -> None:
    machine.start()
    late = machine.unit({"action": "put", "name": "a"}, key="k", deadline=machine.clock.ms - 10_000_000)
    assert (await machine.submit(late)).outcomes[0].status == "expired"
    fresh = await machine.submit(machine.unit({"action": "put", "name": "a"}, key="k"))
    assert fresh.outcomes[0].status == "accepted"


async def test_an_event_of_an_unknown_type_stays_pending_and_an_invalid_one_is_quarantined(machine: Machine) -> None:
    machine.start()
    unknown = machine.unit({"action": "unknown"})
    done = await machine.submit(
        unknown, machine.unit({"action": "invalid"}), machine.unit({"action": "put", "name": "a"})
    )
    assert [outcome.status for outcome in done.outcomes] == ["unsupported", "quarantined", "accepted"]
    assert (await machine.submit(unknown)).outcomes[0].status == "unsupported"


async def test_folding_the_same_unit_twice_changes_nothing(machine: Machine) -> None:
    machine.start()
    unit = machine.unit({"action": "put", "name": "a"})
    first = await machine.submit(unit)
    again = await machine.submit(unit)
    assert again.manifest_id == first.manifest_id and not again.published
    snapshot = await machine.reader(cold=True).head()
    assert snapshot is not None
    row = await snapshot.get(PAIRS, ("g", "a"))
    assert row is not None and row.writes == 1


async def test_two_compactors_on_one_chain_agree_and_lose_nothing() -> None:
    store, clock = MemoryStore(), VirtualClock()
    machines = [Machine(store, clock, seed).start() for seed in (1, 2)]
    units = [
        (machine, machine.unit({"action": "create", "name": f"n{index % 20}"}))
        for index in range(60)
        for machine in machines
    ]
    results = await asyncio.gather(*(machine.submit(unit) for machine, unit in units))
    accepted = [result for result in results if result.outcomes[0].status == "accepted"]
    assert len(accepted) == 20
    assert len(await machines[0].rows()) == 20
    for machine in machines:
        report = await machine.verify()
        assert report.ok, report.differences


@pytest.mark.parametrize("fault", ["fail", "lost", "conflict"])
@pytest.mark.parametrize(
    "family", ["manifests/catalog/", "commits/", "snapshots/", "manifests/catalog.pointer", "manifests/root"]
)
async def test_one_fault_on_any_write_neither_loses_nor_doubles_a_unit(fault: str, family: str) -> None:
    struck: set[str] = set()

    def strike(key: paths.Key, _body: bytes) -> str | None:
        if key.startswith(family) and key not in struck:
            struck.add(key)
            return fault
        return None

    machine = Machine(FaultyStore(strike), VirtualClock()).start()
    for index in range(5):
        done = await machine.put("a", "x" * 20_000, group=f"g{index}")
        assert done.outcomes[0].status == "accepted"
    await machine.compactor.settle()
    snapshot = await machine.reader(cold=True).head()
    assert snapshot is not None
    assert [row.writes for row in await snapshot.scan(PAIRS)] == [1] * 5
    assert struck
    report = await machine.verify()
    assert report.ok, report.differences


async def test_a_manifest_write_that_never_gets_an_answer_is_reported_unknown_and_decided_later() -> None:
    silent = {"on": False}

    def strike(key: paths.Key, _body: bytes) -> str | None:
        return "fail" if silent["on"] and key.startswith("manifests/catalog/") else None

    machine = Machine(FaultyStore(strike), VirtualClock()).start()
    await machine.put("first")
    unit = machine.unit({"action": "put", "name": "a"})
    silent["on"] = True
    with pytest.raises(OutcomeUnknown):
        await machine.submit(unit)
    silent["on"] = False
    assert (await machine.submit(unit)).outcomes[0].status == "accepted"
    assert (await machine.submit(unit)).outcomes[0].replayed


async def test_an_undecided_publish_may_land_later_and_everything_it_names_is_there() -> None:
    sent: dict[paths.Key, bytes] = {}
    silent = False

    def strike(key: paths.Key, body: bytes) -> str | None:
        if not (silent and key.startswith("manifests/catalog/")):
            return None
        sent[key] = body
        return "fail"

    store = FaultyStore(strike)
    machine = Machine(store, VirtualClock()).start()
    await machine.put("first")
    silent = True
    with pytest.raises(OutcomeUnknown):
        await machine.put("late")
    silent = False
    ((key, body),) = sent.items()
    await store.inner.put(key, body, when=Absent())
    assert set(await machine.rows()) == {("g", "first"), ("g", "late")}
    assert (await machine.verify()).ok


async def test_the_pointer_comes_after_a_manifest_whose_maker_never_learned_that_it_landed() -> None:
    sent: dict[paths.Key, bytes] = {}
    silent = False

    def strike(key: paths.Key, body: bytes) -> str | None:
        if not (silent and key.startswith("manifests/catalog/")):
            return None
        sent[key] = body
        return "fail"

    store = FaultyStore(strike)
    machine = Machine(store, VirtualClock()).start()
    await machine.put("first")
    unit = machine.unit({"action": "put", "name": "late"})
    silent = True
    with pytest.raises(OutcomeUnknown):
        await machine.submit(unit)
    silent = False
    ((key, body),) = sent.items()
    await store.inner.put(key, body, when=Absent())
    assert (await machine.submit(unit)).outcomes[0].replayed
    await machine.compactor.stop()
    pointer = await store.get(paths.pointer("catalog"))
    assert pointer is not None and decode_pointer(pointer.body).manifest_id == f"{2:020d}"


async def test_a_commit_whose_objects_cannot_be_written_is_not_published() -> None:
    failing = False
    store = FaultyStore(lambda key, _body: "fail" if failing and key.startswith("commits/") else None)
    machine = Machine(store, VirtualClock()).start()
    await machine.put("a")
    failing = True
    with pytest.raises(OutcomeUnknown):
        await machine.put("b")
    failing = False
    assert set(await machine.rows()) == {("g", "a")}
    await machine.put("c")
    assert (await machine.verify()).ok


async def test_a_writer_that_slept_past_the_collector_does_not_believe_its_win() -> None:
    store, clock = MemoryStore(), VirtualClock()
    sleeper = Machine(store, clock, 1, grace_ms=1_000).start()
    await sleeper.put("a")
    other = Machine(store, clock, 2, grace_ms=1_000).start()
    for index in range(5):
        await other.put(f"b{index}")
    await other.compactor.stop()
    clock.ms += 10_000
    for number in range(5):  # collected in ascending order, without holes: the sleeper's next number looks free
        info = await store.head(paths.manifest("catalog", number))
        assert info is not None
        await store.delete(info.key, when=Matches(info.version))
    done = await sleeper.submit(sleeper.unit({"action": "put", "name": "late"}))
    assert done.outcomes[0].status == "accepted"
    assert done.manifest_id == f"{7:020d}"
    assert set(await other.rows()) == {("g", "a"), *(("g", f"b{index}") for index in range(5)), ("g", "late")}


async def test_a_reader_that_slept_past_the_collector_begins_from_the_pointer() -> None:
    store, clock = MemoryStore(), VirtualClock()
    writer = Machine(store, clock, 1, grace_ms=1_000).start()
    await writer.put("a")
    reader = writer.reader(cold=True)
    await reader.head()
    await writer.put("b")
    await writer.put("c")
    await writer.compactor.stop()
    for number in range(3):
        info = await store.head(paths.manifest("catalog", number))
        assert info is not None
        await store.delete(info.key, when=Matches(info.version))
    clock.ms += 10_000
    snapshot = await reader.head()
    assert snapshot is not None and snapshot.manifest_id == f"{3:020d}"


@pytest.mark.parametrize("names", ["its parent's parent", "its parent with another hash"])
async def test_a_manifest_that_does_not_continue_the_chain_is_void_for_everybody(machine: Machine, names: str) -> None:
    machine.start()
    await machine.put("a")
    found = await machine.store.get(paths.manifest("catalog", 1))
    assert found is not None
    alien = found.body.replace(b'"manifestId":"00000000000000000001"', b'"manifestId":"00000000000000000002"')
    if names == "its parent with another hash":
        older, parent = paths.manifest("catalog", 0), paths.manifest("catalog", 1)
        alien = alien.replace(str(older).encode(), str(parent).encode())
    await machine.store.put(paths.manifest("catalog", 2), alien, when=Absent())
    done = await machine.put("b")
    assert done.manifest_id == f"{3:020d}"
    after = await machine.store.get(paths.manifest("catalog", 3))
    assert after is not None
    assert decode_manifest(after.body).previous_manifest_path == paths.manifest("catalog", 1)
    assert set(await machine.rows()) == {("g", "a"), ("g", "b")}
    assert (await machine.verify()).ok


async def test_pointers_follow_the_head_and_never_go_back(machine: Machine) -> None:
    machine.start()
    for index in range(10):
        await machine.put(f"n{index}")
    await machine.compactor.stop()
    found = await machine.store.get(paths.pointer("catalog"))
    assert found is not None
    assert decode_pointer(found.body).manifest_id == f"{10:020d}"


async def test_no_object_name_is_written_more_often_than_once_a_second() -> None:
    store = FaultyStore(lambda _key, _body: None)
    machine = Machine(store, VirtualClock()).start()
    times: dict[str, list[int]] = {}

    async def note(key: paths.Key) -> None:
        times.setdefault(key, []).append(machine.clock.ms)

    store.before_put = note
    for index in range(200):
        await machine.put(f"n{index}")
        machine.clock.ms += 40
    for key, moments in times.items():
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert all(gap >= 1_000 for gap in gaps), (key, gaps)


async def test_a_chain_that_settles_has_no_deltas_left_and_the_same_rows(machine: Machine) -> None:
    machine.start()
    for index in range(40):
        await machine.put(f"n{index % 7}", str(index))
    before = await machine.rows()
    await machine.compactor.settle()
    snapshot = await machine.reader(cold=True).head()
    assert snapshot is not None and not snapshot.state.manifest.deltas
    assert await machine.rows() == before
    assert (await machine.verify()).ok


async def test_time_travel_reads_the_state_of_any_manifest_and_time(machine: Machine) -> None:
    machine.start()
    moments = []
    for index in range(12):
        machine.clock.ms += 1_000
        done = await machine.put("a", str(index))
        moments.append((done.manifest_id, machine.clock.ms))
        if index == 6:
            await machine.compactor.settle()
    reader = machine.reader(cold=True)
    for index, (manifest_id, moment) in enumerate(moments):
        for snapshot in (await reader.at_manifest(manifest_id), await reader.at_time(moment)):
            assert snapshot is not None
            row = await snapshot.get(PAIRS, ("g", "a"))
            assert row is not None and row.value == str(index)
    assert await reader.at_manifest("99") is None


async def test_waiting_readers_share_one_probe_that_began_after_they_came() -> None:
    store = CountingStore(MemoryStore())
    machine = Machine(store, VirtualClock()).start()
    await machine.put("a")
    reader = machine.reader()
    await reader.head()
    store.forget()
    snapshots = await asyncio.gather(*(reader.head() for _ in range(50)))
    assert len({snapshot.manifest_id for snapshot in snapshots if snapshot}) == 1
    assert len(store.operations) == 2
