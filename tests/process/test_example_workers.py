"""Workers written from the protocol alone complete tasks: the standard library's, and one on Node without packages."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.process.control_plane import DISPATCH_SECRET, TENANT, WORKSPACE, ControlPlane
from tests.process.servers import environment
from tests.process.workers import Worker, a_process

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = {
    "stdlib": [sys.executable, "-I", str(EXAMPLES / "worker_stdlib" / "worker.py")],
    "node": ["node", str(EXAMPLES / "worker_node" / "worker.mjs")],
}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def an_example(kind: str) -> AsyncIterator[tuple[ControlPlane, Worker]]:
    if kind == "node" and shutil.which("node") is None:
        pytest.skip("there is no node on this machine")
    async with ControlPlane() as plane:
        variables = {
            "ARCO_FLOW_API_URL": plane.url,
            "ARCO_FLOW_TENANT_ID": TENANT,
            "ARCO_FLOW_WORKSPACE_ID": WORKSPACE,
            "ARCO_FLOW_WORKER_DISPATCH_SECRET": DISPATCH_SECRET,
            "ARCO_FLOW_API_KEY": "the key for logs",
            "ARCO_FLOW_WORKER_SLOTS": "3",
            "ARCO_FLOW_WORKER_GRACE_SECS": "1",
            "ARCO_FLOW_WORKER_REPORT_SECS": "3",
            "PORT": "0",
        }
        async with a_process(COMMANDS[kind], environment(variables)) as worker:
            worker.url = (await worker.says("worker_started"))[0]["url"]
            yield plane, worker


@pytest_asyncio.fixture(params=list(COMMANDS), scope="module", loop_scope="module")
async def example(request: pytest.FixtureRequest) -> Any:
    async with an_example(request.param) as found:
        yield found


async def test_it_completes_a_task_and_uploads_what_it_wrote(example: Any):
    plane, worker = example
    assert (await plane.dispatch(worker.url, "demo.hello"))[0] == 200
    assert [one.what for one in plane.heard if one.task_key == "demo.hello"] == ["started", "completed", "logs"]
    completed = plane.of("completed", "demo.hello")[0].body
    assert (completed["outcome"], completed["output"]) == ("SUCCEEDED", {"rowCount": 3})
    log = plane.logs["run-1/demo.hello/attempt-1"]
    assert log["stdout"].startswith("hello from ")
    assert log["stderr"] == "a warning\n"
    assert plane.log_headers["authorization"] == "Bearer the key for logs"


async def test_it_reports_failures_with_category_and_trace(example: Any):
    plane, worker = example
    for name, message in {"fails": "no luck today", "unheard_of": "no asset", "daily": "partition"}.items():
        assert (await plane.dispatch(worker.url, f"demo.{name}"))[0] == 200
        error = plane.of("completed", f"demo.{name}")[0].body["error"]
        assert error["category"] == "USER_CODE"
        assert message in error["message"]
        assert "worker." in error["stackTrace"]
    day = plane.task("demo.daily", "run-day")
    await plane.dispatch(worker.url, day, partition_key="date=d:2025-01-15")
    assert day.state == "SUCCEEDED"
    assert plane.logs["run-day/demo.daily/attempt-1"]["stdout"] == "the day is 2025-01-15\n"


async def test_it_refuses_strangers_and_what_is_not_for_it(example: Any):
    plane, worker = example
    for headers in ({"X-Other": "x"}, {"X-Arco-Dispatch-Secret": "wrong"}, {"Authorization": "Bearer wrong"}):
        assert (await plane.push(worker.url, b"{}", **headers))[0] == 401
    assert (await plane.push(worker.url, b"{}", Authorization=f"Bearer {DISPATCH_SECRET}"))[0] == 400
    assert (await plane.push(worker.url, b"{}", **{"X-Arco-Dispatch-Secret": f" {DISPATCH_SECRET} "}))[0] == 400
    heard = len(plane.heard)
    for changes in (
        {"tenant_id": "other"},
        {"workspace_id": "other"},
        {"callback_base_url": "http://127.0.0.1:1"},
        {"heartbeat_timeout_sec": 29},
    ):
        task = plane.task("demo.hello", "run-refused")
        assert (await plane.dispatch(worker.url, task, **changes))[0] == 400, changes
    assert len(plane.heard) == heard


async def test_it_runs_a_dispatch_once(example: Any):
    plane, worker = example
    task = plane.task("demo.hello", "run-once")
    first, second = await asyncio.gather(plane.dispatch(worker.url, task), plane.dispatch(worker.url, task))
    assert sorted((first[0], second[0])) == [200, 503]
    assert (await plane.dispatch(worker.url, task))[0] == 200
    assert len([one for one in plane.of("completed") if one.body["attemptId"] == task.attempt_id]) == 1


async def test_it_does_not_run_what_is_not_wanted(example: Any):
    plane, worker = example
    task = plane.task("demo.fails", "run-unwanted")
    task.cancel = True
    before = len(plane.of("completed"))
    assert (await plane.dispatch(worker.url, task))[0] == 200
    assert len(plane.of("completed")) == before


async def test_its_report_survives_an_api_that_is_away_for_a_moment_and_is_delivered_again_otherwise(example: Any):
    plane, worker = example
    plane.fault("completed", "503", "lose")
    assert (await plane.dispatch(worker.url, plane.task("demo.hello", "run-away")))[0] == 200
    plane.fault("completed", *["500"] * 30)
    task = plane.task("demo.hello", "run-far")
    assert (await plane.dispatch(worker.url, task))[0] == 500
    plane._faults.clear()
    assert (await plane.dispatch(worker.url, task))[0] == 200
    assert task.state == "SUCCEEDED"


async def test_it_ends_a_task_that_is_cancelled_or_superseded(example: Any):
    plane, worker = example
    cancelled, old = plane.task("demo.sleeps", "run-cancelled"), plane.task("demo.sleeps", "run-old")
    work = [
        asyncio.create_task(plane.dispatch(worker.url, task, heartbeat_timeout_sec=30)) for task in (cancelled, old)
    ]
    await plane.hears("started", 2, "demo.sleeps")
    cancelled.cancel, old.attempt = True, 2
    assert [status for status, _ in await asyncio.gather(*work)] == [200, 200]
    assert (cancelled.state, old.state) == ("CANCELLED", "RUNNING")
