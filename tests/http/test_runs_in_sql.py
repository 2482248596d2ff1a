"""`system.orchestration.*` in SQL: the same rows as the routes tell of, joined with the catalog's when one likes."""

from typing import Any

import httpx

from .flow import WORKSPACE, Attempt, deploy, trigger
from .world import World, a_table


async def rows(api: httpx.AsyncClient, sql: str, **options: Any) -> list[dict[str, Any]]:
    answer = await api.post("/query", json={"sql": sql, **options}, params={"format": "json"})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_runs_and_tasks_are_relations(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    await Attempt(world, api, run, "raw.events").through(output={"rowCount": 3, "deltaTable": "events"})
    found = await rows(api, "SELECT task_key, state, attempt FROM system.orchestration.tasks ORDER BY task_key")
    assert [(one["task_key"], one["state"], one["attempt"]) for one in found] == [
        ("analytics.daily", "READY", 0),
        ("ml.scores", "BLOCKED", 0),
        ("raw.events", "SUCCEEDED", 1),
    ]
    joined = (
        "SELECT r.run_id, count(*) AS n FROM system.orchestration.runs r "
        "JOIN system.orchestration.tasks t ON r.run_id = t.run_id GROUP BY r.run_id"
    )
    assert await rows(api, joined) == [{"run_id": run, "n": 3}]
    (made,) = await rows(api, "SELECT asset_key, delta_table FROM system.orchestration.partition_status")
    assert made == {"asset_key": "raw.events", "delta_table": "events"}


async def test_attempts_that_failed_are_rows(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "raw.events")
    failure = {"category": "INFRASTRUCTURE", "message": "no answer"}
    await Attempt(world, api, run, "raw.events").through("FAILED", error=failure)
    (found,) = await rows(api, "SELECT * FROM system.orchestration.task_attempts")
    assert (found["run_id"], found["task_key"], found["attempt"]) == (run, "raw.events", 1)
    assert (found["category"], found["error_message"]) == ("INFRASTRUCTURE", "no answer")


async def test_runs_join_with_the_catalog_and_either_may_be_empty(api: httpx.AsyncClient) -> None:
    no_runs = await api.post("/query", json={"sql": "SELECT * FROM system.orchestration.runs"})
    assert no_runs.status_code == 404
    await deploy(api)
    await trigger(api, "raw.events")
    assert len(await rows(api, "SELECT * FROM system.orchestration.runs")) == 1
    assert (await a_table(api)).status_code == 201
    both = "SELECT t.name, d.asset_count FROM catalog.tables t CROSS JOIN system.orchestration.deployments d"
    assert await rows(api, both) == [{"name": "orders", "asset_count": 3}]


async def test_what_is_internal_is_no_relation(api: httpx.AsyncClient) -> None:
    await deploy(api)
    for name in ("run_key_index", "run_births", "agenda", "workspace_settings", "outcomes"):
        answer = await api.post("/query", json={"sql": f"SELECT * FROM system.orchestration.{name}"})
        assert (answer.status_code, answer.json()["error"]) == (400, "unknown_relation"), name
    columns = await rows(api, "SELECT * FROM system.orchestration.tasks")
    assert columns == []


async def test_the_catalogs_index_of_runs_is_a_relation_with_the_contracts_columns(
    world: World, api: httpx.AsyncClient
) -> None:
    await deploy(api)
    labels = {"kind": "adhoc", "reference_id": "ticket-7", "sourceType": "cli"}
    run = await trigger(api, "analytics.daily", includeUpstream=True, labels=labels, runKey="d1")
    await Attempt(world, api, run, "raw.events").through(output={"rowCount": 3, "deltaTable": "events"})
    index = "system.orchestration.catalog_run_index"
    made, waits = await rows(api, f"SELECT * FROM {index} ORDER BY asset_key DESC")
    assert (made["org_id"], made["workspace_id"], made["run_id"], made["run_key"]) == ("local", "default", run, "d1")
    assert (made["kind"], made["reference_id"], made["source_type"]) == ("adhoc", "ticket-7", "cli")
    assert (made["target_namespace"], made["target_table"], made["delta_table"]) == ("raw", "events", "events")
    assert (made["run_status"], made["task_status"], waits["task_status"]) == ("RUNNING", "SUCCEEDED", "READY")
    await api.post(f"{WORKSPACE}/runs/{run}/cancel", json={})
    ended = await rows(api, f"SELECT run_status, cancel_requested, task_status FROM {index} ORDER BY asset_key DESC")
    assert ended == [
        {"run_status": "CANCELLED", "cancel_requested": True, "task_status": "SUCCEEDED"},
        {"run_status": "CANCELLED", "cancel_requested": True, "task_status": "CANCELLED"},
    ]
