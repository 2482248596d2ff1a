"""Following logs: every line once, from any point, also of workers that die; read once for all who follow."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from arco.domains.orchestration.logs import LogPlace
from arco.routes.public.live import Live
from arco.routes.public.log_events import CLOSING_MS

from .flow import WORKSPACE, Attempt, deploy, trigger
from .following import Follower, following
from .world import World, a_world

RAW, DAILY, SCORES = "raw.events", "analytics.daily", "ml.scores"
BOOM = {"category": "USER_CODE", "message": "boom"}


@pytest.fixture
async def run_id(api: httpx.AsyncClient) -> str:
    await deploy(api)
    return await trigger(api, SCORES, includeUpstream=True)


@pytest.fixture
async def raw(world: World, api: httpx.AsyncClient, run_id: str) -> Attempt:
    """An attempt that runs."""
    attempt = Attempt(world, api, run_id, RAW)
    assert await attempt.dispatch() == "accepted"
    await attempt.told("started")
    return attempt


def logs_of(run_id: str) -> str:
    return f"{WORKSPACE}/runs/{run_id}/logs/events"


async def write(attempt: Attempt, number: int, text: str, **more: Any) -> None:
    parts = [{"stream": "stdout", "text": text}] if text else []
    await attempt.told("logs", **{"piece": number, "writer": "w", "parts": parts, **more})


async def keep(attempt: Attempt, stdout: str, stderr: str = "") -> None:
    body = {"taskKey": attempt.task_key, "attempt": attempt.number, "stdout": stdout, "stderr": stderr}
    assert (await attempt.api.post(f"{WORKSPACE}/runs/{attempt.run_id}/logs", json=body)).status_code == 200


def text_of(follower: Follower, key: str = RAW, attempt: int = 1, stream: str = "stdout") -> str:
    told = [event.data for event in follower.events if event.name == "log"]
    parts = [part for data in told if (data["taskKey"], data["attempt"]) == (key, attempt) for part in data["parts"]]
    return "".join(part["text"] for part in parts if part["stream"] == stream)


async def finish(world: World, api: httpx.AsyncClient, run_id: str, *keys: str) -> None:
    for key in keys:
        await Attempt(world, api, run_id, key).through(metrics={"logBytes": 0})


async def test_what_a_task_writes_is_told_as_it_comes_and_the_stream_ends_with_the_run(
    world: World, api: httpx.AsyncClient, raw: Attempt
) -> None:
    async with following(world.api, logs_of(raw.run_id)) as follower:
        for number in (1, 2, 3):
            await write(raw, number, f"line {number}\n")
            await follower.until(lambda one, number=number: f"line {number}\n" in text_of(one))
        await raw.told("completed", outcome="SUCCEEDED", metrics={"logBytes": 28})
        await write(raw, 4, "line 4\n", last=True)
        await keep(raw, "line 1\nline 2\nline 3\nline 4\n")
        await finish(world, api, raw.run_id, DAILY, SCORES)
        assert (await follower.ended())[-1] == "end"
    assert text_of(follower) == "line 1\nline 2\nline 3\nline 4\n"
    assert follower.events[-1].data == {"state": "SUCCEEDED"}
    assert len({event.id for event in follower.events}) >= len(follower.events) - 1


async def test_from_every_event_on_a_stream_goes_on_without_loss_and_without_repetition(
    world: World, api: httpx.AsyncClient, raw: Attempt
) -> None:
    for number in (1, 2, 3):
        await write(raw, number, f"{number}", last=number == 3)
    await raw.told("completed", outcome="FAILED", error=BOOM, metrics={"logBytes": 3})
    second = Attempt(world, api, raw.run_id, RAW, 2)
    assert await second.dispatch() == "accepted"
    await second.told("started")
    await second.told("completed", outcome="SUCCEEDED", metrics={"logBytes": 5})
    await keep(second, "whole " * 6_000, "errors")
    await finish(world, api, raw.run_id, DAILY, SCORES)
    async with following(world.api, logs_of(raw.run_id)) as follower:
        await follower.ended()
    assert (text_of(follower), text_of(follower, attempt=2, stream="stderr")) == ("123", "errors")
    assert text_of(follower, attempt=2) == "whole " * 6_000
    assert len(follower.events) == 3 + 4 + 1
    for index, event in enumerate(follower.events[:-1]):
        async with following(world.api, logs_of(raw.run_id), headers={"last-event-id": event.id}) as again:
            await again.ended()
        assert [one.data for one in again.events] == [one.data for one in follower.events[index + 1 :]]
    headers = {"last-event-id": follower.last_id}
    async with following(world.api, logs_of(raw.run_id), headers=headers) as finished:
        assert finished.status == 204


async def test_one_task_is_followed_alone(world: World, api: httpx.AsyncClient, raw: Attempt) -> None:
    await write(raw, 1, "of raw", last=True)
    await raw.told("completed", outcome="SUCCEEDED", metrics={"logBytes": 6})
    daily = Attempt(world, api, raw.run_id, DAILY)
    await daily.through(metrics={"logBytes": 8})
    await keep(daily, "of daily")
    await finish(world, api, raw.run_id, SCORES)
    async with following(world.api, logs_of(raw.run_id), taskKey=DAILY) as follower:
        await follower.ended()
    assert [event.data.get("taskKey") for event in follower.events] == [DAILY, None]
    async with following(world.api, logs_of(raw.run_id), taskKey="no.such") as refused:
        assert refused.status == 404


async def test_a_log_that_broke_off_is_said_and_the_next_attempt_is_told(
    world: World, api: httpx.AsyncClient, raw: Attempt
) -> None:
    await write(raw, 1, "last words")
    await raw.told("completed", outcome="FAILED", error=BOOM)
    second = Attempt(world, api, raw.run_id, RAW, 2)
    assert await second.dispatch() == "accepted"
    await second.told("started")
    await write(second, 1, "again", last=True)
    await second.told("completed", outcome="SUCCEEDED", metrics={"logBytes": 5})
    await finish(world, api, raw.run_id, DAILY, SCORES)
    world.clock.ahead_ms += CLOSING_MS
    async with following(world.api, logs_of(raw.run_id)) as follower:
        await follower.ended()
    assert follower.names == ["log", "gap", "log", "end"]
    assert follower.events[1].data["message"] == "the live log broke off"
    for index in range(3):
        headers = {"last-event-id": follower.events[index].id}
        async with following(world.api, logs_of(raw.run_id), headers=headers) as again:
            assert (await again.ended()) == follower.names[index + 1 :]


async def test_a_silent_task_keeps_nobody_waiting(world: World, api: httpx.AsyncClient, run_id: str) -> None:
    await finish(world, api, run_id, RAW, DAILY, SCORES)
    world.store.forget()
    async with following(world.api, logs_of(run_id)) as follower:
        assert await follower.ended() == ["end"]
    assert [one for one in world.store.operations if "logs/" in one.key] == []


@pytest.fixture
async def watching(world: World) -> AsyncIterator[World]:
    """Another process over the same store: what it does is counted apart, and nobody nudges it."""
    async with a_world({"ARCO_STREAM_POLL_MS": "100"}, store=world.store) as other:
        yield other


async def test_pieces_that_come_through_another_process_are_found_by_looking(watching: World, raw: Attempt) -> None:
    async with following(watching.api, logs_of(raw.run_id)) as follower:
        for number in (1, 2, 3):
            await write(raw, number, str(number))
            await follower.until(lambda one, number=number: text_of(one).endswith(str(number)))
    assert text_of(follower) == "123"


async def test_many_followers_of_a_log_cost_what_one_does(watching: World, raw: Attempt) -> None:
    live: Live = watching.api.state.services.live
    async with (
        following(watching.api, logs_of(raw.run_id)) as one,
        following(watching.api, logs_of(raw.run_id)) as other,
        following(watching.api, logs_of(raw.run_id), taskKey=RAW) as third,
    ):
        await write(raw, 1, "x")
        for follower in (one, other, third):
            await follower.has(1)
        watching.store.forget()
        begun_ms = watching.clock.steady_ms()
        await watching.clock.sleep_ms(600)
        looks = 1 + (watching.clock.steady_ms() - begun_ms) // 100
        pieces = [op for op in watching.store.operations if "live-logs/" in op.key]
        heads = [op for op in watching.store.operations if op not in pieces]
        assert 1 <= len(pieces) <= looks
        assert 1 <= len(heads) <= looks
        assert {op.key[-11:] for op in pieces} == {"000002.json"}
        assert {op.name for op in watching.store.operations} == {"get"}
        assert live.logs.count == 1
    assert (live.logs.count, live.watches.count, live.streams.count) == (0, 0, 0)
    watching.store.forget()
    await watching.clock.sleep_ms(300)
    assert watching.store.operations == []


async def test_what_comes_through_this_process_is_told_without_being_read(world: World, raw: Attempt) -> None:
    async with following(world.api, logs_of(raw.run_id), taskKey=RAW) as follower:
        await write(raw, 1, "a")
        await follower.has(1)
        world.store.forget()
        for number in range(2, 12):
            await write(raw, number, "b")
            await follower.has(number)
        reads = [op for op in world.store.operations if op.name == "get" and "live-logs/" in op.key]
        assert {int(op.key[-11:-5]) for op in reads} <= {op_number + 1 for op_number in range(1, 12)}
        assert len(reads) <= 12  # looks of the watch only, if any


async def test_logs_that_may_still_come_are_asked_for_once_a_second(
    world: World, watching: World, api: httpx.AsyncClient, run_id: str
) -> None:
    """What other workers wrote may come any time after the end: they do not say how much there is."""
    async with following(watching.api, logs_of(run_id)) as follower:
        await Attempt(world, api, run_id, RAW).through()
        raw, daily = LogPlace(run_id, RAW, 1), Attempt(world, api, run_id, DAILY)
        assert await daily.dispatch() == "accepted"
        await daily.told("started")
        async with asyncio.timeout(20):
            while not [op for op in watching.store.operations if op.key.endswith(raw.whole)]:
                await watching.clock.sleep_ms(20)
        watching.store.forget()
        begun_ms = watching.clock.steady_ms()
        for number in range(1, 9):
            await write(daily, number, "x")
            await follower.until(lambda one, number=number: text_of(one, DAILY) == "x" * number)
        asked = [op for op in watching.store.operations if f"/{RAW}/" in op.key]
        assert len(asked) <= 2 * (1 + (watching.clock.steady_ms() - begun_ms) // 1_000)


@pytest.mark.parametrize("last", ["x", "AAAA", "=", "eJwBAA"])
async def test_an_id_that_is_none_is_refused(world: World, run_id: str, last: str) -> None:
    async with following(world.api, logs_of(run_id), headers={"last-event-id": last}) as follower:
        assert (follower.status, follower.body["code"]) == (400, "BAD_REQUEST")


async def test_a23_logs_of_another_workspace_are_not_found(world: World, raw: Attempt) -> None:
    await write(raw, 1, "secret")
    for path, headers in (
        (logs_of(raw.run_id), {"x-tenant-id": "acme"}),
        (logs_of(raw.run_id).replace("default", "other"), {}),
        (logs_of("01J00000000000000000000000"), {}),
    ):
        async with following(world.api, path, headers=headers) as follower:
            assert follower.status == 404
