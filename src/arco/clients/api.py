"""A small synchronous client of the api's `/api/v1`, for the command line and the demo.

Guarantees: one keep-alive connection; a request that may be repeated (reads, creates with an idempotency key,
lineage, SQL) is repeated under the same key when the connection breaks or the server asks to come back; a
request that may not be repeated is sent once. Relies on: a `503` with `Retry-After` was refused before anything
was appended, unless its code says that the outcome is unknown (catalog.md 3.5, 3.6).
"""

import http.client
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from arco.core.errors import ArcoError
from arco.core.waiting import pause_s

DEFAULT_URL: Final = "http://127.0.0.1:8080"
PREFIX: Final = "/api/v1"
ATTEMPTS_MAX: Final = 4
RETRY_AFTER_S_MAX: Final = 10.0
"""Longest wait between two attempts: a person sits in front of it."""

_BACKOFF_S: Final = 0.1
_RETRYABLE: Final = (429, 503)


class ServerUnreachable(ArcoError):
    """No server answers at the configured URL."""


class InvalidTarget(ArcoError):
    """The configured server URL cannot be used."""


class ApiProblem(ArcoError):
    """The server's answer was an error; `status`, `code` and `request_id` are its own."""

    def __init__(self, status: int, code: str, message: str, request_id: str | None = None) -> None:
        super().__init__(message, status=status, code=code)
        self.status = status
        self.code = code
        self.request_id = request_id


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is and as whom to speak to it."""

    url: str = DEFAULT_URL
    token: str | None = None
    tenant: str | None = None
    workspace: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A successful response: header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded JSON body; None when the body is empty."""
        return json.loads(self.body) if self.body else None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `repeatable` says that sending it twice does no more than sending it once."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: Any = None
    headers: Mapping[str, str] = {}
    repeatable: bool = False


def target_from(environ: Mapping[str, str], **given: str | None) -> Target:
    """The target that flags and `ARCO_URL`, `ARCO_TOKEN`, `ARCO_TENANT`, `ARCO_WORKSPACE` describe; flags win."""

    def chosen(name: str, variable: str) -> str | None:
        return given.get(name) or environ.get(variable, "").strip() or None

    return Target(
        url=chosen("url", "ARCO_URL") or DEFAULT_URL,
        token=chosen("token", "ARCO_TOKEN"),
        tenant=chosen("tenant", "ARCO_TENANT"),
        workspace=chosen("workspace", "ARCO_WORKSPACE"),
    )


def fresh_key() -> str:
    """A new idempotency key: a UUIDv7 of this machine's clock and entropy."""
    from arco.core.clock import SystemClock  # noqa: PLC0415  # loads asyncio, which reads do without
    from arco.core.entropy import MintedIds, SystemEntropy  # noqa: PLC0415  # loads asyncio, which reads do without

    return MintedIds(SystemClock(), SystemEntropy()).uuid7()


def path_of(*parts: str) -> str:
    """The path made of these segments, each percent-encoded: `/catalogs/a%20b`."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class ApiClient:
    """Speaks HTTP to one api server. Not safe for several threads at once."""

    def __init__(
        self,
        target: Target,
        *,
        new_key: Callable[[], str] = fresh_key,
        sleep: Callable[[float], None] = pause_s,
        timeout_s: float = 60.0,
    ) -> None:
        self.target = target
        self._new_key = new_key
        self._sleep = sleep
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._base = _parsed(target.url)

    def close(self) -> None:
        """Close the connection; the client may be used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Read `path` below `/api/v1`. Raises `ApiProblem`, `ServerUnreachable`."""
        return self.send(Call(method="GET", path=PREFIX + path, query=query or {}, repeatable=True))

    def create(self, path: str, body: Any) -> Answer:
        """Create an object under a fresh idempotency key. Raises `ApiProblem`, `ServerUnreachable`."""
        headers = {"Idempotency-Key": self._new_key()}
        return self.send(Call(method="POST", path=PREFIX + path, body=body, headers=headers, repeatable=True))

    def change(self, path: str, body: Any) -> Answer:
        """PATCH an object. Raises `ApiProblem`, `ServerUnreachable`."""
        return self.send(Call(method="PATCH", path=PREFIX + path, body=body))

    def drop(self, path: str) -> Answer:
        """DELETE an object. Raises `ApiProblem`, `ServerUnreachable`."""
        return self.send(Call(method="DELETE", path=PREFIX + path))

    def ask(self, path: str, body: Any, *, query: Mapping[str, str] | None = None, accept: str = "") -> Answer:
        """POST something that may be repeated freely: SQL, lineage edges."""
        headers = {"Accept": accept} if accept else {}
        return self.send(
            Call(method="POST", path=PREFIX + path, query=query or {}, body=body, headers=headers, repeatable=True)
        )

    def send(self, call: Call) -> Answer:
        """Send `call`, with the retries its nature allows. Raises `ApiProblem`, `ServerUnreachable`."""
        attempt = 1
        while True:
            wait_s = _BACKOFF_S * 2**attempt
            try:
                answer = self._attempt(call)
            except (ConnectionRefusedError, socket.gaierror) as error:
                raise self._unreachable(error) from error
            except TimeoutError as error:
                raise self._broken(call, error) from error
            except (OSError, http.client.HTTPException) as error:
                if not call.repeatable or attempt == ATTEMPTS_MAX:
                    raise self._broken(call, error) from error
            else:
                if answer.status < 400:
                    return answer
                problem = problem_of(answer)
                asked_s = _retry_after_s(answer)
                if asked_s is None or attempt == ATTEMPTS_MAX or not _may_repeat(call, problem):
                    raise problem
                wait_s = min(asked_s, RETRY_AFTER_S_MAX)
            self._sleep(wait_s)
            attempt += 1

    def opened(self, call: Call, timeout_s: float) -> http.client.HTTPConnection:
        """A connection of its own on which `call` was sent, for an answer read as it comes. Raises `OSError`."""
        connection = self._new_connection(timeout_s)
        try:
            connection.request(call.method, self._path_of(call), headers=self._headers(call, None))
        except BaseException:
            connection.close()
            raise
        return connection

    def _path_of(self, call: Call) -> str:
        base: str = self._base.path
        return base.rstrip("/") + call.path + (f"?{urlencode(call.query)}" if call.query else "")

    def _attempt(self, call: Call) -> Answer:
        payload = None if call.body is None else json.dumps(call.body, ensure_ascii=False).encode()
        path = self._path_of(call)
        if not call.repeatable:
            self.close()  # an idle connection may be half closed, and this call has only one try
        connection = self._connected()
        try:
            connection.request(call.method, path, body=payload, headers=self._headers(call, payload))
            response = connection.getresponse()
            body = response.read()
        except BaseException:
            self.close()
            raise
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=headers, body=body)

    def _headers(self, call: Call, payload: bytes | None) -> dict[str, str]:
        target = self.target
        headers = {"Accept": "application/json", "User-Agent": "arco-cli", **call.headers}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        if target.token:
            headers["Authorization"] = f"Bearer {target.token}"
        if target.tenant:
            headers["X-Tenant-Id"] = target.tenant
        if target.workspace:
            headers["X-Workspace-Id"] = target.workspace
        return headers

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = self._new_connection(self._timeout_s)
        return self._connection

    def _new_connection(self, timeout_s: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._base.scheme == "https" else http.client.HTTPConnection
        return kind(self._base.hostname or "", self._base.port, timeout=timeout_s)

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        return ServerUnreachable(f"no server answers at {self.target.url} ({_cause(error)})")

    def _broken(self, call: Call, error: Exception) -> ServerUnreachable:
        if call.repeatable:
            return self._unreachable(error)
        return ServerUnreachable(
            f"the connection to {self.target.url} broke ({_cause(error)}): it is not known whether the change happened",
            outcome_unknown=True,
        )


def _parsed(url: str) -> Any:
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment:
        raise InvalidTarget(f"the server URL must look like {DEFAULT_URL}, got {url!r}")
    return parts


def problem_of(answer: Answer) -> ApiProblem:
    """What an answer that is an error says."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        reason = http.client.responses.get(answer.status, "error")
        return ApiProblem(answer.status, "UNKNOWN", f"the server answered {answer.status} {reason}")
    request_id = body.get("requestId") or answer.headers.get("x-request-id")
    return ApiProblem(answer.status, str(body.get("code", "UNKNOWN")), body["message"], request_id)


def _may_repeat(call: Call, problem: ApiProblem) -> bool:
    if problem.status not in _RETRYABLE:
        return False
    return call.repeatable or problem.code.casefold() != "outcome_unknown"


def _retry_after_s(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _cause(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
