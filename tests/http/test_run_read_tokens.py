"""A change of runs answers with a token of the state it made; a read with it sees exactly that state."""

from typing import Any

import httpx
import pytest

from .flow import WORKSPACE, Attempt, deploy, trigger
from .world import World, problem

TOKEN = "x-arco-read-token"
NO_ROWS = {"category": "DATA_QUALITY", "message": "no rows"}


async def read(api: httpx.AsyncClient, path: str, token: str) -> dict[str, Any]:
    answer = await api.get(f"{WORKSPACE}/{path}", headers={TOKEN: token})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_every_change_answers_with_a_token_that_reads_it(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    begun = await api.post(f"{WORKSPACE}/runs", json={"selection": ["ml.scores"], "includeUpstream": True})
    first, run = begun.headers[TOKEN], begun.json()["runId"]
    chain, _, manifest = first.partition(":")
    assert (chain, len(manifest)) == ("orchestration", 20)
    await Attempt(world, api, run, "raw.events").through("FAILED", error=NO_ROWS)
    retried = await api.post(f"{WORKSPACE}/runs/{run}/tasks/raw.events/retry")
    second = retried.headers[TOKEN]
    ended = await api.post(f"{WORKSPACE}/runs/{run}/cancel", json={})
    third = ended.headers[TOKEN]
    assert first < second < third
    states = [(await read(api, f"runs/{run}", token))["state"] for token in (first, second, third)]
    assert states == ["RUNNING", "RUNNING", "CANCELLED"]
    tasks = [(await read(api, f"runs/{run}/tasks/raw.events", token))["attempt"] for token in (first, second)]
    assert tasks == [0, 1]
    graph = await read(api, f"runs/{run}/graph", first)
    assert [node["state"] for node in graph["nodes"]] == ["QUEUED", "PENDING", "PENDING"]
    assert [one["state"] for one in (await read(api, "runs", second))["runs"]] == ["RUNNING"]
    paused = await api.put(f"{WORKSPACE}/orchestration/pause", json={"paused": True})
    assert (await read(api, "orchestration", paused.headers[TOKEN]))["paused"] is True
    assert (await read(api, "orchestration", third))["paused"] is False


async def test_a_refusal_of_the_fold_names_the_state_it_was_decided_in(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "raw.events")
    await Attempt(world, api, run, "raw.events").through()
    refused = await api.post(f"{WORKSPACE}/runs/{run}/cancel", json={})
    assert refused.status_code == 409
    assert (await read(api, f"runs/{run}", refused.headers[TOKEN]))["state"] == "SUCCEEDED"


async def test_what_reads_or_changes_nothing_has_no_token(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "raw.events", runKey="once")
    again = await api.post(f"{WORKSPACE}/runs", json={"selection": ["raw.events"], "runKey": "once"})
    shown = await api.get(f"{WORKSPACE}/runs/{run}")
    unsound = await api.post(f"{WORKSPACE}/runs", json={"selection": []})
    assert [TOKEN in answer.headers for answer in (again, shown, unsound)] == [False, False, False]


@pytest.mark.parametrize("path", ["runs", "runs/{run}", "runs/{run}/tasks/raw.events", "runs/{run}/graph"])
async def test_a_token_of_something_else_is_refused(world: World, api: httpx.AsyncClient, path: str) -> None:
    await deploy(api)
    run = await trigger(api, "raw.events")
    url = f"{WORKSPACE}/{path.format(run=run)}"
    for token, status in (
        ("catalog:00000000000000000001", 400),
        ("orchestration:7", 400),
        ("x", 400),
        ("orchestration:00000000000000999999", 404),
    ):
        answer = await api.get(url, headers={TOKEN: token})
        assert problem(answer)[0] == status, token
