"""A queue in memory that delivers when it is told to: for tests and for the simulation's flows.

It answers as the law says, and can be made to answer badly: full, unknown with the task taken, unknown without.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.dispatch.port import TIMER, TOMBSTONE_S, Answer, Duplicate, Enqueued, QueuedTask, QueueFull, Refused, Unknown

Deliver = Callable[[QueuedTask], Awaitable[int]]
"""Takes a delivery and answers with an HTTP status."""

UNKNOWN_TAKEN: Final = "unknown, taken"
UNKNOWN_LOST: Final = "unknown, not taken"
FULL: Final = "full"


class MemoryQueue:
    """A queue of one process; `deliver_due` makes the deliveries that are due."""

    def __init__(self, clock: Clock, *, takes_timers: bool = True) -> None:
        self._clock = clock
        self._takes_timers = takes_timers
        self._waiting: dict[str, QueuedTask] = {}
        self._until_ms: dict[str, float] = {}
        self._faults: deque[str] = deque()
        self._closed = False

    @property
    def survives(self) -> bool:
        return False

    @property
    def takes_timers(self) -> bool:
        return self._takes_timers

    @property
    def waiting(self) -> Sequence[QueuedTask]:
        """What was taken and not delivered, oldest first."""
        return list(self._waiting.values())

    def fail_next(self, *faults: str) -> None:
        """Answer the next calls badly: `FULL`, `UNKNOWN_TAKEN` or `UNKNOWN_LOST`."""
        self._faults.extend(faults)

    def waits(self, name: str) -> bool:
        return name in self._waiting

    async def enqueue(self, task: QueuedTask) -> Answer:
        if self._closed:
            return QueueFull()
        if task.kind == TIMER and not self._takes_timers:
            return Refused("no target for timers")
        fault = self._faults.popleft() if self._faults else ""
        if fault == FULL:
            return QueueFull()
        answer = Duplicate() if self._known(task.name) else Enqueued()
        if isinstance(answer, Enqueued) and fault != UNKNOWN_LOST:
            self._waiting[task.name] = task
        return Unknown(fault) if fault else answer

    async def deliver_due(self, deliver: Deliver) -> int:
        """Deliver everything that is due now; how many were accepted. The rest waits for the next call."""
        now_ms = self._clock.now_ms()
        due = [task for task in self._waiting.values() if (task.not_before_ms or 0) <= now_ms]
        accepted = 0
        for task in due:
            fresh = task if task.renewed is None else msgspec.structs.replace(task, body=task.renewed())
            if 200 <= await deliver(fresh) < 300:
                accepted += 1
                self._waiting.pop(task.name, None)
                self._until_ms[task.name] = self._clock.now_ms() + TOMBSTONE_S * 1000
        return accepted

    async def close(self) -> None:
        self._closed = True

    def _known(self, name: str) -> bool:
        return name in self._waiting or self._until_ms.get(name, 0) > self._clock.now_ms()
