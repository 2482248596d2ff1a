"""A-11: in a batch each callback's token is judged as strictly as alone, and lends nothing to its neighbours."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.http.flow import Attempt, shown
from tests.http.test_callback_batches import answers, callback, workers
from tests.http.world import World, a_world

REFUSED = [401, 401]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as client:
        yield client


async def test_a11_a_neighbours_token_speaks_for_nobody_else(world: World, api: httpx.AsyncClient) -> None:
    one, two = await workers(world, api, 2)
    found = await answers(api, callback(one, "started", token=two.token), callback(two, "started", token=one.token))
    assert [status for status, _ in found] == REFUSED
    assert {body["error"] for _, body in found} == {"invalid_token"}
    # Nor does a good one that comes before, or one in the header of the request.
    found = await answers(api, callback(one, "started"), callback(two, "started", token=""))
    assert [status for status, _ in found] == [200, 401]
    headers = {"authorization": f"Bearer {two.token}"}
    body = {"callbacks": [callback(two, "started", token="")]}
    answer = await api.post("/tasks/callbacks", json=body, headers=headers)
    assert answer.json()["answers"][0]["body"]["code"] == "MISSING_AUTH"
    states = {task["taskKey"]: task["state"] for task in (await shown(api, one.run_id))["tasks"]}
    assert states == {one.task_key: "RUNNING", two.task_key: "QUEUED"}


async def test_a11_a_token_of_another_attempt_run_or_workspace_is_refused_in_a_batch_too(
    world: World, api: httpx.AsyncClient
) -> None:
    one, two = await workers(world, api, 2)
    wrong = (
        {"task_id": two.task_id},
        {"run_id": "01J00000000000000000000000"},
        {"attempt": 2},
        {"attempt_id": "att_other"},
    )
    forged = [callback(one, "completed", outcome="SUCCEEDED", token=one.token_for(**changes)) for changes in wrong]
    tampered = callback(one, "completed", outcome="SUCCEEDED", token=one.token[:-4] + "AAAA")
    elsewhere = callback(one, "started", token=one.token_for(tenant_id="acme"))
    found = await answers(api, *forged, tampered, elsewhere, callback(two, "started"))
    assert [status for status, _ in found] == [401] * 5 + [404, 200]
    world.clock.ahead_ms += 3_600_000
    late = await answers(api, callback(one, "started"), callback(two, "heartbeat"))
    assert [status for status, _ in late] == REFUSED


async def test_a11_a_superseded_attempt_in_a_batch_does_not_speak_for_the_next(
    world: World, api: httpx.AsyncClient
) -> None:
    first, other = await workers(world, api, 2)
    await first.told("started")
    await first.told("completed", outcome="FAILED", error={"category": "USER_CODE", "message": "boom"})
    second = Attempt(world, api, first.run_id, first.task_key, 2)
    assert await second.dispatch() == "accepted"
    found = await answers(
        api,
        callback(second, "started"),
        callback(first, "completed", outcome="SUCCEEDED"),
        callback(first, "heartbeat"),
        callback(other, "started"),
    )
    assert [status for status, _ in found] == [200, 409, 409, 200]
    assert {body["error"] for status, body in found if status == 409} == {"attempt_mismatch"}
    states = {task["taskKey"]: task["state"] for task in (await shown(api, first.run_id))["tasks"]}
    assert states[first.task_key] == "RUNNING"


async def test_a20_tokens_of_a_batch_are_in_no_log(world: World, api: httpx.AsyncClient) -> None:
    one, two = await workers(world, api, 2)
    await answers(api, callback(one, "started"), callback(two, "started", attempt="one"))
    await api.post("/tasks/callbacks", json={"callbacks": [callback(one, "started")] * 201})
    text = repr(world.records)
    assert one.token not in text
    assert two.token not in text
