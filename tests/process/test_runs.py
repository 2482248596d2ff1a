"""Runs on real processes: a server, or five, and a real worker; killed in the middle, and finished all the same."""

import asyncio
import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from arco.sdk.loading import load_assets
from arco.sdk.manifest import build_manifest

from .control_plane import DISPATCH_SECRET
from .servers import API_ENVIRONMENT, COMPACTOR_ENVIRONMENT, Server, free_port
from .workers import a_worker

pytestmark = [pytest.mark.process, pytest.mark.slow]

ASSETS = """
import threading
from typing import Any

from arco import asset


def _link(number: int) -> Any:
    before = [f"n.t{number - 4:02d}"] if number >= 4 else []

    @asset(namespace="n", name=f"t{number:02d}", deps=before)
    def made() -> None:
        threading.Event().wait(0.05)
        print("made", number)

    return made


for _number in range(16):
    globals()[f"t{_number:02d}"] = _link(_number)
"""
OVER = ("SUCCEEDED", "FAILED", "CANCELLED")
TOKENS = {
    "ARCO_FLOW_TASK_TOKEN_SECRET": API_ENVIRONMENT["ARCO_TASK_TOKEN_SECRET"],
    "ARCO_FLOW_TASK_TOKEN_ISSUER": API_ENVIRONMENT["ARCO_TASK_TOKEN_ISSUER"],
    "ARCO_FLOW_TASK_TOKEN_AUDIENCE": API_ENVIRONMENT["ARCO_TASK_TOKEN_AUDIENCE"],
    "ARCO_FLOW_TASK_TOKEN_TTL_SECS": "3600",
}


class Api:
    """A client of the api at a port, whoever serves it at the moment."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"content-type": "application/json", "x-tenant-id": "acme", "x-workspace-id": "prod"}
        try:
            connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def deploy(self, folder: Path) -> None:
        """Deploy the assets of the test."""
        code = folder / "assets.py"
        code.write_text(ASSETS)
        built = build_manifest(load_assets([str(code)]), folder, tenant_id="acme", workspace_id="prod")
        status, told = self.call("POST", "/workspaces/prod/manifests", built.manifest)
        assert status == 201, told

    def trigger(self) -> str:
        """Ask for a run of everything."""
        selection = [f"n.t{number:02d}" for number in range(16)]
        status, told = self.call("POST", "/workspaces/prod/runs", {"selection": selection})
        assert status == 201, told
        run_id: str = told["runId"]
        return run_id

    async def until(self, run_id: str, done: int, seconds: float = 60.0) -> dict[str, Any]:
        """The run, once so many of its tasks have succeeded or it is over."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    status, found = await asyncio.to_thread(self.call, "GET", f"/workspaces/prod/runs/{run_id}")
                except (OSError, HTTPException):
                    status, found = 0, {}
                if status == 200 and (found["state"] in OVER or found["taskCounts"]["succeeded"] >= done):
                    run: dict[str, Any] = found
                    return run
                await asyncio.sleep(0.05)


def local(folder: Path, port: int, worker_port: int) -> dict[str, str]:
    """The environment of a server with all roles."""
    return {
        "ARCO_STORAGE_BUCKET": f"file://{folder / 'store'}",
        "ARCO_DEBUG": "true",
        "ARCO_HTTP_PORT": str(port),
        "ARCO_FLOW_WORKER_DISPATCH_SECRET": DISPATCH_SECRET,
        "ARCO_FLOW_DISPATCH_TARGET_URL": f"http://127.0.0.1:{worker_port}",
        **dict.fromkeys(
            (
                "ARCO_COMPACTOR_PORT",
                "ARCO_FLOW_COMPACTOR_PORT",
                "ARCO_FLOW_DISPATCHER_PORT",
                "ARCO_FLOW_SWEEPER_PORT",
            ),
            "0",
        ),
    }


async def test_a_run_whose_server_is_killed_in_the_middle_goes_on_with_the_next_one(tmp_path: Path) -> None:
    api, worker_port = Api(free_port()), free_port()
    settings = local(tmp_path, api.port, worker_port)
    first = await asyncio.to_thread(Server, [], settings)
    try:
        api.deploy(tmp_path)
        async with a_worker(api.url, str(tmp_path / "assets.py"), flags=("--port", str(worker_port))):
            run_id = api.trigger()
            await api.until(run_id, 3)
            await asyncio.to_thread(first.stop, signal.SIGKILL)
            second = await asyncio.to_thread(Server, [], settings)
            try:
                found = await api.until(run_id, 99)
            finally:
                await asyncio.to_thread(second.close)
    finally:
        await asyncio.to_thread(first.close)
    assert (found["state"], found["taskCounts"]["succeeded"]) == ("SUCCEEDED", 16)
    assert all(task["attempt"] == 1 for task in found["tasks"])


@contextmanager
def five(folder: Path, api_port: int, worker_port: int) -> Iterator[Mapping[str, Server]]:
    """Each role as a process of its own, over one store."""
    ports = {role: free_port() for role in ("compactor", "flow-compactor", "dispatcher", "sweeper")}
    urls = {role: f"http://127.0.0.1:{port}" for role, port in ports.items()}
    store = {"ARCO_STORAGE_BUCKET": f"file://{folder / 'store'}"}
    scope = {**COMPACTOR_ENVIRONMENT, "ARCO_TENANT_ID": "acme", "ARCO_WORKSPACE_ID": "prod", **store}
    flow = {
        **scope,
        **TOKENS,
        "ARCO_FLOW_QUEUE_ADAPTER": "http",
        "ARCO_FLOW_COMPACTOR_URL": urls["flow-compactor"],
        "ARCO_FLOW_CALLBACK_BASE_URL": f"http://127.0.0.1:{api_port}",
        "ARCO_FLOW_DISPATCH_TARGET_URL": f"http://127.0.0.1:{worker_port}",
        "ARCO_FLOW_WORKER_DISPATCH_SECRET": DISPATCH_SECRET,
    }
    nudged = f"{urls['dispatcher']},{urls['sweeper']}"
    settings = {
        "compactor": scope,
        "flow-compactor": {**scope, "ARCO_FLOW_NUDGE_URLS": nudged},
        "dispatcher": flow,
        "sweeper": {**flow, "ARCO_FLOW_CATALOG_COMPACTOR_URL": urls["compactor"]},
    }
    api = {
        **API_ENVIRONMENT,
        **store,
        "ARCO_COMPACTOR_URL": urls["compactor"],
        "ARCO_ORCH_COMPACTOR_URL": urls["flow-compactor"],
        "PORT": str(api_port),
    }
    with ExitStack() as stack:
        servers = {}
        for role, given in settings.items():
            servers[role] = Server([f"--role={role}"], {**given, "PORT": str(ports[role])})
            stack.callback(servers[role].close)
        servers["api"] = Server(["--role=api"], api)
        stack.callback(servers["api"].close)
        yield servers


async def test_five_roles_and_a_worker_as_processes_of_their_own_finish_a_run(tmp_path: Path) -> None:
    api, worker_port = Api(free_port()), free_port()
    with ExitStack() as stack:
        servers = await asyncio.to_thread(stack.enter_context, five(tmp_path, api.port, worker_port))
        assert set(servers) == {"api", "compactor", "flow-compactor", "dispatcher", "sweeper"}
        api.deploy(tmp_path)
        async with a_worker(api.url, str(tmp_path / "assets.py"), flags=("--port", str(worker_port))):
            run_id = api.trigger()
            found = await api.until(run_id, 99)
            assert (found["state"], found["taskCounts"]["succeeded"]) == ("SUCCEEDED", 16)
            assert all(task["attempt"] == 1 for task in found["tasks"])
