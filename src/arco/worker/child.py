"""A child: runs one task after another on its socket, until the socket ends or it is told to end, or killed.

User code runs here and nowhere else. Output and errors go to the supervisor as they are written, unbuffered, so that
nothing is lost when the process dies. SIGTERM interrupts the task that runs: `cancelled` is true from then on, and
`KeyboardInterrupt` is raised in the function, once. A task that leaves threads or processes behind says so.
"""

import contextlib
import ctypes
import fcntl
import io
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from arco.sdk.execute import AssetSet, TaskRun, load_assets, run_task
from arco.sdk.io.port import IoManager
from arco.worker import words
from arco.worker.tables import AskingRegistrar, tables_of

MEMORY_VARIABLE: Final = "ARCO_CHILD_MEMORY_BYTES"
"""How a nursery is told what each child may use; bytes."""

_OWN: Final = 3
"""The descriptor of a child's socket, after input, output and errors."""
_PR_SET_PDEATHSIG: Final = 1
_OF_TABLES: Final = ("pyarrow.dataset", "pyarrow.parquet", "deltalake", "fsspec.implementations.local")
_TEXT_CHARS_MAX: Final = 64 * 1024
_PAGE: Final = os.sysconf("SC_PAGESIZE") if hasattr(os, "sysconf") else 4096


class Code(msgspec.Struct, frozen=True):
    """The user's code, loaded."""

    found: AssetSet
    io: IoManager
    registrar: AskingRegistrar

    @property
    def assets(self) -> Sequence[str]:
        """The keys of all assets."""
        return tuple(self.found.assets)


def load_code(targets: Sequence[str]) -> Code | words.Broken:
    """The assets in the user's modules and what reads and writes their tables, or why there is none."""
    try:
        registrar = AskingRegistrar()
        code = Code(load_assets(targets), tables_of(os.environ, registrar), registrar)
        _preload()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # user code may raise anything while it is imported
        cause = error.__cause__ or error
        text = "".join(traceback.format_exception(cause))
        return words.Broken(f"{getattr(error, 'message', None) or error}\n{text}"[-_TEXT_CHARS_MAX:])
    return code


def _preload() -> None:
    """Where the code knows Arrow, its tables are of Arrow: what reads and writes them is loaded once, and shared."""
    if "pyarrow" in sys.modules:
        for name in _OF_TABLES:
            import_module(name)


def become_child(descriptors: Sequence[int], parent: int, code: Code | None, targets: Sequence[str]) -> None:
    """Turn a fork of the nursery into a child, and serve. The descriptors are socket, output and errors."""
    _die_with(parent)
    os.setsid()  # a group of its own, so that what it starts can be ended with it
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN if number != signal.SIGCHLD else signal.SIG_DFL)
    _wire(descriptors)
    sock = socket.socket(fileno=_OWN)
    _limit_memory()
    found = load_code(targets) if code is None else code
    if isinstance(found, words.Broken):
        words.send(sock, found)
        return
    _Child(sock, found).serve()


class _Child:
    """What runs tasks, and is interrupted."""

    def __init__(self, sock: socket.socket, code: Code) -> None:
        self._sock = sock
        self._code = code
        self._busy = False
        """Whether a task was taken whose report is not sent yet."""
        self._running = False
        """Whether user code may be interrupted."""
        self._cancelled = False

    def serve(self) -> None:
        signal.signal(signal.SIGTERM, self._interrupt)
        surroundings = _Surroundings()
        self._code.registrar.ask = self._ask
        words.send(self._sock, words.Ready(_resident()))
        while (received := words.receive(self._sock)) is not None:
            command = words.to_child.decode(received)
            if not isinstance(command, words.Do):
                continue  # the answer to a question of a task that was interrupted while it waited
            surroundings.restore()
            self._busy, self._cancelled = True, False
            before = threading.active_count()
            report = self._run(command.task)
            _flush()
            words.send(self._sock, msgspec.structs.replace(report, resident=_resident(), litter=_litter(before)))
            self._busy = False

    def _run(self, given: Mapping[str, Any]) -> words.Report:
        report = words.Report(outcome="CANCELLED", error={"category": "CANCELLED", "message": "interrupted"})
        try:
            self._running = True
            task = msgspec.convert(given, TaskRun)
            made = run_task(
                task,
                self._code.found,
                io=self._code.io,
                log=_write_line,
                cancelled=lambda: self._cancelled,
                progress=self._progress,
            )
            report = words.Report(
                outcome=made.outcome, output=made.output, error=made.error, metrics=made.metrics, phase=made.phase
            )
            self._running = False
        except KeyboardInterrupt:
            pass  # it came between the end of the task and here: the report stands if there is one
        except BaseException as error:  # noqa: BLE001  # a report that cannot be made is one of our own mistakes
            text = "".join(traceback.format_exception(error))[-_TEXT_CHARS_MAX:]
            told = {"category": "INFRASTRUCTURE", "message": f"the worker failed: {error}", "stackTrace": text}
            report = words.Report(outcome="FAILED", error=told)
        finally:
            self._running = False
        return report

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        first, self._cancelled = not self._cancelled, True
        if self._running and first:
            raise KeyboardInterrupt
        if not self._busy:
            os._exit(0)  # told to end between two tasks; a report on its way is not held up

    def _ask(self, question: words.Register) -> words.Registered | None:
        with self._undisturbed():
            words.send(self._sock, question)
            received = words.receive(self._sock)
        answer = None if received is None else words.to_child.decode(received)
        return answer if isinstance(answer, words.Registered) else None

    def _progress(self, percent: int | None, message: str | None) -> None:
        with self._undisturbed():
            words.send(self._sock, words.Progress(percent, message))

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Half a message would be the end of the conversation: an interruption waits until it is whole."""
        before, running = self._cancelled, self._running
        self._running = False
        try:
            yield
        finally:
            self._running = running
        if running and self._cancelled and not before:
            raise KeyboardInterrupt


class _Surroundings:
    """What one task must not leave changed for the next: descriptors, streams, folder, environment, signals."""

    def __init__(self) -> None:
        self._descriptors = [fcntl.fcntl(place, fcntl.F_DUPFD_CLOEXEC, _OWN + 1) for place in range(_OWN)]
        self._streams = (sys.stdout, sys.stderr)
        self._folder = os.getcwd()
        self._environment = dict(os.environ)
        self._terminate = signal.getsignal(signal.SIGTERM)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def restore(self) -> None:
        """Have everything as it was."""
        for place, descriptor in enumerate(self._descriptors):
            os.dup2(descriptor, place)
        sys.stdout, sys.stderr = self._streams
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        with contextlib.suppress(OSError):
            os.chdir(self._folder)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


class _Through(io.RawIOBase):
    """A descriptor that everything written goes to at once and whole."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view):
            written += os.write(self._descriptor, view[written:])
        return written


def _wire(descriptors: Sequence[int]) -> None:
    """Input leads nowhere, output and errors to the supervisor, and nothing else is open but the socket."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    # First out of the way of each other's places.
    sock, nothing, output, errors = (
        fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _OWN + 1)
        for descriptor in (descriptors[0], nothing, *descriptors[1:])
    )
    for place, descriptor in enumerate((nothing, output, errors)):
        os.dup2(descriptor, place)
    os.dup2(sock, _OWN, inheritable=False)
    os.closerange(_OWN + 1, 4096)
    for name, place in (("stdout", 1), ("stderr", 2)):
        raw: Any = _Through(place)
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True))
        setattr(sys, f"__{name}__", getattr(sys, name))
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)


def _write_line(level: str, message: str, fields: Mapping[str, Any]) -> None:
    """A line of the task's own log, among what it prints."""
    rest = "".join(f" {name}={value}" for name, value in fields.items())
    sys.stdout.write(f"{level.upper()} {message}{rest}\n")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    ctypes.CDLL(None).fflush(None)  # what libraries in C have not written yet


def _litter(threads_before: int) -> str:
    """What the task left running; words for a log."""
    threads = threading.active_count() - threads_before
    children = []
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # of a thread that has just ended
            children += listed.read_text("ascii").split()
    found = [f"{threads} threads"] * (threads > 0) + [f"{len(children)} processes"] * bool(children)
    return " and ".join(found)


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _limit_memory() -> None:
    import resource  # noqa: PLC0415  # there is none on Windows, where nothing forks either

    bytes_max = int(os.environ.pop(MEMORY_VARIABLE, "0") or 0)
    if bytes_max:
        resource.setrlimit(resource.RLIMIT_DATA, (bytes_max, bytes_max))


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the nursery ends, by whatever hand."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(1)
