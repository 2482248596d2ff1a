"""Following a run: every change once, from any point, at the cost of one probe for all who follow."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from arco.routes.public.live import Live
from arco.storage.counting import Operation

from .flow import WORKSPACE, Attempt, deploy, trigger
from .following import Follower, following
from .world import World, a_world

RAW, DAILY, SCORES = "raw.events", "analytics.daily", "ml.scores"
HEAD = "manifests/orchestration/"


def events_of(run_id: str) -> str:
    return f"{WORKSPACE}/runs/{run_id}/events"


@pytest.fixture
async def run_id(api: httpx.AsyncClient) -> str:
    """A run of three tasks in a row."""
    await deploy(api)
    return await trigger(api, SCORES, includeUpstream=True)


async def test_a_run_is_told_as_it_stands_then_as_it_changes_and_then_its_end(
    world: World, api: httpx.AsyncClient, run_id: str
) -> None:
    async with following(world.api, events_of(run_id)) as follower:
        await follower.has(4)
        assert follower.states() == [("", "RUNNING"), (DAILY, "PENDING"), (SCORES, "PENDING"), (RAW, "QUEUED")]
        for key in (RAW, DAILY, SCORES):
            attempt = Attempt(world, api, run_id, key)
            assert await attempt.dispatch() == "accepted"
            await attempt.told("started")
            await follower.until(lambda one, key=key: (key, "RUNNING") in one.states())
            await attempt.told("completed", outcome="SUCCEEDED")
            await follower.until(lambda one, key=key: (key, "SUCCEEDED") in one.states())
        assert (await follower.ended())[-2:] == ["task", "end"] or follower.names[-1] == "end"
        assert follower.states()[-1] == ("", "SUCCEEDED")
        assert follower.events[-1].data["taskCounts"]["succeeded"] == 3
        ids = [event.id for event in follower.events]
        assert len(set(ids)) == len(ids)
        assert follower.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert follower.headers["cache-control"].startswith("no-cache")


async def test_a_task_is_told_as_the_run_shows_it(world: World, api: httpx.AsyncClient, run_id: str) -> None:
    raw = Attempt(world, api, run_id, RAW)
    await raw.through("FAILED", error={"category": "DATA_QUALITY", "message": "no rows"})
    async with following(world.api, events_of(run_id)) as follower:
        await follower.ended()
    shown = (await api.get(f"{WORKSPACE}/runs/{run_id}")).json()
    told = {event.data["taskKey"]: event.data for event in follower.events if event.name == "task"}
    assert told == {task["taskKey"]: {key: task[key] for key in task if key != "waiting"} for task in shown["tasks"]}
    assert told[DAILY]["skipAttribution"] == {"upstreamTaskKey": RAW, "upstreamResolution": "FAILED"}


async def test_from_every_event_on_a_stream_goes_on_without_loss_and_without_repetition(
    world: World, api: httpx.AsyncClient, run_id: str
) -> None:
    async with following(world.api, events_of(run_id)) as follower:
        for key in (RAW, DAILY, SCORES):
            await Attempt(world, api, run_id, key).through()
        await follower.ended()
    whole = [(event.name, event.data) for event in follower.events]
    for index, event in enumerate(follower.events[:-1]):
        async with following(world.api, events_of(run_id), headers={"last-event-id": event.id}) as again:
            await again.ended()
        resumed = [(one.name, one.data) for one in again.events]
        # What changed more than once since is told as it stands now; nothing that was told is told again.
        assert resumed == whole[index + 1 :] or _latest(resumed) == _latest(whole[index + 1 :])
        assert len(resumed) <= len(whole) - index - 1
        assert resumed[-1] == whole[-1]
    async with following(world.api, events_of(run_id), headers={"last-event-id": follower.last_id}) as finished:
        assert (finished.status, finished.events) == (204, [])


def _latest(events: list[tuple[str, dict[str, object]]]) -> dict[object, object]:
    return {(name, data.get("taskKey")): data for name, data in events}


async def test_a_stream_that_broke_within_one_step_goes_on_within_it(
    world: World, api: httpx.AsyncClient, run_id: str
) -> None:
    async with following(world.api, events_of(run_id)) as follower:
        first = (await follower.has(4))[:4]
    for index in range(4):
        headers = {"last-event-id": first[index].id}
        async with following(world.api, events_of(run_id), headers=headers) as again:
            if index < 3:
                await again.has(3 - index)
            assert [event.id for event in again.events] == [event.id for event in first[index + 1 :]]


async def test_another_server_goes_on_where_the_first_one_was_killed(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, SCORES, includeUpstream=True)
    async with following(world.api, events_of(run)) as follower:
        await follower.has(4)
        raw = Attempt(world, api, run, RAW)
        await raw.through()
        await follower.until(lambda one: (RAW, "SUCCEEDED") in one.states())
    async with a_world(store=world.store) as other:
        headers = {"last-event-id": follower.last_id}
        async with following(other.api, events_of(run), headers=headers) as again, other.client() as client:
            for key in (DAILY, SCORES):
                await Attempt(other, client, run, key).through()
            await again.ended()
        assert (RAW, "SUCCEEDED") not in again.states()
        assert (SCORES, "SUCCEEDED") in again.states()


async def test_what_is_no_longer_known_is_told_anew(world: World, run_id: str) -> None:
    for last in ("1-999999.0", "900-901.3", "5-4.0"):
        async with following(world.api, events_of(run_id), headers={"last-event-id": last}) as follower:
            await follower.has(5)
            assert follower.names[0] == "reset"
            assert follower.states()[0] == ("", "RUNNING")


@pytest.mark.parametrize("last", ["x", "1-2", "-1-2.3", "1-2.3.4", "9" * 40, "1-2.x", "☃"])
async def test_an_id_that_is_none_is_refused(world: World, run_id: str, last: str) -> None:
    headers = {"last-event-id": last.encode().decode("latin-1")}
    async with following(world.api, events_of(run_id), headers=headers) as follower:
        assert (follower.status, follower.body["code"]) == (400, "BAD_REQUEST")
        assert "Last-Event-ID" in follower.body["message"]


async def test_a23_a_run_of_nobody_or_of_another_workspace_is_not_found(world: World, run_id: str) -> None:
    for path in (events_of("01J00000000000000000000000"), events_of(run_id).replace("default", "other")):
        async with following(world.api, path) as follower:
            assert follower.status == 404
    async with following(world.api, events_of(run_id), headers={"x-tenant-id": "acme"}) as follower:
        assert follower.status == 404


async def test_a_task_that_is_tried_once_more_makes_an_ended_run_go_on(
    world: World, api: httpx.AsyncClient, run_id: str
) -> None:
    await Attempt(world, api, run_id, RAW).through("FAILED", error={"category": "DATA_QUALITY", "message": "no"})
    async with following(world.api, events_of(run_id)) as follower:
        await follower.ended()
    assert (await api.post(f"{WORKSPACE}/runs/{run_id}/tasks/{RAW}/retry")).status_code == 200
    async with following(world.api, events_of(run_id), headers={"last-event-id": follower.last_id}) as again:
        await again.has(3)
        assert ("", "FAILED") not in again.states()
        assert (RAW, "QUEUED") in again.states()
        assert not again.over


@pytest.fixture
async def watching(world: World) -> AsyncIterator[World]:
    """Another process over the same store, which only looks: what it does is counted apart."""
    async with a_world({"ARCO_STREAM_POLL_MS": "100"}, store=world.store) as other:
        yield other


async def test_followers_of_a_workspace_cost_one_probe_a_look_and_nothing_else(
    watching: World, api: httpx.AsyncClient, run_id: str
) -> None:
    live: Live = watching.api.state.services.live
    other = await trigger(api, RAW)
    async with asyncio.TaskGroup() as group, _many(watching, group, [run_id] * 10 + [other] * 10) as followers:
        for follower in followers:
            await follower.has(2)
        assert (live.streams.count, live.watches.count, live.runs.count) == (20, 1, 2)
        watching.store.forget()
        begun_ms = watching.clock.steady_ms()
        await watching.clock.sleep_ms(600)
        assert watching.store.operations == _looks(watching)
        assert 1 <= len(watching.store.operations) <= 1 + (watching.clock.steady_ms() - begun_ms) // 100
    assert (live.streams.count, live.watches.count, live.runs.count) == (0, 0, 0)
    watching.store.forget()
    await watching.clock.sleep_ms(300)
    assert watching.store.operations == []  # nobody follows: nobody looks


async def test_what_changes_is_read_once_for_all_followers(
    world: World, watching: World, api: httpx.AsyncClient, run_id: str
) -> None:
    costs = []
    for count, run in ((1, run_id), (20, await trigger(api, RAW))):
        attempt = Attempt(world, api, run, RAW)
        assert await attempt.dispatch() == "accepted"
        async with asyncio.TaskGroup() as group, _many(watching, group, [run] * count) as followers:
            for follower in followers:
                await follower.until(lambda one: (RAW, "QUEUED") in one.states())
            watching.store.forget()
            await attempt.told("started")
            for follower in followers:
                await follower.until(lambda one: (RAW, "RUNNING") in one.states())
            costs.append([one for one in watching.store.operations if one not in _looks(watching)])
    assert max(len(cost) for cost in costs) <= 6, costs
    assert {one.name for cost in costs for one in cost} <= {"get", "get_range", "head", "settle"}


def _looks(world: World) -> list[Operation]:
    """Probes for another manifest of the runs' chain."""
    found = [one for one in world.store.operations if one.name == "get"]
    return [one for one in found if one.key.split("/", 2)[2].startswith(HEAD)]


class _many:  # noqa: N801  # reads as the function it is
    """Many followers at once."""

    def __init__(self, world: World, group: asyncio.TaskGroup, run_ids: list[str]) -> None:
        self._leave = asyncio.Event()
        self._ready: list[asyncio.Future[Follower]] = []
        for run_id in run_ids:
            ready: asyncio.Future[Follower] = asyncio.get_running_loop().create_future()
            self._ready.append(ready)
            group.create_task(self._follow(world, run_id, ready))

    async def _follow(self, world: World, run_id: str, ready: "asyncio.Future[Follower]") -> None:
        async with following(world.api, events_of(run_id)) as follower:
            ready.set_result(follower)
            await self._leave.wait()

    async def __aenter__(self) -> list[Follower]:
        return [await ready for ready in self._ready]

    async def __aexit__(self, *_: object) -> None:
        self._leave.set()


async def test_a_publication_of_this_process_is_told_within_a_moment(
    world: World, api: httpx.AsyncClient, run_id: str
) -> None:
    async with (
        a_world({"ARCO_STREAM_POLL_MS": "60000"}, store=world.store) as slow,
        slow.client() as client,
        following(slow.api, events_of(run_id)) as follower,
    ):
        await follower.has(4)
        attempt = Attempt(slow, client, run_id, RAW)
        assert await attempt.dispatch() == "accepted"
        await attempt.told("started")
        await follower.until(lambda one: (RAW, "RUNNING") in one.states())  # long before the next look
