"""`/namespaces/{namespace}/tables`: tables by two-level names, with their columns (catalog.md 4.7)."""

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from arco.domains.catalog import commands, queries
from arco.domains.catalog.rules import ColumnSpec
from arco.domains.catalog.tables import CATALOGS, NAMESPACES, TABLES
from arco.edge.codec import decode, no_content, reply
from arco.edge.context import idempotency_key_of, if_match_of
from arco.edge.endpoint import Endpoint
from arco.edge.pages import PageQuery
from arco.routes.public.clerks import (
    CHANGE_ERRORS,
    CREATE_ERRORS,
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
from arco.routes.public.views import RegisterTableRequest, TableListView, TableView, UpdateTableRequest, table_view


async def create(request: Request) -> Response:
    """The namespace must exist in the catalog `default`. Tables registered here have no location."""
    namespace = request.path_params["namespace"]
    key = idempotency_key_of(request)
    body = await decode(request, RegisterTableRequest)
    command = commands.RegisterTable(
        catalog=None,
        schema=namespace,
        name=body.name,
        description=body.description,
        format=body.format,
        columns=[
            ColumnSpec(name=c.name, data_type=c.data_type, nullable=c.nullable, description=c.description)
            for c in body.columns
        ],
        properties=body.properties,
        key=key,
    )
    row = await commands.register_table(clerk_of(request), command)
    return reply(table_view(row, namespace), 201, headers=etag_of(row))


async def index(request: Request) -> Response:
    """Sorted by name. All pages of one list show the same moment."""
    namespace = request.path_params["namespace"]
    found, page = await pinned(request)
    parent = await queries.any_namespace(found, namespace)
    snapshot = queries.initialised(found)

    async def build() -> TableListView:
        rows = await queries.list_tables(snapshot, parent.id, limit=page.limit, after=page.after)
        views = [table_view(row, namespace) for row in rows.rows]
        return TableListView(views, cursor_after(request, snapshot, rows.after))

    return await listed(request, snapshot, build, of=[CATALOGS, NAMESPACES, TABLES])


async def show(request: Request) -> Response:
    """The `ETag` changes with every change of the table or its columns."""
    namespace = request.path_params["namespace"]
    found = await head_of(request)
    parent = await queries.any_namespace(found, namespace)
    row = await queries.table_in(queries.initialised(found), parent, request.path_params["table"])
    return await one(request, row, lambda: table_view(row, namespace))


async def update(request: Request) -> Response:
    """Changes the description; null or left out leaves it as it is."""
    namespace = request.path_params["namespace"]
    body = await decode(request, UpdateTableRequest)
    command = commands.UpdateTable(
        catalog=None,
        schema=namespace,
        name=request.path_params["table"],
        description=UNSET if body.description is None else body.description,
        if_match=if_match_of(request),
    )
    row = await commands.update_table(clerk_of(request), command)
    return reply(table_view(row, namespace), headers=etag_of(row))


async def drop(request: Request) -> Response:
    """Removes the table from the catalog; its data files are not touched."""
    command = commands.DropTable(
        catalog=None,
        schema=request.path_params["namespace"],
        name=request.path_params["table"],
        if_match=if_match_of(request),
    )
    await commands.drop_table(clerk_of(request), command)
    return no_content()


routes = [
    Endpoint(
        method="POST",
        path="/namespaces/{namespace}/tables",
        handler=create,
        summary="Register a table in a namespace",
        tag="namespaces",
        request=RegisterTableRequest,
        responses={201: TableView},
        errors=CREATE_ERRORS,
        headers=("Idempotency-Key",),
    ),
    Endpoint(
        method="GET",
        path="/namespaces/{namespace}/tables",
        handler=index,
        summary="List the tables of a namespace",
        tag="namespaces",
        query=PageQuery,
        responses={200: TableListView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="GET",
        path="/namespaces/{namespace}/tables/{table}",
        handler=show,
        summary="Read a table of a namespace",
        tag="namespaces",
        responses={200: TableView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="PUT",
        path="/namespaces/{namespace}/tables/{table}",
        handler=update,
        summary="Change the description of a table",
        tag="namespaces",
        request=UpdateTableRequest,
        responses={200: TableView},
        errors=CHANGE_ERRORS,
        headers=("If-Match",),
    ),
    Endpoint(
        method="DELETE",
        path="/namespaces/{namespace}/tables/{table}",
        handler=drop,
        summary="Drop a table of a namespace",
        tag="namespaces",
        responses={204: None},
        errors=DROP_ERRORS,
        headers=("If-Match",),
    ),
]
