"""The pool of sandbox children: one query at a time in each, one scope in the life of each, killed when in doubt.

Guarantees: a child that did not finish what it was asked, for whatever reason, never answers anybody again; a child
that has seen one scope's data never sees another scope's query; at most `workers` queries run, at most `WAITING_MAX`
wait, and further ones are refused with `Retry-After`. One unbound child is kept warm, so that neither a kill nor a new
scope costs the next query a fork. Children are made when the first query comes and go when none has come for a while.
"""

import asyncio
import contextlib
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from arco.core.errors import ArcoError, Overloaded, Unavailable
from arco.core.scope import Scope
from arco.query import wire
from arco.query.errors import EXHAUSTED_CODE, FACTS, QueryExhausted, QueryTimedOut
from arco.query.nursery_client import Nursery

WORKERS: Final = 2
"""Queries that run at once (`ARCO_QUERY_WORKERS`)."""

WAITING_MAX: Final = 64
"""Queries that may wait for a child before more are refused: beyond it the last would wait for minutes."""

WAITING_PER_SCOPE_MAX: Final = 32
"""Waiting queries of one scope: half of the room stays free for the others."""

WAIT_S: Final = 10.0
"""Longest wait for a child: as long as a query may run."""

IDLE_S: Final = 60.0
"""How long children are kept without a query."""

_REPLY_SPARE_BYTES: Final = 1 << 20
_OUT_OF_MEMORY: Final = (-signal.SIGABRT, -signal.SIGKILL, EXHAUSTED_CODE)


class WorkerDied(Exception):
    """The child ended, or said what no child of ours says, while it was working."""


class Worker:
    """A child, as the api talks to it. `scope` is whose data it has seen, `held` the blocks it keeps."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self.scope: Scope | None = None
        self.held: set[str] = set()
        self.fate = "cancelled"
        self._sock = sock
        self._pending = False

    @property
    def unfinished(self) -> bool:
        """True while a request has no answer: nobody knows what the child is doing."""
        return self._pending

    async def ask(
        self, request: wire.Request, descriptors: Sequence[int] = (), *, bytes_max: int = _REPLY_SPARE_BYTES
    ) -> wire.Reply:
        """The child's answer. Raises the fact it refuses with, and `WorkerDied`."""
        self._pending = True
        try:
            await self._send(wire.encode(request), descriptors)
            reply = await self._received(bytes_max + _REPLY_SPARE_BYTES)
        except (OSError, ValueError, msgspec.MsgspecError):
            raise WorkerDied from None
        self._pending = False
        if isinstance(reply, wire.Refused):
            raise _fact(reply)
        return reply

    async def ready(self) -> bool:
        """Wait until the child can be asked; whether its system calls are filtered. Raises `WorkerDied`."""
        try:
            first = await self._received(_REPLY_SPARE_BYTES)
        except (OSError, ValueError, msgspec.MsgspecError):
            raise WorkerDied from None
        return isinstance(first, wire.Ready) and first.filtered

    def close(self) -> None:
        """Let the child go: it ends when its socket does."""
        self._sock.close()

    async def _send(self, body: bytes, descriptors: Sequence[int]) -> None:
        loop = asyncio.get_running_loop()
        header = wire.HEADER.pack(len(body), len(descriptors))
        if not descriptors:
            await loop.sock_sendall(self._sock, header + body)
            return
        await loop.sock_sendall(self._sock, header)
        for part in wire.chunks(descriptors):
            while True:
                try:
                    socket.send_fds(self._sock, [b"+"], list(part))
                    break
                except BlockingIOError:
                    await asyncio.sleep(0)
        await loop.sock_sendall(self._sock, body)

    async def _received(self, bytes_max: int) -> wire.Reply:
        length, _ = wire.HEADER.unpack(await self._exactly(wire.HEADER.size))
        if length > bytes_max:
            raise ValueError
        reply: wire.Reply = wire.decode_reply(await self._exactly(length))
        return reply

    async def _exactly(self, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        found = bytearray(size)
        view, at = memoryview(found), 0
        while at < size:
            count = await loop.sock_recv_into(self._sock, view[at:])
            if count == 0:
                raise ConnectionResetError
            at += count
        return found


class Sandbox:
    """Lends children to queries. `killed` is told why a child did not live."""

    def __init__(
        self,
        nursery: Nursery,
        *,
        workers: int = WORKERS,
        killed: Callable[[str], None] = lambda _reason: None,
        idle_s: float = IDLE_S,
        wait_s: float = WAIT_S,
    ) -> None:
        self._nursery = nursery
        self._workers = workers
        self._killed = killed
        self._idle_s, self._wait_s = idle_s, wait_s
        self._idle: list[Worker] = []
        self._busy = 0
        self._waiting: deque[tuple[Scope, asyncio.Future[None]]] = deque()
        self._making: asyncio.Task[None] | None = None
        self._births: set[asyncio.Future[tuple[int, socket.socket]]] = set()
        self._going: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def processes(self) -> list[int]:
        """Process ids of the children that wait for a query, for tests and figures."""
        return [worker.pid for worker in self._idle]

    @asynccontextmanager
    async def lease(self, scope: Scope) -> AsyncIterator[Worker]:
        """A child bound to `scope`, for one query.

        When the block is left in the middle of a request the child is killed; its `fate` is the reason that is counted.
        Raises `Overloaded`, `Unavailable`; turns a child's death into the fact it stands for.
        """
        await self._slot(scope)
        worker: Worker | None = None
        try:
            worker = self._kept(scope) or await self._fresh()
            worker.scope = scope
            self._have_a_spare()
            yield worker
        except WorkerDied:
            assert worker is not None
            raise await self._end_of(worker) from None
        finally:
            if worker is not None:
                self._back(worker)
            self._free()

    async def close(self) -> None:
        """Let all children go; running queries end as if cancelled."""
        self._closed = True
        if self._going is not None:
            self._going.cancel()
        for _, waiting in self._waiting:
            waiting.cancel()
        # Not cancelled: a child that is being born must be let go by somebody.
        await asyncio.gather(*self._births, *([self._making] if self._making else []), return_exceptions=True)
        self._let_go()

    async def _slot(self, scope: Scope) -> None:
        if self._closed:
            raise Unavailable("The server is stopping")
        if self._busy < self._workers:
            self._busy += 1
            return
        ours = sum(1 for waiting, _ in self._waiting if waiting == scope)
        if len(self._waiting) >= WAITING_MAX or ours >= WAITING_PER_SCOPE_MAX:
            raise Overloaded("Too many SQL queries are waiting; send the query again in a moment", retry_after_s=1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (scope, turn)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            with contextlib.suppress(ValueError):
                self._waiting.remove(entry)
            if turn.done() and not turn.cancelled():
                self._free()  # our turn came in the moment in which we gave up
            if isinstance(error, TimeoutError):
                raise Overloaded("SQL queries before this one take long; try again later", retry_after_s=5) from None
            raise

    def _free(self) -> None:
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy -= 1

    def _kept(self, scope: Scope) -> Worker | None:
        for wanted in (scope, None):
            for worker in reversed(self._idle):
                if worker.scope == wanted:
                    self._idle.remove(worker)
                    return worker
        return None

    async def _fresh(self) -> Worker:
        if self._making is not None:
            # The one that is being made anyway is there sooner than another.
            with contextlib.suppress(ArcoError):
                await asyncio.shield(self._making)
            if (worker := self._kept_unbound()) is not None:
                return worker
        return await self._made()

    def _kept_unbound(self) -> Worker | None:
        for worker in self._idle:
            if worker.scope is None:
                self._idle.remove(worker)
                return worker
        return None

    async def _made(self) -> Worker:
        making = asyncio.ensure_future(asyncio.to_thread(self._nursery.spawn))
        self._births.add(making)
        making.add_done_callback(self._births.discard)
        try:
            worker = Worker(*await asyncio.shield(making))
        except asyncio.CancelledError:
            making.add_done_callback(_closed)
            raise
        try:
            await worker.ready()
        except WorkerDied:
            worker.close()
            raise Unavailable("SQL cannot be run: its processes do not start") from None
        except BaseException:
            worker.close()
            raise
        return worker

    def _back(self, worker: Worker) -> None:
        if worker.unfinished:
            self._nursery.kill(worker.pid)
            worker.close()
            if worker.fate:
                self._killed(worker.fate)
            self._have_a_spare()
        elif self._closed:
            worker.close()
        else:
            self._idle.append(worker)
            self._trim()
        self._watch()

    def _trim(self) -> None:
        bound = [worker for worker in self._idle if worker.scope is not None]
        for worker in bound[: max(0, len(bound) - self._workers)]:
            self._idle.remove(worker)
            worker.close()

    async def _end_of(self, worker: Worker) -> ArcoError:
        code = await asyncio.to_thread(self._nursery.end_of, worker.pid)
        worker.fate = ""
        if code == -signal.SIGXCPU:
            self._killed("timeout")
            return QueryTimedOut()
        denied = code == -signal.SIGSYS
        self._killed("memory" if code in _OUT_OF_MEMORY else "denied" if denied else "crash")
        return QueryExhausted()

    def _have_a_spare(self) -> None:
        spare = any(worker.scope is None for worker in self._idle)
        if spare or self._closed or self._making is not None:
            return
        self._making = asyncio.ensure_future(self._make_spare())
        self._making.add_done_callback(self._spare_made)

    async def _make_spare(self) -> None:
        worker = await self._made()
        self._idle.insert(0, worker)

    def _spare_made(self, task: "asyncio.Task[None]") -> None:
        self._making = None
        if not task.cancelled():
            task.exception()  # the query that needs a child tells of it
        if self._closed:
            self._let_go()

    def _watch(self) -> None:
        if self._going is not None:
            self._going.cancel()
        if not self._closed:
            self._going = asyncio.get_running_loop().call_later(self._idle_s, self._unused)

    def _unused(self) -> None:
        if self._busy:
            self._watch()
            return
        self._let_go()
        self._nursery_rests()

    def _nursery_rests(self) -> None:
        # Not waited for: whoever comes meanwhile waits for the helper's own lock and has another started.
        _ = asyncio.get_running_loop().run_in_executor(None, self._nursery.stop)

    def _let_go(self) -> None:
        for worker in self._idle:
            worker.close()
        self._idle.clear()


def _fact(refused: wire.Refused) -> ArcoError:
    return FACTS.get(refused.fact, FACTS["invalid"])(refused.message)


def _closed(making: "asyncio.Future[tuple[int, socket.socket]]") -> None:
    """A child that came when nobody waited any more goes again."""
    if not making.cancelled() and making.exception() is None:
        making.result()[1].close()
