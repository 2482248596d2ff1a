"""A simulated process: a life that may end or be suspended at any `await`, its clock, its entropy, its log."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from arco.core.entropy import MintedIds
from arco.core.offload import Inline
from arco.sim.loop import Life, SimLoop

T = TypeVar("T")

EPOCH_MS: Final = 1_767_225_600_000
"""The wall time at virtual second 0."""


class SimClock:
    """Virtual time as one process sees it: its wall clock is off, drifts, may be set back or stand still."""

    def __init__(self, loop: SimLoop, *, offset_ms: int = 0, drift: float = 0.0) -> None:
        self._loop = loop
        self._drift = 1.0 + drift
        self.offset_ms = offset_ms
        self.stands_at_ms: int | None = None

    def now_ms(self) -> int:
        """Wall time."""
        if self.stands_at_ms is not None:
            return self.stands_at_ms
        return EPOCH_MS + self.offset_ms + int(self._loop.seconds * 1000 * self._drift)

    def steady_ms(self) -> int:
        """Time since virtual second 0; it counts suspend."""
        return int(self._loop.seconds * 1000)

    async def sleep_ms(self, duration_ms: int) -> None:
        """Give way for a while."""
        await asyncio.sleep(duration_ms / 1000)


class SeededEntropy:
    """Repeatable bytes."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        """`count` bytes."""
        return self._random.randbytes(count)


class SimProcess(Life):
    """One process: also the `kernel.workshop.Ports` of whatever runs in it."""

    def __init__(self, loop: SimLoop, name: str, seed: int, clock: SimClock) -> None:
        super().__init__(name)
        self.loop = loop
        self.clock = clock
        self.entropy = SeededEntropy(f"{seed}/{name}")
        self.ids = MintedIds(clock, self.entropy)
        self.offload = Inline()
        self.log = self
        self.logged: list[tuple[float, str, dict[str, object]]] = []
        self.connections: list[asyncio.Future[Any]] = []
        self.on_crash: Callable[[], None] = _nothing

    def spawn(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of this process."""
        return self.loop.spawn(coro, self)

    def begin(self, coro: Coroutine[Any, Any, object]) -> None:
        """Have something done by this process that nobody waits for."""
        self.loop.begin(coro, self)

    def crash(self) -> None:
        """Be gone, at once: nothing of what is under way is ever continued, and who waits for an answer is cut off."""
        self.alive = False
        for waiting in self.connections:
            if not waiting.done():
                waiting.set_exception(ConnectionResetError(f"{self.name} is gone"))
        self.connections.clear()
        self.on_crash()

    def pause(self, duration_s: float) -> None:
        """Be suspended for a while."""
        self.paused_until = max(self.paused_until, self.loop.seconds + duration_s)
        self.loop.network(self.paused_until - self.loop.seconds, self.loop.resume, self)

    def wake(self) -> None:
        """Go on now."""
        self.paused_until = 0.0
        self.loop.resume(self)

    def warning(self, event: str, **fields: object) -> None:
        """Keep what an operator would be told."""
        self.logged.append((self.loop.seconds, event, fields))


def _nothing() -> None:
    """Nobody minds."""
