"""A child process that runs `arco serve`, and its end.

Guarantees: the port was free when the child was started and the child is alive when the server is called ready, so
nobody else's server answers for it; the child is stopped on every way out.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from arco.core.errors import ArcoError

PORT_DEFAULT: Final = 8080
READY_S_MAX: Final = 20.0
"""Ten times a slow start on a busy machine."""

STOP_S_MAX: Final = 10.0
_POLL_S: Final = 0.02
_HOST: Final = "127.0.0.1"
_OTHER_PORTS: Final = (
    "ARCO_COMPACTOR_PORT",
    "ARCO_FLOW_COMPACTOR_PORT",
    "ARCO_FLOW_DISPATCHER_PORT",
    "ARCO_FLOW_SWEEPER_PORT",
)
_LOG_LINES: Final = 8


class ServerFailed(ArcoError):
    """The server did not start, or stopped by itself; the message has the end of its log."""


class PortTaken(ArcoError):
    """Something else listens on the port that was asked for."""


class ChildServer:
    """A running `arco serve`."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.url = f"http://{_HOST}:{port}"
        self.log = log
        self._process = process
        self._port = port

    def wait_ready(self) -> None:
        """Return when the server says it is ready. Raises `ServerFailed`."""
        began = time.perf_counter()
        while time.perf_counter() - began < READY_S_MAX:
            if self._ended_within(_POLL_S):
                raise self._failed(f"the server ended with code {self._process.returncode} before it was ready")
            if _is_ready(self._port):
                return
        raise self._failed(f"the server was not ready after {READY_S_MAX:.0f} s")

    def wait_ended(self) -> None:
        """Return never of its own: the server runs until somebody stops it. Raises `ServerFailed` when it ends."""
        self._process.wait()
        raise self._failed(f"the server ended with code {self._process.returncode}")

    def stop(self) -> None:
        """Ask the server to finish, and end it when it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ended_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _failed(self, what: str) -> ServerFailed:
        lines = self.log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]
        said = f"; it said: {' | '.join(lines)}" if lines else ""
        return ServerFailed(f"{what}{said}", log=str(self.log))


@contextmanager
def child_server(
    root: Path, port: int | None, extra: Mapping[str, str] | None = None, *, log_name: str = "demo-server.log"
) -> Iterator[ChildServer]:
    """A server on the store below `root`, started and not yet ready; stopped at the end. Raises `PortTaken`.

    `extra` are further settings.
    """
    chosen = free_port(port)
    root.mkdir(parents=True, exist_ok=True)
    log = root / log_name
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "arco", "serve"],
            env=child_environment(os.environ, root, chosen) | dict(extra or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches us alone: to the server a second signal would mean to drop what it is doing.
            start_new_session=True,
        )
    server = ChildServer(process, chosen, log)
    try:
        yield server
    finally:
        server.stop()


def child_environment(environ: Mapping[str, str], root: Path, port: int) -> dict[str, str]:
    """The environment of the child: ours without any setting of arco, then the demo's own."""
    kept = {name: value for name, value in environ.items() if not name.startswith("ARCO_") and name != "PORT"}
    return kept | {
        "ARCO_STORAGE_BUCKET": f"file://{quote(root.as_posix())}",
        "ARCO_HOST": _HOST,
        "ARCO_HTTP_PORT": str(port),
        **dict.fromkeys(_OTHER_PORTS, "0"),
    }


def free_port(wanted: int | None) -> int:
    """`wanted` when it is free; without a wish the default port, or any free one. Raises `PortTaken`."""
    if wanted:
        if not _is_free(wanted):
            raise PortTaken(f"port {wanted} is taken")
        return wanted
    if wanted is None and _is_free(PORT_DEFAULT):
        return PORT_DEFAULT
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT after the last demo is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=1)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
