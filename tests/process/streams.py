"""Streams of real servers for tests: read by hand from a socket, so that nothing between hides what is sent."""

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    id: str
    data: Any


class Stream:
    """One open stream; `events` reads on."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str], *, last: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        lines = [
            f"GET /api/v1{path} HTTP/1.1",
            "Host: 127.0.0.1",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        lines += [f"Last-Event-ID: {last}"] if last else []
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self._file = self._socket.makefile("rb")
        self.headers: dict[str, str] = {}
        try:
            self.status = int(self._file.readline().split()[1])
            while line := self._file.readline().strip():
                name, _, value = line.decode().partition(":")
                self.headers[name.lower()] = value.strip()
        except BaseException:
            self.close()
            raise
        self.comments: list[str] = []
        self.last_id = last
        self.whole = False
        """Whether the answer came to its proper end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Go away without a word."""
        self._file.close()
        self._socket.close()

    def body(self) -> Any:
        """An answer that is no stream."""
        return json.loads(self._file.read(int(self.headers["content-length"])))

    def events(self) -> Iterator[Event]:
        """The events as they come, until the stream ends."""
        fields: dict[str, str] = {}
        for line in self._lines():
            if not line:
                if "event" in fields:
                    self.last_id = fields["id"]
                    yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
                fields = {}
                continue
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            else:
                self.comments.append(value.strip())

    def _lines(self) -> Iterator[str]:
        rest = b""
        while True:
            size = self._file.readline().strip()
            if not size:
                return
            chunk = self._file.read(int(size, 16) + 2)[:-2]
            if not chunk:
                self.whole = True
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode() for line in lines)
