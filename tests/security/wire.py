"""Raw bytes to a server, and everything it says."""

import json
import re
import socket
from typing import Any

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")


class Answers:
    """What a server said on one connection until it closed it."""

    def __init__(self, said: bytes, *, closed: bool) -> None:
        self.said = said
        self.closed = closed
        self.statuses = [int(status) for status in _STATUS.findall(said) if status != b"100"]

    @property
    def body(self) -> Any:
        """The JSON of the last answer."""
        return json.loads(self.said.rpartition(b"\r\n\r\n")[2])


def send(port: int, data: bytes, *, more: bytes = b"", wait_s: float = 5.0, half_close: bool = False) -> Answers:
    """Send bytes (and `more` after the first answer began), and read until the server closes or `wait_s` are over."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as connection:
        said, closed = b"", False
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while not closed:
                part = connection.recv(65_536)
                closed = not part
                if part and more and not said:
                    connection.sendall(more)
                said += part
        except TimeoutError:
            closed = False
        except (ConnectionResetError, BrokenPipeError):
            closed = True
    return Answers(said, closed=closed)


def post(body: bytes, *headers: bytes, path: bytes = b"/api/v1/catalogs", close: bool = True) -> bytes:
    """A request with these headers and exactly this body."""
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", *headers]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def hidden(name: str) -> bytes:
    """A whole request that must not be found by anybody: it would make a catalog."""
    body = json.dumps({"name": name}).encode()
    return post(body, b"Content-Length: %d" % len(body))


def get(path: bytes = b"/api/v1/catalogs", *headers: bytes, close: bool = True) -> bytes:
    """A request without a body."""
    lines = [b"GET " + path + b" HTTP/1.1", b"Host: localhost", *headers]
    return b"\r\n".join([*lines, b"Connection: close"] if close else lines) + b"\r\n\r\n"


def catalogs(port: int) -> list[str]:
    """The names of all catalogs."""
    answer = send(port, get(b"/api/v1/catalogs?limit=500"))
    if answer.statuses == [404]:  # nothing was ever created
        return []
    assert answer.statuses == [200]
    body = answer.said.partition(b"\r\n\r\n")[2]
    return [each["name"] for each in json.loads(body)["catalogs"]]
