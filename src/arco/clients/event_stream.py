"""Server-sent events of the api, as they come, from one connection after another.

Guarantees: a stream that breaks is taken up behind the last event that was handed out, as soon as the server said, or
with growing pauses while there is none; nothing is handed out twice and nothing left out. `NoStream` is raised where no
stream can be had: an older server, a proxy that holds answers back, no seat. Whoever waits in `__next__` is let go by
`close`, which may be called from another thread.
"""

import http.client
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Self

import msgspec

from arco.clients.api import PREFIX, Answer, ApiClient, Call, ServerUnreachable, problem_of

_REFUSALS_MAX: Final = 3
_RETRY_AFTER_S_MAX: Final = 10.0
_PAUSE_S: Final = (0.1, 2.0)
_READ_BYTES: Final = 65_536
_BUSY: Final = (429, 503)
_UNKNOWN_CALLER: Final = (401, 403)
_EVENTS: Final = "text/event-stream"


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long is waited, in seconds.

    A server begins to answer at once: a stream of which nothing comes for `first_s` is held back on the way. It sends
    something every 15 s: a connection that is silent for `silence_s` leads nowhere. A server that is away is waited for
    `away_s`.
    """

    first_s: float = 10.0
    silence_s: float = 60.0
    away_s: float = 60.0


class NoStream(Exception):
    """There is no stream to be had here; ask in another way."""


_PATIENCE: Final = Patience()


class ServerEvent(msgspec.Struct, frozen=True):
    """One event: its name, the id to go on behind it, and its data."""

    name: str
    id: str
    data: Any


class EventStream:
    """Iterates over the events at `path`; ends with `end`, or when there is nothing more to tell.

    Raises `NoStream`, `ApiProblem` for a caller who is not let in, `ServerUnreachable`.
    """

    def __init__(
        self, api: ApiClient, path: str, query: Mapping[str, str] | None = None, *, patience: Patience = _PATIENCE
    ) -> None:
        self._api = api
        self._patience = patience
        self._path = path
        self._query = query or {}
        self._last_id = ""
        self._retry_s = 1.0
        self._over = False
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._events = self._all()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ServerEvent:
        return next(self._events)

    def close(self) -> None:
        """End it; whoever waits for the next event is told that there is none."""
        self._closed.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _all(self) -> Iterator[ServerEvent]:
        trouble = _Trouble(self._api.target.url, self._patience.away_s)
        while not self._over and not self._closed.is_set():
            wait_s = self._retry_s
            try:
                for event in self._connection():
                    trouble.forget()
                    yield event
            except _Busy as busy:
                wait_s = trouble.refused(busy)
            except (OSError, http.client.HTTPException) as error:
                wait_s = trouble.away(error)
            if not self._over:
                self._closed.wait(wait_s)

    def _connection(self) -> Iterator[ServerEvent]:
        """The events of one connection."""
        headers = {"Accept": _EVENTS} | ({"Last-Event-ID": self._last_id} if self._last_id else {})
        call = Call(method="GET", path=PREFIX + self._path, query=self._query, headers=headers)
        connection = self._api.opened(call, self._patience.first_s)
        try:
            self._socket = connection.sock
            try:
                response = connection.getresponse()
            except TimeoutError:
                raise NoStream("nothing comes") from None
            with response:
                if response.status == http.client.NO_CONTENT:
                    self._over = True
                    return
                self._check(response)
                yield from self._read(response)
        finally:
            self._socket = None
            connection.close()

    def _check(self, response: http.client.HTTPResponse) -> None:
        """Raise what an answer that is no stream means."""
        kind = (response.getheader("content-type") or "").partition(";")[0].strip()
        if response.status == http.client.OK and kind == _EVENTS:
            return
        if response.status in _BUSY:
            raise _Busy(response.getheader("retry-after") or "")
        if response.status in _UNKNOWN_CALLER:
            headers = {name.lower(): value for name, value in response.getheaders()}
            raise problem_of(Answer(status=response.status, headers=headers, body=response.read()))
        raise NoStream(f"the answer is {response.status} {kind}")

    def _read(self, response: http.client.HTTPResponse) -> Iterator[ServerEvent]:
        lines, rest, fields = deque[bytes](), b"", dict[str, str]()
        first = True
        while True:
            try:
                piece = response.read1(_READ_BYTES)
            except TimeoutError:
                if first:
                    raise NoStream("nothing comes") from None
                raise
            if not piece:
                return
            if first and self._socket is not None:
                self._socket.settimeout(self._patience.silence_s)
            first = False
            *whole, rest = (rest + piece).split(b"\n")
            lines.extend(whole)
            while lines:
                event = self._taken(lines.popleft().rstrip(b"\r").decode("utf-8", "replace"), fields)
                if event is not None:
                    self._last_id, self._over = event.id, event.name == "end"
                    yield event

    def _taken(self, line: str, fields: dict[str, str]) -> ServerEvent | None:
        """The event that a line ends, if it ends one."""
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            return None
        found = dict(fields)
        fields.clear()
        if found.get("retry", "").isdigit():
            self._retry_s = min(int(found["retry"]) / 1000, _RETRY_AFTER_S_MAX)
        if "event" not in found:
            return None
        return ServerEvent(found["event"], found.get("id", ""), json.loads(found.get("data", "null")))


class _Trouble:
    """What stands between a caller and its events, since the last one came."""

    def __init__(self, url: str, away_s: float) -> None:
        self._url = url
        self._away_s_max = away_s
        self.forget()

    def forget(self) -> None:
        """An event came."""
        self._refusals, self._away_s, self._pause_s = 0, 0.0, _PAUSE_S[0]

    def refused(self, busy: "_Busy") -> float:
        """The server has no seat; how long to wait. Raises `NoStream`."""
        self._refusals += 1
        if self._refusals > _REFUSALS_MAX:
            raise NoStream("the server has no seat") from busy
        return busy.wait_s

    def away(self, error: Exception) -> float:
        """The connection broke, or there is none; how long to wait. Raises `ServerUnreachable`."""
        if self._away_s >= self._away_s_max:
            raise ServerUnreachable(f"no server answers at {self._url}") from error
        wait_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _PAUSE_S[1])
        self._away_s += wait_s
        return wait_s


class _Busy(Exception):
    """The server asks to be left alone for a while."""

    def __init__(self, retry_after: str) -> None:
        super().__init__(retry_after)
        asked_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 1.0
        self.wait_s = min(asked_s, _RETRY_AFTER_S_MAX)
