"""Real `arco serve` processes for tests: started, found, asked, stopped, killed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import arco

SOURCE = str(Path(arco.__file__).parents[1])
COMMAND = [sys.executable, "-m", "arco", "serve"]
_PLACE = re.compile(r"([a-z-]+) http://127\.0\.0\.1:(\d+)")

API_ENVIRONMENT = {
    "ARCO_ENVIRONMENT": "dev",
    "ARCO_API_PUBLIC": "false",
    "ARCO_DEBUG": "true",
    "ARCO_ORCH_COMPACTOR_URL": "http://127.0.0.1:1",
    "ARCO_TASK_TOKEN_SECRET": "a task secret of more than thirty-two bytes",
    "ARCO_TASK_TOKEN_ISSUER": "arco",
    "ARCO_TASK_TOKEN_AUDIENCE": "arco-worker",
    "ARCO_TASK_TOKEN_TTL_SECS": "3600",
    "ARCO_RATE_DEFAULT_PER_MIN": "1000000000",
    "ARCO_RATE_BURST": "1000000",
    "ARCO_DRAIN_DELAY_SECS": "0",
    "PORT": "0",
}
COMPACTOR_ENVIRONMENT = {
    "ARCO_TENANT_ID": "local",
    "ARCO_WORKSPACE_ID": "default",
    "ARCO_DRAIN_DELAY_SECS": "0",
    "PORT": "0",
}
HEADERS = {"X-Tenant-Id": "local", "X-Workspace-Id": "default", "Content-Type": "application/json"}


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without its settings, and with those given."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ARCO_") and name != "PORT"}
    return {**own, "PYTHONPATH": SOURCE, **variables}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One `arco serve` that is ready; `ports` are by role."""

    def __init__(self, arguments: list[str], variables: Mapping[str, str]) -> None:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(variables),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.ready_s = time.perf_counter() - began
        self.ports = {role: int(port) for role, port in _PLACE.findall(line)}
        assert self.ports, line + (self.process.communicate()[0] or "")
        self.lines: list[str] = []
        # Somebody must read what the server says, or it would stop at a full pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(40)
        self._reader.join(5)
        return code


@contextmanager
def serving(arguments: list[str], variables: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(arguments, variables or {})
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(20)


class Caller:
    """One client thread's connection to an api."""

    def __init__(self, port: int, timeout_s: float = 30) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._connection: HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Status and decoded body. Raises `OSError` or `HTTPException` when the server is gone."""
        if self._connection is None:
            self._connection = HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_s)
        payload = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, f"/api/v1{path}", payload, {**HEADERS, **(headers or {})})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, HTTPException):
            self.close()
            raise
        if response.headers.get("connection", "").lower() == "close":
            self.close()
        return response.status, json.loads(content) if content else None

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def every_name(port: int, path: str, family: str) -> list[str]:
    """All names of a list, page by page."""
    caller = Caller(port)
    found: list[str] = []
    cursor = ""
    while True:
        status, body = caller.ask("GET", f"{path}?limit=500{cursor}")
        assert status == 200, body
        found += [one["name"] for one in body[family]]
        if "next_cursor" not in body:
            caller.close()
            return found
        cursor = f"&cursor={body['next_cursor']}"
