"""A virtual-time event loop with a shuffled run queue, and a store that fails in every way a network does.

Everything follows from one seed. A schedule that hangs is found at once: a loop with nothing to run and no timer is a
deadlock.
"""

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from arco.core.paths import Key
from arco.storage.memory import MemoryStore
from arco.storage.port import (
    Absent,
    DeleteOutcome,
    Lost,
    Matches,
    ObjectInfo,
    PutOutcome,
    StorageUnavailable,
    Stored,
    StoredObject,
    Unsure,
    WriteRefused,
)

T = TypeVar("T")

EPOCH_MS: Final = 1_767_225_600_000
KINDS: Final = ("fail", "lost", "late", "conflict", "refused", "read", "slow")


class Deadlock(AssertionError):
    """Nothing can run and nothing ever will: somebody waits for an answer that no one owes."""


class _Selector(selectors.DefaultSelector):
    """Never blocks: virtual time moves to the next timer, and whoever is ready runs in a seeded order."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("nothing can run and no timer is set")
        self.loop.seconds += timeout
        self.loop.shuffle()
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps and whose run queue is shuffled by `rng`."""

    def __init__(self, rng: random.Random) -> None:
        selector = _Selector()
        selector.loop = self
        self.seconds = 0.0
        self.rng = rng
        self.lost_errors: list[str] = []
        super().__init__(selector)
        self.set_exception_handler(lambda _loop, context: self.lost_errors.append(str(context)))

    def time(self) -> float:
        return self.seconds

    def shuffle(self) -> None:
        """Let what is ready run in another order."""
        ready: deque[Any] = self._ready  # type: ignore[attr-defined]  # asyncio has no public hook for this
        if len(ready) > 1:
            handles = list(ready)
            self.rng.shuffle(handles)
            ready.clear()
            ready.extend(handles)


def simulated(story: Coroutine[Any, Any, T], rng: random.Random) -> T:
    """The result of a story on a loop of its own."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(rng)) as runner:
        return runner.run(story)


class Process:
    """What a machine's life is to its clock and its store: it may pause, and it may be gone."""

    def __init__(self) -> None:
        self.alive = True
        self.paused_until = 0.0

    async def breathe(self) -> None:
        """Go on only if, and when, the process does."""
        if not self.alive:
            await asyncio.get_running_loop().create_future()
        wait_s = self.paused_until - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
            await self.breathe()


class LoopClock:
    """The loop's time as one process sees it, its wall clock off by `skew_ms`."""

    def __init__(self, process: Process, skew_ms: int = 0) -> None:
        self._process = process
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return EPOCH_MS + self._skew_ms + self.steady_ms()

    def steady_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)
        await self._process.breathe()


class WildStore:
    """One process's way to the shared memory store: slow, and wrong at the given rates (by kind of fault)."""

    def __init__(self, shared: MemoryStore, process: Process, rng: random.Random, rates: dict[str, float]) -> None:
        self.shared = shared
        self.rates = rates
        self._process = process
        self._rng = rng
        self._late: set[asyncio.Task[None]] = set()
        self.unsure_until = 0.0

    def _struck(self, kind: str) -> bool:
        return self._rng.random() < self.rates.get(kind, 0.0)

    def _silent(self) -> bool:
        return asyncio.get_running_loop().time() < self.unsure_until

    async def _travel(self) -> None:
        await self._process.breathe()
        slow = self._struck("slow")
        await asyncio.sleep(self._rng.uniform(0, 3.0) if slow else self._rng.choice((0, 0, 0.001, 0.02, 0.05)))

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        await self._travel()
        if self._struck("refused"):
            raise WriteRefused("no space left")
        silent = self._silent() and self._rng.random() < 0.95
        if self._struck("fail") or (silent and self._rng.random() < 0.7):
            return Unsure("reset before the request")
        if self._struck("late") or (silent and self._rng.random() < 0.3):
            task = asyncio.ensure_future(self._apply_later(key, body, when))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return Unsure("no answer in time")
        outcome = await self.shared.put(key, body, when=when)
        await self._travel()
        if silent or self._struck("lost"):
            return Unsure("reset after the request")
        if isinstance(outcome, Stored) and self._struck("conflict"):
            return Lost(outcome.version)
        return outcome

    async def _apply_later(self, key: Key, body: bytes, when: Absent | Matches) -> None:
        await asyncio.sleep(self._rng.choice((0.01, 0.2, 2.0, 8.0, 15.0)))
        await self.shared.put(key, body, when=when)

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        await self._travel()
        if self._struck("refused"):
            raise WriteRefused("no permission")
        silent = self._silent() and self._rng.random() < 0.95
        if self._struck("fail") or (silent and self._rng.random() < 0.7):
            return Unsure("reset before the request")
        if self._struck("late") or (silent and self._rng.random() < 0.3):
            task = asyncio.ensure_future(self._delete_later(key, when))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return Unsure("no answer in time")
        outcome = await self.shared.delete(key, when=when)
        await self._travel()
        return Unsure("reset after the request") if silent or self._struck("lost") else outcome

    async def _delete_later(self, key: Key, when: Matches) -> None:
        await asyncio.sleep(self._rng.choice((0.01, 0.2, 2.0, 8.0, 15.0)))
        await self.shared.delete(key, when=when)

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        await self._travel()
        if self._struck("read"):
            raise StorageUnavailable("reset")
        listed = await self.shared.list_page(prefix, after=after, limit=limit)
        await self._travel()
        return listed

    async def get(self, key: Key) -> StoredObject | None:
        await self._travel()
        if self._struck("read"):
            raise StorageUnavailable("reset")
        found = await self.shared.get(key)
        await self._travel()
        return found

    async def head(self, key: Key) -> ObjectInfo | None:
        await self._travel()
        if self._struck("read"):
            raise StorageUnavailable("reset")
        found = await self.shared.head(key)
        await self._travel()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shared, name)
