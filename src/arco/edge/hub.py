"""All connections of one listener: how many there may be, and what is known about them (abuse case A-33)."""

import asyncio
import contextlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from arco.core.entropy import Ids
from arco.core.metrics import Registry
from arco.edge.problems import ProblemView

if TYPE_CHECKING:
    from arco.edge.wire import Connection

_CODES: Final = {400: "BAD_REQUEST", 408: "REQUEST_TIMEOUT", 431: "HEADERS_TOO_LARGE", 503: "OVERLOADED"}
_REASONS: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


_ABORT_S: Final = 1.0


class WireLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a caller may take, in seconds, and how many callers may be connected.

    `header_s` is from the first byte of a request to its last header; `body_s` is for the whole body; `write_s` is how
    long a caller may not read its answer; `keep_alive_s` is how long a connection may rest between requests.
    """

    header_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 30.0
    keep_alive_s: float = 75.0
    connections_max: int = 2_000


class Hub:
    """The connections of one listener, those without a request in the order in which they came to rest."""

    def __init__(self, limits: WireLimits, registry: Registry, ids: Ids | None = None) -> None:
        self.limits = limits
        self._ids = ids
        self.open: set[Connection] = set()
        self._emptied = asyncio.Event()
        self._resting: OrderedDict[Connection, None] = OrderedDict()
        self._gauge = registry.gauge("arco_http_connections", "Open connections").series()
        self._refused = registry.counter(
            "arco_http_refused_total", "Requests refused before they were parsed", ["reason"]
        )
        self._closed = registry.counter(
            "arco_http_closed_total", "Connections that the server closed for a reason of its own", ["reason"]
        )

    def enter(self, connection: "Connection") -> bool:
        """Take a new connection in; the one that has rested longest may have to leave. False when nobody rests."""
        if len(self.open) >= self.limits.connections_max:
            if not self._resting:
                return False
            oldest, _ = self._resting.popitem(last=False)
            oldest.shut("crowded", linger=False)
        self.open.add(connection)
        self._gauge.add(1)
        self.rest(connection)
        return True

    def leave(self, connection: "Connection") -> None:
        """Forget a connection that is gone, and its work done."""
        self._resting.pop(connection, None)
        if connection in self.open:
            self.open.remove(connection)
            self._gauge.add(-1)
        if not self.open:
            self._emptied.set()

    def rest(self, connection: "Connection") -> None:
        """No request of this connection is being answered."""
        self._resting[connection] = None

    def work(self, connection: "Connection") -> None:
        """A request of this connection is being answered."""
        self._resting.pop(connection, None)

    async def end(self, grace_s: float) -> None:
        """Close every connection: those at rest now, those at work after their answer, all after `grace_s`."""
        for connection in list(self._resting):
            connection.shut("stopping")
        try:
            async with asyncio.timeout(grace_s):
                await self._gone()
        except TimeoutError:
            for connection in list(self.open):
                connection.abort()
            with contextlib.suppress(TimeoutError):  # who does not take a cancellation holds nobody up
                async with asyncio.timeout(_ABORT_S):
                    await self._gone()

    async def _gone(self) -> None:
        while self.open:
            self._emptied.clear()
            await self._emptied.wait()

    def count_closed(self, reason: str) -> None:
        """A connection was closed; `reason` is one of few."""
        self._closed.series(reason).inc()

    def refusal(self, status: int, reason: str, message: str) -> bytes:
        """The whole answer to a request that is not passed on."""
        self._refused.series(reason).inc()
        request_id = self._ids.ulid() if self._ids else None
        view = ProblemView(code=_CODES[status], message=message, error=reason, request_id=request_id)
        body = msgspec.json.encode(view)
        lines = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            *([f"x-request-id: {request_id}"] if request_id else []),
            *(["retry-after: 1"] if status == 503 else []),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
