"""The browser read path: URLs that read the Parquet files of the newest snapshot, and what they name (catalog.md 6).

All or nothing: one path that may not be read, and nobody learns a URL. What may be read are segments of public tables
in the current head; manifests, pointers, ledger, deltas and every other workspace never are. The store's provider signs
when it can; otherwise arco does and serves the object here, to whoever has the URL and for as long as it says.
"""

import re
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput, NotFound
from arco.core.paths import InvalidKey, Key
from arco.domains.access.rows import URL_MINT_ALLOW, URL_MINT_DENY
from arco.domains.catalog import queries
from arco.edge.codec import decode, reply
from arco.edge.context import audit, context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.edge.refusals import Forbidden, ProjectionOnly
from arco.edge.urls import FileSnapshot
from arco.storage.names import object_key
from arco.storage.signing import granted_ttl_s

PATHS_MAX: Final = 1_000
"""Paths of one request: each costs a signature."""

MEDIA: Final = "application/vnd.apache.parquet"
_DOMAINS: Final = ("catalog", "lineage", "executions", "search")
_FIELDS: Final = frozenset({"key", "expires", "signature"})
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})\Z")


class UrlsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which files of a domain to read, and for how long."""

    domain: Annotated[str, msgspec.Meta(description="catalog, lineage, executions or search; case does not matter.")]
    paths: Annotated[list[str], msgspec.Meta(description="Segments of the newest manifest, as it names them.")]
    ttl_seconds: Annotated[int | None, msgspec.Meta(description="At least 1; more than 3600 is 3600.")] = None


class SignedUrlView(msgspec.Struct, frozen=True, kw_only=True):
    """A path, and where it can be read with GET by whoever has the URL. Treat it as a password."""

    path: str
    url: str


class UrlsView(msgspec.Struct, frozen=True, kw_only=True):
    """URLs in the order of the request, and for how long they are good."""

    urls: list[SignedUrlView]
    ttl_seconds: int


class FilesView(msgspec.Struct, frozen=True, kw_only=True):
    """The files of the newest snapshot that can be read: what `paths` may hold."""

    manifest_id: str
    paths: list[str]


async def mint(request: Request) -> Response:
    """Sign all of the paths, or none."""
    asked = await decode(request, UrlsRequest)
    domain = asked.domain.lower()
    where = f"browser/urls:{domain[:32]}"
    if domain not in _DOMAINS:
        audit(request, URL_MINT_DENY, "unknown_domain", where)
        raise InvalidInput(f"Unknown domain: {asked.domain}")
    ttl_s = granted_ttl_s(asked.ttl_seconds)
    if len(asked.paths) > PATHS_MAX:
        raise InvalidInput(f"paths must not hold more than {PATHS_MAX} paths")
    _check(request, asked.paths, where)
    snapshot = await _head(request)
    allowed = set(await services_of(request).urls.readable(snapshot, domain))
    for path in asked.paths:
        if path not in allowed:
            audit(request, URL_MINT_DENY, "not_in_allowlist", where)
            raise Forbidden(f"Path not in manifest allowlist: {path}")
    signer = services_of(request).urls.signer(context_of(request).scope)
    urls = [
        SignedUrlView(path=path, url=_absolute(request, await signer.sign(Key(path), ttl_s))) for path in asked.paths
    ]
    services_of(request).urls.minted()
    audit(request, URL_MINT_ALLOW, "url_minted", f"{where}:{len(urls)}")
    return reply(UrlsView(urls=urls, ttl_seconds=ttl_s), headers={"cache-control": "no-store"})


async def files(request: Request) -> Response:
    """What `paths` of a minting may hold now."""
    domain = request.path_params["domain"].lower()
    if domain not in _DOMAINS:
        raise InvalidInput(f"Unknown domain: {domain}")
    snapshot = await _head(request)
    return reply(
        FilesView(manifest_id=snapshot.manifest_id, paths=await services_of(request).urls.readable(snapshot, domain))
    )


async def read(request: Request) -> Response:
    """The object that the URL's signature is for; a range of it when one is asked for."""
    desk = services_of(request).urls
    given = request.query_params.multi_items()
    fields = dict(given)
    if len(given) != len(_FIELDS) or fields.keys() != _FIELDS or not desk.local.opened(**fields):
        raise Forbidden("This URL is not signed for this, or is no longer")
    key = Key(fields["key"])
    if request.path_params["file"] != key.rpartition("/")[2]:
        raise Forbidden("This URL is not signed for this, or is no longer")
    info = await desk.store.head(key)
    if info is None:
        raise NotFound("The object is gone; ask for the files of the newest snapshot")
    headers = {
        "accept-ranges": "bytes",
        "etag": f'"{info.version}"',
        "cache-control": "private, max-age=60",
        "content-disposition": "attachment",
    }
    span = _span(request.headers.get("range"), info.size_bytes)
    if span is None:
        headers["content-length"] = str(info.size_bytes)
        found = None if request.method == "HEAD" else await desk.store.get(key)
    elif span[0] >= span[1]:
        return Response(status_code=416, headers={"content-range": f"bytes */{info.size_bytes}"})
    else:
        start, end = span
        headers |= {"content-range": f"bytes {start}-{end - 1}/{info.size_bytes}", "content-length": str(end - start)}
        found = None if request.method == "HEAD" else await desk.store.get_range(key, start, end)
    if request.method != "HEAD" and (found is None or found.version != info.version):
        raise NotFound("The object is gone; ask for the files of the newest snapshot")
    body = found.body if found is not None else b""
    return Response(body, 200 if span is None else 206, headers=headers, media_type=MEDIA)


def _check(request: Request, paths: list[str], where: str) -> None:
    for path in paths:
        try:
            object_key(path)
        except InvalidKey as invalid:
            audit(request, URL_MINT_DENY, "path_traversal", where)
            raise Forbidden(f"Invalid path '{path}': {invalid.reason}") from None
    for path in paths:
        if path.endswith("/commits.parquet") or path.split("/")[2:3] == ["commits"]:
            audit(request, URL_MINT_DENY, "internal_artifact", where)
            raise ProjectionOnly(f"{path} is read in SQL only: SELECT * FROM system.catalog.commits")


async def _head(request: Request) -> FileSnapshot:
    snapshot = await services_of(request).urls.reader_for(context_of(request).scope).head()
    queries.initialised(snapshot)
    found: FileSnapshot = snapshot
    return found


def _absolute(request: Request, url: str) -> str:
    """A path that arco serves, as a URL of the server that was asked."""
    if not url.startswith("/"):
        return url
    asked: Any = request.url
    return f"{asked.scheme}://{asked.netloc}{url}"


def _span(text: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end of a single range; None for everything, also for what is no range we know (RFC 9110, 14.2)."""
    found = _RANGE.match(text or "")
    if found is None or (not found[1] and not found[2]):
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < int(found[1]):
        return None
    return int(found[1]), end


routes = [
    Endpoint(
        method="POST",
        path="/browser/urls",
        handler=mint,
        summary="Sign URLs of files of the newest snapshot",
        description=(
            "For engines in a browser: each URL reads one Parquet file with GET, without credentials, until it ends. "
            "All paths are signed or none. 403 `PROJECTION_ONLY_ARTIFACT` names what is only read in SQL."
        ),
        tag="browser",
        request=UrlsRequest,
        responses={200: UrlsView},
        errors=(400, 403, 404),
    ),
    Endpoint(
        method="GET",
        path="/browser/files/{domain}",
        handler=files,
        summary="List the files of the newest snapshot",
        tag="browser",
        responses={200: FilesView},
        errors=(400, 404),
        parameters={"domain": "catalog, lineage, executions or search."},
    ),
    Endpoint(
        method="GET",
        path="/browser/objects/{file}",
        handler=read,
        summary="Read a file by a URL that arco signed",
        description="Where the storage signs no URLs of its own. Takes `Range`; the query is the signature.",
        tag="browser",
        responses={200: bytes, 206: bytes, 416: None},
        errors=(400, 403, 404),
        headers=("Range",),
        media=(MEDIA,),
        public=True,
        parameters={"file": "The file's own name."},
    ),
]
