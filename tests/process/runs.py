"""Runs on real processes: the api as a client sees it, a server with all roles, or five with one each."""

import asyncio
import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from arco.sdk.loading import load_assets
from arco.sdk.manifest import build_manifest

from .control_plane import DISPATCH_SECRET
from .servers import API_ENVIRONMENT, COMPACTOR_ENVIRONMENT, Server, free_port

ASSETS = """
import threading
from typing import Any

from arco import asset


def _link(number: int) -> Any:
    before = [f"n.t{number - WIDTH:04d}"] if number >= WIDTH else []

    @asset(namespace="n", name=f"t{number:04d}", deps=before)
    def made() -> None:
        threading.Event().wait(0.05)
        print("made", number)

    return made


for _number in range(TASKS):
    globals()[f"t{_number:04d}"] = _link(_number)
"""
"""So many tasks, each after the one a width before it."""

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

    def deploy(self, folder: Path, tasks: int = 16, width: int = 4) -> None:
        """Deploy so many assets."""
        code = folder / "assets.py"
        code.write_text(f"TASKS, WIDTH = {tasks}, {width}\n{ASSETS}")
        built = build_manifest(load_assets([str(code)]), folder, tenant_id="acme", workspace_id="prod")
        status, told = self.call("POST", "/workspaces/prod/manifests", built.manifest)
        assert status == 201, told

    def trigger(self, tasks: int = 16) -> str:
        """Ask for a run of everything."""
        selection = [f"n.t{number:04d}" for number in range(tasks)]
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


class Roles:
    """Processes by role, each of which can be ended and started again where it was."""

    def __init__(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        self._settings = settings
        self.servers: dict[str, Server] = {}

    def start(self, role: str) -> None:
        """Start a role; it is ready."""
        self.servers[role] = Server([f"--role={role}"], self._settings[role])

    def restart(self, role: str, number: int = signal.SIGKILL) -> None:
        """End a role and start it again at its port."""
        self.servers[role].stop(number)
        self.servers[role].close()
        self.start(role)

    def close(self) -> None:
        """End them all."""
        for server in self.servers.values():
            server.close()


@contextmanager
def five(folder: Path, api_port: int, worker_port: int) -> Iterator[Roles]:
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
    own = {role: {**given, "PORT": str(ports[role])} for role, given in settings.items()}
    roles = Roles({**own, "api": api})
    try:
        for role in (*own, "api"):
            roles.start(role)
        yield roles
    finally:
        roles.close()
