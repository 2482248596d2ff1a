"""The supervisor's side of nurseries and children: started, forked, spoken to, signalled, buried.

Belongs to one event loop. A child is handed a task and gives a report or its death; silence is never success. When a
nursery dies, by whatever hand, the kernel ends its children with it, and their tasks see that as a death.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

import arco
from arco.config.worker import SECRET_NAMES
from arco.core.log import Log
from arco.worker import words
from arco.worker.capture import Capture, Pipe
from arco.worker.child import MEMORY_VARIABLE
from arco.worker.nursery import BARE, LOADING

BURIAL_S: Final = 1.0
"""How long a child whose socket has ended may take to be dead, before it is killed."""

END_S: Final = 5.0
"""How long a nursery that was told to end may take, before it is killed."""

_UNTHREADED: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",
}
"""Libraries that start threads while they are imported do without, or nothing could be forked; whoever sets these
variables himself has it his way, and children that load the code for themselves."""

_LOST: Final = -int(signal.SIGKILL)


class CodeBroken(Exception):
    """The user's code cannot be loaded; `message` says why, with the traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NurseryGone(Exception):
    """The process that children are forked from is no more."""


class Died(msgspec.Struct, frozen=True):
    """A child ended without a report: an exit code, or a signal's number below zero."""

    code: int


class Ears(msgspec.Struct, frozen=True):
    """Who hears what a task says while it runs: how far it is, and which table is to be registered."""

    on_progress: Callable[[words.Progress], None]
    register: Callable[[dict[str, Any]], Awaitable[str]]


class Child:
    """A process that runs one task at a time."""

    def __init__(
        self, nursery: "Nursery", wire: tuple[asyncio.StreamReader, asyncio.StreamWriter], pipes: Sequence[Pipe]
    ) -> None:
        self.pid = 0
        self.nursery = nursery
        self.tasks = 0
        self.resident = 0
        self._pipes = pipes
        self._reader, self._writer = wire

    async def ready(self) -> None:
        """Wait until it can be given a task. Raises `CodeBroken`, `NurseryGone`."""
        errors = Capture()
        self._pipes[1].capture = errors
        message = await self._next()
        self._settle()
        if isinstance(message, words.Broken):
            raise CodeBroken(message.message)
        if not isinstance(message, words.Ready):
            raise NurseryGone(errors.text())
        self.resident = message.resident

    async def run(self, task: words.Do, output: Sequence[Capture], ears: "Ears") -> words.Report | Died:
        """Run a task; what it writes goes to the captures of output and errors, what it asks and tells to `ears`."""
        self.tasks += 1
        for pipe, capture in zip(self._pipes, output, strict=True):
            pipe.drain_all()  # what the task before left behind is nobody's
            pipe.capture = capture
        try:
            self._writer.write(words.framed(task))
            await self._writer.drain()
            while isinstance(message := await self._next(), words.Progress | words.Register):
                if isinstance(message, words.Progress):
                    ears.on_progress(message)
                else:
                    self._writer.write(words.framed(words.Registered(await ears.register(message.table))))
                    await self._writer.drain()
        except OSError:
            message = None
        if isinstance(message, words.Report):
            self._settle()
            return message
        died = Died(await self.nursery.end_of(self.pid))
        self._settle()
        return died

    def signal(self, number: int, *, whole: bool = False) -> None:
        """Send it a signal; `whole` also to all it started."""
        self.nursery.signal(self.pid, number, whole=whole)

    def close(self) -> None:
        """Let it end: its socket does."""
        self._writer.close()
        for pipe in self._pipes:
            pipe.close()

    def _settle(self) -> None:
        """All that was written before the report, or the death, is in the pipes by now."""
        for pipe in self._pipes:
            pipe.drain_all()
            pipe.capture = None

    async def _next(self) -> words.FromChild | None:
        try:
            header = await self._reader.readexactly(words.HEADER.size)
            (length,) = words.HEADER.unpack(header)
            if length > words.MESSAGE_BYTES_MAX:
                return None
            message: words.FromChild = words.from_child.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError, msgspec.MsgspecError):
            return None
        return message


class Nursery:
    """One process that children are forked from."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        control: socket.socket,
        heard: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.assets: tuple[str, ...] = ()
        self.gone = False
        self._process = process
        self._control = control
        self._reader, self._writer = heard
        self._forks: deque[asyncio.Future[int]] = deque()
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._sending = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, targets: Sequence[str], memory_bytes: int, log: Log) -> "Nursery":
        """A nursery with the user's code; one whose code starts threads leaves loading to its children.

        Raises `CodeBroken`, `NurseryGone`.
        """
        nursery, first = await cls._started(LOADING, targets, memory_bytes)
        if isinstance(first, words.Threaded):
            await nursery.stop()
            log.info("worker_code_starts_threads", note="each child loads it for itself")
            nursery, first = await cls._started(BARE, targets, memory_bytes)
        if isinstance(first, words.Broken):
            await nursery.stop()
            raise CodeBroken(first.message)
        if not isinstance(first, words.Loaded):
            await nursery.stop()
            raise CodeBroken("the process that loads the code died while it did; see its output above")
        nursery.assets = first.assets
        nursery._listening = asyncio.get_running_loop().create_task(nursery._listen())
        return nursery

    @classmethod
    async def _started(
        cls, mode: str, targets: Sequence[str], memory_bytes: int
    ) -> tuple["Nursery", words.FromNursery | None]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.to_thread(_launched, theirs.fileno(), (mode, *targets), memory_bytes)
        ours.setblocking(False)
        # The transport reads a descriptor of its own: ours stays for sending, with other descriptors at times.
        try:
            nursery = cls(process, ours, await asyncio.open_connection(sock=ours.dup()))
            return nursery, await nursery._next()
        except BaseException:
            process.kill()  # nobody will ask it for anything, and loading may take its time
            await asyncio.to_thread(process.wait)
            raise

    async def spawn(self) -> Child:
        """A child that is ready. Raises `CodeBroken`, `NurseryGone`."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        pipes = [Pipe(loop.add_reader, loop.remove_reader) for _ in range(2)]
        forked: asyncio.Future[int] = loop.create_future()
        try:
            async with self._sending:
                if self.gone:
                    raise NurseryGone
                self._forks.append(forked)
                await self._send(words.Fork(), theirs.fileno(), *(pipe.theirs for pipe in pipes))
        except (OSError, NurseryGone):
            ours.close()
            for pipe in pipes:
                pipe.close()
            raise NurseryGone from None
        finally:
            theirs.close()
            for pipe in pipes:
                os.close(pipe.theirs)
        ours.setblocking(False)
        child = Child(self, await asyncio.open_connection(sock=ours), pipes)
        try:
            child.pid = await forked
            if child.pid == 0:
                raise NurseryGone
            await child.ready()
        except BaseException:
            child.signal(signal.SIGKILL, whole=True)
            child.close()
            self.forget(child.pid)
            raise
        return child

    def signal(self, pid: int, number: int, *, whole: bool = False) -> None:
        """Have a signal sent to a child that lives; the number of one that does not may be another one's by now."""
        end = self._ends.get(pid)
        if end is None or end.done():
            return
        try:
            self._control.send(words.framed(words.Signal(pid, number, whole)))
        except OSError:
            return  # without a nursery there are no children: the kernel ends them with it

    async def end_of(self, pid: int) -> int:
        """How a child ended; one that does not, though it should have, is killed."""
        end = self._ends[pid]
        try:
            return await asyncio.wait_for(asyncio.shield(end), BURIAL_S)
        except TimeoutError:
            self.signal(pid, signal.SIGKILL, whole=True)
            return await end

    async def stop(self) -> None:
        """End it and all its children."""
        self._control.close()
        self._writer.close()
        if self._listening is not None:
            self._listening.cancel()
        self._end_all()
        if await asyncio.to_thread(_ended_within, self._process, END_S):
            return
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def _send(self, message: words.ToNursery, *descriptors: int) -> None:
        while True:
            try:
                socket.send_fds(self._control, [words.framed(message)], list(descriptors))
            except BlockingIOError:
                await asyncio.sleep(0.005)
            else:
                return

    async def _next(self) -> words.FromNursery | None:
        try:
            header = await self._reader.readexactly(words.HEADER.size)
            (length,) = words.HEADER.unpack(header)
            message: words.FromNursery = words.from_nursery.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError, msgspec.MsgspecError):
            return None
        return message

    async def _listen(self) -> None:
        while (message := await self._next()) is not None:
            if isinstance(message, words.Forked) and self._forks:
                self._ends[message.pid] = asyncio.get_running_loop().create_future()
                _settle(self._forks.popleft(), message.pid)
            elif isinstance(message, words.Ended) and message.pid in self._ends:
                _settle(self._ends[message.pid], message.code)
        self._end_all()

    def _end_all(self) -> None:
        self.gone = True
        for forked in self._forks:
            _settle(forked, 0)
        self._forks.clear()
        for end in self._ends.values():
            _settle(end, _LOST)

    def forget(self, pid: int) -> None:
        """A child is of no interest any more: nothing is kept of it once it is buried."""
        end = self._ends.get(pid)
        if end is not None:
            end.add_done_callback(partial(self._forget, pid))

    def _forget(self, pid: int, end: "asyncio.Future[int]") -> None:
        if self._ends.get(pid) is end:
            del self._ends[pid]


def _settle(future: "asyncio.Future[int]", value: int) -> None:
    if not future.done():
        future.set_result(value)


def _launched(descriptor: int, arguments: Sequence[str], memory_bytes: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "arco.worker.nursery", str(descriptor), *arguments],
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what modules print while they are imported is no task's output
        env=_environment(memory_bytes),
    )


def _ended_within(process: "subprocess.Popen[bytes]", timeout_s: float) -> bool:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _environment(memory_bytes: int) -> dict[str, str]:
    """The worker's environment without the worker's secrets: the rest is for user code."""
    secrets = {twin for name in SECRET_NAMES for twin in (name, f"{name}_FILE")}
    kept = {name: value for name, value in os.environ.items() if name not in secrets}
    packages = [str(Path(arco.__file__).parent.parent), *kept.get("PYTHONPATH", "").split(os.pathsep)]
    kept = _UNTHREADED | kept
    kept["PYTHONPATH"] = os.pathsep.join(path for path in packages if path)
    return kept | ({MEMORY_VARIABLE: str(memory_bytes)} if memory_bytes else {})
