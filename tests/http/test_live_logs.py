"""Logs that come in pieces while a task runs: kept once, at one write each, readable before the task has ended."""

from typing import Any

import httpx
import pytest
from tests.fakes import FrozenClock

from arco.core import paths
from arco.core.limits import LIVE_LOG_MS, LOG_PIECE_BYTES_MAX
from arco.domains.orchestration.logs import LogPlace, next_number
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent

from .flow import WORKSPACE, Attempt, deploy, trigger
from .world import SCOPE, World, a_world

TASK = "raw.events"


@pytest.fixture
async def attempt(world: World, api: httpx.AsyncClient) -> Attempt:
    """An attempt that runs."""
    await deploy(api)
    found = Attempt(world, api, await trigger(api, TASK), TASK)
    assert await found.dispatch() == "accepted"
    await found.told("started")
    return found


def said(text: str, stream: str = "stdout") -> dict[str, str]:
    return {"stream": stream, "text": text}


async def write(attempt: Attempt, number: int, *parts: dict[str, str], **more: Any) -> httpx.Response:
    return await attempt.say("logs", **{"piece": number, "writer": "w/1", "parts": list(parts), **more})


async def test_a_piece_costs_one_write_wherever_the_log_has_come_to(attempt: Attempt, world: World) -> None:
    # Another process takes the pieces: what it does is counted apart from what is merged meanwhile.
    async with a_world(store=world.store) as taking, taking.client() as api:
        there = Attempt(taking, api, attempt.run_id, TASK)
        for number in (1, 2, 3, 400):
            taking.store.forget()
            answer = await write(there, number, said("more\n"))
            assert (answer.status_code, answer.json()) == (200, {"acknowledged": True, "nextPiece": number + 1})
            assert [one.name for one in taking.store.operations] == ["create"]


async def test_the_same_piece_again_is_acknowledged_and_nothing_is_doubled(
    attempt: Attempt, api: httpx.AsyncClient
) -> None:
    for _ in range(2):
        assert (await write(attempt, 1, said("once\n"))).status_code == 200
    log = (await api.get(f"{WORKSPACE}/runs/{attempt.run_id}/logs")).text
    assert log.count("once") == 1


async def test_who_takes_an_attempt_over_is_told_which_piece_is_free(attempt: Attempt, world: World) -> None:
    for number in range(1, 38):
        await write(attempt, number, said(f"{number}"))
    world.store.forget()
    answer = await write(attempt, 1, said("from another one"), writer="w/2")
    assert answer.status_code == 409
    assert (answer.json()["error"], answer.json()["nextPiece"]) == ("piece_taken", 38)
    assert len([one for one in world.store.operations if "live-logs/" in one.key]) <= 2 + 13
    assert (await write(attempt, 38, said("from another one"), writer="w/2")).status_code == 200


async def test_what_a_running_task_has_written_is_shown_and_then_its_whole_log(
    attempt: Attempt, api: httpx.AsyncClient
) -> None:
    path = f"{WORKSPACE}/runs/{attempt.run_id}/logs"
    assert (await api.get(path)).status_code == 404
    await write(attempt, 1, said("out "), said("err ", "stderr"))
    await write(attempt, 2, said("more"), said("... 7 bytes left out ...\n", "worker"))
    name = f"--- logs/{attempt.run_id}/{TASK}/attempt-1.log ---\n"
    live = f"{name}=== stdout ===\nout more\n=== stderr ===\nerr ... 7 bytes left out ...\n\n\n"
    assert (await api.get(path)).text == live
    await attempt.told("completed", outcome="SUCCEEDED")
    await write(attempt, 3, last=True)
    body = {"taskKey": TASK, "attempt": 1, "stdout": "out more, all of it", "stderr": "err "}
    assert (await api.post(path, json=body)).status_code == 200
    assert (await api.get(path)).text == f"{name}=== stdout ===\nout more, all of it\n=== stderr ===\nerr \n\n"


async def test_showing_logs_reads_each_once_and_lists_nothing(attempt: Attempt, world: World) -> None:
    path = f"{WORKSPACE}/runs/{attempt.run_id}/logs"
    async with world.client() as api:
        for number in range(1, 21):
            await write(attempt, number, said("x"))
        world.store.forget()
        await api.get(path)
        logs = [one for one in world.store.operations if "logs/" in one.key]
        assert {one.name for one in logs} == {"get"}
        assert len(logs) <= 1 + 20 + 8


async def test_a09_a_token_writes_the_log_of_its_own_attempt_only(attempt: Attempt, world: World) -> None:
    world.store.forget()
    for changes in ({"attempt": 2}, {"attempt_id": "att_other"}, {"run_id": "01J00000000000000000000000"}):
        answer = await attempt.say("logs", token=attempt.token_for(**changes), piece=1, writer="w", parts=[said("x")])
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    for token in ("x.y.z", attempt.token[:-4] + "AAAA"):
        assert (await attempt.say("logs", token=token, piece=1, writer="w")).status_code == 401
    world.clock.ahead_ms += 3_600_000
    assert (await write(attempt, 1)).status_code == 401
    assert [one for one in world.store.operations if "logs/" in one.key] == []


async def test_a11_a_log_is_no_way_to_write_anywhere_else(world: World, api: httpx.AsyncClient) -> None:
    for task_key in ("../manifests", "a/b", "raw.events/../../x", ".."):
        attempt = Attempt(world, api, "01J00000000000000000000000", task_key)
        world.store.forget()
        answer = await write(attempt, 1, said("x"))
        assert answer.status_code == 400, task_key
        assert world.store.operations == []
    for task_key in ("..", ".", "a/b"):
        body = {"taskKey": task_key, "attempt": 1, "stdout": "x"}
        assert (await api.post(f"{WORKSPACE}/runs/r/logs", json=body)).status_code == 400
    assert world.store.operations == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"piece": 0}, 422),
        ({"piece": 4_097}, 422),
        ({"parts": [{"stream": "stdin", "text": "x"}]}, 422),
        ({"parts": [{"stream": "stdout", "text": "x" * (LOG_PIECE_BYTES_MAX + 1)}]}, 422),
        ({"parts": [{"stream": "stdout", "text": "☃" * LOG_PIECE_BYTES_MAX}]}, 400),
        ({"parts": [{"stream": "stdout", "text": ""}] * 1_001}, 422),
        ({"writer": ""}, 422),
    ],
)
async def test_a_piece_that_cannot_be_is_refused(attempt: Attempt, fields: dict[str, Any], status: int) -> None:
    answer = await attempt.say("logs", **{"piece": 1, "writer": "w", "parts": [], **fields})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("there", [1, 2, 3, 4, 7, 8, 9, 100, 4_096])
async def test_the_first_free_number_is_found_without_reading_all(world: World, there: int) -> None:
    store, place = world.in_scope(), LogPlace("r", "t", 1)
    for number in range(1, there + 1):
        await store.put(place.key(number), b"x", when=Absent())
    world.store.forget()
    assert await next_number(store, place, 1) == there + 1
    assert len(world.store.operations) <= 26


async def test_pieces_go_when_their_time_is_over_and_logs_stay() -> None:
    storage = FrozenClock()
    async with a_world(store=MemoryStore(storage)) as world, world.client() as api:
        await deploy(api)
        attempt = Attempt(world, api, await trigger(api, TASK), TASK)
        await write(attempt, 1, said("old"))
        body = {"taskKey": TASK, "attempt": 1, "stdout": "old"}
        assert (await api.post(f"{WORKSPACE}/runs/{attempt.run_id}/logs", json=body)).status_code == 200
        storage.ms += LIVE_LOG_MS + 1
        await write(attempt, 2, said("young"))
        upkeep = world.roles["flow-compactor"].app.state.services.upkeeps.of(SCOPE)
        await upkeep.collect(apply=True)
        there = [info.key for info in await world.in_scope().list_page(paths.LIVE_LOGS)]
        assert there == [paths.live_log_piece(attempt.run_id, TASK, 1, 2)]
        assert await world.in_scope().get(paths.task_log(attempt.run_id, TASK, 1)) is not None
