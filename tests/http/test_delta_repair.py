"""A Delta commit that was left in the middle: who may go on with it, when, and that somebody does."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.delta_logs import add, payload

from arco.core.limits import DELTA_RESERVATION_MS, DELTA_STAGED_MS
from arco.core.paths import Key, delta_log
from arco.roles import api as api_role
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, PutOutcome, StorageUnavailable, Stored, StoredObject, Unsure

from .test_delta import Committer, a_committer
from .world import SCOPE, World, a_world, problem

UNKNOWN = (503, "OUTCOME_UNKNOWN")


class SilentLogs(MemoryStore):
    """Writes of log files get no answer, and do not happen, while `silent`; reads of `unreadable` get none either."""

    silent = False
    unreadable = ""

    async def get(self, key: Key) -> StoredObject | None:
        if self.unreadable and key.endswith(self.unreadable):
            raise StorageUnavailable("no answer in time")
        return await super().get(key)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if self.silent and "_delta_log" in key:
            return Unsure("no answer in time")
        return await super().put(key, body, when=when)


class Left:
    """A table whose version 1 is reserved, staged and not written."""

    def __init__(self, world: World, store: SilentLogs, writer: Committer, name: str = "left") -> None:
        self.name = name
        self.world = world
        self.store = store
        self.writer = writer
        self.key = writer.ids.uuid7()
        self.staged: dict[str, Any] = {}

    async def leave(self) -> None:
        assert (await self.writer.write(-1)).status_code == 200
        self.staged = await self.writer.stage(payload(add(self.name)))
        self.store.silent = self.world.clock.leaving = True  # nobody waits between tries
        assert problem(await self.again())[:2] == UNKNOWN
        self.store.silent = False

    async def again(self) -> Any:
        return await self.writer.commit(0, self.staged, self.key)

    async def logged(self, version: int) -> str:
        held = await self.world.in_scope().get(delta_log("tables/orders", version))
        return "" if held is None else held.body.decode()


class StorageClock:
    """The storage's own time, which no machine's clock has a say in."""

    def __init__(self) -> None:
        self.ms = 1_767_225_600_000

    def now_ms(self) -> int:
        return self.ms

    def steady_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.ms += duration_ms


@pytest.fixture
async def left() -> AsyncIterator[Left]:
    store = SilentLogs()
    async with a_world(store=store) as world, world.client() as api:
        made = Left(world, store, await a_committer(world, api, location="tables/orders"))
        await made.leave()
        yield made


async def test_the_same_request_goes_on_at_once(left):
    assert (await left.again()).json()["version"] == 1
    assert await left.logged(1) == payload(add("left"))


async def test_others_are_told_to_come_back_while_the_reservation_is_young(left):
    answer = await left.writer.write(0, add("other"))
    assert problem(answer) == (409, "CONFLICT", "delta commit already reserved; retry later")
    assert answer.headers["retry-after"] == "1"
    shown = (await left.writer.api.get(left.writer.path)).json()
    assert (shown["latest_version"], shown["inflight"]["version"]) == (0, 1)


async def test_anybody_finishes_an_overdue_one_and_its_owner_is_told_its_version(left):
    left.world.clock.ahead_ms = DELTA_RESERVATION_MS + 1
    answer = await left.writer.write(0, add("other"))
    assert problem(answer) == (409, "CONFLICT", "stale read_version: expected 1, got 0")
    assert await left.logged(1) == payload(add("left"))
    assert (await left.again()).json()["version"] == 1
    assert (await left.writer.write(1, add("other"))).json()["version"] == 2


async def test_the_repair_loop_finishes_it_without_any_caller(left):
    world = left.world
    repairs = api_role.make_repairs(world.settings, world.process, world.api.state.services)
    assert await repairs.once() == 0
    left.world.clock.ahead_ms = DELTA_RESERVATION_MS + 1
    assert await repairs.once() == 1
    assert await left.logged(1) == payload(add("left"))
    assert await left.writer.latest() == 1
    assert await repairs.once() == 0


async def test_one_that_cannot_be_finished_does_not_keep_the_others_waiting(left):
    world, api = left.world, left.writer.api
    writer = await a_committer(world, api, name="refunds", location="tables/refunds")
    other = Left(world, left.store, writer, "other")
    await other.leave()
    first, second = sorted((left, other), key=lambda one: one.writer.path)
    left.store.unreadable = first.staged["staged_path"]
    world.clock.ahead_ms = DELTA_RESERVATION_MS + 1
    await api_role.make_repairs(world.settings, world.process, world.api.state.services).once()
    assert (await first.writer.latest(), await second.writer.latest()) == (0, 1)


async def test_a_reservation_whose_version_others_wrote_ends_and_its_owner_is_refused(left):
    foreign = payload(add("foreign"))
    put = await left.world.in_scope().put(delta_log("tables/orders", 1), foreign.encode(), when=Absent())
    assert isinstance(put, Stored)
    assert problem(await left.again()) == (409, "CONFLICT", "stale read_version: expected 1, got 0")
    shown = (await left.writer.api.get(left.writer.path)).json()
    assert "inflight" not in shown
    assert shown["latest_version"] == 1


async def test_a_dropped_table_does_not_stop_its_commit_from_being_finished(left):
    await left.writer.api.delete("/catalogs/analytics/schemas/sales/tables/orders")
    left.world.clock.ahead_ms = DELTA_RESERVATION_MS + 1
    world = left.world
    repairs = api_role.make_repairs(world.settings, world.process, world.api.state.services)
    assert await repairs.once() == 1
    assert (await left.again()).json()["version"] == 1


async def _payload_gone(left: Left) -> None:
    """An operator's lifecycle rule has removed what was staged."""
    info = await left.store.head(Key(SCOPE.prefix + left.staged["staged_path"]))
    assert info is not None
    await left.store.delete(info.key, when=Matches(info.version))


async def test_a_reservation_whose_payload_is_gone_ends_and_the_table_can_be_written_again(left):
    await _payload_gone(left)
    world = left.world
    repairs = api_role.make_repairs(world.settings, world.process, world.api.state.services)
    assert await repairs.once() == 0, "its writer may still be at it"
    world.clock.ahead_ms = DELTA_RESERVATION_MS + 1
    assert await repairs.once() == 1
    assert await repairs.once() == 0
    assert problem(await left.again())[0] == 404, "what was staged is gone: stage it again"
    assert (await left.writer.write(0, add("other"))).json()["version"] == 1


async def test_a_caller_is_not_kept_waiting_by_one_whose_payload_is_gone(left):
    await _payload_gone(left)
    left.world.clock.ahead_ms = DELTA_RESERVATION_MS + 1
    assert (await left.writer.write(0, add("other"))).json()["version"] == 1


async def test_a_written_version_whose_payload_is_gone_is_recorded_for_its_key(left):
    text = payload(add("left"))
    put = await left.world.in_scope().put(delta_log("tables/orders", 1), text.encode(), when=Absent())
    assert isinstance(put, Stored)
    await _payload_gone(left)
    world = left.world
    world.clock.ahead_ms = DELTA_RESERVATION_MS + 1
    await api_role.make_repairs(world.settings, world.process, world.api.state.services).once()
    assert (await left.again()).json()["version"] == 1, "the key tells the truth"


async def test_a_version_of_others_ends_one_whose_payload_is_gone(left):
    foreign = payload(add("foreign"))
    await left.world.in_scope().put(delta_log("tables/orders", 1), foreign.encode(), when=Absent())
    await _payload_gone(left)
    left.world.clock.ahead_ms = DELTA_RESERVATION_MS + 1
    assert (await left.writer.write(1, add("other"))).json()["version"] == 2


async def test_the_collector_empties_the_staging_area_but_for_what_is_young_or_reserved():
    storage = StorageClock()
    store = SilentLogs(storage)
    async with a_world(store=store) as world, world.client() as api, world.client(role="compactor") as compactor:
        left = Left(world, store, await a_committer(world, api, location="tables/orders"))
        await left.leave()
        forgotten = await left.writer.stage(payload(add("forgotten")))
        storage.ms += DELTA_STAGED_MS + 1
        young = await left.writer.stage(payload(add("young")))
        looked = (await compactor.post("/internal/retention/collect", json={})).json()
        over = {one["key"] for one in looked["litter"]}
        assert forgotten["staged_path"] in over and left.staged["staged_path"] not in over
        assert await world.in_scope().get(Key(forgotten["staged_path"])) is not None, "that was a dry run"
        await compactor.post("/internal/retention/collect", json={"dryRun": False})
        there = {info.key for info in await world.in_scope().list_page("delta/staging/")}
        assert there == {left.staged["staged_path"], young["staged_path"]}
        assert (await left.again()).json()["version"] == 1, "what is reserved is kept until it is carried out"
