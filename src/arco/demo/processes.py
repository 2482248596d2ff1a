"""Child processes of a command that serves: started, waited for, ended.

Guarantees: a child's port was free when it was started and the child is alive when it is called ready, so nobody else
answers for it; it is stopped on every way out. Each has a session of its own: Ctrl-C reaches the command alone, which
then ends its children in the right order.
"""

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from arco.core.errors import ArcoError

PORT_DEFAULT: Final = 8080
READY_S_MAX: Final = 20.0
"""Ten times a slow start on a busy machine."""

STOP_S_MAX: Final = 10.0
HOST: Final = "127.0.0.1"
_POLL_S: Final = 0.02
_LOG_LINES: Final = 8


class ChildFailed(ArcoError):
    """A child did not start, or stopped by itself; the message has the end of its log, `log` says where that is."""


class PortTaken(ArcoError):
    """Something else listens on the port that was asked for."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """An arco command that is to run as a child. `probe` is the path that answers 200 when it is ready.

    `hurry_s` is how long after the first request to end a second one follows, which ends a worker's tasks too.
    """

    name: str
    arguments: Sequence[str]
    port: int
    environment: Mapping[str, str]
    log: Path
    probe: str
    hurry_s: float | None = None


class Child:
    """A running child. `url` is where it serves, `log` what it writes."""

    def __init__(self, program: Program, process: "subprocess.Popen[bytes]") -> None:
        self.name = program.name
        self.url = f"http://{HOST}:{program.port}"
        self.log = program.log
        self._program = program
        self._process = process

    def wait_ready(self) -> None:
        """Return when it says that it is ready. Raises `ChildFailed`."""
        began = time.perf_counter()
        while time.perf_counter() - began < READY_S_MAX:
            if self._ended_within(_POLL_S):
                raise self._failed(f"the {self.name} ended with code {self._process.returncode} before it was ready")
            if self.says() is not None:
                return
        raise self._failed(f"the {self.name} was not ready after {READY_S_MAX:.0f} s")

    def says(self, header: str = "") -> str | None:
        """A header of its answer to the probe, empty when there is none; None when it is not ready."""
        connection = http.client.HTTPConnection(HOST, self._program.port, timeout=1)
        try:
            connection.request("GET", self._program.probe)
            answer = connection.getresponse()
            return answer.getheader(header, "") if answer.status == http.client.OK else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def check(self) -> None:
        """Raise `ChildFailed` when it has ended: it runs until somebody stops it."""
        if self._process.poll() is not None:
            raise self._failed(f"the {self.name} ended with code {self._process.returncode}")

    def stop(self) -> None:
        """Ask it to finish, and end it when it does not."""
        hurry_s = self._program.hurry_s
        self._signal()
        if hurry_s is not None and not self._ended_within(hurry_s):
            self._signal()
        if not self._ended_within(STOP_S_MAX):
            self._process.kill()
            self._process.wait()

    def _signal(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _ended_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _failed(self, what: str) -> ChildFailed:
        lines = self.log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]
        said = f"; it said: {' | '.join(lines)}" if lines else ""
        return ChildFailed(f"{what}{said}", log=str(self.log))


@contextmanager
def running(program: Program) -> Iterator[Child]:
    """The program as a child, started and not yet ready; stopped at the end."""
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "arco", *program.arguments],
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # To a server a second signal would mean to drop what it is doing.
            start_new_session=True,
        )
    child = Child(program, process)
    try:
        yield child
    finally:
        child.stop()


@contextmanager
def interruptible() -> Iterator[None]:
    """A polite kill, or a closed terminal, interrupts as Ctrl-C does: children do not outlive their command."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has fewer
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without any setting of arco: a child gets its own, and nobody else's."""
    return {name: value for name, value in environ.items() if not name.startswith("ARCO_") and name != "PORT"}


def free_port(wanted: int | None) -> int:
    """`wanted` when it is free; without a wish the default port, or any free one. Raises `PortTaken`."""
    if wanted:
        if not _is_free(wanted):
            raise PortTaken(f"port {wanted} is taken")
        return wanted
    if wanted is None and _is_free(PORT_DEFAULT):
        return PORT_DEFAULT
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT after the last one is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
