"""HTTP push to workers, with retries: the queue of local and simple deployments (orchestration.md 7.5; ADR 0021).

What is durable is the intent, in the ledger's outbox; what is here is in memory and dies with the process (`survives`
is false), so whoever owns the outbox enqueues at start what nobody has started yet. Workers de-duplicate by dispatch
id, which makes that safe. Names are remembered for an hour after delivery, at most `names_max` of them.

A push lasts as long as its task, because a worker answers when the task has ended. A worker that is full (503) or away
rests; its pushes go to another one or wait, in front of those that have not been tried. Any other answer than 2xx is
the task's own trouble: it is tried again, later and later, until the retry window ends.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from arco.core.clock import Clock
from arco.core.entropy import Entropy
from arco.core.log import Log
from arco.dispatch.envelope import BUSY_HEADER, SLOTS_HEADER
from arco.dispatch.lanes import ROOM_MAX, Dock, Lane
from arco.dispatch.port import (
    DISPATCH,
    TIMER,
    TOMBSTONE_S,
    Answer,
    Duplicate,
    Enqueued,
    QueuedTask,
    QueueFull,
    Refused,
    Routes,
)

_ANSWER_BYTES_MAX: Final = 64 * 1024
_RETRY_AFTER_S_MAX: Final = 300
_UNAVAILABLE: Final = 503

Headers = Callable[[], Awaitable[Mapping[str, str]]]
"""What goes with a call to say who calls. May raise anything; the call is then tried again."""


class PushLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is held, and how failures are answered. Times in milliseconds."""

    waiting_max: int = 10_000
    room: int = 64
    """Pushes at once to a worker that does not say how many tasks it runs."""
    first_ms: int = 100
    last_ms: int = 30_000
    refused_ms: int = 5_000
    """The first wait after an answer that says the request itself is wrong (4xx)."""
    window_ms: int = 3_600_000
    names_max: int = 100_000
    drain_ms: int = 2_000


class PushSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where deliveries go and what goes with them."""

    routes: Routes
    dispatch_headers: Headers
    timer_target: str | None = None
    timer_headers: Headers | None = None
    limits: PushLimits = PushLimits()


class _Attempt(msgspec.Struct, frozen=True):
    """How a push ended: done, or tried again after `wait_ms`, with the lane resting for `rest_ms`."""

    done: bool = False
    wait_ms: int = 0
    rest_ms: int = 0
    first: bool = False


class PushQueue:
    """A queue of this process that pushes over HTTP."""

    def __init__(self, settings: PushSettings, *, clock: Clock, entropy: Entropy, log: Log) -> None:
        self._settings = settings
        self._limits = settings.limits
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self._live: set[str] = set()
        self._buried: OrderedDict[str, int] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._docks: dict[tuple[str, str], Dock] = {}
        self._lanes: dict[str, Lane] = {}
        self._pushing = 0
        self._session: Any = None
        self._closed = False

    @property
    def survives(self) -> bool:
        return False

    @property
    def takes_timers(self) -> bool:
        return self._settings.timer_target is not None

    @property
    def waiting(self) -> int:
        """Deliveries that were taken and have not ended."""
        return len(self._tasks)

    def waits(self, name: str) -> bool:
        return name in self._live

    async def enqueue(self, task: QueuedTask) -> Answer:
        if task.kind == TIMER and not self.takes_timers:
            return Refused("no target for timers")
        if task.kind == DISPATCH and not self._settings.routes.targets(task.worker_queue):
            return Refused(f"no worker for the queue {task.worker_queue}")
        if self._known(task.name):
            return Duplicate()
        if self._closed or len(self._tasks) >= self._limits.waiting_max:
            return QueueFull()
        self._live.add(task.name)
        carried = asyncio.get_running_loop().create_task(self._carry(task))
        self._tasks.add(carried)
        carried.add_done_callback(self._tasks.discard)
        return Enqueued()

    async def settled(self) -> None:
        """Wait until everything that was taken until now has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Start nothing more, and give pushes that are under way a moment to be answered."""
        self._closed = True
        waited_ms = 0
        while self._pushing and waited_ms < self._limits.drain_ms:
            await self._clock.sleep_ms(50)
            waited_ms += 50
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for dock in self._docks.values():
            dock.close()
        if self._session is not None:
            await self._session.close()
        if left:
            self._log.info("dispatch_left_to_the_outbox", deliveries=len(left))

    async def _carry(self, task: QueuedTask) -> None:
        """One delivery from its time to its end."""
        if task.not_before_ms is not None:
            await self._clock.sleep_ms(max(0, task.not_before_ms - self._clock.now_ms()))
        until_ms, tries, first = 0, 0, False
        dock = self._dock(task)
        while True:
            lane = await dock.take(first=first)
            if self._closed:
                dock.give_back(lane)
                return
            tries += 1
            until_ms = until_ms or self._clock.steady_ms() + self._limits.window_ms
            attempt = await self._attempted(task, dock, lane, tries)
            if attempt.done or self._clock.steady_ms() + attempt.wait_ms > until_ms:
                break
            first = attempt.first
            await self._clock.sleep_ms(attempt.wait_ms)
        if not attempt.done:
            self._log.warning("dispatch_given_up", name=task.name, tries=tries, url=lane.url)
        self._bury(task.name)

    async def _attempted(self, task: QueuedTask, dock: Dock, lane: Lane, tries: int) -> _Attempt:
        attempt = _Attempt(wait_ms=self._backoff_ms(tries, self._limits.first_ms))
        self._pushing += 1
        try:
            attempt = await self._pushed(task, lane, tries)
        finally:
            self._pushing -= 1
            dock.give_back(lane, rest_ms=attempt.rest_ms)
        return attempt

    async def _pushed(self, task: QueuedTask, lane: Lane, tries: int) -> _Attempt:
        import aiohttp  # noqa: PLC0415  # only who pushes needs the client

        try:
            async with asyncio.timeout(task.deadline_s), await self._posted(task, lane) as response:
                status, headers = response.status, response.headers
                await response.content.read(_ANSWER_BYTES_MAX)
        except aiohttp.ClientConnectorError as error:
            first = lane.rests_until_ms <= self._clock.steady_ms()  # many that fail together are one failure
            lane.failures += first
            rest_ms = self._backoff_ms(lane.failures, self._limits.first_ms)
            if first:
                self._log.warning("worker_away", url=lane.url, error=type(error).__name__, rest_ms=rest_ms)
            return _Attempt(rest_ms=rest_ms, first=True)
        except Exception as error:  # noqa: BLE001  # whatever went wrong, the task is still to be delivered
            wait_ms = self._backoff_ms(tries, self._limits.first_ms)
            self._log.warning("dispatch_failed", name=task.name, url=lane.url, error=type(error).__name__)
            return _Attempt(wait_ms=wait_ms)
        lane.failures = 0
        _learn_room(lane, headers)
        if 200 <= status < 300:
            return _Attempt(done=True)
        if status == _UNAVAILABLE and headers.get(BUSY_HEADER) != "running":
            return self._full(lane, headers, tries)
        return self._again(task, status, headers, tries)

    async def _posted(self, task: QueuedTask, lane: Lane) -> Any:
        import aiohttp  # noqa: PLC0415  # only who pushes needs the client

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        own = self._settings.timer_headers if task.kind == TIMER else self._settings.dispatch_headers
        headers = {"content-type": "application/json", **(await own() if own is not None else {})}
        # It may have waited for hours: what its body says must be good from now, not from when it was taken.
        body = task.body if task.renewed is None else task.renewed()
        return await self._session.post(lane.url, data=body, headers=headers, allow_redirects=False)

    def _full(self, lane: Lane, headers: Mapping[str, str], tries: int) -> _Attempt:
        """The worker takes no more. If others of our own fill it, one of them makes room; if not, it rests."""
        ours = SLOTS_HEADER in headers and headers.get(BUSY_HEADER) == "full" and lane.pushing > lane.room
        return _Attempt(rest_ms=0 if ours else _retry_after_ms(headers) or self._backoff_ms(tries, 1_000), first=True)

    def _again(self, task: QueuedTask, status: int, headers: Mapping[str, str], tries: int) -> _Attempt:
        running = headers.get(BUSY_HEADER) == "running"
        first_ms = self._limits.refused_ms if status < 500 else self._limits.first_ms
        wait_ms = max(_retry_after_ms(headers), 0 if running else self._backoff_ms(tries, first_ms))
        if not running:
            self._log.warning("dispatch_refused", name=task.name, status=status, tries=tries, wait_ms=wait_ms)
        return _Attempt(wait_ms=wait_ms)

    def _backoff_ms(self, tries: int, first_ms: int) -> int:
        """Twice as long each time, up to the last; between half and all of it, so that many do not come at once."""
        full = min(first_ms * 2 ** min(tries - 1, 20), max(first_ms, self._limits.last_ms))
        return int(full * (0.5 + self._entropy.bytes(1)[0] / 512))

    def _dock(self, task: QueuedTask) -> Dock:
        timer = self._settings.timer_target
        urls = (timer,) if task.kind == TIMER and timer else self._settings.routes.targets(task.worker_queue)
        key = (task.kind, " ".join(urls))
        if key not in self._docks:
            self._docks[key] = Dock(urls, self._lane, self._clock)
        return self._docks[key]

    def _lane(self, url: str) -> Lane:
        return self._lanes.setdefault(url, Lane(url, self._limits.room))

    def _known(self, name: str) -> bool:
        return name in self._live or self._buried.get(name, 0) > self._clock.steady_ms()

    def _bury(self, name: str) -> None:
        """Remember the name for its hour; forget those whose hour is over, and the oldest of too many."""
        now_ms = self._clock.steady_ms()
        self._live.discard(name)
        self._buried[name] = now_ms + TOMBSTONE_S * 1000
        self._buried.move_to_end(name)
        while len(self._buried) > self._limits.names_max or next(iter(self._buried.values())) <= now_ms:
            self._buried.popitem(last=False)


def _learn_room(lane: Lane, headers: Mapping[str, str]) -> None:
    said = headers.get(SLOTS_HEADER, "")
    if said.isascii() and said.isdigit() and len(said) <= 4 and int(said) > 0:
        lane.room = min(int(said), ROOM_MAX)


def _retry_after_ms(headers: Mapping[str, str]) -> int:
    said = headers.get("retry-after", "")
    seconds = int(said) if said.isascii() and said.isdigit() and len(said) <= 6 else 0
    return min(seconds, _RETRY_AFTER_S_MAX) * 1000
