"""Mistakes that systems of this kind make, and this one does not (docs/reliability.md has the whole list)."""

import datetime as dt
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

import arco.domains.orchestration.fold as fold_package
from arco import asset, daily
from arco.core.partitions import parse_partition_key
from arco.dispatch.memory import UNKNOWN_LOST, UNKNOWN_TAKEN
from arco.domains.orchestration.agenda import TERMINAL
from arco.testing import materialize

from .flow import DAY, WORKSPACE, Attempt, a_manifest, an_asset, deploy, shown, states, trigger
from .test_dispatching import BOOM, ENVIRON, Flow
from .world import World, a_world

STATES: Final = ("BLOCKED", "READY", "DISPATCHED", "RUNNING", "RETRY_WAIT")
RUN_STATES: Final = {"TRIGGERED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"}


@pytest.fixture
async def flow() -> AsyncIterator[Flow]:
    """A world with a queue in memory."""
    async with a_world(ENVIRON) as world, world.client() as api:
        yield Flow(world, api)


def test_the_fold_writes_no_state_that_is_not_on_the_list() -> None:
    folder = Path(fold_package.__path__[0])
    about_tasks = [one for one in sorted(folder.glob("*.py")) if one.stem not in ("automation", "timers")]
    written = {
        state
        for path in about_tasks
        for line in path.read_text("utf-8").splitlines()
        if "state=" in line
        for state in re.findall(r'"([A-Z_]{4,})"', line)
    }
    assert written <= {*STATES, *TERMINAL, *RUN_STATES}, written
    assert {"READY", "DISPATCHED", "RUNNING", "BLOCKED", "CANCELLED"} <= written


async def nothing(_flow: Flow, _run: str) -> None:
    """Ready, and nobody has looked."""


async def sent_and_lost(flow: Flow, _run: str) -> None:
    """The queue's answer was lost, and so was the task."""
    flow.queue.fail_next(UNKNOWN_LOST)
    await flow.run(status=500)


async def sent_and_swallowed(flow: Flow, _run: str) -> None:
    """The queue's answer was lost, and whoever took the task died."""
    flow.queue.fail_next(UNKNOWN_TAKEN)
    await flow.run(status=500)
    await flow.delivered()


async def taken_by_a_worker_that_died(flow: Flow, _run: str) -> None:
    """Delivered, and never begun."""
    await flow.run()
    await flow.delivered()


async def running_and_silent(flow: Flow, _run: str) -> None:
    """Begun, and never heard of again."""
    await flow.run()
    (envelope,) = await flow.delivered()
    await flow.worker(envelope).told("started")


async def failed_once(flow: Flow, _run: str) -> None:
    """Waiting for another attempt."""
    await flow.run()
    (envelope,) = await flow.delivered()
    await flow.worker(envelope).told("started")
    await flow.worker(envelope).told("completed", outcome="FAILED", error=BOOM)


async def cancelled_while_running(flow: Flow, run: str) -> None:
    """Called off, and its worker never says that it has stopped."""
    await running_and_silent(flow, run)
    await flow.api.post(f"{WORKSPACE}/runs/{run}/cancel", json={})
    assert (await shown(flow.api, run))["state"] == "CANCELLING"


async def paused_and_resumed(flow: Flow, run: str) -> None:
    """What was paused goes on when it may."""
    await failed_once(flow, run)
    await flow.api.put(f"{WORKSPACE}/orchestration/pause", json={"paused": True})
    flow.world.clock.ahead_ms += 3_600_000
    await flow.run("sweeper")
    await flow.api.put(f"{WORKSPACE}/orchestration/pause", json={"paused": False})


@pytest.mark.parametrize(
    "begin",
    [
        nothing,
        sent_and_lost,
        sent_and_swallowed,
        taken_by_a_worker_that_died,
        running_and_silent,
        failed_once,
        cancelled_while_running,
        paused_and_resumed,
    ],
)
async def test_every_state_is_left_although_no_worker_ever_speaks_again(
    flow: Flow, begin: Callable[[Flow, str], Awaitable[None]]
) -> None:
    """Controllers alone bring a run to its end: every attempt begins, says no more, and is given up."""
    await deploy(flow.api)
    run = await trigger(flow.api, "raw.events", "analytics.daily")
    await begin(flow, run)
    seen = set()
    for _ in range(30):
        for state in (task["state"] for task in (await shown(flow.api, run))["tasks"]):
            seen.add(state)
        if (await shown(flow.api, run))["state"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            break
        flow.world.clock.ahead_ms += 620_000
        for role in ("dispatcher", "sweeper"):
            await flow.run(role)
        for envelope in await flow.delivered():
            await flow.worker(envelope).say("started")
    found = await shown(flow.api, run)
    assert found["state"] in ("FAILED", "CANCELLED"), found
    assert {task["state"] for task in found["tasks"]} <= {"FAILED", "SKIPPED", "CANCELLED"}
    assert await flow.outbox() == []


async def test_a_cancelled_run_is_not_tried_again_whatever_becomes_of_its_workers(flow: Flow) -> None:
    await deploy(flow.api)
    run = await trigger(flow.api, "raw.events")
    await cancelled_while_running(flow, run)
    flow.world.clock.ahead_ms += 3_600_000
    for _ in range(3):
        for role in ("sweeper", "dispatcher"):
            await flow.run(role)
        flow.world.clock.ahead_ms += 3_600_000
    (task,) = (await shown(flow.api, run))["tasks"]
    assert (task["attempt"], task["state"]) == (1, "FAILED")
    assert await flow.delivered() == []


async def test_a_heartbeat_of_the_last_attempt_neither_kills_nor_keeps_the_next(flow: Flow) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    (envelope,) = await flow.delivered()
    first = flow.worker(envelope)
    await first.told("started")
    await first.told("heartbeat")
    await first.told("completed", outcome="FAILED", error=BOOM)
    # So long ago that the next attempt would be dead at once, were it judged by the heartbeat of the first.
    flow.world.clock.ahead_ms += 7_200_000
    await flow.run("sweeper")
    (envelope,) = await flow.delivered()
    await flow.worker(envelope).told("started")
    assert (await flow.run("sweeper"))["repairs_created"] == 0
    flow.world.clock.ahead_ms += 329_000
    first.token = first.token_for()
    late = await first.say("heartbeat")
    assert late.status_code == 409
    assert (await flow.run("sweeper"))["repairs_created"] == 0
    flow.world.clock.ahead_ms += 2_000
    assert (await flow.run("sweeper"))["repairs_created"] == 1


async def test_what_is_one_fact_is_one_append(world: World, api: httpx.AsyncClient) -> None:
    """A run and its plan, a manifest and its schedules, an attempt that is wanted and handed in: never half of it."""
    schedules = [{"id": f"s{number}", "cron": "0 10 * * *", "assets": ["raw.events"]} for number in range(3)]
    manifest = a_manifest(an_asset("raw.events"), an_asset("n.b", "raw.events"), schedules=schedules)

    async def appends(method: str, path: str, **body: Any) -> httpx.Response:
        world.store.forget()
        answer = await api.request(method, f"{WORKSPACE}/{path}", json=body)
        assert answer.status_code < 300, answer.text
        made = [
            one.key for one in world.store.operations if one.name == "create" and "/ledger/orchestration/" in one.key
        ]
        assert len(made) == 1, (path, made)
        return answer

    await appends("POST", "manifests", **manifest)
    run = (await appends("POST", "runs", selection=["n.b"], includeUpstream=True)).json()["runId"]
    await Attempt(world, api, run, "raw.events").through("FAILED", error={"category": "CONFIGURATION"})
    await appends("POST", f"runs/{run}/rerun", mode="fromFailure")
    await appends("POST", f"runs/{run}/tasks/raw.events/retry")
    await appends("POST", f"runs/{run}/cancel")
    await appends("PUT", "orchestration/pause", paused=True)
    await appends("PUT", "orchestration/limits/db", slots=1)


async def test_a_partition_reaches_the_function_as_it_was_asked_for(flow: Flow) -> None:
    """From the request over plan, run, rerun and envelope to the values a function is given."""
    await deploy(flow.api, a_manifest(an_asset("raw.events", partitioning=DAY), an_asset("n.sum", "raw.events")))
    asked = {"partitions": [{"key": "date", "value": "2025-01-15"}], "includeDownstream": True}
    run = await trigger(flow.api, "raw.events", **asked)
    tasks = {task["taskKey"]: task.get("partitionKey") for task in (await shown(flow.api, run))["tasks"]}
    assert tasks == {"raw.events": "date=d:2025-01-15", "n.sum": None}
    await flow.run()
    (envelope,) = await flow.delivered()
    assert envelope.partition_key == "date=d:2025-01-15"
    assert parse_partition_key(envelope.partition_key) == {"date": dt.date(2025, 1, 15)}
    await flow.worker(envelope).told("started")
    await flow.worker(envelope).told("completed", outcome="FAILED", error={"category": "CONFIGURATION"})
    again = (await flow.api.post(f"{WORKSPACE}/runs/{run}/rerun", json={"mode": "fromFailure"})).json()["runId"]
    await flow.run()
    (envelope,) = await flow.delivered()
    assert (envelope.run_id, envelope.partition_key) == (again, "date=d:2025-01-15")
    seen = []

    @asset(partitions=daily("date"))
    def events(date: dt.date) -> None:
        seen.append(date)

    materialize([events], partition=envelope.partition_key)
    assert seen == [dt.date(2025, 1, 15)]


async def test_a_repeated_request_with_one_key_is_one_run_whatever_went_wrong_before(
    world: World, api: httpx.AsyncClient
) -> None:
    """A refusal uses up no key, and neither does an answer that was lost."""
    await deploy(api)
    body = {"selection": ["raw.events"], "runKey": "daily"}
    assert (await api.post(f"{WORKSPACE}/runs", json={**body, "selection": ["no.such"]})).status_code == 400
    first = await api.post(f"{WORKSPACE}/runs", json=body)
    again = await api.post(f"{WORKSPACE}/runs", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["runId"] == again.json()["runId"]
    assert await states(api, first.json()["runId"]) == {"": "RUNNING", "raw.events": "QUEUED"}
