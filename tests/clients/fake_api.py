"""A little real HTTP server that answers from a table of routes and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Request(msgspec.Struct, frozen=True):
    """What arrived: header names are lower-case, the body is decoded."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Reply(msgspec.Struct, frozen=True):
    """What to send back; `hang_up` closes the connection instead of answering."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    hang_up: bool = False


class FakeApi:
    """The server: `routes` maps `METHOD /path` to a reply, or to what makes one; `seen` is what it was asked."""

    def __init__(self) -> None:
        self.routes: dict[str, Reply | Callable[[Request], Reply]] = {}
        self.seen: list[Request] = []
        self.connections = 0
        self.url = ""

    def reply(self, request: Request) -> Reply:
        self.seen.append(request)
        found = self.routes.get(f"{request.method} {request.path}") or self.routes.get(
            f"{request.method} {request.path.partition('?')[0]}"
        )
        if found is None:
            return problem(404, "NOT_FOUND", f"nothing at {request.path}")
        return found if isinstance(found, Reply) else found(request)


def problem(status: int, code: str, message: str, **headers: str) -> Reply:
    """An error in the api's shape."""
    body = {"code": code, "message": message, "requestId": "r-1"}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def running() -> Iterator[FakeApi]:
    """A server on a free port of the loopback."""
    api = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            api.connections += 1

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            raw = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, json.loads(raw) if raw else None)
            reply = api.reply(request)
            if reply.hang_up:
                self.close_connection = True
                return
            payload = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            payload = b"" if reply.body is None else payload
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(payload)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
