"""Answers that go on: server-sent events (WHATWG HTML, "Server-sent events"), and how many of them there may be.

Guarantees: a stream has a seat of its own budget, or is refused before it begins; it ends when the caller goes away,
when the process drains, when the caller's token ends or is taken back, and after its longest time, each within a
moment, and then everything it held is free. A caller who does not read is waited for by the connection's own rules, and
what waits for it is one message of bounded size. An end that is not the end of the matter is told with when to come
back; whoever comes back brings `Last-Event-ID`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from arco.core.clock import Clock
from arco.core.errors import Unavailable
from arco.core.metrics import Registry
from arco.core.scope import InvalidScopeId
from arco.edge.context import CONTEXT_KEY, STREAM_KEY, RequestContext
from arco.edge.jose import KeysWanted
from arco.edge.lifecycle import Lifecycle
from arco.edge.refusals import Draining, Forbidden, ServerStreams, TenantStreams, Unauthenticated
from arco.storage.port import StorageUnavailable

EVENT_STREAM: Final = "text/event-stream"
MESSAGE_BYTES_MAX: Final = 64 * 1024
"""Events that are sent together: what a connection holds for a caller who does not read is a few of these."""

RETRY_MS: Final = 1_000
"""When callers shall come back."""

FAREWELL_S: Final = 1.0
"""How long the last words may take: whoever does not read them learns from the connection's end."""

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
_BEGINNING: Final = b"retry: %d\n\n" % RETRY_MS
_HEARTBEAT: Final = b":\n\n"


Events = AsyncGenerator[bytes, None]
"""Whole events, a message of them at a time."""


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many streams there may be in a process and of one tenant, how long one is silent, and how long it lasts.

    After an hour a caller comes back, to another process perhaps: nobody has to end old processes for balance.
    """

    streams_max: int = 200
    tenant_max: int = 100
    heartbeat_ms: int = 15_000
    longest_ms: int = 3_600_000


class Streams:
    """The streams of one process."""

    def __init__(self, limits: StreamLimits, *, clock: Clock, lifecycle: Lifecycle, registry: Registry) -> None:
        self.limits = limits
        self.clock = clock
        self.lifecycle = lifecycle
        self._open: dict[str, int] = {}
        self._gauge = registry.gauge("arco_http_streams", "Open streams").series()
        self._ended = registry.counter("arco_http_streams_ended_total", "Streams that ended", ["reason"])

    @property
    def count(self) -> int:
        """Streams that are open."""
        return sum(self._open.values())

    @contextmanager
    def seat(self, tenant: str) -> Iterator[None]:
        """Room for one stream. Raises `Draining`, `ServerStreams`, `TenantStreams`."""
        if self.lifecycle.draining:
            raise Draining
        if self._open.get(tenant, 0) >= self.limits.tenant_max:
            raise TenantStreams(self.limits.tenant_max)
        if self.count >= self.limits.streams_max:
            raise ServerStreams(self.limits.streams_max)
        self._open[tenant] = self._open.get(tenant, 0) + 1
        self._gauge.add(1)
        try:
            yield
        finally:
            self._gauge.add(-1)
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]

    def ended(self, reason: str) -> None:
        """Count how a stream ended; `reason` is one of few."""
        self._ended.series(reason).inc()


def event(name: str, event_id: str, data: bytes) -> bytes:
    """One event; `data` is JSON without line breaks, as msgspec writes it."""
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), event_id.encode(), data)


class _Over(Exception):
    """The stream ends for a reason that is not the matter's own."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EventStream(Response):
    """An answer made of events: each item is whole events, at most about `MESSAGE_BYTES_MAX`.

    `events` is asked for the next item only when the one before has been taken.
    """

    def __init__(self, streams: Streams, events: Callable[[], Events]) -> None:
        super().__init__(media_type=EVENT_STREAM)
        self._streams = streams
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context: RequestContext = scope[CONTEXT_KEY]
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        with self._streams.seat(context.scope.tenant):
            scope[STREAM_KEY] = True
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            watched = _Watched(self._streams, context, receive, send)
            try:
                reason = await watched.through(self._events())
            finally:
                await watched.close()
        self._streams.ended(reason)


class _Watched:
    """One stream under way, and what may end it."""

    def __init__(self, streams: Streams, context: RequestContext, receive: Receive, send: Send) -> None:
        self._streams = streams
        self._context = context
        self._send = send
        self._begun_ms = self._known_ms = streams.clock.steady_ms()
        self._gone = asyncio.ensure_future(_disconnected(receive))
        self._drained = asyncio.ensure_future(streams.lifecycle.drained.wait())

    async def through(self, events: Events) -> str:
        """Send everything; why it ended."""
        async with aclosing(events) as items:
            try:
                await self._write(_BEGINNING)
                while (item := await self._next(items)) is not None:
                    await self._write(item)
                await self._send({"type": "http.response.body", "body": b""})
            except _Over as over:
                if over.reason != "client":
                    await self._farewell(over.reason)
                return over.reason
            except StorageUnavailable:
                await self._farewell("storage")
                return "storage"
        return "done"

    async def close(self) -> None:
        """Stop watching."""
        for task in (self._gone, self._drained):
            task.cancel()
        await asyncio.gather(self._gone, self._drained, return_exceptions=True)

    async def _next(self, items: Events) -> bytes | None:
        """The next item; heartbeats are sent until there is one. Raises `_Over`."""
        coming = asyncio.ensure_future(anext(items, None))
        try:
            while not await self._within(coming, self._patience_ms()):
                self._check_caller()
                await self._write(_HEARTBEAT)
            self._check_caller()
            return coming.result()
        finally:
            await _cancelled(coming)

    async def _write(self, data: bytes) -> None:
        """Send, as long as the caller takes to read. Raises `_Over`."""
        sending = asyncio.ensure_future(
            _sent(self._send({"type": "http.response.body", "body": data, "more_body": True}))
        )
        try:
            while not await self._within(sending, self._patience_ms()):
                self._check_caller()
            sending.result()
        finally:
            await _cancelled(sending)

    async def _within(self, work: "asyncio.Future[Any]", for_ms: int) -> bool:
        """Whether the work was done in time. Raises `_Over` when the caller goes, or everybody has to."""
        tasks = {work, self._gone, self._drained}
        await asyncio.wait(tasks, timeout=for_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
        if self._gone.done():
            raise _Over("client")
        if self._drained.done():
            raise _Over("drain")
        return work.done()

    def _patience_ms(self) -> int:
        left = [
            self._streams.limits.heartbeat_ms,
            self._begun_ms + self._streams.limits.longest_ms - self._streams.clock.steady_ms(),
        ]
        if self._context.until_ms is not None:
            left.append(self._context.until_ms - self._streams.clock.now_ms())
        return max(1, min(left))

    def _check_caller(self) -> None:
        """Raise `_Over` for a caller who would not be let in now, and for a stream that has lasted long enough."""
        clock, context = self._streams.clock, self._context
        if context.until_ms is not None and clock.now_ms() >= context.until_ms:
            raise _Over("expired")
        if clock.steady_ms() - self._begun_ms >= self._streams.limits.longest_ms:
            raise _Over("lifetime")
        if context.known is None or clock.steady_ms() - self._known_ms < self._streams.limits.heartbeat_ms:
            return
        self._known_ms = clock.steady_ms()
        try:
            context.known()
        except (Unauthenticated, Forbidden, InvalidScopeId):
            raise _Over("expired") from None
        except (KeysWanted, Unavailable):
            return  # nobody says that the caller is not who it was

    async def _farewell(self, reason: str) -> None:
        """Say when to come back, if the caller still reads; otherwise the connection ends without."""
        last = b": %s\nretry: %d\n\n" % (reason.encode(), RETRY_MS)
        saying = asyncio.ensure_future(_sent(self._send({"type": "http.response.body", "body": last})))
        await asyncio.wait({saying, self._gone}, timeout=FAREWELL_S, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled(saying)


async def _sent(sending: Awaitable[None]) -> None:
    await sending


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    """Cancel what is not done, and wait until it is."""
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
