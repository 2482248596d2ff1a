"""History: what was done to an object, or in the workspace, newest first (our addition)."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.domains.catalog import queries
from arco.domains.catalog.tables import CATALOGS, NAMESPACES, TABLES
from arco.edge.codec import query_params
from arco.edge.endpoint import Endpoint
from arco.edge.pages import PageQuery, PageRequest
from arco.kernel.reading import Snapshot
from arco.kernel.records import COMMITS, OBJECT_HISTORY
from arco.routes.public.clerks import READ_ERRORS, READ_HEADERS, cursor_after, listed, pinned
from arco.routes.public.views import HistoryView, history_entry


class ObjectQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose history."""

    object_id: str | None = None
    """The id of a catalog, schema or table, also of one that is gone."""


class HistoryQuery(PageQuery, frozen=True, kw_only=True):
    """Which page, and of which object."""

    object_id: str | None = None
    """The id of a catalog, schema or table, also of one that is gone; left out, everything is shown."""


async def workspace(request: Request) -> Response:
    """Every change of the workspace, or of the object `object_id`, which may be gone."""
    found, page = await pinned(request)
    snapshot = queries.initialised(found)
    object_id = query_params(request, ObjectQuery).object_id
    if object_id is not None:
        return await _of_object(request, snapshot, object_id, page)

    async def build() -> HistoryView:
        rows = await queries.workspace_history(snapshot, limit=page.limit, after=page.after)
        return HistoryView([history_entry(row) for row in rows.rows], cursor_after(request, snapshot, rows.after))

    return await listed(request, snapshot, build, of=[COMMITS])


async def catalog(request: Request) -> Response:
    """Changes of the catalog itself, not of what lies in it."""
    found, page = await pinned(request)
    row = await queries.get_catalog(found, request.path_params["catalog"])
    return await _of_object(request, queries.initialised(found), row.id, page)


async def schema(request: Request) -> Response:
    """Changes of the schema itself, not of its tables."""
    found, page = await pinned(request)
    row = await queries.get_schema(found, request.path_params["catalog"], request.path_params["schema"])
    return await _of_object(request, queries.initialised(found), row.id, page)


async def table(request: Request) -> Response:
    """Changes of the table, under all names it had."""
    found, page = await pinned(request)
    params = request.path_params
    row = await queries.get_table(found, params["catalog"], params["schema"], params["table"])
    return await _of_object(request, queries.initialised(found), row.id, page)


async def _of_object(request: Request, snapshot: Snapshot, object_id: str, page: PageRequest) -> Response:
    async def build() -> HistoryView:
        rows = await queries.object_history(snapshot, object_id, limit=page.limit, after=page.after)
        return HistoryView([history_entry(row) for row in rows.rows], cursor_after(request, snapshot, rows.after))

    return await listed(request, snapshot, build, of=[OBJECT_HISTORY, CATALOGS, NAMESPACES, TABLES])


routes = [
    Endpoint(
        method="GET",
        path="/history",
        handler=workspace,
        summary="List what was done in the workspace",
        tag="history",
        query=HistoryQuery,
        responses={200: HistoryView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="GET",
        path="/catalogs/{catalog}/history",
        handler=catalog,
        summary="List what was done to a catalog",
        tag="history",
        query=PageQuery,
        responses={200: HistoryView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="GET",
        path="/catalogs/{catalog}/schemas/{schema}/history",
        handler=schema,
        summary="List what was done to a schema",
        tag="history",
        query=PageQuery,
        responses={200: HistoryView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="GET",
        path="/catalogs/{catalog}/schemas/{schema}/tables/{table}/history",
        handler=table,
        summary="List what was done to a table",
        tag="history",
        query=PageQuery,
        responses={200: HistoryView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
]
