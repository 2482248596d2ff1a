"""The api's end of `query.nursery`: starts the helper process, has children forked and killed.

Not bound to an event loop: calls that wait (`spawn`, `end_of`) are made on a thread, `kill` returns at once. One helper
serves a whole process; it is started when the first child is wanted, and again should it have ended.
"""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import arco
from arco.core.errors import Unavailable
from arco.query.nursery import ANSWER, COMMAND

_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONHOME")
"""What of our environment the helper gets to see: nothing that is a secret."""

_TUNED: Final = {
    "PYTHONDONTWRITEBYTECODE": "1",
    # No library may start a thread before the fork.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",
    # Memory is given back to where it is counted: limits of a process see neither pools nor large reservations.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MIMALLOC_ARENA_RESERVE": "32MiB",
    "ARROW_IO_THREADS": "2",
    "RUST_BACKTRACE": "0",
}
_START_S: Final = 60.0
"""Longest wait for a child: on a very busy machine loading the engine takes seconds."""


class Nursery:
    """Where sandbox children come from."""

    def __init__(self) -> None:
        self._conversation = threading.Lock()
        self._sending = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The helper's process id, while there is one."""
        return None if self._process is None else self._process.pid

    def spawn(self, *, strict: bool = False) -> tuple[int, socket.socket]:
        """A new child: its process id, and the socket to talk to it. Raises `Unavailable`."""
        ours, theirs = socket.socketpair()
        with self._conversation:
            try:
                try:
                    child = self._forked(theirs, strict=strict)
                except OSError:
                    # The helper is gone, by whatever hand: another one does as well.
                    self._end()
                    child = self._forked(theirs, strict=strict)
            except OSError:
                ours.close()
                self._end()
                raise Unavailable("SQL cannot be run: its helper process does not start") from None
            finally:
                theirs.close()
        ours.setblocking(False)
        return child, ours

    def kill(self, child: int) -> None:
        """Have a child killed, without waiting for it."""
        try:
            with self._sending:
                if self._control is not None:
                    self._control.sendall(COMMAND.pack(b"K", child))
        except OSError:
            pass  # without a helper there are no children: they end with it

    def end_of(self, child: int) -> int:
        """How a child ended: an exit code, or a signal's number below zero; 0 when nobody knows."""
        with self._conversation:
            try:
                return self._asked(COMMAND.pack(b"W", child))
            except OSError:
                return 0

    def stop(self) -> None:
        """End the helper and all children; a later `spawn` starts another."""
        with self._conversation:
            self._end()

    def _forked(self, theirs: socket.socket, *, strict: bool) -> int:
        if self._control is None:
            self._start()
        return self._asked(COMMAND.pack(b"S" if strict else b"F", 0), theirs.fileno())

    def _asked(self, command: bytes, *descriptors: int) -> int:
        control = self._control
        if control is None:
            raise ConnectionResetError
        with self._sending:
            if descriptors:
                socket.send_fds(control, [command], list(descriptors))
            else:
                control.sendall(command)
        answer = control.recv(ANSWER.size, socket.MSG_WAITALL)
        if len(answer) < ANSWER.size:
            raise ConnectionResetError
        number: int = ANSWER.unpack(answer)[0]
        return number

    def _start(self) -> None:
        if not hasattr(os, "fork"):
            raise Unavailable("SQL needs an operating system whose processes can fork")
        ours, theirs = socket.socketpair()
        ours.settimeout(_START_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "arco.query.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
            )
        self._control = ours

    def _end(self) -> None:
        with self._sending:
            control, self._control = self._control, None
        if control is not None:
            control.close()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """The helper's environment: where Python finds its packages, and how libraries are tuned."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    packages = [str(Path(arco.__file__).parent.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return kept | _TUNED | {"PYTHONPATH": os.pathsep.join(path for path in packages if path)}
