"""One connection: bytes through the wire gate into hypercorn's HTTP/1 protocol, and its answers out.

Why not hypercorn's own connection: it hands bytes to a lenient parser, starts and cancels a task for each request, and
can wait for ever on a caller who does not read, or on an app that has answered without reading the body (ADR 0015).

Guarantees: one request at a time is passed on, the next when the answer to this one is written; what is not yet passed
on is bounded, and so is what an app has not read; every wait on the caller has a deadline; a refused request gets one
answer, unless its answer has begun, and the connection ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import h11
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ConnectionState
from starlette.types import ASGIApp, Message, Scope

from arco.core.log import Log
from arco.edge.hub import Hub
from arco.edge.wire_gate import Refused, WireGate

_BUFFER_BYTES: Final = 64 * 1024
_LINGER_S: Final = 2.0
_BODY_SLACK_S: Final = 5.0
_SECOND_LOOK_S: Final = 0.05
_CONTINUE: Final = b"HTTP/1.1 100"


class Inbox:
    """The messages an app has not read; who puts waits while there is much, until the app reads or ends."""

    __slots__ = ("_bytes", "_ended", "_getter", "_messages", "_putter")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._ended = False
        self._getter: asyncio.Future[None] | None = None
        self._putter: asyncio.Future[None] | None = None

    async def put(self, message: Any) -> None:
        """Hand a message over."""
        while self._bytes >= _BUFFER_BYTES and message["type"] == "http.request" and not self._ended:
            self._putter = asyncio.get_running_loop().create_future()
            await self._putter
        self._messages.append(message)
        self._bytes += len(message.get("body", b""))
        _wake(self._getter)

    async def get(self) -> Message:
        """The next message, when there is one."""
        while not self._messages:
            self._getter = asyncio.get_running_loop().create_future()
            await self._getter
        message = self._messages.popleft()
        self._bytes -= len(message.get("body", b""))
        _wake(self._putter)
        return message

    def end(self) -> None:
        """Nobody reads any more."""
        self._ended = True
        self._messages.clear()
        self._bytes = 0
        _wake(self._putter)


class Apps:
    """Starts the app for each request; what hypercorn calls a task group."""

    def __init__(self, app: ASGIApp, log: Log, ended: Callable[[], None]) -> None:
        self._app = app
        self._log = log
        self._ended = ended
        self.running: set[asyncio.Task[None]] = set()

    async def spawn_app(self, _app: Any, _config: Any, scope: Any, send: Any) -> Any:
        """Start the app for one request; the result takes the messages for it."""
        inbox = Inbox()
        task = asyncio.get_running_loop().create_task(self._run(scope, inbox, send))
        self.running.add(task)
        task.add_done_callback(self._end)
        return inbox.put

    def _end(self, task: "asyncio.Task[None]") -> None:
        self.running.discard(task)
        self._ended()

    async def _run(self, scope: Scope, inbox: Inbox, send: Any) -> None:
        try:
            await self._app(scope, inbox.get, send)
        except Exception as error:  # noqa: BLE001  # whatever an app raises breaks its connection and nothing else
            self._log.error("server_failed", error=type(error).__name__, msg=str(error))
        finally:
            inbox.end()
            await send(None)


class Server:
    """What every connection of one listener shares."""

    def __init__(self, app: ASGIApp, config: Config, hub: Hub, log: Log) -> None:
        self.app = app
        self.config = config
        self.hub = hub
        self.log = log
        self.context = WorkerContext(None)

    def connection(self) -> "Connection":
        """The protocol of a new connection."""
        return Connection(self)


class Connection(asyncio.Protocol):
    """One caller."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._hub = server.hub
        self._loop = asyncio.get_running_loop()
        self._apps = Apps(server.app, server.log, self._look)
        self._gate = WireGate()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._writable: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self._deadline: tuple[float, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._busy = self._answering = False
        self._half = False  # the caller sends no more
        self._over = False  # nothing is passed on any more, and nothing written
        self._lost = self._done = False
        self._reading = True
        self._lingering = self._asked_again = False
        self._transport: asyncio.Transport
        self._parser: H11Protocol
        self._task: asyncio.Task[None]

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has connected."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._hub.enter(self):
            self._over = True
            self._hub.count_closed("full")
            text = "This server has no room for another connection; try again"
            self._transport.write(self._hub.refusal(503, "connections", text))
            self._transport.close()
            return
        self._expect(self._hub.limits.header_s, "header")
        self._task = self._loop.create_task(self._run())

    def data_received(self, data: bytes) -> None:
        """Bytes have come; they are passed on by the connection's task."""
        if self._over:
            return
        gate = self._gate
        if not self._busy and not gate.buffered and not gate.in_body:
            self._expect(self._hub.limits.header_s, "header")
        gate.receive(data)
        if gate.buffered > _BUFFER_BYTES and self._reading:
            self._reading = False
            self._transport.pause_reading()
        _wake(self._news)

    def eof_received(self) -> bool:
        """The caller sends no more; it may still read the answers to what it has sent."""
        self._half = True
        _wake(self._news)
        return not self._over

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection is gone."""
        self._over = self._lost = True
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        _wake(self._news)
        _wake(self._writable)
        if self._done:
            self._hub.leave(self)

    def pause_writing(self) -> None:
        """The caller does not read as fast as it is answered."""
        self._writable = self._loop.create_future()
        self._abort_after(self._hub.limits.write_s)

    def resume_writing(self) -> None:
        """The caller has read."""
        _wake(self._writable)
        self._writable = None
        if self._write_timer is not None and not self._over:
            self._write_timer.cancel()

    # --- what the hub and the server call

    def shut(self, reason: str, *, linger: bool = True) -> None:
        """Close the connection, which rests, for a reason of the server's; without `linger` its place is wanted."""
        self._hub.count_closed(reason)
        self._half = self._half or not (linger or self._out)
        self._close()

    def abort(self) -> None:
        """End now, whatever is going on."""
        self._task.cancel()
        for task in self._apps.running:
            task.cancel()
        self._transport.abort()

    # --- the connection's task

    async def _run(self) -> None:
        protocol = self._parser = self._protocol()
        try:
            while await self._pass_on(protocol):
                self._news = self._loop.create_future()
                await self._news
        except Refused as refusal:
            self._refuse(refusal)
        except Exception as error:  # noqa: BLE001  # a mistake of ours costs one connection
            self._server.log.error("server_failed", error=type(error).__name__, msg=str(error))
        finally:
            await protocol.handle(Closed())
            if self._apps.running:
                await asyncio.wait(self._apps.running)
            self._close()
            self._done = True
            if self._lost:
                self._hub.leave(self)

    async def _pass_on(self, protocol: H11Protocol) -> bool:
        """Hand to the parser what belongs to the request at hand; whether there may be more to hand over."""
        gate = self._gate
        while not self._over:
            if gate.complete:
                if self._busy:
                    break
                gate.proceed()
                if gate.buffered:
                    self._expect(self._hub.limits.header_s, "header")
            begins = not gate.in_body
            piece = gate.next()
            if piece is None:
                break
            if begins:
                self._begin()
            if gate.complete:
                self._deadline = None
            await protocol.handle(RawData(piece))
        if not self._reading and not self._over and gate.buffered <= _BUFFER_BYTES:
            self._reading = True
            self._transport.resume_reading()
        if self._half and self._busy:
            await protocol.handle(Closed())  # tells the app; the answer is written all the same
        return not self._over and (not self._half or bool(self._apps.running))

    def _begin(self) -> None:
        self._busy = True
        self._hub.work(self)
        self._expect(self._hub.limits.body_s + _BODY_SLACK_S, "body")

    def _protocol(self) -> H11Protocol:
        info = self._transport.get_extra_info
        return H11Protocol(
            cast(Any, None),  # the app is known to `Apps`
            self._server.config,
            self._server.context,
            cast(Any, self._apps),
            ConnectionState({}),
            False,
            _address(info("peername")),
            _address(info("sockname")),
            self._send,
        )

    async def _send(self, event: Event) -> None:
        """What the parser has to say: bytes to write, or that it waits for the next request, or that it is done."""
        if isinstance(event, RawData):
            if self._over:
                return
            if not self._out:
                self._loop.call_soon(self._flush)  # head, body and end of one answer leave in one write
            self._out.append(event.data)
            self._out_bytes += len(event.data)
            self._answering = self._answering or not event.data.startswith(_CONTINUE)
            if self._out_bytes > _BUFFER_BYTES:
                self._flush()
            if self._writable is not None:
                await asyncio.shield(self._writable)  # who gives up waiting does not end it for others
        elif isinstance(event, Updated):
            if event.idle:
                self._rest()
        elif isinstance(event, Closed):
            if self._writable is not None and self._parser.connection.our_state is h11.SEND_BODY:
                self._transport.abort()  # half an answer, to somebody who does not read it
            self._close()

    def _rest(self) -> None:
        self._busy = self._answering = False
        if not self._over:
            self._hub.rest(self)
            self._expect(self._hub.limits.keep_alive_s, "idle")
            _wake(self._news)

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0

    def _look(self) -> None:
        _wake(self._news)

    # --- how it ends

    def _refuse(self, refusal: Refused) -> None:
        """One answer, unless one has begun."""
        answer = self._hub.refusal(refusal.status, refusal.reason, refusal.message)
        if not self._answering and not self._over:
            self._out.append(answer)
        self._close()

    def _close(self) -> None:
        """Write what there is to write, then end; a caller who still sends is listened to for a moment.

        Without that moment the answer could be lost: a machine that gets bytes for a closed connection resets it.
        """
        if self._over and not self._out:
            self._end_transport()
            return
        self._flush()
        self._over = True
        self._deadline = None
        self._hub.work(self)
        _wake(self._news)
        self._end_transport()

    def _end_transport(self) -> None:
        if self._lost or self._transport.is_closing():
            return
        unread = (self._gate.in_body and not self._gate.complete) or self._gate.buffered
        if not unread or self._half or not self._transport.can_write_eof():
            self._abort_after(self._hub.limits.write_s)  # unless everything is written by then
            self._transport.close()
            return
        if not self._lingering:
            self._lingering = True
            self._transport.write_eof()
            if not self._reading:
                self._transport.resume_reading()
            self._abort_after(_LINGER_S)

    def _abort_after(self, seconds: float) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
        self._write_timer = self._loop.call_later(seconds, self._transport.abort)

    def _expect(self, seconds: float, what: str) -> None:
        """From now on the caller has so long for `what`."""
        when = self._loop.time() + seconds
        self._deadline = (when, what)
        self._asked_again = False
        if self._timer is None or when < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        when, what = self._deadline
        if when > self._loop.time():  # the deadline has moved since the timer was set
            self._timer = self._loop.call_at(when, self._late)
            return
        if not self._asked_again:
            # A machine that was busy may have the caller's bytes and not have read them yet: look once more.
            self._asked_again = True
            self._timer = self._loop.call_later(_SECOND_LOOK_S, self._late)
            return
        self._hub.count_closed(f"{what}_timeout")
        if what == "idle" or not (self._gate.buffered or self._gate.in_body):
            self._close()
        else:
            seconds = self._hub.limits.header_s if what == "header" else self._hub.limits.body_s
            text = f"The request did not arrive within {seconds:g} seconds; send it again"
            self._refuse(Refused(f"{what}_timeout", text, 408))


def _wake(future: "asyncio.Future[None] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None
