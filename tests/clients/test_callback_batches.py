"""A worker's reports: together where there are many, each with its own answer, and alone where that is not known."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from arco.clients.callback_batches import COUNT_MAX, GatheredCallbacks
from arco.clients.callbacks import Answer, Caller, NoAnswer, Task
from arco.core.clock import SystemClock

BATCH = "/api/v1/tasks/callbacks"
Batch = Callable[[list[dict[str, Any]]], Awaitable[web.Response]]


class Api:
    """Answers reports with their task, alone or together; `batch` decides about requests of many."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.batch: Batch = self.each
        self._news = asyncio.Condition()

    async def arrived(self, count: int) -> None:
        """Return once there were so many requests."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.seen) >= count)

    async def each(self, callbacks: list[dict[str, Any]]) -> web.Response:
        """Every callback by itself."""
        return web.json_response({"answers": [self.one(one["taskId"], one["token"]) for one in callbacks]})

    def one(self, task_id: str, token: str) -> dict[str, Any]:
        if token == "bad":
            return {"status": 401, "body": {"error": "invalid_token"}}
        if token == "busy":
            return {"status": 503, "body": {"code": "OVERLOADED"}, "retryAfter": 7}
        return {"status": 200, "body": {"task": task_id}}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        body = await request.json()
        self.seen.append((request.path, body))
        async with self._news:
            self._news.notify_all()
        if request.path == BATCH:
            return await self.batch(body["callbacks"])
        told = self.one(request.path.split("/")[4], request.headers["authorization"].removeprefix("Bearer "))
        return web.json_response(told["body"], status=told["status"])

    @property
    def requests(self) -> list[int]:
        """How many reports each request held; 0 for one that came alone."""
        return [len(body["callbacks"]) if path == BATCH else 0 for path, body in self.seen]


@asynccontextmanager
async def an_api() -> AsyncIterator[tuple[Api, GatheredCallbacks]]:
    api = Api()
    runner = web.ServerRunner(web.Server(api.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    callbacks = GatheredCallbacks(Caller(base_url=url, agent="a", workspace="w"), SystemClock(), linger_ms=40)
    try:
        yield api, callbacks
    finally:
        await callbacks.close()
        await runner.cleanup()


async def beats(callbacks: GatheredCallbacks, *tasks: str, what: str = "heartbeat") -> list[Any]:
    named = (Task(*(*task.split(":"), "good")[:2]) for task in tasks)
    reports = (callbacks.report(task, what, {"attempt": 1}) for task in named)
    return await asyncio.gather(*reports, return_exceptions=True)


async def test_heartbeats_of_a_moment_are_one_request_and_each_has_its_answer() -> None:
    async with an_api() as (api, callbacks):
        found = await beats(callbacks, "t1", "t2:bad", "t3:busy", "t4")
        assert [answer.status for answer in found] == [200, 401, 503, 200]
        assert [found[0].body, found[3].body] == [{"task": "t1"}, {"task": "t4"}]
        assert (found[1].error, found[2].retry_after_s, found[2].transient) == ("invalid_token", 7, True)
        assert api.requests == [4]
        (_, body) = api.seen[0]
        assert body["callbacks"][0] == {
            "taskId": "t1",
            "callback": "heartbeat",
            "token": "good",
            "body": {"attempt": 1},
        }


async def test_a_single_report_goes_alone() -> None:
    async with an_api() as (api, callbacks):
        for what in ("heartbeat", "started", "completed", "logs"):
            (answer,) = await beats(callbacks, "t1", what=what)
            assert answer.body == {"task": "t1"}
        assert [path.rpartition("/")[2] for path, _ in api.seen] == ["heartbeat", "started", "completed", "logs"]


async def test_completions_that_are_ready_at_the_same_time_go_together() -> None:
    async with an_api() as (api, callbacks):
        found = await beats(callbacks, *(f"t{number}" for number in range(7)), what="completed")
        assert [answer.body["task"] for answer in found] == [f"t{number}" for number in range(7)]
        assert api.requests == [7]


async def test_a_completion_waits_for_no_other_until_many_requests_are_under_way() -> None:
    async with an_api() as (api, callbacks):
        gate = asyncio.Event()

        async def held(callbacks: list[dict[str, Any]]) -> web.Response:
            await gate.wait()
            return await api.each(callbacks)

        api.batch = held
        pairs = []
        for number in range(6):
            pairs.append(asyncio.create_task(beats(callbacks, f"a{number}", f"b{number}", what="completed")))
            await api.arrived(min(number + 1, 4))
        assert api.requests == [2, 2, 2, 2]
        gate.set()
        for number, pair in enumerate(await asyncio.gather(*pairs)):
            assert [answer.body["task"] for answer in pair] == [f"a{number}", f"b{number}"]
        assert api.requests == [2, 2, 2, 2, 4]


async def test_what_is_too_much_for_one_request_is_several() -> None:
    async with an_api() as (api, callbacks):
        await beats(callbacks, *(f"t{number}" for number in range(COUNT_MAX + 5)))
        assert api.requests == [COUNT_MAX, 5]
        api.seen.clear()
        long = {"attempt": 1, "error": {"stackTrace": "x" * 400_000}}
        reports = (callbacks.report(Task(f"t{number}", "good"), "completed", long) for number in range(5))
        assert {answer.status for answer in await asyncio.gather(*reports)} == {200}
        assert sorted(api.requests) == [0, 2, 2]


async def test_an_api_that_does_not_know_the_route_is_told_one_by_one_from_then_on() -> None:
    async with an_api() as (api, callbacks):

        async def unknown(_callbacks: list[dict[str, Any]]) -> web.Response:
            return web.json_response({"code": "NOT_FOUND"}, status=404)

        api.batch = unknown
        for requests in ([2, 0, 0], [2, 0, 0, 0, 0]):
            found = await beats(callbacks, "t1", "t2")
            assert [answer.body["task"] for answer in found] == ["t1", "t2"]
            assert api.requests == requests


async def test_a_request_that_is_not_understood_is_taken_apart_and_the_next_one_is_tried() -> None:
    async with an_api() as (api, callbacks):

        async def refused(_callbacks: list[dict[str, Any]]) -> web.Response:
            return web.json_response({"code": "BAD_REQUEST"}, status=400)

        api.batch = refused
        found = await beats(callbacks, "t1", "t2:bad")
        assert [answer.status for answer in found] == [200, 401]
        api.batch = api.each
        await beats(callbacks, "t1", "t2")
        assert api.requests == [2, 0, 0, 2]


@pytest.mark.parametrize(
    "told",
    [
        {"status": 200, "text": "{}"},
        {"status": 200, "text": '{"answers": [{"status": 200, "body": {}}]}'},
        {"status": 200, "text": "\x00"},
    ],
)
async def test_an_answer_that_cannot_be_read_is_no_answer(told: dict[str, Any]) -> None:
    async with an_api() as (api, callbacks):

        async def strange(_callbacks: list[dict[str, Any]]) -> web.Response:
            return web.Response(**told)

        api.batch = strange
        assert [type(error) for error in await beats(callbacks, "t1", "t2")] == [NoAnswer, NoAnswer]


async def test_an_api_that_is_busy_or_away_is_so_for_each() -> None:
    async with an_api() as (api, callbacks):

        async def busy(_callbacks: list[dict[str, Any]]) -> web.Response:
            return web.json_response({"code": "DRAINING"}, status=503, headers={"Retry-After": "3"})

        api.batch = busy
        found = await beats(callbacks, "t1", "t2")
        assert found == [Answer(503, {"code": "DRAINING"}, 3)] * 2
    async with an_api() as (_, gone):
        gone._caller = Caller(base_url="http://127.0.0.1:1", agent="a", workspace="w")
        assert [type(error) for error in await beats(gone, "t1", "t2")] == [NoAnswer, NoAnswer]


async def test_a_report_that_is_given_up_before_it_was_sent_is_not_sent() -> None:
    async with an_api() as (api, callbacks):
        stale = asyncio.create_task(callbacks.report(Task("t1", "good"), "heartbeat", {"attempt": 1}))
        others = asyncio.create_task(beats(callbacks, "t2", "t3"))
        for _ in range(3):  # to begin them, and what they gather
            await asyncio.sleep(0)
        stale.cancel()
        assert [answer.body["task"] for answer in await others] == ["t2", "t3"]
        assert [one["taskId"] for one in api.seen[0][1]["callbacks"]] == ["t2", "t3"]


async def test_who_waits_when_the_worker_leaves_is_told() -> None:
    async with an_api() as (_, callbacks):
        waiting = asyncio.create_task(beats(callbacks, "t1", "t2"))
        for _ in range(3):  # to begin it, and what it gathers
            await asyncio.sleep(0)
        await callbacks.close()
        assert [type(error) for error in await asyncio.wait_for(waiting, 5)] == [NoAnswer, NoAnswer]
