"""All roles in one process and a worker in another: a manifest is deployed, a run triggered, and it finishes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.process.control_plane import DISPATCH_SECRET
from tests.process.servers import Caller, free_port, serving
from tests.process.workers import a_worker

from arco.sdk.loading import load_assets
from arco.sdk.manifest import build_manifest

CODE = """\
from typing import Annotated
import pyarrow as pa
from arco import AssetIn, Context, RetryPolicy, asset

@asset(namespace="raw")
def numbers(context: Context) -> pa.Table:
    print("numbers of", context.run_id)
    return pa.table({"id": [1, 2, 3], "at": pa.array([1, 2, 3], pa.timestamp("us", "UTC"))})

@asset(namespace="mart", retries=RetryPolicy(1, delay_seconds=0))
def total(context: Context, numbers: Annotated[pa.Table, AssetIn("raw.numbers")]) -> pa.Table:
    if context.attempt == 1:
        raise RuntimeError("flaky the first time")
    return pa.table({"rows": [numbers.num_rows]})
"""
WORKSPACE = "/workspaces/default"
pytestmark = pytest.mark.slow


async def test_a_run_finishes_through_a_worker_of_its_own_and_its_tables_are_in_the_catalog(tmp_path: Path):
    code = tmp_path / "project" / "my_assets.py"
    code.parent.mkdir()
    code.write_text(CODE)
    storage = tmp_path / "lake"
    place = free_port()
    variables = {
        "ARCO_FLOW_WORKERS": f"http://127.0.0.1:{place}",
        "ARCO_FLOW_WORKER_DISPATCH_SECRET": DISPATCH_SECRET,
        "ARCO_DRAIN_DELAY_SECS": "0",
    }
    given: dict[str, Any] = {
        "TENANT_ID": "local",
        "WORKSPACE_ID": "default",
        "API_KEY": "",
        "WORKER_WAREHOUSE": str(storage / "tenant=local" / "workspace=default" / "warehouse"),
        "WORKER_CATALOG": "lake",
    }
    with (
        serving(["--port", "0", "--storage", str(storage)], variables) as server,
        Caller(server.ports["api"]) as caller,
    ):
        api = f"http://127.0.0.1:{server.ports['api']}"
        async with a_worker(api, str(code), flags=["--port", str(place)], **given):
            built = build_manifest(load_assets([str(code)]), code.parent, tenant_id="local", workspace_id="default")
            assert caller.ask("POST", f"{WORKSPACE}/manifests", built.manifest)[0] == 201
            selection = {"selection": ["mart.total"], "includeUpstream": True}
            status, run = caller.ask("POST", f"{WORKSPACE}/runs", selection)
            assert status == 201, run
            run = await _finished(caller, run["runId"])
            assert run["state"] == "SUCCEEDED", run
            columns = caller.ask("GET", "/catalogs/lake/schemas/raw/tables/numbers?include=columns")[1]
            assert [(one["name"], one["data_type"]) for one in columns["columns"]] == [
                ("id", "BIGINT"),
                ("at", "TIMESTAMP"),
            ]
            assert columns["location"] == "warehouse/raw/numbers"
            answer = caller.ask("POST", "/query-data?format=json", {"sql": "select rows from lake.mart.total"})
            assert answer[0] == 200, answer
            assert "3" in str(answer[1])


async def _finished(caller: Caller, run_id: str) -> Any:
    async with asyncio.timeout(60):
        while True:
            run = caller.ask("GET", f"{WORKSPACE}/runs/{run_id}")[1]
            if run["state"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
                return run
            await asyncio.sleep(0.05)
