"""Children that are kept warm, as many as tasks may run at once; worn ones are replaced.

`take` and `give_back` bracket a task. A child is replaced when it has died, run its number of tasks, grown too large,
or left threads or processes behind; all are replaced, each after its task, when the user's code is loaded anew.
"""

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Sequence

import msgspec

from arco.core.clock import Clock
from arco.core.log import Log
from arco.worker import words
from arco.worker.children import Child, CodeBroken, Died, Nursery, NurseryGone

_MIB = 1024 * 1024
_REST_MS = 500
"""How long after a nursery that died, or did not start, another one is tried."""

_BROKEN_REST_MS = 30_000
"""How long code that could not be loaded fails tasks before it is tried again: what it needs may be back."""


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What children load, how many there are, and when one is worn."""

    targets: Sequence[str]
    slots: int
    tasks_max: int
    growth_bytes: int
    memory_bytes: int = 0
    """What one child may use; 0 is whatever there is."""


class Pool:
    """The warm children of one worker."""

    def __init__(self, settings: PoolSettings, *, clock: Clock, log: Log) -> None:
        self._settings = settings
        self._clock = clock
        self._log = log
        self._nursery: Nursery | None = None
        self._broken: CodeBroken | None = None
        self._broken_ms = 0
        self._idle: deque[Child] = deque()
        self._busy: set[Child] = set()
        self._waiters: deque[asyncio.Future[Child]] = deque()
        self._spawning = 0
        self._spawns: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._stopped = False

    @property
    def assets(self) -> Sequence[str]:
        """The keys of the assets that are loaded."""
        return self._nursery.assets if self._nursery is not None else ()

    @property
    def children(self) -> int:
        """Children that live, idle and busy."""
        return len(self._idle) + len(self._busy)

    async def start(self) -> None:
        """Load the user's code and have all children ready. Raises `CodeBroken`."""
        async with self._reloading:  # who wants a child meanwhile waits for this nursery instead of making another
            self._nursery = self._nursery or await self._new_nursery()
        self._fill()
        await asyncio.gather(*self._spawns)
        if not self.children:
            raise self._broken or CodeBroken("no child process starts; see the warnings above")

    async def reload(self) -> None:
        """Load the user's code anew; tasks that run end with the old one. Code that cannot be loaded fails tasks."""
        async with self._reloading:
            old = self._nursery
            try:
                self._nursery, self._broken = await self._new_nursery(), None
            except (CodeBroken, NurseryGone) as error:
                self._nursery = None
                self._break(error if isinstance(error, CodeBroken) else CodeBroken("its process does not start"))
            for child in [child for child in self._idle if child.nursery is old]:
                self._idle.remove(child)
                self._retire(child)
            self._fill()
            if self._broken is None:
                self._log.info("worker_code_loaded", assets=len(self.assets))
            await self._end_if_unused(old)

    async def take(self) -> Child:
        """A child that is ready. Raises `CodeBroken` when the user's code cannot be loaded."""
        while True:
            if self._broken is not None:
                if self._clock.steady_ms() - self._broken_ms < _BROKEN_REST_MS:
                    raise self._broken
                await self.reload()
                continue
            if self._idle:
                child = self._idle.popleft()
            else:
                waiter: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
                self._fill()
                child = await self._awaited(waiter)
            if not child.nursery.gone:
                self._busy.add(child)
                return child
            self._retire(child)

    def give_back(self, child: Child, ended: words.Report | Died | None) -> None:
        """The task of a child has ended, in this way; None when it was never given one."""
        self._busy.discard(child)
        worn = self._worn(child, ended)
        if worn:
            self._log.debug("worker_child_replaced", pid=child.pid, why=worn)
            self._retire(child)
            self._fill()
        else:
            self._hand_out(child)

    async def stop(self) -> None:
        """End all children."""
        self._stopped = True
        for task in list(self._spawns):
            task.cancel()
        for child in (*self._idle, *self._busy):
            child.close()
        nurseries = {child.nursery for child in (*self._idle, *self._busy)}
        if self._nursery is not None:
            nurseries.add(self._nursery)
        await asyncio.gather(*(nursery.stop() for nursery in nurseries))

    def _worn(self, child: Child, ended: words.Report | Died | None) -> str:
        """Why a child is not used again; nothing when it is."""
        if isinstance(ended, Died) or child.nursery.gone:
            return "dead"
        if child.nursery is not self._nursery:
            return "its code is old"
        if child.tasks >= self._settings.tasks_max:
            return "it has run its tasks"
        if ended is not None and ended.litter:
            return f"a task left {ended.litter}"
        if ended is not None and ended.resident - child.resident > self._settings.growth_bytes:
            return f"it has grown by {(ended.resident - child.resident) // _MIB} MiB"
        return ""

    def _retire(self, child: Child) -> None:
        child.signal(signal.SIGKILL, whole=True)
        child.close()
        child.nursery.forget(child.pid)
        if child.nursery is not self._nursery:
            task = asyncio.get_running_loop().create_task(self._end_if_unused(child.nursery))
            self._spawns.add(task)
            task.add_done_callback(self._spawns.discard)

    async def _end_if_unused(self, nursery: Nursery | None) -> None:
        if nursery is None or nursery is self._nursery:
            return
        if all(child.nursery is not nursery for child in (*self._busy, *self._idle)):
            await nursery.stop()

    def _fill(self) -> None:
        """Have as many children made as are missing."""
        missing = self._settings.slots - self.children - self._spawning
        for _ in range(missing if not self._stopped and self._broken is None else 0):
            self._spawning += 1
            task = asyncio.get_running_loop().create_task(self._spawn())
            self._spawns.add(task)
            task.add_done_callback(self._spawns.discard)

    async def _spawn(self) -> None:
        child = None
        try:
            child = await self._new_child()
        except CodeBroken as error:
            self._break(error)
        except NurseryGone as gone:
            self._log.warning("worker_child_not_started", reason=str(gone))
            await self._clock.sleep_ms(_REST_MS)
        finally:
            self._spawning -= 1
        if child is None:
            self._fill()
        elif child.nursery is self._nursery:
            self._hand_out(child)
        else:
            self._retire(child)
            self._fill()

    async def _new_child(self) -> Child:
        async with self._reloading:
            nursery = self._nursery
            if nursery is None or nursery.gone:
                gone, nursery = nursery, await self._new_nursery()
                self._nursery = nursery
                if gone is not None:
                    await gone.stop()
        return await nursery.spawn()

    async def _new_nursery(self) -> Nursery:
        return await Nursery.start(self._settings.targets, self._settings.memory_bytes, self._log)

    def _hand_out(self, child: Child) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(child)
                return
        self._idle.append(child)

    async def _awaited(self, waiter: "asyncio.Future[Child]") -> Child:
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._hand_out(waiter.result())
            raise

    def _break(self, error: CodeBroken) -> None:
        self._broken, self._broken_ms = error, self._clock.steady_ms()
        self._log.error("worker_code_broken", reason=error.message)
        while self._waiters:
            waiter = self._waiters.popleft()
            with contextlib.suppress(asyncio.InvalidStateError):
                waiter.set_exception(error)
