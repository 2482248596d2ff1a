"""Logs, partitions, retrying a task, pausing and limiting over HTTP (orchestration.md 6.3, 6.7, 10)."""

import httpx

from .flow import DAY, WORKSPACE, Attempt, a_manifest, an_asset, deploy, shown, states, trigger
from .test_dispatching import ENVIRON, Flow
from .world import World, a_world

NO_ROWS = {"category": "DATA_QUALITY", "message": "no rows"}


async def test_58_a_log_is_kept_once_and_every_entry_is_read_once(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    logs = f"{WORKSPACE}/runs/{run}/logs"
    assert (await api.get(logs)).status_code == 404
    for task in ("raw.events", "analytics.daily", "ml.scores"):
        await Attempt(world, api, run, task).through()
        body = {"taskKey": task, "attempt": 1, "stdout": f"out of {task}\n", "stderr": "err\n"}
        first, again = await api.post(logs, json=body), await api.post(logs, json=body)
        assert (first.status_code, again.status_code) == (200, 409)
        assert first.json()["path"] == f"logs/{run}/{task}/attempt-1.log"
    whole = await api.get(logs)
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    text = "=== stdout ===\nout of raw.events\n\n=== stderr ===\nerr\n\n"
    assert f"--- logs/{run}/raw.events/attempt-1.log ---\n{text}" in whole.text
    found, cursor = "", None
    for _ in range(3):
        page = await api.get(logs, params={"limit": 1, **({"cursor": cursor} if cursor else {})})
        found, cursor = found + page.text, page.headers.get("x-arco-next-cursor")
    assert (found, cursor) == (whole.text, None)
    beyond = (await api.get(logs, params={"limit": 2})).headers["x-arco-next-cursor"]
    exhausted = await api.get(logs, params={"cursor": beyond, "taskKey": "analytics.daily"})
    assert (exhausted.status_code, exhausted.text) == (200, "")
    only = await api.get(logs, params={"taskKey": "ml.scores"})
    assert only.text.count("--- logs/") == 1
    for bad in ({"limit": 0}, {"cursor": "17"}):
        assert (await api.get(logs, params=bad)).status_code == 400
    for key in ("../x", "x" * 256):
        assert (await api.post(logs, json={"taskKey": key, "attempt": 1})).status_code == 400
    assert (await api.post(logs, json={"taskKey": "raw.events", "attempt": 0})).status_code == 400


async def test_partitions_tell_what_was_made_and_what_failed(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(an_asset("raw.events", partitioning=DAY)))
    for day, outcome in (("2025-01-01", "SUCCEEDED"), ("2025-01-02", "FAILED"), ("2025-01-03", "SUCCEEDED")):
        run = await trigger(api, "raw.events", partitions=[{"key": "date", "value": day}])
        error = None if outcome == "SUCCEEDED" else NO_ROWS
        await Attempt(world, api, run, "raw.events").through(outcome, error=error)
    found = (await api.get(f"{WORKSPACE}/partitions", params={"assetKey": "raw/events"})).json()["partitions"]
    assert [(one["partitionKey"], one["lastAttemptOutcome"]) for one in found] == [
        ("date=d:2025-01-01", "SUCCEEDED"),
        ("date=d:2025-01-02", "FAILED"),
        ("date=d:2025-01-03", "SUCCEEDED"),
    ]
    assert "lastMaterializationAt" not in found[1]
    first = (await api.get(f"{WORKSPACE}/partitions", params={"limit": 2})).json()
    rest = (await api.get(f"{WORKSPACE}/partitions", params={"limit": 2, "cursor": first["nextCursor"]})).json()
    assert [one["partitionKey"] for one in first["partitions"] + rest["partitions"]] == [
        one["partitionKey"] for one in found
    ]
    assert "nextCursor" not in rest
    assert (await api.get(f"{WORKSPACE}/partitions", params={"staleOnly": "true"})).json() == {"partitions": []}
    assert (await api.get(f"{WORKSPACE}/assets/raw.events/partitions/summary")).json() == {
        "assetKey": "raw.events",
        "totalPartitions": 3,
        "materializedPartitions": 2,
        "stalePartitions": 0,
        "missingPartitions": 1,
    }
    assert (await api.get(f"{WORKSPACE}/assets/raw.nothing/partitions/summary")).status_code == 404


async def test_a_failed_task_is_tried_once_more_within_its_run(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    await Attempt(world, api, run, "raw.events").through("FAILED", error=NO_ROWS)
    assert (await states(api, run))["ml.scores"] == "SKIPPED"
    url = f"{WORKSPACE}/runs/{run}/tasks"
    assert (await api.post(f"{url}/ml.scores/retry")).status_code == 409
    assert (await api.post(f"{url}/no.such/retry")).status_code == 404
    answer = await api.post(f"{url}/raw.events/retry")
    assert (answer.status_code, answer.json()["state"]) == (200, "QUEUED")
    assert (await states(api, run))[""] == "RUNNING"
    await Attempt(world, api, run, "raw.events", 2).through()
    await Attempt(world, api, run, "analytics.daily").through()
    await Attempt(world, api, run, "ml.scores").through()
    assert (await shown(api, run))["state"] == "SUCCEEDED"


async def test_while_a_workspace_is_paused_nothing_new_is_sent(world: World) -> None:
    async with a_world(ENVIRON) as own, own.client() as api:
        flow = Flow(own, api)
        await deploy(api)
        await trigger(api, "raw.events")
        settings = await api.put(f"{WORKSPACE}/orchestration/pause", json={"paused": True, "reason": "upgrade"})
        assert (settings.json()["paused"], settings.json()["pauseReason"]) == (True, "upgrade")
        assert (await flow.run())["dispatch_actions"] == 0
        assert (await api.get(f"{WORKSPACE}/orchestration")).json()["paused"] is True
        await api.put(f"{WORKSPACE}/orchestration/pause", json={"paused": False})
        assert (await flow.run())["dispatch_enqueued"] == 1


async def test_a_limit_holds_back_what_is_too_much_and_lets_others_go(world: World) -> None:
    async with a_world(ENVIRON) as own, own.client() as api:
        flow = Flow(own, api)
        heavy = {"execution": {"concurrencyKey": "db"}}
        await deploy(api, a_manifest(*(an_asset(f"n.t{number}", **heavy) for number in range(3)), an_asset("n.light")))
        answer = await api.put(f"{WORKSPACE}/orchestration/limits/db", json={"slots": 1})
        assert answer.json() == {"concurrencyKey": "db", "slots": 1, "inUse": 0}
        await trigger(api, "n.t0", "n.t1", "n.t2", "n.light")
        assert (await flow.run())["dispatch_enqueued"] == 2
        sent = {envelope.task_key: envelope for envelope in await flow.delivered()}
        assert "n.light" in sent
        assert (await flow.run())["dispatch_enqueued"] == 0
        held = next(envelope for key, envelope in sent.items() if key != "n.light")
        await flow.worker(held).told("started")
        await flow.worker(held).told("completed", outcome="SUCCEEDED")
        assert (await flow.run())["dispatch_enqueued"] == 1
        limits = (await api.get(f"{WORKSPACE}/orchestration")).json()["limits"]
        assert {one["concurrencyKey"]: one["inUse"] for one in limits} == {"*": 2, "db": 1}
        assert (await api.put(f"{WORKSPACE}/orchestration/limits/db", json={"slots": -1})).status_code == 422
