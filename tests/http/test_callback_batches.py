"""Callbacks of many tasks in one request: each is answered as alone, judged as alone, and all are one commit."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
import pytest

from arco.clients.callback_batches import GatheredCallbacks
from arco.clients.callbacks import Answer, Caller, Task
from arco.core.limits import CALLBACKS_PER_REQUEST_MAX

from .flow import Attempt, a_manifest, an_asset, deploy, shown, trigger
from .world import World, foreground, problem

BOOM = {"category": "USER_CODE", "message": "boom"}


async def workers(world: World, api: httpx.AsyncClient, count: int) -> list[Attempt]:
    """Attempts at as many tasks of one run, dispatched."""
    keys = [f"n.t{number:03d}" for number in range(count)]
    await deploy(api, a_manifest(*(an_asset(key) for key in keys)))
    run = await trigger(api, *keys)
    found = [Attempt(world, api, run, key) for key in keys]
    for one in found:
        assert await one.dispatch() == "accepted"
    return found


def callback(who: Attempt, what: str, *, token: str | None = None, **body: Any) -> dict[str, Any]:
    mine = {"attempt": who.number, "attemptId": who.attempt_id, "workerId": "worker-7", **body}
    shown_token = who.token if token is None else token
    return {"taskId": who.task_id, "callback": what, "token": shown_token, "body": mine}


async def answers(api: httpx.AsyncClient, *callbacks: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    answer = await api.post("/tasks/callbacks", json={"callbacks": list(callbacks)})
    assert answer.status_code == 200, answer.text
    return [(one["status"], one["body"]) for one in answer.json()["answers"]]


def same(alone: httpx.Response, batched: tuple[int, dict[str, Any]]) -> None:
    """The answer in a batch is that of the callback alone, but for the moment and the request."""
    varying = ("serverTime", "requestId")
    told = {name: value for name, value in alone.json().items() if name not in varying}
    assert (alone.status_code, told) == (
        batched[0],
        {name: value for name, value in batched[1].items() if name not in varying},
    )


async def test_each_is_answered_as_if_it_had_come_alone(world: World, api: httpx.AsyncClient) -> None:
    alone, batched, *_ = await workers(world, api, 2)
    for what, body in (
        ("started", {}),
        ("heartbeat", {"progressPct": 40, "message": "half"}),
        ("heartbeat", {"progressPct": 101}),
        ("started", {"attempt": 0}),
        ("started", {"attempt": 2}),
        ("started", {"workerId": 7}),
        ("completed", {"outcome": "DONE"}),
        ("completed", {"outcome": "FAILED", "error": BOOM}),
        ("started", {}),
        ("completed", {"outcome": "SUCCEEDED"}),
    ):
        first = await alone.say(what, **body)
        (second,) = await answers(api, callback(batched, what, **body))
        told = json.loads(json.dumps(second).replace(batched.task_key, alone.task_key))
        same(first, tuple(told))


async def test_one_that_is_wrong_harms_no_other(world: World, api: httpx.AsyncClient) -> None:
    good, other, third = await workers(world, api, 3)
    found = await answers(
        api,
        callback(good, "started"),
        callback(other, "started", token="x.y.z"),
        {"taskId": other.task_id, "callback": "paused", "token": other.token, "body": {}},
        {"callback": "started", "body": {}},
        callback(other, "started", attempt="one"),
        {**callback(other, "started"), "taskId": "ct1_x"},
        callback(third, "started"),
        callback(third, "completed", outcome="SUCCEEDED", output={"rowCount": 1}),
    )
    assert [status for status, _ in found] == [200, 401, 422, 422, 422, 404, 200, 200]
    states = {task["taskKey"]: task["state"] for task in (await shown(api, good.run_id))["tasks"]}
    assert states == {good.task_key: "RUNNING", other.task_key: "QUEUED", third.task_key: "SUCCEEDED"}


async def test_one_that_is_no_sound_json_harms_no_other(world: World, api: httpx.AsyncClient) -> None:
    good, other = await workers(world, api, 2)
    twice = json.dumps(callback(other, "started")).replace('"attempt": 1', '"attempt": 1, "attempt": 1')
    deep = json.dumps(callback(other, "completed", outcome="SUCCEEDED", partialProgress={"a": 0}))
    deep = deep.replace('{"a": 0}', '{"a": ' + "[" * 40 + "]" * 40 + "}")
    body = f'{{"callbacks": [{twice}, {json.dumps(callback(good, "started"))}, {deep}]}}'
    headers = {"content-type": "application/json"}
    answer = await api.post("/tasks/callbacks", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    told = answer.json()["answers"]
    assert [one["status"] for one in told] == [400, 200, 400]
    assert "given twice" in told[0]["body"]["message"]
    assert "nest deeper" in told[2]["body"]["message"]
    for unsound in ('{"callbacks": [}', '{"callbacks": [], "callbacks": []}', "[]", ""):
        refused = await api.post("/tasks/callbacks", content=unsound, headers=headers)
        assert refused.status_code in (400, 422), unsound
    around = f'{{"callbacks": [{json.dumps(callback(good, "heartbeat"))}], "x": 1, "x": 2}}'
    assert (await api.post("/tasks/callbacks", content=around, headers=headers)).status_code == 400


async def test_how_many_come_at_once_is_bounded(world: World, api: httpx.AsyncClient) -> None:
    (one,) = await workers(world, api, 1)
    for count in (0, CALLBACKS_PER_REQUEST_MAX + 1):
        answer = await api.post("/tasks/callbacks", json={"callbacks": [callback(one, "started")] * count})
        status, code, message = problem(answer)
        assert (status, code) == (400, "BAD_REQUEST")
        assert f"1 to {CALLBACKS_PER_REQUEST_MAX}" in message
    found = await answers(api, *[callback(one, "started")] * CALLBACKS_PER_REQUEST_MAX)
    assert {status for status, _ in found} == {200}
    huge = await api.post("/tasks/callbacks", json={"callbacks": [], "padding": "x" * (2 * 1024 * 1024)})
    assert huge.status_code == 413


@pytest.mark.parametrize("what", ["started", "heartbeat", "completed"])
async def test_a_batch_is_one_commit_however_many_it_holds(world: World, api: httpx.AsyncClient, what: str) -> None:
    many = await workers(world, api, 40)
    if what != "started":
        await answers(api, *(callback(one, "started") for one in many))
    body = {"outcome": "SUCCEEDED"} if what == "completed" else {}
    for some in (many[:2], many[2:]):
        world.store.forget()
        found = await answers(api, *(callback(one, what, **body) for one in some))
        assert {status for status, _ in found} == {200}
        done = [one for one in foreground(world.store.operations) if "/_deltas/" not in one.key]
        # The ledger, the commit record, the manifest, for two as for thirty-eight.
        assert [one.name for one in done] == ["create", "create", "create"], done


async def test_a_heartbeat_among_others_waits_for_nobody(world: World, api: httpx.AsyncClient) -> None:
    one, two = await workers(world, api, 2)
    await answers(api, callback(one, "started"), callback(two, "started"))
    before = world.process.clock.steady_ms()
    found = await answers(api, callback(one, "heartbeat"), callback(two, "completed", outcome="SUCCEEDED"))
    assert [status for status, _ in found] == [200, 200]
    assert world.process.clock.steady_ms() - before < 800
    assert found[0][1]["shouldCancel"] is False


async def test_a_cancelled_run_tells_each_of_its_heartbeats(world: World, api: httpx.AsyncClient) -> None:
    one, two = await workers(world, api, 2)
    await answers(api, callback(one, "started"), callback(two, "started"))
    await api.post(f"/workspaces/default/runs/{one.run_id}/cancel", json={})
    found = await answers(api, callback(one, "heartbeat"), callback(two, "heartbeat"))
    assert [body["shouldCancel"] for _, body in found] == [True, True]


class WorkersCallbacks(GatheredCallbacks):
    """What `arco worker` reports with, to the api of a world."""

    def __init__(self, world: World, api: httpx.AsyncClient) -> None:
        super().__init__(Caller(base_url="", agent="a", workspace="default"), world.clock, linger_ms=20)
        self.api = api
        self.paths: list[str] = []

    async def _exchange(
        self, path: str, headers: Mapping[str, str], body: Any, *, bytes_max: int
    ) -> tuple[Answer, bytes]:
        self.paths.append(path)
        content = msgspec.json.encode(body)
        sent = {"content-type": "application/json", **headers}
        answer = await self.api.post(f"http://localhost{path}", content=content, headers=sent)
        return Answer(answer.status_code, answer.json()), answer.content


async def test_what_a_worker_sends_together_is_what_the_api_takes(world: World, api: httpx.AsyncClient) -> None:
    many = await workers(world, api, 5)
    callbacks = WorkersCallbacks(world, api)

    async def told(what: str, **body: Any) -> list[Answer]:
        mine = ({"attempt": 1, "attemptId": one.attempt_id, "workerId": "w", **body} for one in many)
        tasks = (Task(one.task_id, one.token) for one in many)
        reports = (callbacks.report(task, what, body) for task, body in zip(tasks, mine, strict=True))
        return await asyncio.gather(*reports)

    for what, body in (("started", {}), ("heartbeat", {"progressPct": 3}), ("completed", {"outcome": "SUCCEEDED"})):
        assert [answer.status for answer in await told(what, **body)] == [200] * 5
    assert callbacks.paths == ["/api/v1/tasks/callbacks"] * 3
    assert (await shown(api, many[0].run_id))["state"] == "SUCCEEDED"
    late = await told("heartbeat")
    assert [(answer.status, answer.ended, answer.error) for answer in late] == [(410, True, "task_expired")] * 5
    await callbacks.close()
