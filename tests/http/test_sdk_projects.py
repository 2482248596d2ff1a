"""A project of the SDK against a server: it is deployed, what is planned runs, what it reports is understood."""

import datetime as dt
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl

from arco import AssetIn, Context, asset, checks, daily, static
from arco.domains.orchestration import keys
from arco.sdk.execute import AssetSet, TaskReport, TaskRun, run_task
from arco.sdk.io.warehouse import WarehouseIo
from arco.sdk.manifest import build_manifest

from .flow import WORKSPACE, Attempt, shown, states, trigger
from .world import World

ROWS = {"eu": [1, 2], "us": [3]}


@asset(namespace="raw", partitions=daily("date"), io="parquet", queue="gpu", timeout=60)
def days(date: dt.date) -> Any:
    return [{"date": date, "weekday": date.isoweekday()}]


@asset(
    namespace="mart",
    partitions=[daily("date"), static("region", sorted(ROWS))],
    inputs={"days": days, "week": AssetIn(days, mapping="window", window=7)},
    checks=[checks.row_count(min=2)],
)
def sales(days: pl.DataFrame, week: pl.DataFrame, region: str, context: Context) -> pl.DataFrame:
    context.report(days_before=week.height, share=0.5, note="é")
    return pl.DataFrame({"amount": ROWS[region], "weekday": days["weekday"][0]})


PROJECT = AssetSet([days, sales])


async def deployed(api: httpx.AsyncClient, project: Path) -> None:
    built = build_manifest(PROJECT, project, tenant_id="local", workspace_id="default", deployed_by="ann")
    headers = {"idempotency-key": built.fingerprint, "content-type": "application/json"}
    for status in (201, 200):
        answer = await api.post(f"{WORKSPACE}/manifests", content=built.body, headers=headers)
        assert answer.status_code == status, answer.text
    assert answer.json()["assetCount"] == 2


async def worked(world: World, api: httpx.AsyncClient, io: WarehouseIo, run_id: str, key: str) -> TaskReport:
    """One attempt, as a worker makes it: begun, run by the SDK, completed with the SDK's own words."""
    (task,) = [one for one in (await shown(api, run_id))["tasks"] if one["taskKey"] == key]
    attempt = Attempt(world, api, run_id, key)
    assert await attempt.dispatch() == "accepted"
    await attempt.told("started")
    run = TaskRun(
        task_key=key,
        run_id=run_id,
        attempt=1,
        attempt_id=keys.attempt_id(attempt.dispatch_id),
        partition_key=task["partitionKey"],
    )
    report = run_task(run, PROJECT, io=io, log=lambda *_: None)
    said = {name: value for name, value in msgspec.to_builtins(report).items() if value and name in _TOLD}
    await attempt.told("completed", **said)
    return report


_TOLD = ("outcome", "output", "error", "metrics")


async def test_a_project_is_deployed_planned_run_and_reported(
    world: World, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    await deployed(api, tmp_path)
    io = WarehouseIo(str(tmp_path / "warehouse"))
    partitions = [{"key": "date", "value": "2025-01-15"}, {"key": "region", "value": "eu"}]
    run_id = await trigger(api, "mart.sales", includeUpstream=True, partitions=partitions)
    first = await worked(world, api, io, run_id, "raw.days")
    assert (first.error, await states(api, run_id)) == (
        None,
        {"": "RUNNING", "raw.days": "SUCCEEDED", "mart.sales": "QUEUED"},
    )
    second = await worked(world, api, io, run_id, "mart.sales")
    assert second.error is None
    assert second.output is not None
    assert second.output["metadata"] == {"days_before": 1, "share": 0.5, "note": "é"}
    assert second.output["deltaPartition"] == "date=d:2025-01-15,region=s:ZXU"
    assert (await states(api, run_id))[""] == "SUCCEEDED"
    listed = (await api.get(f"{WORKSPACE}/partitions", params={"assetKey": "mart.sales"})).json()["partitions"]
    assert [(one["partitionKey"], one["deltaVersion"]) for one in listed] == [
        ("date=d:2025-01-15,region=s:ZXU", second.output["deltaVersion"])
    ]


async def test_a_blocking_check_ends_the_run_at_once(world: World, api: httpx.AsyncClient, tmp_path: Path) -> None:
    await deployed(api, tmp_path)
    io = WarehouseIo(str(tmp_path / "warehouse"))
    partitions = [{"key": "date", "value": "2025-01-15"}, {"key": "region", "value": "us"}]
    run_id = await trigger(api, "mart.sales", includeUpstream=True, partitions=partitions)
    await worked(world, api, io, run_id, "raw.days")
    refused = await worked(world, api, io, run_id, "mart.sales")
    assert refused.error is not None
    assert refused.error["category"] == "DATA_QUALITY"
    assert await states(api, run_id) == {"": "FAILED", "raw.days": "SUCCEEDED", "mart.sales": "FAILED"}
