"""Mistakes the protocol once made: each test failed before its fix."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from arco.clients.compactor import CompactorClient, InProcessTransport
from arco.core import paths
from arco.core.errors import CorruptData, OutcomeUnknown, Overloaded, Unavailable
from arco.core.limits import INLINE_DELTA_BYTES_MAX
from arco.core.paths import Key
from arco.core.scope import Scope
from arco.kernel import ledger as ledger_module
from arco.kernel import pointers as pointers_module
from arco.kernel.cache import ObjectCache, ScopedCache
from arco.kernel.chain import CATALOG_CHAIN, Chain
from arco.kernel.compactor import Compactor
from arco.kernel.compactors import Compactors
from arco.kernel.desk import EventDraft, UnitDraft
from arco.kernel.envelope import decode_units
from arco.kernel.fold import Outcome
from arco.kernel.ledger import CompactorGone, LedgerBody, LedgerDesk
from arco.kernel.loader import Loader
from arco.kernel.manifest import decode_pointer
from arco.kernel.reader import ChainReader
from arco.kernel.state import ChainState
from arco.sim.loop import SimLoop
from arco.sim.process import SimClock
from arco.storage.counting import CountingStore
from arco.storage.delayed import DelayedStore
from arco.storage.memory import MemoryStore
from arco.storage.port import (
    Absent,
    Matches,
    ObjectInfo,
    PutOutcome,
    StorageUnavailable,
    StoredObject,
    Unsure,
    WriteRefused,
)

from .world import PAIRS, FaultyStore, Machine, VirtualClock


class GatedStore:
    """A memory store whose operations a test may hold up, refuse or watch."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.refuse: str | None = None
        self.unsure: str | None = None
        self.before_get: Any = None
        self.after_get: Any = None
        self.before_put: Any = None

    async def get(self, key: Key) -> StoredObject | None:
        if self.before_get is not None:
            await self.before_get(key)
        found = await self.inner.get(key)
        if self.after_get is not None:
            await self.after_get(key)
        return found

    async def head(self, key: Key) -> ObjectInfo | None:
        if self.before_get is not None:
            await self.before_get(key)
        found = await self.inner.head(key)
        if self.after_get is not None:
            await self.after_get(key)
        return found

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if self.before_put is not None:
            await self.before_put(key)
        if self.refuse is not None and self.refuse in key:
            raise WriteRefused("no space left")
        if self.unsure is not None and self.unsure in key:
            return Unsure("reset")
        return await self.inner.put(key, body, when=when)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def head_number(machine: Machine) -> int:
    snapshot = await machine.reader(cold=True).head()
    assert snapshot is not None
    return int(snapshot.manifest_id)


async def collected(store: Any, below: int) -> None:
    """Delete manifests as the collector does: ascending, without holes."""
    for number in range(below):
        key = paths.manifest("catalog", number)
        info = await store.head(key)
        await store.delete(key, when=Matches(info.version))


def on_a_loop(story: Any) -> None:
    # What it lacks of a loop is the machine.
    SimLoop(random.Random(1)).run(story())  # type: ignore[abstract]  # what it lacks is the machine


def clock() -> SimClock:
    """The simulated loop's time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    return SimClock(loop)


def timed(store: Any, idle_merge_ms: int = 1_000, grace_ms: int = 86_400_000) -> Machine:
    """A machine on the simulated loop's time."""
    machine = Machine(store, clock(), grace_ms=grace_ms)
    machine.compactor = Compactor(machine.shop, idle_merge_ms=idle_merge_ms)
    return machine.start()


# --- merging ----------------------------------------------------------------------------------------------------------


def test_a_merge_that_fails_publishes_nothing_and_whoever_waits_for_it_hears_of_it() -> None:
    async def story() -> None:
        store = GatedStore()
        machine = timed(store)
        await machine.put("a")
        store.refuse = ".parquet"
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(machine.compactor.settle(), 60)
        await asyncio.sleep(60)
        assert await head_number(machine) == 1
        store.refuse = None
        await asyncio.sleep(120)
        assert await head_number(machine) == 2  # the chore was tried again by itself

    on_a_loop(story)


async def test_a_delta_that_a_lost_merge_held_does_not_move_past_a_newer_one() -> None:
    store = FaultyStore(lambda _key, _body: None)
    first = Machine(store, VirtualClock()).start()
    held, released = asyncio.Event(), asyncio.Event()

    async def hold(key: Key) -> None:
        if key.endswith(".parquet"):
            held.set()
            await released.wait()

    store.before_put = hold
    await first.put("x", "old")
    settling = asyncio.ensure_future(first.compactor.settle())
    await held.wait()
    await first.put("x", "n" * INLINE_DELTA_BYTES_MAX)  # spilled behind the inline delta that is being merged
    settling.cancel()
    second = Machine(store, VirtualClock(), seed=1).start()
    await second.put("y", "y" * INLINE_DELTA_BYTES_MAX)
    assert (await second.rows())[("g", "x")].startswith("n")


def test_a_merge_that_cannot_land_does_not_keep_writers_waiting() -> None:
    async def story() -> None:
        store = GatedStore()
        machine = timed(store, idle_merge_ms=500_000)
        await machine.put("a")
        store.unsure = "manifests/catalog/"
        settling = asyncio.ensure_future(machine.compactor.settle())
        await asyncio.sleep(30)
        store.unsure = None
        done = await asyncio.wait_for(machine.put("b"), 30)
        assert done.outcomes[0].status == "accepted"
        await asyncio.wait({settling}, timeout=3_000_000)
        assert settling.done()
        settling.exception()

    on_a_loop(story)


def test_settling_after_a_failed_commit_still_leaves_no_deltas() -> None:
    async def story() -> None:
        store = GatedStore()
        machine = timed(store, idle_merge_ms=500_000)
        await machine.put("a")
        store.unsure = "manifests/catalog/"
        failing = asyncio.ensure_future(machine.put("b"))
        settling = asyncio.ensure_future(machine.compactor.settle())
        with pytest.raises(OutcomeUnknown):
            await failing
        store.unsure = None
        await asyncio.wait_for(settling, 600)
        snapshot = await machine.reader(cold=True).head()
        assert snapshot is not None and not snapshot.state.manifest.deltas

    on_a_loop(story)


def test_a_chain_that_falls_idle_after_a_failed_commit_is_merged_too() -> None:
    async def story() -> None:
        store = GatedStore()
        machine = timed(store)
        await machine.put("a")
        store.unsure = "manifests/catalog/"
        with pytest.raises(OutcomeUnknown):
            await machine.put("b")
        store.unsure = None
        await asyncio.sleep(60)
        snapshot = await machine.reader(cold=True).head()
        assert snapshot is not None and not snapshot.state.manifest.deltas

    on_a_loop(story)


def test_settling_on_a_state_that_others_have_left_behind_merges_what_there_is_now() -> None:
    async def story() -> None:
        store = MemoryStore()
        stale, busy = timed(store, idle_merge_ms=500_000), Machine(store, clock(), seed=7).start()
        await stale.put("a")
        await stale.compactor.settle()
        await busy.put("b")
        await asyncio.wait_for(stale.compactor.settle(), 60)
        snapshot = await stale.reader(cold=True).head()
        assert snapshot is not None and not snapshot.state.manifest.deltas
        assert set(await stale.rows()) == {("g", "a"), ("g", "b")}
        await stale.compactor.stop()
        await busy.compactor.stop()

    on_a_loop(story)


async def test_after_the_stop_no_compactor_is_made_and_none_takes_anything() -> None:
    machine = Machine(MemoryStore(), VirtualClock())
    compactors = Compactors(lambda _scope: machine.shop, only=None, idle_merge_ms=1_000_000)
    known = compactors.of(Scope("acme", "known"))
    assert (await known.submit([machine.unit({"action": "put", "name": "a"})], 10)).published
    await asyncio.wait_for(compactors.stop(), 30)
    with pytest.raises(OutcomeUnknown):
        compactors.of(Scope("acme", "new"))
    assert compactors.scopes == [Scope("acme", "known")], "nothing runs that nobody would stop"
    late = compactors.of(Scope("acme", "known"))
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(late.submit([machine.unit({"action": "put", "name": "b"})], 10), 30)
    assert await machine.rows() == {("g", "a"): ""}


def test_settling_under_steady_load_ends() -> None:
    async def story() -> None:
        machine = timed(DelayedStore(MemoryStore(), clock(), 20))
        writing = True

        async def write(number: int) -> None:
            count = 0
            while writing:
                count += 1
                await machine.put(f"{number}.{count}")

        writers = [asyncio.ensure_future(write(number)) for number in range(3)]
        await asyncio.sleep(1)
        await asyncio.wait_for(machine.compactor.settle(), 30)
        writing = False
        await asyncio.gather(*writers)
        assert (await machine.verify()).ok

    on_a_loop(story)


def test_stopping_answers_whoever_waits_for_a_merge_and_refuses_what_comes_later() -> None:
    async def story() -> None:
        store = GatedStore()
        machine = timed(store)
        await machine.put("a")
        held = asyncio.Event()

        async def hold(key: Key) -> None:
            if "snapshots/" in key:
                await held.wait()

        settling = asyncio.ensure_future(machine.compactor.settle())
        store.before_get = hold
        store.refuse = ".parquet"
        await asyncio.wait_for(machine.compactor.stop(), 60)
        with pytest.raises((StorageUnavailable, Unavailable)):
            await asyncio.wait_for(settling, 60)
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(machine.put("late"), 60)

    on_a_loop(story)


def test_who_gives_up_waiting_for_the_stop_breaks_off_no_commit() -> None:
    async def story() -> None:
        store = GatedStore()
        machine = timed(store)
        await machine.put("a")
        store.unsure = "manifests/catalog/"
        writing = asyncio.ensure_future(machine.put("b"))
        for _ in range(10):  # how many turns a task needs to begin is the loop's business
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(machine.compactor.stop(), 0.2)
        store.unsure = None
        done = await asyncio.wait_for(writing, 60)
        assert done.outcomes[0].status == "accepted"
        await machine.compactor.stop()

    on_a_loop(story)


# --- the commit loop --------------------------------------------------------------------------------------------------


def test_a_pointer_that_cannot_be_moved_slows_commits_and_fails_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointers_module, "POINTER_LAG_MAX", 2)

    async def story() -> None:
        store = GatedStore()
        machine = timed(store, idle_merge_ms=500_000)
        await machine.put("a")
        store.refuse = "pointer"
        for index in range(8):
            done = await asyncio.wait_for(machine.put(f"n{index}"), 5)
            assert done.outcomes[0].status == "accepted" and not done.outcomes[0].replayed
        assert asyncio.get_running_loop().time() > 5
        store.refuse = None
        await asyncio.sleep(5)
        found = await store.get(paths.pointer("catalog"))
        assert found is not None and decode_pointer(found.body).manifest_id == f"{9:020d}"

    on_a_loop(story)


class StumblingClock(VirtualClock):
    """A clock that fails once when it is told to: the stand-in for a mistake nobody thought of."""

    def __init__(self) -> None:
        super().__init__()
        self.stumbles = False
        self.stumbled = asyncio.Event()

    def steady_ms(self) -> int:
        if self.stumbles:
            self.stumbles = False
            self.stumbled.set()
            raise RuntimeError("nobody thought of this")
        return super().steady_ms()


async def test_a_commit_loop_that_meets_an_unexpected_error_goes_on() -> None:
    clock = StumblingClock()
    machine = Machine(MemoryStore(), clock).start()
    await machine.put("a")
    for _ in range(100):  # until the loop rests
        await asyncio.sleep(0)
    clock.stumbles = True
    settling = asyncio.ensure_future(machine.compactor.settle())
    await asyncio.wait_for(clock.stumbled.wait(), 30)
    done = await asyncio.wait_for(machine.put("b"), 30)
    assert done.outcomes[0].status == "accepted"
    await asyncio.wait_for(settling, 30)
    assert "compactor_stumbled" in [event for event, _ in machine.log.events]
    assert await machine.rows() == {("g", "a"): "", ("g", "b"): ""}
    await asyncio.wait_for(machine.compactor.stop(), 30)


async def test_a_commit_loop_that_somebody_ended_answers_who_waits_and_is_begun_anew() -> None:
    held, store = asyncio.Event(), GatedStore()
    machine = Machine(store, VirtualClock()).start()
    await machine.put("a")

    async def hold(key: Key) -> None:
        held.set()
        await asyncio.Event().wait()

    store.before_put = hold
    before = asyncio.all_tasks()
    waiting = [asyncio.ensure_future(machine.put(name)) for name in ("b", "c")]
    await held.wait()
    waiting.append(asyncio.ensure_future(machine.put("d")))
    await asyncio.sleep(0)
    for task in before - {asyncio.current_task()}:
        task.cancel()
    told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
    assert [type(one) for one in told] == [OutcomeUnknown] * 3
    store.before_put = None
    done = await asyncio.wait_for(machine.put("e"), 30)
    assert done.outcomes[0].status == "accepted"
    assert ("g", "e") in await machine.rows()
    await asyncio.wait_for(machine.compactor.stop(), 30)


async def test_a_corrupt_segment_fails_the_unit_that_needs_it_and_not_its_neighbours() -> None:
    machine = Machine(MemoryStore(), VirtualClock()).start()
    await machine.put("a", group="bad")
    await machine.put("b", group="good")
    await machine.compactor.settle()
    await machine.compactor.stop()
    snapshot = await machine.reader(cold=True).head()
    assert snapshot is not None
    (ref,) = snapshot.state.tree(PAIRS.name).refs
    found = await machine.store.get(Key(ref.path))
    assert found is not None
    await machine.store.put(Key(ref.path), found.body[:-1] + b"?", when=Matches(found.version))
    other = Machine(machine.store, machine.clock, 9).start()
    units = [{"action": "put", "group": "bad", "name": "a"}, {"action": "put", "group": "zz", "name": "c"}]
    results = await asyncio.gather(*(other.submit(other.unit(unit)) for unit in units), return_exceptions=True)
    assert isinstance(results[0], CorruptData)
    assert not isinstance(results[1], BaseException) and results[1].outcomes[0].status == "accepted"


async def test_a_commit_in_flight_through_a_long_sleep_is_not_believed_although_its_parent_was_read_late() -> None:
    clock = VirtualClock()
    store = GatedStore()
    writer = Machine(store, clock, 1, grace_ms=1_000).start()
    await writer.put("a")
    sleeper = Machine(store, clock, 2, grace_ms=1_000).start()
    slept: list[str] = []

    async def sleep_once(key: Key) -> None:
        # The sleeper has just read that manifest 2 is absent when its machine is suspended.
        if key == paths.manifest("catalog", 2) and not slept:
            slept.append(key)
            store.after_get = None
            for index in range(4):
                await writer.put(f"b{index}")
            await writer.compactor.stop()
            clock.ms += 10_000
            await collected(store, 4)

    store.after_get = sleep_once
    done = await sleeper.put("late")
    assert slept
    assert done.manifest_id == f"{6:020d}"
    assert set(await sleeper.rows()) == {("g", "a"), *(("g", f"b{index}") for index in range(4)), ("g", "late")}


async def test_a_manifest_that_names_no_possible_parent_is_void() -> None:
    machine = Machine(MemoryStore(), VirtualClock()).start()
    await machine.put("a")
    found = await machine.store.get(paths.manifest("catalog", 1))
    assert found is not None
    alien = found.body.replace(b'"manifestId":"00000000000000000001"', b'"manifestId":"00000000000000000002"')
    alien = alien.replace(b'"manifests/catalog/00000000000000000000.json"', b'"nowhere"')
    await machine.store.put(paths.manifest("catalog", 2), alien, when=Absent())
    assert (await machine.put("b")).manifest_id == f"{3:020d}"
    assert set(await machine.rows()) == {("g", "a"), ("g", "b")}


async def test_a_workspace_whose_pointer_is_lost_is_not_begun_anew() -> None:
    machine = Machine(MemoryStore(), VirtualClock()).start()
    await machine.put("a")
    await machine.put("b")
    await machine.compactor.stop()
    for key in (paths.pointer("catalog"), *(paths.manifest("catalog", number) for number in range(2))):
        info = await machine.store.head(key)
        assert info is not None
        await machine.store.delete(key, when=Matches(info.version))
    other = Machine(machine.store, machine.clock, 2).start()
    with pytest.raises(CorruptData):
        await other.put("c")


async def test_a_workspace_whose_making_was_cut_short_gets_its_root_manifest_later() -> None:
    store = GatedStore()
    store.refuse = "root.manifest"
    machine = Machine(store, VirtualClock()).start()
    with pytest.raises(OutcomeUnknown):
        await machine.put("a")
    store.refuse = None
    await Machine(store, machine.clock, 2).start().put("a")
    assert await store.get(paths.ROOT_MANIFEST) is not None


async def test_spilled_deltas_of_our_own_are_not_read_back() -> None:
    store = CountingStore(MemoryStore())
    machine = Machine(store, VirtualClock()).start()
    reader = machine.reader()
    for index in range(8):
        await machine.put(f"n{index}", "x" * 20_000)
    store.forget()
    assert await reader.head() is not None
    assert not [operation for operation in store.operations if "_deltas" in operation.key]


async def test_rows_looked_up_one_by_one_stay_with_the_question_although_the_cache_keeps_nothing() -> None:
    machine = Machine(MemoryStore(), VirtualClock()).start()
    await machine.submit(*(machine.unit({"action": "put", "name": f"n{index:03d}"}) for index in range(100)))
    await machine.compactor.settle()
    chain = Chain(machine.store, CATALOG_CHAIN)
    loader = Loader(machine.store, ScopedCache(ObjectCache(1), "t/"), machine.shop.specs)
    snapshot = await ChainReader(chain, loader, clock=machine.clock, grace_ms=1_000).head()
    assert snapshot is not None
    wanted = [f"n{index:03d}" for index in range(0, 100, 7)]

    def ask(state: ChainState) -> list[str]:
        return [row.name for name in wanted if (row := state.get(PAIRS, ("g", name))) is not None]

    assert await loader.answer(snapshot.state, ask) == wanted


# --- readers ----------------------------------------------------------------------------------------------------------


def test_a_waiting_reader_is_not_overtaken_for_ever_by_newcomers() -> None:
    async def story() -> None:
        store = GatedStore()
        machine = timed(store)
        await machine.put("a")
        reader = machine.reader()
        await reader.head()
        probes = 0
        newcomers = []

        async def arrive() -> None:
            for _ in range(30):
                newcomers.append(asyncio.ensure_future(reader.head()))
                await asyncio.sleep(0)

        async def slow(key: Key) -> None:
            nonlocal probes
            probes += 1
            await asyncio.sleep(1)
            if not waiting.done():
                # More requests arrive in the very moment in which a probe ends.
                newcomers.append(asyncio.ensure_future(arrive()))

        store.before_get = slow
        first = asyncio.ensure_future(reader.head())
        await asyncio.sleep(0.5)
        waiting = asyncio.ensure_future(reader.head())
        await asyncio.wait({waiting}, timeout=10)
        took = asyncio.get_running_loop().time()
        store.before_get = None
        await asyncio.gather(first, waiting, *newcomers)
        assert took < 4

    on_a_loop(story)


async def test_a_reader_suspended_in_the_middle_of_its_probe_does_not_believe_it() -> None:
    clock = VirtualClock()
    store = GatedStore()
    writer = Machine(store, clock, 1, grace_ms=1_000).start()
    await writer.put("a")
    reader = writer.reader(cold=True)
    await reader.head()

    async def sleep_once(key: Key) -> None:
        store.before_get = None
        for index in range(4):
            await writer.put(f"b{index}")
        await writer.compactor.stop()
        clock.ms += 10_000
        await collected(store, 4)

    store.before_get = sleep_once
    snapshot = await reader.head()
    assert snapshot is not None and snapshot.manifest_id == f"{5:020d}"


async def test_a_manifest_id_of_digits_that_are_no_number_is_not_found() -> None:
    machine = Machine(MemoryStore(), VirtualClock()).start()
    await machine.put("a")
    assert await machine.reader().at_manifest("²") is None


async def test_the_state_at_a_time_does_not_depend_on_whose_clock_was_wrong() -> None:
    clock = VirtualClock()
    machine = Machine(MemoryStore(), clock).start()
    for step in (0, 10_000, -8_000, 1_000, -500, 20_000):
        clock.ms += step
        await machine.put(f"n{step}")
    stamps = []
    for number in range(7):
        snapshot = await machine.reader().at_manifest(f"{number:020d}")
        assert snapshot is not None
        stamps.append(snapshot.published_ms)
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("merged", [False, True])
async def test_a_scan_beyond_a_partial_key_leaves_out_all_that_begins_with_it(merged: bool) -> None:
    machine = Machine(MemoryStore(), VirtualClock()).start()
    for group in "abc":
        await machine.put("x", group=group)
        await machine.put("y", group=group)
    if merged:
        await machine.compactor.settle()
    snapshot = await machine.reader().head()
    assert snapshot is not None
    assert [(row.group, row.name) for row in await snapshot.scan(PAIRS, after=("b",))] == [("c", "x"), ("c", "y")]
    down = await snapshot.scan(PAIRS, after=("b",), descending=True)
    assert [(row.group, row.name) for row in down] == [("a", "y"), ("a", "x")]


# --- the desk ---------------------------------------------------------------------------------------------------------


class DirectPort:
    """The compactor of a machine, called without a network; may be told to break."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.calls: list[int] = []

    async def compact(self, _domain: str, objects: Sequence[LedgerBody]) -> list[Outcome]:
        self.calls.append(sum(len(each.body) for each in objects))
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        units = [unit for each in objects for unit in decode_units(each.body, "")]
        return list((await self.machine.submit(*units)).outcomes)


def draft(name: str, value: str = "") -> UnitDraft:
    payload = {"action": "put", "group": "g", "name": name, "value": value}
    return UnitDraft(domain="catalog", events=(EventDraft(event_type="pair", event_version=1, payload=payload),))


def desk_over(store: Any) -> tuple[LedgerDesk, DirectPort]:
    machine = Machine(store, VirtualClock()).start()
    port = DirectPort(machine)
    return LedgerDesk(store, port, clock=machine.clock, ids=machine.ids), port


async def test_each_caller_of_an_undecided_append_is_told_its_own_event_id() -> None:
    store = GatedStore()
    desk, _port = desk_over(store)
    store.unsure = "ledger/"
    calls = [desk.submit([draft(f"n{index}")], source="api:test") for index in range(12)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    ids = [error.details["event_id"] for error in results if isinstance(error, OutcomeUnknown)]
    assert len(set(ids)) == 12


@pytest.mark.parametrize("error", [CorruptData("unreadable"), RuntimeError("bug"), CompactorGone("gone")])
async def test_whatever_goes_wrong_after_the_append_is_reported_as_unknown(error: Exception) -> None:
    desk, port = desk_over(MemoryStore())
    port.error = error
    with pytest.raises(OutcomeUnknown) as raised:
        await desk.submit([draft("a")], source="api:test")
    assert raised.value.details["event_id"]


async def test_an_unreadable_or_crashed_compactor_is_gone_and_not_a_definite_failure() -> None:
    async def crashing(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("bug")

    async def babbling(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>"})

    for app in (crashing, babbling):
        client = CompactorClient(InProcessTransport(app), Scope("t", "w"), VirtualClock())
        with pytest.raises(CompactorGone):
            await client.compact("catalog", [LedgerBody("ledger/catalog/x.json", "", b"{}")])


def test_a_compactor_of_the_same_process_that_never_answers_is_gone_and_lets_go_of_its_callers() -> None:
    async def story() -> None:
        left = asyncio.Event()

        async def stuck(_scope: Any, _receive: Any, _send: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                left.set()

        client = CompactorClient(InProcessTransport(stuck), Scope("t", "w"), clock())
        with pytest.raises(CompactorGone, match="no answer within"):
            await asyncio.wait_for(client.compact("catalog", [LedgerBody("ledger/catalog/x.json", "", b"{}")]), 300)
        assert left.is_set(), "nobody goes on for a caller who has left"

    on_a_loop(story)


async def test_a_ledger_object_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "BATCH_BYTES_MAX", 100_000)
    desk, port = desk_over(MemoryStore())
    await asyncio.gather(*(desk.submit([draft(f"n{index}", "x" * 20_000)], source="api:test") for index in range(40)))
    assert max(port.calls) <= 130_000


async def test_a_caller_that_left_still_counts_until_its_units_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "QUEUE_UNITS_MAX", 3)
    desk, port = desk_over(MemoryStore())
    hold = port.hold = asyncio.Event()
    gone = [asyncio.ensure_future(desk.submit([draft(f"n{index}")], source="api:test")) for index in range(3)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    with pytest.raises(Overloaded):
        await asyncio.wait_for(desk.submit([draft("one too many")], source="api:test"), 0.2)
    hold.set()
    await asyncio.sleep(0.05)
    assert (await desk.submit([draft("later")], source="api:test"))[0].status == "accepted"
