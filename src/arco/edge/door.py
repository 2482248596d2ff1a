"""The outermost middleware: request id, one error shape, metrics. Pure ASGI.

Guarantees: every answer carries `x-request-id`; whatever is raised inside becomes a problem document; texts of our own
mistakes never leave the process; nothing is sent after the caller went away.
"""

import asyncio
import traceback
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arco.core.entropy import Ids
from arco.core.log import Log
from arco.edge.access import UNMATCHED, AccessMetrics
from arco.edge.addresses import ClientAddresses, client_of
from arco.edge.context import FAILURES_KEY, RATE_KEY, READ_TOKEN_KEY, REQUEST_ID_KEY, STREAM_KEY
from arco.edge.cors import CorsRules, HeaderList, is_preflight, origin_of
from arco.edge.endpoint import TEMPLATE_KEY
from arco.edge.hygiene import accepted_request_id
from arco.edge.lifecycle import Lifecycle
from arco.edge.problems import RATE_LIMITED, Problem, problem

_SERVER_ERROR: Final = 500
_UNAVAILABLE: Final = 503
_CLIENT_GONE: Final = 499
_FRAMES_MAX: Final = 12
_ENCODER: Final = msgspec.json.Encoder()


class Door:
    """Wraps an app; everything else of the kit runs inside."""

    def __init__(  # one collaborator each, all by name
        self,
        app: ASGIApp,
        *,
        ids: Ids,
        log: Log,
        metrics: AccessMetrics,
        lifecycle: Lifecycle,
        cors: CorsRules | None = None,
        addresses: ClientAddresses | None = None,
    ) -> None:
        self._app = app
        self._ids = ids
        self._log = log
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._cors = cors
        self._addresses = addresses  # None writes no access log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Visit(self, scope, send).run(receive)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app inside, or answer a preflight question."""
        if self._cors is not None and is_preflight(scope["method"], scope["headers"]):
            origin = origin_of(scope["headers"]) or b""
            headers = self._cors.preflight_headers(origin)
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)

    def headers_for(self, scope: Scope, request_id: str) -> HeaderList:
        """The headers every answer to this request carries."""
        headers = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
        headers += scope.get(RATE_KEY, ())
        if (token := scope.get(READ_TOKEN_KEY)) is not None:
            headers.append((b"x-arco-read-token", token.encode()))
        if self._lifecycle.draining:
            headers.append((b"connection", b"close"))
        if self._cors is not None and (origin := origin_of(scope["headers"])) is not None:
            headers += self._cors.answer_headers(origin)
        return headers

    def new_request_id(self, scope: Scope) -> str:
        """The caller's request id when it is acceptable, else a fresh ULID."""
        return accepted_request_id(scope["headers"]) or self._ids.ulid()

    def begin(self) -> None:
        """A request is being answered."""
        self._lifecycle.in_flight += 1
        self._metrics.in_flight.value += 1

    def end(self, scope: Scope, status: int, seconds: float) -> None:
        """A request was answered with `status` after `seconds`."""
        self._lifecycle.in_flight -= 1
        self._metrics.in_flight.value -= 1
        route = scope.get(TEMPLATE_KEY, UNMATCHED)
        self._metrics.observe(route, scope["method"], status, seconds)
        if self._addresses is not None:
            fields = {"route": route, "method": scope["method"], "duration_ms": round(seconds * 1000, 3)}
            fields["client"] = client_of(scope, self._addresses)
            self._log.info("request_served", status=status, request_id=scope[REQUEST_ID_KEY], **fields)

    def record_failure(self, scope: Scope, fact: BaseException) -> None:
        """Log an error that is ours, with where it happened."""
        frames = traceback.extract_tb(fact.__traceback__)[-_FRAMES_MAX:]
        self._log.error(
            "request_failed",
            request_id=scope[REQUEST_ID_KEY],
            route=scope.get(TEMPLATE_KEY, UNMATCHED),
            error=type(fact).__name__,
            msg=str(fact),
            trace=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        )

    def record_trouble(self, scope: Scope, fact: BaseException) -> None:
        """Log why a caller was told to come back, where the reason is ours and not for callers."""
        self._log.warning(
            "request_not_served",
            request_id=scope[REQUEST_ID_KEY],
            route=scope.get(TEMPLATE_KEY, UNMATCHED),
            error=type(fact).__name__,
            msg=str(fact),
        )

    def record_rejection(self, scope: Scope, code: str) -> None:
        """Count a request that was answered with an error of the caller's or of load."""
        self._metrics.rejected(code)
        if code == RATE_LIMITED:
            self._metrics.limited(scope.get(TEMPLATE_KEY, UNMATCHED))


class _Visit:
    """One request on its way through the door."""

    __slots__ = ("answered", "begun", "door", "request_id", "scope", "send_out", "started", "status")

    def __init__(self, door: Door, scope: Scope, send: Send) -> None:
        self.door = door
        self.scope = scope
        self.send_out = send
        self.status = 0
        self.started = False
        self.begun = self.answered = asyncio.get_running_loop().time()
        self.request_id = door.new_request_id(scope)
        scope[REQUEST_ID_KEY] = self.request_id

    async def run(self, receive: Receive) -> None:
        self.door.begin()
        try:
            await self.door.enter(self.scope, receive, self.send)
        except ClientDisconnect:
            self.status = _CLIENT_GONE
        except Exception as fact:  # noqa: BLE001  # the one place where every failure becomes an answer
            await self.answer(fact)
        finally:
            for failure in self.scope.get(FAILURES_KEY, ()):
                self.recorded(failure)
            over = self.answered if STREAM_KEY in self.scope else asyncio.get_running_loop().time()
            self.door.end(self.scope, self.status or _CLIENT_GONE, over - self.begun)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.answered = asyncio.get_running_loop().time()
            self.status = message["status"]
            extra = self.door.headers_for(self.scope, self.request_id)
            message = {**message, "headers": [*message["headers"], *extra]}
        await self.send_out(message)

    def recorded(self, fact: BaseException) -> Problem:
        """What a caller is told about `fact`, which log and metrics have heard of."""
        told = problem(fact, self.request_id)
        if told.status == _SERVER_ERROR:
            self.door.record_failure(self.scope, fact)
        else:
            self.door.record_rejection(self.scope, told.view.code)
            if told.status == _UNAVAILABLE and told.view.message != str(fact):
                self.door.record_trouble(self.scope, fact)
        return told

    async def answer(self, fact: Exception) -> None:
        """Tell the caller about `fact`. Re-raises it when an answer has begun: the connection must break."""
        told = self.recorded(fact)
        if self.started:
            raise fact
        body = _ENCODER.encode(told.view)
        headers: list[Any] = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *told.headers,
        ]
        await self.send({"type": "http.response.start", "status": told.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
