"""moto's S3 as a real process: `python -m tests.emulators.s3`, which prints `port N`.

One request at a time: moto checks a condition and writes in two steps. Conditions on completing a multipart upload,
which S3 documents and moto ignores, are checked in front of it. `/control/faults` orders faults.
"""

import io
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
FAULTS = ("drop", "lose", "twice", "status")
_ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"


class Emulator:
    """A WSGI application in front of moto's."""

    def __init__(self, moto: App) -> None:
        self._moto = moto
        self._one = threading.Lock()
        self.faults: list[dict[str, Any]] = []
        self.requests: list[list[str]] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with self._one:
            return self._serve(environ, start)

    def _serve(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
        if path.startswith("/control/"):
            return self._control(environ, path.removeprefix("/control/"), start)
        self.requests.append([method, path, query])
        fault = self._fault(f"{method} {path}?{query}")
        if fault is not None and fault["do"] == "status":
            return _refuse(start, fault["status"], fault["code"])
        if fault is not None and fault["do"] == "lose":
            return self._cut(environ)
        if refusal := self._condition(environ, method, path, query):
            return _refuse(start, *refusal)
        body = self._whole(environ)
        answer = self._answer(environ, body, start)
        if fault is not None and fault["do"] == "twice":
            return self._answer(environ, body, start)
        return self._cut(environ) if fault is not None else answer

    def _answer(self, environ: dict[str, Any], body: bytes, start: Callable[..., Any]) -> Iterable[bytes]:
        return list(self._moto({**environ, "wsgi.input": io.BytesIO(body)}, start))

    def _whole(self, environ: dict[str, Any]) -> bytes:
        length = environ.get("CONTENT_LENGTH") or 0
        content: bytes = environ["wsgi.input"].read(int(length))
        return content

    def _condition(self, environ: dict[str, Any], method: str, path: str, query: str) -> tuple[int, str] | None:
        if method != "POST" or "uploadId=" not in query:
            return None
        current = self._etag(environ, path)
        if environ.get("HTTP_IF_NONE_MATCH") == "*" and current is not None:
            return 412, "PreconditionFailed"
        wanted = environ.get("HTTP_IF_MATCH")
        if wanted is not None and current is None:
            return 404, "NoSuchKey"
        if wanted is not None and wanted.strip('"') != current:
            return 412, "PreconditionFailed"
        return None

    def _etag(self, environ: dict[str, Any], path: str) -> str | None:
        told: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            told.update({name.lower(): value for name, value in headers}, status=status)

        asked = {**environ, "REQUEST_METHOD": "HEAD", "QUERY_STRING": "", "CONTENT_LENGTH": "0"}
        list(self._moto({name: value for name, value in asked.items() if "IF_" not in name}, start))
        return str(told["etag"]).strip('"') if told["status"].startswith("200") else None

    def _fault(self, line: str) -> dict[str, Any] | None:
        for fault in self.faults:
            if fault["times"] > 0 and re.search(fault["match"], line):
                fault["times"] -= 1
                return fault
        return None

    def _cut(self, environ: dict[str, Any]) -> Iterable[bytes]:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError

    def _control(self, environ: dict[str, Any], what: str, start: Callable[..., Any]) -> Iterable[bytes]:
        told = json.loads(self._whole(environ) or b"{}")
        answer: dict[str, Any] = {}
        match what:
            case "faults":
                assert told["do"] in FAULTS
                self.faults.append({"times": 1, "match": "", **told})
            case "reset":
                self.faults.clear()
                self.requests.clear()
            case "requests":
                answer, self.requests = {"requests": self.requests}, []
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # the overridden signature
        """Nothing: whoever runs tests does not want it."""

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """A connection that ends is what faults are for."""


def _refuse(start: Callable[..., Any], status: int, code: str) -> Iterable[bytes]:
    start(f"{status} Refused", [("Content-Type", "application/xml")])
    return [_ERROR.format(code=code).encode()]


def main() -> None:
    """Serve until standard input closes."""
    emulator = Emulator(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, emulator, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"port {server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
