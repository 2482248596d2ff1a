"""How the api calls its compactor: over HTTP, or straight into the ASGI app when both live in one process.

Calls are idempotent (outcome rows de-duplicate), so a connection that breaks is tried again within the time allowed;
whatever remains unclear is `CompactorGone`, never a definite failure.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from arco.clients.compaction import AppendedObject, CompactorProblem, SyncCompactRequest, SyncCompactResponse
from arco.clients.credentials import Credentials, NoCredentials
from arco.core.clock import Clock
from arco.core.scope import Scope
from arco.kernel.fold import Outcome
from arco.kernel.ledger import CompactorGone, LedgerBody

TIMEOUT_MS: Final = 30_000
_TRIES: Final = 4
_BACKOFF_MS: Final = 100
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_RETRIED: Final = frozenset({502, 503, 504})
_PATH: Final = "/internal/sync-compact"

_ENCODER = msgspec.json.Encoder()
_RESPONSE = msgspec.json.Decoder(SyncCompactResponse)


class Transport(Protocol):
    """One POST to the compactor."""

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body. Raises `ConnectionError` or `TimeoutError`."""
        ...


class CompactorClient:
    """Implements `kernel.ledger.CompactorPort` for one scope."""

    def __init__(self, transport: Transport, scope: Scope, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._headers = {
            "content-type": "application/json",
            "x-tenant-id": scope.tenant,
            "x-workspace-id": scope.workspace,
        }

    async def compact(self, domain: str, objects: Sequence[LedgerBody]) -> list[Outcome]:
        """Fold the units of these ledger objects. Raises `CompactorGone`."""
        request = SyncCompactRequest(
            domain=domain,
            event_paths=[item.path for item in objects],
            bodies=[AppendedObject(item.path, item.sha256, item.body.decode()) for item in objects],
        )
        status, body = await self._posted(_ENCODER.encode(request))
        if status != _OK:
            raise CompactorGone(f"the compactor answered {status}: {_problem(body)}")
        try:
            return _RESPONSE.decode(body).outcomes
        except msgspec.MsgspecError as error:
            raise CompactorGone(f"the compactor's answer is not readable: {error}") from error

    async def _posted(self, body: bytes) -> tuple[int, bytes]:
        deadline_ms = self._clock.steady_ms() + TIMEOUT_MS
        reason = ""
        for attempt in range(_TRIES):
            try:
                status, answer = await self._transport.post(_PATH, body, self._headers)
            except (ConnectionError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            else:
                if status not in _RETRIED:
                    return status, answer
                reason = _problem(answer)
            if self._clock.steady_ms() >= deadline_ms:
                break
            await self._clock.sleep_ms(_BACKOFF_MS << attempt)
        raise CompactorGone(f"the compactor does not answer: {reason}")


def _problem(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=CompactorProblem).message
    except msgspec.MsgspecError:
        return "no readable error"


class InProcessTransport:
    """Calls an ASGI app of the same process: the very same HTTP contract, time allowed included, without a socket.

    `token` says that the caller is of this process; it goes with every call. No `timeout_ms` is for callers outside of
    the system, who wait as long as they like.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], *, token: str | None = None, timeout_ms: int | None = TIMEOUT_MS
    ) -> None:
        self._app = app
        self._timeout_s = None if timeout_ms is None else timeout_ms / 1000
        self._extra = {"authorization": f"Bearer {token}"} if token else {}

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body of the app's answer to a POST. Raises `ConnectionError` or `TimeoutError`."""
        return await self.send("POST", path, body, headers)

    async def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body of the app's answer. Raises `ConnectionError` or `TimeoutError`."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in (self._extra | headers).items()],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
        }
        call = _Call(body)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._called(scope, call)
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {self._timeout_s} s") from error
        return call.status, bytes(call.answer)

    async def _called(self, scope: dict[str, Any], call: "_Call") -> None:
        try:
            await self._app(scope, call.receive, call.send)
        except Exception as error:
            # Over a socket a crash of the handler is an answer of 500 or a broken connection, never its exception.
            if not call.status:
                raise ConnectionError(f"the application failed: {type(error).__name__}") from error


class _Call:
    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.status = 0
        self.answer = bytearray()

    async def receive(self) -> dict[str, Any]:
        if self._body is None:
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.answer += message.get("body", b"")


class HttpTransport:
    """Calls a compactor service over HTTP with one shared connection pool."""

    def __init__(self, base_url: str, credentials: Credentials) -> None:
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._session: Any = None

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body. Raises `ConnectionError` or `TimeoutError`."""
        status, answer = await self._posted(path, body, headers)
        if status == _UNAUTHORIZED and self._credentials.refused():
            return await self._posted(path, body, headers)
        return status, answer

    async def _posted(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            sent = {**headers, **await self._credentials.headers()}
        except NoCredentials as error:
            raise ConnectionError(str(error)) from error
        # Imported on first use: a process whose compactor is its own never pays for the HTTP client.
        import aiohttp  # noqa: PLC0415  # an in-process compactor needs no HTTP client

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_MS / 1000)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        url = self._base_url + path
        try:
            # A redirect is not followed: the credentials are for this very service.
            async with self._session.post(url, data=body, headers=sent, allow_redirects=False) as response:
                return response.status, await response.read()
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {TIMEOUT_MS} ms") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
