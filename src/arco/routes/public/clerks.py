"""What the catalog's handlers share: a clerk for the request's scope, and pages pinned to one snapshot."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.domains.catalog import queries, rules
from arco.domains.catalog.commands import Clerk
from arco.domains.catalog.rows import CatalogRow, NamespaceRow, TableRow
from arco.edge.codec import conditional, reply
from arco.edge.context import context_of, services_of
from arco.edge.pages import PageRequest, next_cursor, page_request
from arco.kernel.reading import Snapshot

READ_ERRORS: Final = (400, 404)
CREATE_ERRORS: Final = (400, 404, 409, 422)
CHANGE_ERRORS: Final = (400, 404, 409, 412, 422)
DROP_ERRORS: Final = (400, 404, 409, 412)


def clerk_of(request: Request) -> Clerk:
    """Who carries out the commands of this request."""
    services = services_of(request)
    context = context_of(request)
    return Clerk(
        desk=services.desk_for(context.scope),
        reader=services.reader_for(context.scope),
        clock=services.clock,
        ids=services.ids,
        scope=context.scope,
        source=context.actor,
    )


async def head_of(request: Request) -> Snapshot | None:
    """The newest snapshot of the request's workspace."""
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
    return await queries.pinned(services.reader_for(scope), page.manifest_id), page


def cursor_after(request: Request, snapshot: Snapshot, after: str | None) -> str | None:
    """The cursor of the next page, None on the last."""
    if after is None:
        return None
    return next_cursor(request, services_of(request), context_of(request).scope, (after, snapshot.manifest_id))


async def listed(request: Request, snapshot: Snapshot, build: Callable[[], Awaitable[object]]) -> Response:
    """A list page with the manifest id as its ETag; 304, and nothing read, when the caller has that manifest.

    What lies under a manifest never changes, so an encoded page is good for everybody in the scope who asks for it.
    """

    services = services_of(request)
    key = (context_of(request).scope, str(request.url), snapshot.manifest_id)

    async def page() -> Response:
        body = services.encoded.get(key)
        if body is None:
            body = msgspec.json.encode(await build())
            services.encoded.put(key, body)
        return reply(body)

    return await conditional(request, f'"{snapshot.manifest_id}"', page)
