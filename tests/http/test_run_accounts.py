"""Why a task is in its run, waits, was skipped or ran again: over HTTP, from tables, at a cost that does not grow."""

import io
from typing import Any

import httpx

from arco.cli import runs as runs_command
from arco.cli.terminal import Terminal
from arco.cli.why import explain
from arco.domains.orchestration.controllers.steps import SILENT
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import DispatchEnqueued, TaskError, TaskFinished

from .flow import DAY, WORKSPACE, Attempt, a_manifest, an_asset, deploy, shown, trigger
from .world import SCOPE, World

BOOM = {"category": "USER_CODE", "message": "boom", "stackTrace": "Traceback: boom"}
NO_ROWS = {"category": "DATA_QUALITY", "message": "orders has no rows"}


async def account(api: httpx.AsyncClient, run: str, task: str) -> dict[str, Any]:
    answer = await api.get(f"{WORKSPACE}/runs/{run}/tasks/{task}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def waiting(api: httpx.AsyncClient, run: str, task: str) -> list[dict[str, Any]]:
    """What the run says a task waits for; its own account says the same."""
    (listed,) = [one for one in (await shown(api, run))["tasks"] if one["taskKey"] == task]
    own = await account(api, run, task)
    assert {name: own[name] for name in listed} == listed
    found: list[dict[str, Any]] = listed.get("waiting", [])
    return found


async def enqueued(world: World, attempt: Attempt) -> None:
    """Have it known that a queue has taken an attempt."""
    desk = world.api.state.services.flow.desk_for(SCOPE)
    event = DispatchEnqueued(dispatch_id=attempt.dispatch_id, cloud_task_id="d_1")
    (outcome,) = await desk.submit([unit(event)], source="dispatcher:test")
    assert outcome.status == "accepted"


async def test_why_a_task_is_in_the_plan(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    planned = (await account(api, run, "raw.events"))["account"]["planned"]
    assert (planned["why"], planned["of"]) == ("upstream", "analytics.daily")
    assert planned["path"] == ["ml.scores", "analytics.daily", "raw.events"]
    assert "analytics.daily is made from it" in planned["message"]
    down = await trigger(api, "raw.events", includeDownstream=True)
    planned = (await account(api, down, "ml.scores"))["account"]["planned"]
    assert (planned["why"], planned["path"]) == ("downstream", ["raw.events", "analytics.daily", "ml.scores"])
    tasks = (await shown(api, down))["tasks"]
    assert [(one["plannedAs"], one.get("plannedFor")) for one in tasks] == [
        ("downstream", "raw.events"),
        ("downstream", "analytics.daily"),
        ("root", None),
    ]


async def test_why_a_task_of_a_rerun_is_there(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    await Attempt(world, api, run, "raw.events").through("FAILED", error=NO_ROWS)
    body: dict[str, Any] = {"mode": "fromFailure"}
    again = (await api.post(f"{WORKSPACE}/runs/{run}/rerun", json=body)).json()["runId"]
    planned = (await account(api, again, "ml.scores"))["account"]["planned"]
    assert (planned["why"], planned["parentRunId"], planned["parentState"]) == ("unsucceeded", run, "SKIPPED")
    assert f"the run does {run} again, where it was SKIPPED" in planned["message"]
    body = {"mode": "subset", "selection": ["analytics.daily"], "includeUpstream": True}
    part = (await api.post(f"{WORKSPACE}/runs/{run}/rerun", json=body)).json()["runId"]
    planned = (await account(api, part, "raw.events"))["account"]["planned"]
    assert (planned["why"], planned["path"], planned["rerunKind"], planned["parentState"]) == (
        "upstream",
        ["analytics.daily", "raw.events"],
        "SUBSET",
        "FAILED",
    )


async def test_a_blocked_task_names_what_it_waits_for_and_what_must_happen_first(
    world: World, api: httpx.AsyncClient
) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    first = Attempt(world, api, run, "raw.events")
    assert await first.dispatch() == "accepted"
    await first.told("started")
    (wait,) = await waiting(api, run, "ml.scores")
    assert (wait["reason"], wait["upstream"]) == ("upstream", [{"taskKey": "analytics.daily", "state": "PENDING"}])
    assert wait["message"] == "waits for analytics.daily (PENDING)"
    (place,) = (await account(api, run, "ml.scores"))["account"]["heldUpBy"]
    assert (place["taskKey"], place["state"], place["workerId"]) == ("raw.events", "RUNNING", "worker-7")
    assert await waiting(api, run, "raw.events") == []


async def test_a_ready_task_tells_of_the_pause_the_full_key_with_its_holders_or_the_dispatcher(
    world: World, api: httpx.AsyncClient
) -> None:
    limited = {"concurrencyKey": "warehouse", "queue": "big"}
    await deploy(api, a_manifest(an_asset("a.one", execution=limited), an_asset("a.two", execution=limited)))
    run = await trigger(api, "a.one", "a.two")
    (wait,) = await waiting(api, run, "a.two")
    assert (wait["reason"], wait["queue"]) == ("not_dispatched", "big")
    await api.put(f"{WORKSPACE}/orchestration/limits/warehouse", json={"slots": 1})
    one = Attempt(world, api, run, "a.one")
    assert await one.dispatch() == "accepted"
    (wanted,) = await waiting(api, run, "a.one")
    assert wanted["reason"] == "not_dispatched"
    assert wanted["message"].endswith("; big has not taken it yet")
    await enqueued(world, one)
    (sent,) = await waiting(api, run, "a.one")
    assert (sent["reason"], sent["queue"]) == ("in_queue", "big")
    assert "no worker has begun it" in sent["message"]
    await one.told("started")
    await api.put(f"{WORKSPACE}/orchestration/pause", json={"paused": True, "reason": "migration"})
    paused, full = await waiting(api, run, "a.two")
    assert paused["reason"] == "workspace_paused"
    assert paused["message"].endswith(": migration")
    assert (full["reason"], full["concurrencyKey"], full["slots"], full["inUse"]) == (
        "concurrency_limit",
        "warehouse",
        1,
        1,
    )
    (holder,) = (await account(api, run, "a.two"))["account"]["holders"]
    assert (holder["runId"], holder["taskKey"], holder["state"]) == (run, "a.one", "RUNNING")
    await one.told("completed", outcome="SUCCEEDED")
    assert [wait["reason"] for wait in await waiting(api, run, "a.two")] == ["workspace_paused"]


async def test_a_task_that_is_tried_again_tells_until_when_and_why(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "raw.events")
    await Attempt(world, api, run, "raw.events").through("FAILED", error=BOOM)
    (wait,) = await waiting(api, run, "raw.events")
    assert wait["reason"] == "retry_backoff"
    assert wait["message"].startswith("attempt 1 failed: boom; the next one is due at ")
    found = await account(api, run, "raw.events")
    assert wait["until"] == found["retryNotBefore"]
    (first,) = found["account"]["attempts"]
    assert (first["outcome"], first["because"], first["category"], first["message"]) == (
        "FAILED",
        "failed",
        "USER_CODE",
        "boom",
    )
    assert (first["stackTrace"], first["workerId"]) == ("Traceback: boom", "worker-7")
    assert first["next"] == {"why": "retry_policy", "at": wait["until"]}


async def test_every_attempt_is_told_of_with_why_there_was_another(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(an_asset("raw.events", execution={"maxRetries": 1})))
    run = await trigger(api, "raw.events")
    await Attempt(world, api, run, "raw.events").through("FAILED", error={**BOOM, "category": "TIMEOUT"})
    await Attempt(world, api, run, "raw.events", 2).through("FAILED", error=BOOM)
    attempts = (await account(api, run, "raw.events"))["account"]["attempts"]
    assert [(one["because"], one.get("last")) for one in attempts] == [
        ("timed_out", None),
        ("failed", "attempts_used_up"),
    ]
    await api.post(f"{WORKSPACE}/runs/{run}/tasks/raw.events/retry")
    await Attempt(world, api, run, "raw.events", 3).through()
    found = await account(api, run, "raw.events")
    one, two, three = found["account"]["attempts"]
    assert (one["next"]["why"], two["next"]["why"]) == ("retry_policy", "operator_retry")
    assert "last" not in two
    assert (three["attempt"], three["outcome"]) == (3, "SUCCEEDED")
    assert one["startedAt"] <= one["endedAt"] <= two["startedAt"] <= two["endedAt"] <= three["startedAt"]
    assert found["retryAttribution"] == {"retries": 2, "reason": "prior_attempt_failed"}


async def test_an_attempt_whose_worker_fell_silent_is_told_as_such(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "raw.events")
    lost = Attempt(world, api, run, "raw.events")
    assert await lost.dispatch() == "accepted"
    await lost.told("started")
    given_up = TaskFinished(
        run_id=run,
        task_key="raw.events",
        attempt=1,
        attempt_id=lost.attempt_id,
        worker_id="anti-entropy",
        outcome="failed",
        error_message=SILENT,
        error=TaskError(category="INFRASTRUCTURE", message=SILENT),
    )
    desk = world.api.state.services.flow.desk_for(SCOPE)
    (outcome,) = await desk.submit([unit(given_up, lasting=True)], source="sweeper:test")
    assert outcome.status == "accepted"
    found = await account(api, run, "raw.events")
    (only,) = found["account"]["attempts"]
    assert (only["because"], only["next"]["why"]) == ("heartbeat_lost", "retry_policy")
    out = io.StringIO()
    explain(found, Terminal(out=out, err=io.StringIO()))
    assert "its worker was not heard of; tried again by the retry policy at " in out.getvalue()


async def test_what_is_not_tried_again_says_so(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "raw.events")
    await Attempt(world, api, run, "raw.events").through("FAILED", error={**BOOM, "category": "CONFIGURATION"})
    (only,) = (await account(api, run, "raw.events"))["account"]["attempts"]
    assert (only["last"], "next" in only) == ("not_retryable", False)
    run = await trigger(api, "raw.events")
    await Attempt(world, api, run, "raw.events").through("FAILED", error=BOOM)
    await api.post(f"{WORKSPACE}/runs/{run}/cancel", json={"reason": "wrong day"})
    found = (await account(api, run, "raw.events"))["account"]
    (only,) = found["attempts"]
    assert (only["last"], "next" in only) == ("run_cancelled", False)
    assert found["notRun"]["why"] == "run_cancelled"
    assert found["notRun"]["message"].endswith(": wrong day")


async def test_a_skipped_task_leads_to_the_failure_or_the_check_it_was_skipped_for(
    world: World, api: httpx.AsyncClient
) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    await Attempt(world, api, run, "raw.events").through("FAILED", error=NO_ROWS)
    off = (await account(api, run, "ml.scores"))["account"]["notRun"]
    assert off == {
        "why": "check_blocked",
        "message": "raw.events: a check of it blocked its output: orders has no rows",
        "taskKey": "raw.events",
        "category": "DATA_QUALITY",
        "via": ["analytics.daily"],
    }
    run = await trigger(api, "ml.scores", includeUpstream=True)
    await Attempt(world, api, run, "raw.events").through("CANCELLED")
    found = await account(api, run, "analytics.daily")
    assert (found["state"], found["account"]["notRun"]["why"]) == ("CANCELLED", "upstream_cancelled")


async def test_arco_why_and_run_show_tell_it_to_people(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(an_asset("a.one", execution={"maxRetries": 1}), an_asset("a.two", "a.one")))
    run = await trigger(api, "a.two", includeUpstream=True)
    one = Attempt(world, api, run, "a.one")
    assert await one.dispatch() == "accepted"
    await one.told("started")
    out = io.StringIO()
    graph = (await api.get(f"{WORKSPACE}/runs/{run}/graph")).json()
    runs_command.show(await shown(api, run), graph, Terminal(out=out, err=io.StringIO()))
    first, second = out.getvalue().splitlines()[3:5]
    assert first.startswith("a.one *")
    assert second.startswith("  a.two *")
    assert second.endswith("waits for a.one (RUNNING)")
    assert "* longest path: a.one > a.two, " in out.getvalue()
    await one.told("completed", outcome="FAILED", error=BOOM)
    await Attempt(world, api, run, "a.one", 2).through("FAILED", error=BOOM)
    for task, sentences in {
        "a.one": (
            "planned: a.two is made from it, and the run includes what is upstream (a.two > a.one)",
            "USER_CODE boom; tried again by the retry policy at ",
            "USER_CODE boom; no attempts left",
            "2 attempts",
        ),
        "a.two": ("planned: a.two was asked for", "skipped: a.one: it failed (USER_CODE): boom"),
    }.items():
        out = io.StringIO()
        explain(await account(api, run, task), Terminal(out=out, err=io.StringIO()))
        for sentence in sentences:
            assert sentence in out.getvalue(), out.getvalue()


async def test_what_is_not_there_is_not_found(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(an_asset("raw.events", partitioning=DAY)))
    run = await trigger(api, "raw.events", partitionKey="date=d:2025-01-01")
    for url in (f"runs/{run}/tasks/no.such", "runs/01J00000000000000000000000/tasks/raw.events"):
        assert (await api.get(f"{WORKSPACE}/{url}")).status_code == 404
    assert (await api.get(f"/workspaces/other/runs/{run}/tasks/raw.events")).status_code == 404


async def test_an_account_reads_the_same_after_thirty_runs(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(an_asset("raw.events", execution={"concurrencyKey": "k"})))
    await api.put(f"{WORKSPACE}/orchestration/limits/k", json={"slots": 1})

    async def cost() -> list[str]:
        run = await trigger(api, "raw.events")
        await Attempt(world, api, run, "raw.events").through("FAILED", error=BOOM)
        holder = Attempt(world, api, await trigger(api, "raw.events"), "raw.events")
        assert await holder.dispatch() == "accepted"
        waits = await trigger(api, "raw.events")
        await world.quiet()
        world.store.forget()
        assert (await account(api, run, "raw.events"))["account"]["attempts"]
        assert (await account(api, waits, "raw.events"))["account"]["holders"]
        names = sorted(one.name for one in world.store.operations if one.name in ("get", "list"))
        await holder.told("started")
        await holder.told("completed", outcome="SUCCEEDED")
        return names

    few = await cost()
    for _ in range(30):
        await Attempt(world, api, await trigger(api, "raw.events"), "raw.events").through()
    many = await cost()
    assert many == few == ["get", "get"]
