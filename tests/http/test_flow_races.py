"""Many callers at once, of two servers over one store: one wins and the others are told so (orchestration.md)."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.fakes import MemoryView
from tests.unit.orchestration.story import check_everything

from arco.domains.orchestration.rows import ALL

from .flow import WORKSPACE, Attempt, a_manifest, an_asset, deploy, everything, shown, states, trigger
from .world import World, a_world

RUNS = f"{WORKSPACE}/runs"


@pytest.fixture
async def two() -> AsyncIterator[list[tuple[World, httpx.AsyncClient]]]:
    """Two processes, each with all roles, over one store."""
    async with a_world() as one, one.client() as first:
        await deploy(first, a_manifest(an_asset("a.a"), an_asset("b.b", "a.a"), an_asset("c.c", "a.a")))
        async with a_world(store=one.store) as other, other.client() as second:
            yield [(one, first), (other, second)]


async def sound(world: World) -> None:
    """Agenda, slots and counters are what the rows make them."""
    rows, view = await everything(world), MemoryView()
    for spec in ALL:
        for row in rows[spec.name]:
            view.put(spec, row)
    check_everything(view)


async def test_of_many_who_ask_for_a_run_by_one_key_one_makes_it(two: list[tuple[World, httpx.AsyncClient]]) -> None:
    body = {"selection": ["b.b"], "includeUpstream": True, "runKey": "daily"}
    answers = await asyncio.gather(*(two[number % 2][1].post(RUNS, json=body) for number in range(16)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 15}
    assert len({answer.json()["runId"] for answer in answers}) == 1
    other = {**body, "selection": ["c.c"]}
    mixed = await asyncio.gather(
        *(two[number % 2][1].post(RUNS, json={**(body, other)[number % 3 == 0], "runKey": "k"}) for number in range(12))
    )
    assert Counter(answer.status_code for answer in mixed)[201] == 1
    assert {answer.status_code for answer in mixed} == {200, 201, 409}
    assert len((await two[1][1].get(RUNS)).json()["runs"]) == 2


@pytest.mark.parametrize("seed", range(4))
async def test_cancelling_retrying_and_finishing_at_once_leave_one_truth(
    two: list[tuple[World, httpx.AsyncClient]], seed: int
) -> None:
    rng = random.Random(seed)
    world, api = two[0]
    runs = [await trigger(api, "a.a", includeDownstream=True) for _ in range(3)]
    for run in runs:
        await Attempt(world, api, run, "a.a").dispatch()

    async def something(number: int) -> int:
        mine, client = two[number % 2]
        run = rng.choice(runs)
        worker = Attempt(mine, client, run, rng.choice(("a.a", "b.b")), rng.choice((1, 1, 2)))
        match rng.randrange(8):
            case 0:
                answer = await client.post(f"{RUNS}/{run}/cancel", json={})
            case 1:
                answer = await client.post(f"{RUNS}/{run}/tasks/a.a/retry")
            case 2:
                answer = await client.post(f"{RUNS}/{run}/rerun", json={"mode": "fromFailure"})
            case 3 | 4:
                await worker.dispatch()
                answer = await worker.say("started")
            case 5:
                answer = await worker.say("heartbeat", progressPct=5)
            case 6:
                answer = await worker.say("completed", outcome="SUCCEEDED")
            case _:
                error = {"category": rng.choice(("USER_CODE", "DATA_QUALITY")), "message": "boom"}
                answer = await worker.say("completed", outcome="FAILED", error=error)
        return answer.status_code

    for _ in range(4):
        told = await asyncio.gather(*(something(number) for number in range(10)))
        assert set(told) <= {200, 201, 409, 410}, told
        await sound(world)
    assert await everything(world) == await everything(two[1][0])
    for run in runs:
        found = await shown(api, run)
        over = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED"}
        assert (found["state"] in over) == ({task["state"] for task in found["tasks"]} <= over)


async def test_of_many_who_finish_one_attempt_in_two_ways_one_is_believed(
    two: list[tuple[World, httpx.AsyncClient]],
) -> None:
    world, api = two[0]
    run = await trigger(api, "a.a")
    worker, same = (Attempt(mine, client, run, "a.a") for mine, client in two)
    assert await worker.dispatch() == "accepted"
    await worker.told("started")
    error = {"category": "CONFIGURATION", "message": "no"}
    answers = await asyncio.gather(
        *(one.say("completed", outcome="SUCCEEDED") for one in (worker, same) for _ in range(4)),
        *(one.say("completed", outcome="FAILED", error=error) for one in (worker, same) for _ in range(4)),
    )
    state = (await states(api, run))["a.a"]
    believed = [answer for answer in answers if answer.status_code == 200]
    assert {answer.json()["finalState"] for answer in believed} == {state}
    assert Counter(answer.status_code for answer in answers) == {200: 8, 409: 8}
    await sound(world)
