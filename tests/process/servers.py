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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

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
LINES_KEPT = 20_000
"""Of what a server says: a run of an hour must not be about this."""

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

    def __init__(
        self, arguments: list[str], variables: Mapping[str, str], *, command: Sequence[str] = tuple(COMMAND)
    ) -> None:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(variables),
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line)
            if " ready: " in line:
                break
        self.ready_s = time.perf_counter() - began
        assert self.lines and " ready: " in self.lines[-1], self.lines
        self.ports = {role: int(port) for role, port in _PLACE.findall(self.lines[-1].partition("  storage ")[0])}
        # Somebody must read what the server says, or it would stop at a full pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if len(self.lines) > LINES_KEPT:
                del self.lines[: LINES_KEPT // 2]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(40)

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def serving(arguments: list[str], variables: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(arguments, variables or {})
    try:
        yield server
    except BaseException as error:
        error.add_note(f"arco serve {' '.join(arguments)} said last: {''.join(server.lines[-20:])}")
        raise
    finally:
        server.close()


class Caller:
    """One client thread's connection to an api."""

    def __init__(self, port: int, timeout_s: float = 30) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._connection: HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def every_name(port: int, path: str, family: str) -> list[str]:
    """All names of a list, page by page."""
    found: list[str] = []
    cursor: str | None = ""
    with Caller(port) as caller:
        while cursor is not None:
            status, body = caller.ask("GET", f"{path}?limit=500{cursor}")
            assert status == 200, body
            found += [one["name"] for one in body[family]]
            cursor = f"&cursor={body['next_cursor']}" if "next_cursor" in body else None
    return found
