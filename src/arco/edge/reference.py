"""What a person meets at this server: `/`, a front page, and `/docs`, the API reference drawn from `/openapi.json`.

Both work offline, with nothing from anywhere else: static files of ours, under a content security policy that allows
exactly these. A program that asks for `/` gets the same facts as JSON.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.edge.codec import conditional, reply
from arco.edge.endpoint import Endpoint, Handler

API_DESCRIPTION: Final = """\
Catalogs, schemas, tables and their lineage, and SQL over the catalog and over registered Parquet and Delta files.

Where credentials are asked for, send `Authorization: Bearer TOKEN`; a server on loopback without credentials serves \
tenant `local`, workspace `default`.

Errors have one shape: `code`, `message`, `requestId`. A write may carry an `Idempotency-Key`, so that sending it \
again does nothing twice. Lists continue with `next_cursor`, and all their pages show the same moment."""
"""The first words of the OpenAPI document: what holds for every operation."""

_FOLDER: Final = Path(__file__).with_name("static")
_TAG: Final = "operations"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML: Final = "text/html; charset=utf-8"
_CSS: Final = "text/css; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_HOME: Final = "home.html"
_FILES: Final = (
    ("/docs", "reference.html", _HTML, "API reference for people"),
    ("/docs/reference.css", "reference.css", _CSS, "Style of the pages"),
    ("/docs/reference.js", "reference.js", _SCRIPT, "Script of the reference"),
    ("/docs/home.js", "home.js", _SCRIPT, "Script of the front page"),
)


class HomeView(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is on this server, as paths."""

    service: str
    version: str
    api: str = "/api/v1"
    reference: str = "/docs"
    openapi: str = "/openapi.json"
    ready: str = "/ready"
    health: str = "/health/ready"


def reference_endpoints(version: str) -> list[Endpoint]:
    """`GET /`, `GET /docs` and the files they are made of. `version` is the build that answers."""
    return [_home(HomeView(service="arco", version=version)), *(_static(*each) for each in _FILES)]


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


@cache
def _etag(name: str) -> str:
    return f'"{hashlib.sha256(_content(name)).hexdigest()[:16]}"'


async def _sent(request: Request, name: str, media: str) -> Response:
    async def build() -> Response:
        headers = {
            "content-security-policy": _POLICY,
            "cache-control": "no-cache",
            "referrer-policy": "no-referrer",
            "vary": "accept",
        }
        return Response(_content(name), headers=headers, media_type=media)

    return await conditional(request, _etag(name), build)


def _home(view: HomeView) -> Endpoint:
    async def home(request: Request) -> Response:
        """A page for browsers (`Accept: text/html`), for everybody else where things are, as JSON."""
        if "text/html" in request.headers.get("accept", ""):
            return await _sent(request, _HOME, _HTML)
        return reply(view, headers={"vary": "accept", "cache-control": "no-cache"})

    return Endpoint(
        method="GET",
        path="/",
        handler=home,
        summary="What this server is and where to go on",
        tag=_TAG,
        responses={200: HomeView},
        media=("application/json", "text/html"),
        public=True,
    )


def _static(path: str, name: str, media: str, summary: str) -> Endpoint:
    async def send_file(request: Request) -> Response:
        return await _sent(request, name, media)

    handler: Handler = send_file
    return Endpoint(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        tag=_TAG,
        responses={200: str},
        media=(media.partition(";")[0],),
        public=True,
    )
