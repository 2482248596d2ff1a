"""Deploying, triggering, looking, cancelling, running again over HTTP (orchestration.md 6.2, 6.3, 10)."""

import asyncio
from typing import Any

import httpx
import pytest

from arco.core import instant
from arco.core.clock import SystemClock
from arco.domains.orchestration import fingerprints
from arco.domains.orchestration.automation_events import ScheduleDefinitionUpserted
from arco.domains.orchestration.automation_rows import SCHEDULE_DEFINITIONS
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import RunTriggered

from .flow import CHAIN, DAY, WORKSPACE, Attempt, a_manifest, an_asset, deploy, shown, states, trigger
from .world import SCOPE, World, a_world

RUNS = f"{WORKSPACE}/runs"


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_59_a_deployment_is_repeated_by_its_key_and_another_manifest_is_refused(api: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "deploy-1"}
    first = await api.post(f"{WORKSPACE}/manifests", json=CHAIN, headers=key)
    again = await api.post(f"{WORKSPACE}/manifests", json=CHAIN, headers=key)
    other = await api.post(f"{WORKSPACE}/manifests", json={**CHAIN, "codeVersionId": "02"}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json() == again.json()
    assert (first.json()["assetCount"], first.json()["workspaceId"]) == (3, "default")
    listed = (await api.get(f"{WORKSPACE}/manifests")).json()["manifests"]
    assert [one["manifestId"] for one in listed] == [first.json()["manifestId"]]
    stored = (await api.get(f"{WORKSPACE}/manifests/{listed[0]['manifestId']}")).json()
    assert stored["assets"] == CHAIN["assets"]
    assert (stored["tenantId"], stored["workspaceId"], stored["fingerprint"]) == (
        "local",
        "default",
        listed[0]["fingerprint"],
    )


async def test_59_a_wrong_manifest_is_told_everything_at_once_and_changes_nothing(api: httpx.AsyncClient) -> None:
    wrong = a_manifest(an_asset("a.b", "x.y"), schedules=[{"id": "s", "cron": "* *", "assets": ["q.q"]}])
    answer = await api.post(f"{WORKSPACE}/manifests", json=wrong)
    assert answer.status_code == 400
    found = answer.json()["details"]["problems"]
    assert any("x.y" in one for one in found)
    assert any("cron" in one for one in found)
    assert any("q.q" in one for one in found)
    assert (await api.get(f"{WORKSPACE}/manifests")).json() == {"manifests": []}


async def test_37_a_redeployed_schedule_keeps_what_operators_set(world: World, api: httpx.AsyncClient) -> None:
    schedules = [{"id": "daily", "cron": "0 10 * * *", "assets": ["analytics.daily"]}]
    await deploy(api, {**CHAIN, "schedules": schedules})
    first = await schedule(world)
    assert (first.enabled, first.max_catchup_ticks, first.cron_expression) == (True, 1, "0 10 * * *")
    await deploy(api, {**CHAIN, "schedules": schedules})
    assert await schedule(world) == first  # nothing is written for what has not changed
    theirs = ScheduleDefinitionUpserted(
        schedule_id="daily",
        cron_expression=first.cron_expression,
        timezone=first.timezone,
        catchup_window_minutes=60,
        asset_selection=["analytics.daily"],
        max_catchup_ticks=7,
        enabled=False,
    )
    await world.api.state.services.flow.desk_for(SCOPE).submit([unit(theirs)], source="api:test")
    await deploy(api, {**CHAIN, "schedules": [{**schedules[0], "cron": "0 11 * * *"}]})
    found = await schedule(world)
    assert (found.enabled, found.catchup_window_minutes, found.max_catchup_ticks) == (False, 60, 7)
    assert found.cron_expression == "0 11 * * *"


async def schedule(world: World) -> Any:
    snapshot = await world.flow_reader().head()
    assert snapshot is not None
    return await snapshot.get(SCHEDULE_DEFINITIONS, ("daily",))


async def test_51_the_same_run_key_is_the_same_run_whatever_the_order_of_the_selection(api: httpx.AsyncClient) -> None:
    await deploy(api)
    body = {"selection": ["raw.events", "analytics/daily"], "runKey": "d1", "labels": {"team": "growth"}}
    first = await api.post(RUNS, json=body)
    again = await api.post(RUNS, json={**body, "selection": ["analytics.daily", "raw.events", "raw.events"]})
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["created"], again.json()["created"]) == (True, False)
    assert [first.json()[name] for name in ("runId", "planId", "createdAt")] == [
        again.json()[name] for name in ("runId", "planId", "createdAt")
    ]
    other = await api.post(RUNS, json={**body, "selection": ["ml.scores"]})
    details = problem(other, 409)["details"]
    assert details["conflictType"] == "RUN_KEY_FINGERPRINT_MISMATCH"
    assert (details["runKey"], details["existingRunId"]) == ("d1", first.json()["runId"])
    assert details["existingFingerprint"] != details["requestedFingerprint"]
    assert (details["existingPlanId"], details["existingCreatedAt"]) == (
        first.json()["planId"],
        first.json()["createdAt"],
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"selection": []}, "selection"),
        ({"selection": ["raw.nothing"]}, "raw.nothing"),
        ({"selection": ["Raw.Events"]}, "asset key"),
        ({"selection": ["raw.events"], "labels": {"arco.parent_run_id": "x"}}, "reserved"),
        ({"selection": ["raw.events"], "partitionKey": "date=d:2025-01-15"}, "partition"),
        ({"selection": ["raw.events"], "partitionKey": "x" * 1025}, "partitionKey"),
        ({"selection": ["x" * 257]}, "selection"),
        ({"selection": ["raw.events"] * 10_001}, "selection"),
        ({"selection": ["raw.events"], "labels": {"k": "v" * 2049}}, "labels"),
        ({"selection": ["raw.events"], "labels": {"k" * 129: "v"}}, "labels"),
        ({"selection": ["raw.events"], "labels": {f"k{number}": "" for number in range(129)}}, "labels"),
        ({"selection": ["raw.events"], "partitions": [{"key": "k", "value": "v" * 257}]}, "partitions"),
        (
            {"selection": ["raw.events"], "partitionKey": "", "partitions": [{"key": "date", "value": "2025-01-15"}]},
            "not both",
        ),
    ],
)
async def test_52_a_refused_request_leaves_its_run_key_free(
    api: httpx.AsyncClient, body: dict[str, Any], said: str
) -> None:
    await deploy(api)
    refused = await api.post(RUNS, json={**body, "runKey": "k"})
    assert said in problem(refused, 400)["message"]
    assert (await api.post(RUNS, json={"selection": ["raw.events"], "runKey": "k"})).status_code == 201


async def test_53_the_idempotency_key_is_the_run_key_when_there_is_no_other(api: httpx.AsyncClient) -> None:
    await deploy(api)
    body, key = {"selection": ["raw.events"]}, {"idempotency-key": "once"}
    first = await api.post(RUNS, json=body, headers=key)
    again = await api.post(RUNS, json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["runId"] == again.json()["runId"]
    assert (await api.post(RUNS, json=body, headers={"idempotency-key": "x" * 257})).status_code == 400
    assert (await api.post(RUNS, json={**body, "runKey": "x" * 257})).status_code == 400
    assert (await api.post(RUNS, json={**body, "runKey": 7})).status_code == 422


async def test_54_a_partition_means_the_same_however_it_is_written(api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(an_asset("raw.events", partitioning=DAY)))
    as_text = {"selection": ["raw.events"], "runKey": "p", "partitions": [{"key": "date", "value": "2025-01-15"}]}
    as_key = {"selection": ["raw.events"], "runKey": "p", "partitionKey": "date=d:2025-01-15"}
    first, again = await api.post(RUNS, json=as_text), await api.post(RUNS, json=as_key)
    assert (first.status_code, again.status_code) == (201, 200)
    (task,) = (await shown(api, first.json()["runId"]))["tasks"]
    assert task["partitionKey"] == "date=d:2025-01-15"


async def test_54_a_key_of_an_older_client_is_the_same_partition(api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(an_asset("raw.events", partitioning=DAY)))
    body = {"selection": ["raw.events"], "runKey": "p"}
    first = await api.post(RUNS, json={**body, "partitionKey": "date=s:MjAyNS0wMS0xNQ"})
    again = await api.post(RUNS, json={**body, "partitionKey": "date=d:2025-01-15"})
    assert (first.status_code, again.status_code) == (201, 200)
    (task,) = (await shown(api, first.json()["runId"]))["tasks"]
    assert task["partitionKey"] == "date=d:2025-01-15"
    for odd in ("0001-01-01T00:00+10:00", "2025-W03-3", "9999-12-31T23:59:59-23:59"):
        partitions = [{"key": "date", "value": odd}]
        assert "date" in problem(await api.post(RUNS, json={**body, "partitions": partitions}), 400)["message"]


@pytest.mark.parametrize("hours", [-1, 1])
async def test_what_older_writers_do_is_taken_until_its_cutoff(hours: int) -> None:
    cutoff = instant.http_text(SystemClock().now_ms() + hours * 3_600_000)
    names = ("ARCO_RUN_KEY_FINGERPRINT_CUTOFF", "ARCO_PARTITION_TIME_STRING_CUTOFF")
    async with a_world(dict.fromkeys(names, cutoff)) as world, world.client() as api:
        await deploy(api, a_manifest(an_asset("raw.events", partitioning=DAY), an_asset("n.a")))
        begun = RunTriggered(run_id="01J00000000000000000000RUN", plan_id="P", run_key="old")
        await world.api.state.services.flow.desk_for(SCOPE).submit([unit(begun)], source="api:test")
        taken = await api.post(RUNS, json={"selection": ["n.a"], "runKey": "old"})
        assert taken.status_code == (200 if hours > 0 else 409)
        as_text = {"selection": ["raw.events"], "partitionKey": "date=s:MjAyNS0wMS0xNQ"}
        assert (await api.post(RUNS, json=as_text)).status_code == (201 if hours > 0 else 400)
        assert (await api.post(f"{WORKSPACE}/plans", json=as_text)).status_code == (200 if hours > 0 else 400)
        assert (await api.post(RUNS, json={**as_text, "partitionKey": "date=d:2025-01-15"})).status_code == 201


@pytest.mark.parametrize("value", ["d:2025-01-15", "s:MjAyNS0wMS0xNQ"])
async def test_54_a_run_key_that_an_older_writer_gave_the_same_request_is_its_run(
    world: World, api: httpx.AsyncClient, value: str
) -> None:
    await deploy(api, a_manifest(an_asset("raw.events", partitioning=DAY)))
    older = {
        "selection": ["raw.events"],
        "include_upstream": False,
        "include_downstream": False,
        "partition_key": f"date={value}",
        "labels": {},
    }
    run_id = "01J00000000000000000000RUN"
    begun = RunTriggered(run_id=run_id, plan_id="P", run_key="p", request_fingerprint=fingerprints.of_json(older))
    await world.api.state.services.flow.desk_for(SCOPE).submit([unit(begun)], source="api:test")
    body = {"selection": ["raw.events"], "runKey": "p", "partitions": [{"key": "date", "value": "2025-01-15"}]}
    found = await api.post(RUNS, json=body)
    assert (found.status_code, found.json()["created"], found.json()["runId"]) == (200, False, run_id)
    other = await api.post(RUNS, json={**body, "partitions": [{"key": "date", "value": "2025-01-16"}]})
    assert problem(other, 409)["details"]["conflictType"] == "RUN_KEY_FINGERPRINT_MISMATCH"


async def test_55_what_is_selected_is_planned_with_the_dependencies_within_it(api: httpx.AsyncClient) -> None:
    await deploy(api)
    alone = await shown(api, await trigger(api, "analytics.daily"))
    assert [(task["taskKey"], task.get("dependsOn", [])) for task in alone["tasks"]] == [("analytics.daily", [])]
    both = await shown(api, await trigger(api, "analytics.daily", includeDownstream=True))
    assert {task["taskKey"]: task.get("dependsOn", []) for task in both["tasks"]} == {
        "analytics.daily": [],
        "ml.scores": ["analytics.daily"],
    }


async def test_a_run_goes_from_task_to_task_to_its_end(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    assert await states(api, run) == {
        "": "RUNNING",
        "raw.events": "QUEUED",
        "analytics.daily": "PENDING",
        "ml.scores": "PENDING",
    }
    output = {"rowCount": 10, "deltaTable": "events", "deltaVersion": 3, "outputVisibilityState": "VISIBLE"}
    await Attempt(world, api, run, "raw.events").through(output=output)
    assert (await states(api, run))["analytics.daily"] == "QUEUED"
    await Attempt(world, api, run, "analytics.daily").through()
    await Attempt(world, api, run, "ml.scores").through()
    found = await shown(api, run)
    assert found["state"] == "SUCCEEDED"
    assert found["taskCounts"]["succeeded"] == 3
    assert found["completedAt"] >= found["startedAt"] >= found["createdAt"]
    (events,) = [task for task in found["tasks"] if task["taskKey"] == "raw.events"]
    assert (events["deltaTable"], events["deltaVersion"], events["outputVisibilityState"]) == ("events", 3, "VISIBLE")


async def test_28_what_must_be_readable_and_is_not_keeps_a_run_running_or_fails_it(
    world: World, api: httpx.AsyncClient
) -> None:
    await deploy(api)
    waits, fails, quiet = [await trigger(api, "raw.events") for _ in range(3)]
    await Attempt(world, api, quiet, "raw.events").through(output={"rowCount": 1})
    await Attempt(world, api, waits, "raw.events").through(output={"outputVisibilityState": "PENDING"})
    await Attempt(world, api, fails, "raw.events").through(output={"outputVisibilityState": "FAILED"})
    assert (await states(api, waits))[""] == "RUNNING"
    assert (await states(api, fails))[""] == "FAILED"
    assert await states(api, quiet) == {"": "SUCCEEDED", "raw.events": "SUCCEEDED"}
    listed = {one["runId"]: one["state"] for one in (await api.get(RUNS)).json()["runs"]}
    assert listed == {waits: "RUNNING", fails: "FAILED", quiet: "SUCCEEDED"}
    assert "completedAt" not in await shown(api, waits)


async def test_56_a_failed_run_is_run_again_from_where_it_failed(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    await Attempt(world, api, run, "raw.events").through()
    too_early = await api.post(f"{RUNS}/{run}/rerun", json={"mode": "fromFailure"})
    assert "RUNNING" in problem(too_early, 409)["message"]
    error = {"category": "DATA_QUALITY", "message": "no rows"}
    await Attempt(world, api, run, "analytics.daily").through("FAILED", error=error)
    parent = await shown(api, run)
    assert parent["state"] == "FAILED"
    skipped = next(task for task in parent["tasks"] if task["taskKey"] == "ml.scores")
    assert skipped["skipAttribution"] == {"upstreamTaskKey": "analytics.daily", "upstreamResolution": "FAILED"}
    first = await api.post(f"{RUNS}/{run}/rerun", json={"mode": "fromFailure"})
    again = await api.post(f"{RUNS}/{run}/rerun", json={"mode": "fromFailure"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["runId"] == again.json()["runId"]
    assert first.json()["rerunKind"] == "FROM_FAILURE"
    child = await shown(api, first.json()["runId"])
    assert {task["taskKey"]: task.get("dependsOn", []) for task in child["tasks"]} == {
        "analytics.daily": [],
        "ml.scores": ["analytics.daily"],
    }
    assert (child["parentRunId"], child["rerunReason"]) == (run, "from_failure_unsucceeded_tasks")
    assert child["labels"] == {"arco.parent_run_id": run, "arco.rerun.kind": "FROM_FAILURE"}
    for task in ("analytics.daily", "ml.scores"):
        await Attempt(world, api, child["runId"], task).through()
    done = await api.post(f"{RUNS}/{child['runId']}/rerun", json={"mode": "fromFailure"})
    assert "SUCCEEDED" in problem(done, 409)["message"]
    unknown = await api.post(f"{RUNS}/{run}/rerun", json={"mode": "subset", "selection": ["no.such"]})
    assert "no.such" in problem(unknown, 400)["message"]


async def test_57_cancelling_twice_is_one_cancellation_and_a_finished_run_has_none(
    world: World, api: httpx.AsyncClient
) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    worker = Attempt(world, api, run, "raw.events")
    assert await worker.dispatch() == "accepted"
    await worker.told("started")
    for _ in range(2):
        answer = await api.post(f"{RUNS}/{run}/cancel", json={"reason": "bad input"})
        assert (answer.status_code, answer.json()["state"]) == (200, "CANCELLING")
    assert await worker.told("heartbeat") | {"serverTime": ""} == {
        "acknowledged": True,
        "shouldCancel": True,
        "cancelReason": "user_requested",
        "serverTime": "",
    }
    await worker.told("completed", outcome="CANCELLED")
    assert (await states(api, run))[""] == "CANCELLED"
    assert "CANCELLED" in problem(await api.post(f"{RUNS}/{run}/cancel", json={}), 409)["message"]
    assert (await api.post(f"{RUNS}/01J00000000000000000000000/cancel", json={})).status_code == 404
    for elsewhere in (
        await api.get("/workspaces/other/runs"),
        await api.post(f"/workspaces/other/runs/{run}/cancel", json={}),
    ):
        assert (elsewhere.status_code, elsewhere.json()["message"]) == (404, "workspace not found")


async def test_61_runs_are_paged_newest_first_and_filtered_by_what_they_are_called(
    world: World, api: httpx.AsyncClient
) -> None:
    await deploy(api)
    made = [await trigger(api, "raw.events") for _ in range(5)]
    await Attempt(world, api, made[1], "raw.events").through()
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await api.get(RUNS, params=params)).json()
        found += [one["runId"] for one in page["runs"]]
        cursor, pages = page.get("nextCursor"), pages + 1
    assert (found, pages) == (made[::-1], 3)
    done = (await api.get(RUNS, params={"state": "SUCCEEDED"})).json()["runs"]
    assert [one["runId"] for one in done] == [made[1]]
    assert (await api.get(RUNS, params={"state": "DONE"})).status_code == 400


@pytest.mark.parametrize(
    ("category", "advice"),
    [
        ("USER_CODE", "mend the function"),
        ("DATA_QUALITY", "the check that refused it"),
        ("CONFIGURATION", "what the message names"),
        ("TIMEOUT", "longer timeout"),
        ("INFRASTRUCTURE", "retry the task"),
    ],
)
async def test_a_failed_task_says_what_to_do(world: World, api: httpx.AsyncClient, category: str, advice: str) -> None:
    await deploy(api)
    run = await trigger(api, "raw.events")
    error = {"category": category, "message": "no", "stackTrace": "Traceback: here", "retryable": False}
    await Attempt(world, api, run, "raw.events").through("FAILED", error=error)
    (task,) = (await shown(api, run))["tasks"]
    assert advice in task["advice"]
    assert (task["attempt"], task["error"]["category"], task["error"]["stackTrace"]) == (1, category, "Traceback: here")


async def test_a_list_names_what_runs_were_to_make_and_their_keys(api: httpx.AsyncClient) -> None:
    names = [f"n.asset_{number}" for number in range(7)]
    await deploy(api, a_manifest(*(an_asset(name) for name in names), an_asset("n.last", *names)))
    await trigger(api, *names, runKey="many")
    await trigger(api, "n.last", includeUpstream=True)
    last, many = (await api.get(RUNS)).json()["runs"]
    assert (last["assets"], last["assetCount"], last["taskCount"]) == (["n.last"], 1, 8)
    assert (many["assets"], many["assetCount"], many["runKey"]) == (names[:5], 7, "many")


@pytest.mark.parametrize("path", ["runs", "partitions", "runs/01J00000000000000000000RUN/logs"])
async def test_61_every_list_refuses_pages_that_are_none(api: httpx.AsyncClient, path: str) -> None:
    for bad in ({"limit": 0}, {"limit": 201}, {"limit": "many"}, {"cursor": "garbage"}, {"cursor": "e30"}):
        assert (await api.get(f"{WORKSPACE}/{path}", params=bad)).status_code == 400, (path, bad)


async def test_a_run_key_without_a_fingerprint_is_given_one_and_keeps_it(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(an_asset("raw.events", partitioning=DAY)))
    run_id = "01J00000000000000000000RUN"
    desk = world.api.state.services.flow.desk_for(SCOPE)
    older = RunTriggered(run_id=run_id, plan_id="P", run_key="p")
    (outcome,) = await desk.submit([unit(older)], source="api:test")
    assert outcome.status == "accepted"
    url, partitions = f"{RUNS}/run-key/backfill", [{"key": "date", "value": "2025-01-15"}]
    body = {"runKey": "p", "selection": ["raw/events"], "partitions": partitions}
    assert (await api.post(url, json={**body, "runKey": "q"})).status_code == 404
    assert (await api.post(url, json={**body, "selection": ["no.such"]})).status_code == 400
    first = await api.post(url, json=body)
    assert first.status_code == 200, first.text
    told = first.json()
    assert (told["runKey"], told["runId"], told["updated"]) == ("p", run_id, True)
    as_key = {"runKey": "p", "selection": ["raw.events"], "partitionKey": "date=d:2025-01-15"}
    again = await api.post(url, json=as_key)
    assert again.json() == {**told, "updated": False}
    other = await api.post(url, json={**body, "labels": {"team": "growth"}})
    assert (other.status_code, other.json()["details"]["conflictType"]) == (409, "RUN_KEY_FINGERPRINT_MISMATCH")
    assert other.json()["details"]["existingFingerprint"] == told["requestFingerprint"]
    # From now on the key means this request, as if it had been asked for with it.
    assert (await api.post(RUNS, json=as_key)).json()["runId"] == run_id
    assert (await api.post(RUNS, json={**as_key, "includeUpstream": True})).status_code == 409


async def test_two_who_give_a_run_key_its_fingerprint_at_once_agree(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    desk = world.api.state.services.flow.desk_for(SCOPE)
    await desk.submit(
        [unit(RunTriggered(run_id="01J00000000000000000000RUN", plan_id="P", run_key="p"))], source="api:test"
    )
    url = f"{RUNS}/run-key/backfill"
    bodies = [{"runKey": "p", "selection": [asset]} for asset in ("raw.events", "raw.events", "analytics.daily")]
    answers = await asyncio.gather(*(api.post(url, json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers[:2]) in ([200, 200], [409, 409])
    assert {answers[0].status_code, answers[2].status_code} == {200, 409}
    assert sum(answer.json().get("updated", False) for answer in answers) == 1
