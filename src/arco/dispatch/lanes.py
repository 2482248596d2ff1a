"""Where a push may go next: one lane per worker, with room for as many pushes as the worker says it takes.

First come, first served within a dock, which is the lanes of one queue; the lane with most room is taken. A lane rests
after a worker was full or away, and is tried again when its rest is over or one of its pushes has ended, whatever is
first. Belongs to one event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from arco.core.clock import Clock

ROOM_MAX: Final = 1_024
"""Most pushes at once to one worker, whatever it says of itself: each is an open connection."""


class Lane:
    """The way to one worker."""

    def __init__(self, url: str, room: int) -> None:
        self.url = url
        self.room = room
        self.pushing = 0
        self.failures = 0
        """Times in a row that the worker was away."""
        self.rests_until_ms = 0

    def open(self, now_ms: int) -> bool:
        """Whether a push may start now."""
        return self.pushing < self.room and self.rests_until_ms <= now_ms


class Dock:
    """The lanes of one queue, and who waits for them."""

    def __init__(self, urls: Sequence[str], lane: Callable[[str], Lane], clock: Clock) -> None:
        self.lanes = [lane(url) for url in urls]
        self._clock = clock
        self._waiters: deque[asyncio.Future[Lane]] = deque()
        self._alarms: set[asyncio.Task[None]] = set()

    async def take(self, *, first: bool) -> Lane:
        """A lane with room, which is the caller's until `give_back`; `first` goes before all who wait."""
        waiter: asyncio.Future[Lane] = asyncio.get_running_loop().create_future()
        if first:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        self.serve()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back(waiter.result())
            raise

    def give_back(self, lane: Lane, *, rest_ms: int = 0) -> None:
        """The push has ended; the lane rests for so long, and not at all when it went well."""
        lane.pushing -= 1
        lane.rests_until_ms = self._clock.steady_ms() + rest_ms if rest_ms else 0
        if rest_ms:
            self._ring_in(rest_ms)
        self.serve()

    def serve(self) -> None:
        """Hand open lanes to those who wait."""
        while self._waiters:
            if self._waiters[0].done():
                del self._waiters[0]
                continue
            now_ms = self._clock.steady_ms()
            open_lanes = [lane for lane in self.lanes if lane.open(now_ms)]
            if not open_lanes:
                return
            lane = max(open_lanes, key=lambda one: one.room - one.pushing)
            lane.pushing += 1
            self._waiters.popleft().set_result(lane)

    def close(self) -> None:
        """Forget the alarms; whoever waits is cancelled by its owner."""
        for alarm in self._alarms:
            alarm.cancel()

    def _ring_in(self, rest_ms: int) -> None:
        alarm = asyncio.get_running_loop().create_task(self._ring(rest_ms))
        self._alarms.add(alarm)
        alarm.add_done_callback(self._alarms.discard)

    async def _ring(self, rest_ms: int) -> None:
        await self._clock.sleep_ms(rest_ms + 1)
        self.serve()
