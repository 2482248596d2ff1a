"""What the catalog's handlers share: a clerk for the request's scope, and pages pinned to one snapshot."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.canonical_json import sha256_hex
from arco.core.scope import Scope
from arco.domains.catalog import queries, rules
from arco.domains.catalog.commands import Clerk
from arco.domains.catalog.rows import CatalogRow, NamespaceRow, TableRow
from arco.edge.codec import conditional, not_modified, reply
from arco.edge.context import context_of, desk_of, services_of
from arco.edge.pages import EncodedPage, PageRequest, next_cursor, page_request
from arco.kernel.reading import Snapshot
from arco.kernel.spec import TableSpec
from arco.routes.public.read_tokens import snapshot_of_token

READ_ERRORS: Final = (400, 404)
READ_HEADERS: Final = ("If-None-Match", "X-Arco-Read-Token")
CREATE_ERRORS: Final = (400, 404, 409, 422)
CHANGE_ERRORS: Final = (400, 404, 409, 412, 422)
DROP_ERRORS: Final = (400, 404, 409, 412)


def clerk_of(request: Request) -> Clerk:
    """Who carries out the commands of this request."""
    services = services_of(request)
    context = context_of(request)
    return Clerk(
        desk=desk_of(request),
        reader=services.reader_for(context.scope),
        clock=services.clock,
        ids=services.ids,
        scope=context.scope,
        source=context.actor,
    )


async def head_of(request: Request) -> Snapshot | None:
    """The newest snapshot of the request's workspace, or the one its read token pins."""
    snapshot = await snapshot_of_token(request)
    if snapshot is not None:
        return snapshot
    return await services_of(request).reader_for(context_of(request).scope).head()


def etag_of(row: CatalogRow | NamespaceRow | TableRow) -> dict[str, str]:
    """The `ETag` header of an object."""
    return {"etag": rules.etag(row.id, row.row_version)}


async def one(request: Request, row: CatalogRow | NamespaceRow | TableRow, view: Callable[[], object]) -> Response:
    """A single object with its ETag; 304 when the caller has it."""

    async def build() -> Response:
        return reply(view())

    return await conditional(request, rules.etag(row.id, row.row_version), build)


async def pinned(request: Request) -> tuple[Snapshot | None, PageRequest]:
    """The page asked for, and the snapshot its list is pinned to: page two reads what page one read."""
    services = services_of(request)
    scope = context_of(request).scope
    page = page_request(request, services, scope)
    if page.manifest_id is None:
        snapshot = await snapshot_of_token(request)
        if snapshot is not None:
            return snapshot, page
    return await queries.pinned(services.reader_for(scope), page.manifest_id), page


def cursor_after(request: Request, snapshot: Snapshot, after: str | None) -> str | None:
    """The cursor of the next page, None on the last."""
    if after is None:
        return None
    return next_cursor(request, services_of(request), context_of(request).scope, (after, snapshot.manifest_id))


def page_key(request: Request, snapshot: Snapshot) -> tuple[Scope, bytes, str]:
    """What an answer that depends only on the request's URL and a snapshot is kept under."""
    # The path as it was sent: decoded, a name that holds a slash would read like another path.
    url: bytes = request.scope["raw_path"] + b"?" + request.scope["query_string"]
    return context_of(request).scope, url, snapshot.manifest_id


async def shown(request: Request, build: Callable[[Snapshot | None], Awaitable[tuple[str, object]]]) -> Response:
    """One object as of the head: `build` gives its ETag and its view; kept as long as nothing in the scope changes."""
    snapshot = await head_of(request)
    if snapshot is None:
        etag, view = await build(None)
        return await conditional(request, etag, lambda: _encoded(msgspec.json.encode(view)))
    services = services_of(request)
    key = page_key(request, snapshot)
    kept = services.encoded.get(key)
    if kept is None:
        etag, view = await build(snapshot)
        kept = EncodedPage(msgspec.json.encode(view), etag)
        services.encoded.put(key, kept)
    page = kept
    return await conditional(request, page.etag, lambda: _encoded(page.body))


async def _encoded(body: bytes) -> Response:
    return reply(body)


async def listed(
    request: Request, snapshot: Snapshot, build: Callable[[], Awaitable[object]], *, of: Sequence[TableSpec[Any]] = ()
) -> Response:
    """A list page; 304, and nothing read, when the caller has it.

    A page that is the last of a list depends only on the tables it is made `of`, and keeps its ETag as long as they do:
    audit rows, which reads leave behind, do not change it. A page that another one follows names in its cursor the
    manifest it was read from, and so does its ETag. What lies under a manifest never changes, so an encoded page is
    good for everybody in the scope who asks for it.
    """
    services = services_of(request)
    moment, lasting = f'"{snapshot.manifest_id}"', None
    if of and "cursor" not in request.query_params:
        lasting = _etag_of_tables(context_of(request).scope, snapshot, of)
    for etag in filter(None, (lasting, moment)):
        if (unchanged := not_modified(request, etag)) is not None:
            return unchanged
    scope, url, manifest_id = page_key(request, snapshot)
    keys = [(scope, url, name) for name in (lasting, manifest_id) if name is not None]
    kept = next((page for key in keys if (page := services.encoded.get(key)) is not None), None)
    if kept is None:
        view = await build()
        last = lasting is not None and getattr(view, "next_cursor", None) is None
        kept = EncodedPage(msgspec.json.encode(view), lasting if last and lasting is not None else moment)
        services.encoded.put(keys[0] if last else keys[-1], kept)
    return reply(kept.body, headers={"etag": kept.etag})


def _etag_of_tables(scope: Scope, snapshot: Snapshot, tables: Sequence[TableSpec[Any]]) -> str:
    versions = [scope.prefix, *(f"{table.name}={snapshot.table_version(table)}" for table in tables)]
    return f'"t-{sha256_hex("/".join(versions).encode())[:32]}"'
