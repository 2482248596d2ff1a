"""The API reference page: renders `/openapi.json` in the browser, offline, with nothing from anywhere else.

The page is three static files of ours under a content security policy that allows exactly these.
"""

from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from arco.edge.codec import conditional
from arco.edge.endpoint import Endpoint, Handler

_FOLDER: Final = Path(__file__).with_name("static")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES: Final = (
    ("/docs", "reference.html", "text/html; charset=utf-8", "API reference for people"),
    ("/docs/reference.css", "reference.css", "text/css; charset=utf-8", "Style of the reference"),
    ("/docs/reference.js", "reference.js", "text/javascript; charset=utf-8", "Script of the reference"),
)


def reference_endpoints(version: str) -> list[Endpoint]:
    """`GET /docs` and its two files. `version` is the build, and their `ETag`."""
    return [_static(*each, etag=f'"{version}"') for each in _FILES]


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _static(path: str, name: str, media: str, summary: str, *, etag: str) -> Endpoint:
    async def send_file(request: Request) -> Response:
        async def build() -> Response:
            content = _content(name)
            headers = {
                "content-security-policy": _POLICY,
                "cache-control": "no-cache",
                "referrer-policy": "no-referrer",
            }
            return Response(content, headers=headers, media_type=media)

        return await conditional(request, etag, build)

    handler: Handler = send_file
    return Endpoint(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        tag="operations",
        responses={200: str},
        media=(media.partition(";")[0],),
        public=True,
    )
