"""A small, faithful Cloud Storage as a real process: `python -m tests.emulators.gcs`, which prints `port N`.

It speaks the JSON API's objects (insert as media, multipart and resumable; get, media, list, delete) and, for signed
URLs, the XML API's GET and HEAD. `/control/*` is not of the provider: buckets are made there, requests counted, access
tokens demanded, and faults ordered. What a fault does, `FAULTS` says.
"""

import asyncio
import email.parser
import email.policy
import json
import re
import sys
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from aiohttp import web
from tests.emulators.gcs_signatures import Denied, check
from tests.emulators.gcs_state import Buckets, Held, Refusal, Session

BODY_MAX = 256 * 1024 * 1024
FAULTS = {
    "drop": "do what is asked, then close the connection without an answer",
    "lose": "close the connection without doing anything",
    "twice": "do what is asked twice, and give the second answer",
    "stall": "do what is asked, and never answer",
    "later": "close the connection, and do what is asked when /control/release is called",
    "status": "do nothing, and answer with the status the fault names",
    "cut": "do what is asked, and close the connection in the middle of the answer",
}
_OBJECT = re.compile(r"/(?:download/)?storage/v1/b/([^/]+)/o/([^/]+)\Z")
_LIST = re.compile(r"/storage/v1/b/([^/]+)/o\Z")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o\Z")


class Emulator:
    """One process's buckets, faults and counts."""

    def __init__(self) -> None:
        self.buckets = Buckets()
        self.keys: dict[str, str] = {}
        self.token = ""
        self.faults: list[dict[str, Any]] = []
        self.requests: list[list[str]] = []
        self.held_back: list[tuple[web.Request, bytes]] = []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.path.startswith("/control/"):
            return await self._control(request, body)
        self.requests.append([request.method, request.raw_path.partition("?")[0], request.query_string])
        fault = self._fault(request)
        if fault is None:
            return self._answer(request, body)
        return await self._faulty(fault, request, body)

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        try:
            if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                raise Refusal(401, "authError", "Invalid Credentials")
            return self._route(request, body)
        except Refusal as refusal:
            if refusal.status == 304:
                return web.Response(status=304)
            return _error(refusal, media="alt=media" in request.query_string)
        except Denied as denied:
            text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{denied.code}</Code></Error>"
            return web.Response(status=denied.status, text=text, content_type="application/xml")

    def _route(self, request: web.Request, body: bytes) -> web.Response:
        path, query = urlsplit(request.raw_path).path, dict(parse_qsl(request.query_string, keep_blank_values=True))
        if found := _UPLOAD.match(path):
            return self._upload(request, unquote(found[1]), query, body)
        if found := _LIST.match(path):
            held, token = self.buckets.page(unquote(found[1]), query)
            items = [one.resource(unquote(found[1])) for one in held]
            return _json({"kind": "storage#objects", "items": items, **({"nextPageToken": token} if token else {})})
        if found := _OBJECT.match(path):
            return self._object(request, unquote(found[1]), unquote(found[2]), query)
        return self._signed(request, path, query)

    def _object(self, request: web.Request, bucket: str, name: str, query: dict[str, str]) -> web.Response:
        if request.method == "DELETE":
            self.buckets.delete(bucket, name, query)
            return web.Response(status=204)
        held = self.buckets.find(bucket, name, query)
        if query.get("alt") == "media":
            return _media(held, request)
        return _json(held.resource(bucket))

    def _upload(self, request: web.Request, bucket: str, query: dict[str, str], body: bytes) -> web.Response:
        kind = query.get("uploadType", "")
        if request.method == "PUT":
            session = self.buckets.receive(query.get("upload_id", ""), request.headers["Content-Range"], body)
            return _progress(session)
        if kind == "resumable":
            resource = json.loads(body or b"{}")
            resource.setdefault("name", query.get("name"))
            conditions = {name: value for name, value in query.items() if name.startswith("if")}
            upload_id = self.buckets.begin(bucket, resource, conditions)
            place = f"http://{request.host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload_id}"
            return web.Response(headers={"Location": place})
        if kind == "multipart":
            resource, content = _parts(request, body)
        elif kind == "media":
            resource, content = {"contentType": request.content_type}, body
        else:
            raise Refusal(400, "invalid", "Invalid upload type")
        return _json(self.buckets.insert(bucket, resource, content, query).resource(bucket))

    def _signed(self, request: web.Request, path: str, query: dict[str, str]) -> web.Response:
        check(request.method, request.raw_path, request.headers, self.keys)
        bucket, _, name = path.removeprefix("/").partition("/")
        try:
            held = self.buckets.find(unquote(bucket), unquote(name), query)
        except Refusal as missing:
            raise Denied(404, "NoSuchKey") from missing
        return _media(held, request)

    def _fault(self, request: web.Request) -> dict[str, Any] | None:
        for fault in self.faults:
            line = f"{request.method} {request.raw_path}"
            if fault["times"] > 0 and re.search(fault["match"], line):
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                    continue
                fault["times"] -= 1
                return fault
        return None

    async def _faulty(self, fault: dict[str, Any], request: web.Request, body: bytes) -> web.StreamResponse:
        what = fault["do"]
        if what == "status":
            refusal = Refusal(fault["status"], fault.get("reason", "backendError"), fault.get("message", "a fault"))
            return _error(refusal, media=False)
        if what == "later":
            self.held_back.append((request, body))
        if what in ("drop", "twice", "stall", "cut"):
            answer = self._answer(request, body)
        if what == "twice":
            return self._answer(request, body)
        if what == "stall":
            await asyncio.sleep(3600)
        if what == "cut":
            partial = web.StreamResponse(status=answer.status, headers={"x-goog-generation": "1"})
            partial.content_length = 1000
            await partial.prepare(request)
            await partial.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _control(self, request: web.Request, body: bytes) -> web.Response:
        told = json.loads(body) if body else {}
        match request.path.removeprefix("/control/"):
            case "buckets":
                self.buckets.objects.setdefault(told["name"], {})
            case "faults":
                assert told["do"] in FAULTS
                self.faults.append({"times": 1, "match": "", **told})
            case "release":
                held_back, self.held_back = self.held_back, []
                statuses = [self._answer(each, content).status for each, content in held_back]
                return _json({"statuses": statuses})
            case "reset":
                self.faults.clear()
                self.requests.clear()
                self.token = ""
            case "token":
                self.token = told["token"]
            case "keys":
                self.keys.update(told)
            case "requests":
                requests, self.requests = self.requests, []
                return _json({"requests": requests, "faults": self.faults})
            case other:
                raise web.HTTPNotFound(text=other)
        return _json({})


def _media(held: Held, request: web.Request) -> web.Response:
    headers = {
        "x-goog-generation": str(held.generation),
        "x-goog-metageneration": "1",
        "Content-Type": held.content_type,
        "Accept-Ranges": "bytes",
        **{f"x-goog-meta-{name}": value for name, value in held.metadata.items()},
    }
    size = len(held.body)
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if asked is None:
        return web.Response(body=held.body, headers=headers)
    first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
    if first >= size:
        return web.Response(
            status=416, headers={"Content-Range": f"bytes */{size}"}, text="Request range not satisfiable"
        )
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return web.Response(status=206, body=held.body[first : last + 1], headers=headers)


def _progress(session: Session) -> web.Response:
    if session.finished is not None:
        return _json(session.finished.resource(session.bucket))
    headers = {"Range": f"bytes=0-{len(session.arrived) - 1}"} if session.arrived else {}
    return web.Response(status=308, headers=headers)


def _parts(request: web.Request, body: bytes) -> tuple[dict[str, Any], bytes]:
    found = re.search(r'boundary="?([^";]+)"?', request.headers.get("Content-Type", ""))
    if found is None:
        raise Refusal(400, "badContent", "Missing multipart boundary")
    # RFC 2046: lines end in CR LF; a body with bare line feeds is refused, as by the provider's own test bench.
    edge = f"--{found[1]}".encode()
    pieces = (b"\r\n" + body).split(b"\r\n" + edge)
    if len(pieces) != 4 or not pieces[3].startswith(b"--"):
        raise Refusal(400, "badContent", "Malformed multipart body.")
    heads = [piece.partition(b"\r\n\r\n") for piece in pieces[1:3]]
    kind = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(heads[1][0].lstrip()).get_content_type()
    resource = json.loads(heads[0][2])
    return {"contentType": kind, **resource}, heads[1][2]


def _error(refusal: Refusal, *, media: bool) -> web.Response:
    if media and refusal.status == 404 and refusal.message.startswith("No such object"):
        return web.Response(status=404, text=refusal.message, content_type="text/html")
    error = {"domain": "global", "reason": refusal.reason, "message": refusal.message}
    body = {"error": {"code": refusal.status, "message": refusal.message, "errors": [error]}}
    return _json(body, refusal.status)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=json.dumps(value).encode(), content_type="application/json")


async def _main() -> None:
    application = web.Application(client_max_size=BODY_MAX)
    application.router.add_route("*", "/{path:.*}", Emulator().serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"port {runner.addresses[0][1]}\n")
    sys.stdout.flush()
    # The one who started it holds its standard input: when that closes, nobody wants it any more.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
