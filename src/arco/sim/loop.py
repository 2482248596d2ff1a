"""An event loop without a machine: time is virtual, and whoever is ready runs in an order drawn from a seed.

Everything that runs belongs to a `SimProcess` (or to the network between them): what a dead process still had to do is
never done, what a suspended one has to do waits for it. So a process can be killed or suspended at every `await`. A
loop with nothing to run and no timer is a deadlock, found at once.
"""

import asyncio
import contextlib
import contextvars
import heapq
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_NOBODY: Final = contextvars.Context()
_SHORTEST_S: Final = 1e-6


class Deadlock(AssertionError):
    """Nothing can run and nothing ever will: somebody waits for an answer that no one owes."""


class Livelock(AssertionError):
    """The schedule takes more steps, or more virtual time, than anything reasonable can need."""


class Life:
    """What the loop knows of a process: whether it is there, and until when it is suspended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused_until = 0.0
        self.parked: list[SimHandle] = []


LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("arco_sim_life", default=None)
"""Whose code is running; inherited by every task and callback it makes."""


class SimHandle:
    """A callback to run; implements what asyncio asks of a handle and of a timer handle."""

    __slots__ = ("args", "callback", "context", "done", "when_s")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context, when_s: float
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.when_s = when_s
        self.done = False

    def cancel(self) -> None:
        """Never run it."""
        self.done = True

    def cancelled(self) -> bool:
        """True when it will not run."""
        return self.done

    def when(self) -> float:
        """The virtual second it is due."""
        return self.when_s


class SimLoop(asyncio.AbstractEventLoop):
    """Runs one story. `shuffled` is how often the next to run is drawn instead of taken in turn."""

    def __init__(self, rng: random.Random, *, shuffled: float = 1.0, steps_max: int = 400_000) -> None:
        self.seconds = 0.0
        self.steps = 0
        self.closed = False
        self.lost_errors: list[str] = []
        self._draw = rng.random
        self._shuffled = shuffled
        self._steps_max = steps_max
        self._ready: list[SimHandle] = []
        self._timers: list[tuple[float, int, SimHandle]] = []
        self._timed = 0
        self._tasks: list[asyncio.Task[Any]] = []

    # --- what asyncio asks for ----------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds."""
        return self.seconds

    get_debug = staticmethod(bool)

    def is_running(self) -> bool:
        """True: it is only asked from within."""
        return True

    def is_closed(self) -> bool:
        """True when the story is over."""
        return self.closed

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> asyncio.Task[Any]:
        """A task of whoever is running."""
        task = asyncio.Task(coro, loop=self, context=context)
        # The task of a dead process is destroyed while it is pending, and rightly so.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio has no public switch for it
        self._tasks.append(task)
        return task

    def call_soon(  # type: ignore[override]  # its handle is our own
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        """Have something run as soon as its turn comes."""
        handle = SimHandle(callback, args, context or contextvars.copy_context(), 0.0)
        if not self.closed:
            self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # its handle is our own
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        """Have something run after a while."""
        return self.call_at(self.seconds + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # its handle is our own
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        """Have something run at a virtual second."""
        handle = SimHandle(callback, args, context or contextvars.copy_context(), when)
        if not self.closed:
            self._timed += 1
            heapq.heappush(self._timers, (when, self._timed, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody heard of."""
        if not self.closed:
            self.lost_errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # --- what the simulation asks for ---------------------------------------------------------------------------------

    def network(self, delay_s: float, callback: Callable[..., object], *args: Any) -> SimHandle:
        """Have something done after a while that belongs to no process: a message on its way."""
        handle = SimHandle(callback, args, _NOBODY, self.seconds + delay_s)
        self._timed += 1
        heapq.heappush(self._timers, (handle.when_s, self._timed, handle))
        return handle

    def spawn(self, coro: Coroutine[Any, Any, T], life: Life | None) -> asyncio.Task[T]:
        """A task of a process."""
        context = _NOBODY.copy()
        context.run(LIFE.set, life)
        return self.create_task(coro, context=context)

    def begin(self, coro: Coroutine[Any, Any, object], life: Life | None) -> None:
        """A task of a process that nobody waits for."""
        task = self.spawn(coro, life)
        task.add_done_callback(_heard)

    def resume(self, life: Life) -> None:
        """Let a process that was suspended go on, if it is time."""
        if life.paused_until <= self.seconds:
            self._ready.extend(life.parked)
            life.parked.clear()

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        """The result of a story; what it left running is dropped."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            task = self.spawn(story, None)
            self._run_until(task)
            return task.result()
        finally:
            self.closed = True
            self._ready.clear()
            self._timers.clear()
            self._drop_tasks()
            asyncio._set_running_loop(before)

    def _drop_tasks(self) -> None:
        """End what is left: here and now, not when the garbage collector comes by."""
        for task in self._tasks:
            if not task.done():
                with contextlib.suppress(RuntimeError):
                    task.get_coro().close()
        self._tasks.clear()

    def _run_until(self, task: asyncio.Task[Any]) -> None:
        """Run what is ready, one after the other, until the task is done. Every line of it is run a million times."""
        ready, draw, shuffled, done = self._ready, self._draw, self._shuffled, task.done
        while not done():
            if not ready:
                self._advance()
            last = len(ready) - 1
            if last > 0:
                index = int(draw() * (last + 1)) if shuffled == 1.0 or draw() < shuffled else 0
                if index < last and shuffled == 1.0:
                    ready[index], ready[last] = ready[last], ready[index]
                    handle = ready.pop()
                else:
                    handle = ready.pop(index)
            else:
                handle = ready.pop()
            if handle.done:
                continue
            context = handle.context
            life = context.get(LIFE)
            if life is not None:
                if not life.alive:
                    continue
                if life.paused_until > self.seconds:
                    life.parked.append(handle)
                    continue
            self.steps += 1
            if self.steps > self._steps_max:
                raise Livelock(f"{self.steps} steps in {self.seconds:.0f} virtual seconds")
            context.run(handle.callback, *handle.args)

    def _advance(self) -> None:
        """Let time pass to the next timer; everything due by then is ready."""
        timers = self._timers
        if not timers:
            raise Deadlock("nothing can run and no timer is set")
        self.seconds = max(self.seconds, timers[0][0])
        due = self.seconds + _SHORTEST_S
        while timers and timers[0][0] <= due:
            handle = heapq.heappop(timers)[2]
            if not handle.done:
                self._ready.append(handle)
        if not self._ready:
            self._advance()


def _heard(task: "asyncio.Task[Any]") -> None:
    """What a task nobody waits for came to is not an error that got lost."""
    if not task.cancelled():
        task.exception()


def now_s() -> float:
    """The virtual second it is."""
    return asyncio.get_running_loop().time()
