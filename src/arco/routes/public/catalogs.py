"""`/catalogs`: create, list, read, change, rename and drop catalogs (catalog.md 4.3; PATCH and DELETE are ours)."""

from starlette.requests import Request
from starlette.responses import Response

from arco.domains.catalog import commands, queries
from arco.domains.catalog.tables import CATALOGS
from arco.edge.codec import decode, no_content, reply
from arco.edge.context import idempotency_key_of, if_match_of
from arco.edge.endpoint import Endpoint
from arco.edge.pages import PageQuery
from arco.routes.public.clerks import (
    CHANGE_ERRORS,
    DROP_ERRORS,
    READ_ERRORS,
    READ_HEADERS,
    clerk_of,
    cursor_after,
    etag_of,
    head_of,
    listed,
    one,
    pinned,
)
from arco.routes.public.views import (
    CatalogListView,
    CatalogView,
    CreateCatalogRequest,
    UpdateCatalogRequest,
    catalog_view,
)


async def create(request: Request) -> Response:
    """Names are 1 to 255 bytes without control characters or `/`, compared byte by byte."""
    key = idempotency_key_of(request)
    body = await decode(request, CreateCatalogRequest)
    command = commands.CreateCatalog(name=body.name, description=body.description, properties=body.properties, key=key)
    row = await commands.create_catalog(clerk_of(request), command)
    return reply(catalog_view(row), 201, headers=etag_of(row))


async def index(request: Request) -> Response:
    """Sorted by name. All pages of one list show the same moment."""
    found, page = await pinned(request)
    snapshot = queries.initialised(found)

    async def build() -> CatalogListView:
        rows = await queries.list_catalogs(snapshot, limit=page.limit, after=page.after)
        return CatalogListView([catalog_view(row) for row in rows.rows], cursor_after(request, snapshot, rows.after))

    return await listed(request, snapshot, build, of=[CATALOGS])


async def show(request: Request) -> Response:
    """The `ETag` changes with every change of the catalog."""
    row = await queries.get_catalog(await head_of(request), request.path_params["catalog"])
    return await one(request, row, lambda: catalog_view(row))


async def update(request: Request) -> Response:
    """Fields left out stay as they are. A new `name` renames; schemas and tables inside are not touched."""
    body = await decode(request, UpdateCatalogRequest)
    command = commands.UpdateCatalog(
        name=request.path_params["catalog"],
        new_name=body.name,
        description=body.description,
        properties=body.properties,
        if_match=if_match_of(request),
    )
    row = await commands.update_catalog(clerk_of(request), command)
    return reply(catalog_view(row), headers=etag_of(row))


async def drop(request: Request) -> Response:
    """Only an empty catalog can be dropped."""
    command = commands.DropCatalog(name=request.path_params["catalog"], if_match=if_match_of(request))
    await commands.drop_catalog(clerk_of(request), command)
    return no_content()


routes = [
    Endpoint(
        method="POST",
        path="/catalogs",
        handler=create,
        summary="Create a catalog",
        tag="catalogs",
        request=CreateCatalogRequest,
        responses={201: CatalogView},
        errors=(400, 409, 422),
        headers=("Idempotency-Key",),
    ),
    Endpoint(
        method="GET",
        path="/catalogs",
        handler=index,
        summary="List catalogs",
        tag="catalogs",
        query=PageQuery,
        responses={200: CatalogListView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="GET",
        path="/catalogs/{catalog}",
        handler=show,
        summary="Read a catalog",
        tag="catalogs",
        responses={200: CatalogView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="PATCH",
        path="/catalogs/{catalog}",
        handler=update,
        summary="Change or rename a catalog",
        tag="catalogs",
        request=UpdateCatalogRequest,
        responses={200: CatalogView},
        errors=CHANGE_ERRORS,
        headers=("If-Match",),
    ),
    Endpoint(
        method="DELETE",
        path="/catalogs/{catalog}",
        handler=drop,
        summary="Drop an empty catalog",
        tag="catalogs",
        responses={204: None},
        errors=DROP_ERRORS,
        headers=("If-Match",),
    ),
]
