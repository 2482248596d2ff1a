"""`/catalogs/{catalog}/schemas/{schema}/tables`: register, list, read, change, rename and drop (catalog.md 4.5).

`PATCH`, `DELETE` and `include=columns` are ours.
"""

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.domains.catalog import commands, queries, rules
from arco.domains.catalog.rules import ColumnSpec
from arco.domains.catalog.tables import CATALOGS, NAMESPACES, TABLES
from arco.edge.codec import decode, no_content, query_params, reply
from arco.edge.context import idempotency_key_of, if_match_of
from arco.edge.endpoint import Endpoint
from arco.edge.pages import PageQuery
from arco.kernel.reading import Snapshot
from arco.routes.public.clerks import (
    CHANGE_ERRORS,
    CREATE_ERRORS,
    DROP_ERRORS,
    READ_ERRORS,
    READ_HEADERS,
    clerk_of,
    cursor_after,
    etag_of,
    listed,
    pinned,
    shown,
)
from arco.routes.public.views import (
    ColumnChangeRequest,
    RegisterTableInSchemaRequest,
    SchemaTableListView,
    SchemaTableView,
    UpdateTableInSchemaRequest,
    listed_tables_view,
    schema_table_view,
)


class TableQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a table is shown."""

    include: str | None = None
    """`columns` adds the columns."""


class TableListQuery(PageQuery, frozen=True, kw_only=True):
    """Which page of tables, and how much of each is shown."""

    include: str | None = None
    """`columns` adds the columns."""


async def create(request: Request) -> Response:
    """Catalog and schema must exist. A Delta location must name a directory; others are kept as they are."""
    catalog, schema = _parent(request)
    key = idempotency_key_of(request)
    body = await decode(request, RegisterTableInSchemaRequest)
    command = commands.RegisterTable(
        catalog=catalog,
        schema=schema,
        name=body.name,
        description=body.description,
        location=body.location,
        format=body.format,
        columns=[
            ColumnSpec(name=c.name, data_type=c.data_type, nullable=c.nullable, description=c.description)
            for c in body.columns
        ],
        properties=body.properties,
        key=key,
    )
    row = await commands.register_table(clerk_of(request), command)
    return reply(schema_table_view(row, catalog, schema, columns=False), 201, headers=etag_of(row))


async def index(request: Request) -> Response:
    """Sorted by name. All pages of one list show the same moment."""
    catalog, schema = _parent(request)
    found, page = await pinned(request)
    columns = _with_columns(query_params(request, TableQuery).include)
    parent = await queries.get_schema(found, catalog, schema)
    snapshot = queries.initialised(found)

    async def build() -> SchemaTableListView:
        found = await queries.listed_tables(snapshot, parent.id, limit=page.limit, after=page.after, columns=columns)
        return SchemaTableListView(
            listed_tables_view(found.rows, catalog, schema), cursor_after(request, snapshot, found.after)
        )

    return await listed(request, snapshot, build, of=[CATALOGS, NAMESPACES, TABLES])


async def show(request: Request) -> Response:
    """The `ETag` changes with every change of the table or its columns."""
    catalog, schema = _parent(request)
    columns = _with_columns(query_params(request, TableQuery).include)

    async def build(snapshot: Snapshot | None) -> tuple[str, object]:
        row = await queries.get_table(snapshot, catalog, schema, request.path_params["table"])
        return rules.etag(row.id, row.row_version), schema_table_view(row, catalog, schema, columns=columns)

    return await shown(request, build)


async def update(request: Request) -> Response:
    """Fields left out stay as they are.

    A new `name` renames. `columns` is the whole new list: a column keeps its identity when it names its `id`, or keeps
    its name; columns that are not in the list are gone.
    """
    catalog, schema = _parent(request)
    body = await decode(request, UpdateTableInSchemaRequest)
    command = commands.UpdateTable(
        catalog=catalog,
        schema=schema,
        name=request.path_params["table"],
        new_name=body.name,
        description=body.description,
        location=body.location,
        format=body.format,
        columns=_column_specs(body.columns),
        properties=body.properties,
        if_match=if_match_of(request),
    )
    row = await commands.update_table(clerk_of(request), command)
    columns = body.columns is not UNSET
    return reply(schema_table_view(row, catalog, schema, columns=columns), headers=etag_of(row))


async def drop(request: Request) -> Response:
    """Removes the table from the catalog; its data files are not touched."""
    catalog, schema = _parent(request)
    command = commands.DropTable(
        catalog=catalog, schema=schema, name=request.path_params["table"], if_match=if_match_of(request)
    )
    await commands.drop_table(clerk_of(request), command)
    return no_content()


def _parent(request: Request) -> tuple[str, str]:
    return request.path_params["catalog"], request.path_params["schema"]


def _with_columns(include: str | None) -> bool:
    if include not in (None, "columns"):
        raise InvalidInput("include must be 'columns' or left out")
    return include is not None


def _column_specs(columns: list[ColumnChangeRequest] | UnsetType) -> list[ColumnSpec] | UnsetType:
    if columns is UNSET:
        return UNSET
    return [
        ColumnSpec(id=c.id, name=c.name, data_type=c.data_type, nullable=c.nullable, description=c.description)
        for c in columns
    ]


routes = [
    Endpoint(
        method="POST",
        path="/catalogs/{catalog}/schemas/{schema}/tables",
        handler=create,
        summary="Register a table",
        tag="tables",
        request=RegisterTableInSchemaRequest,
        responses={201: SchemaTableView},
        errors=CREATE_ERRORS,
        headers=("Idempotency-Key",),
    ),
    Endpoint(
        method="GET",
        path="/catalogs/{catalog}/schemas/{schema}/tables",
        handler=index,
        summary="List the tables of a schema",
        tag="tables",
        query=TableListQuery,
        responses={200: SchemaTableListView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="GET",
        path="/catalogs/{catalog}/schemas/{schema}/tables/{table}",
        handler=show,
        summary="Read a table",
        tag="tables",
        query=TableQuery,
        responses={200: SchemaTableView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="PATCH",
        path="/catalogs/{catalog}/schemas/{schema}/tables/{table}",
        handler=update,
        summary="Change or rename a table, or change its columns",
        tag="tables",
        request=UpdateTableInSchemaRequest,
        responses={200: SchemaTableView},
        errors=CHANGE_ERRORS,
        headers=("If-Match",),
    ),
    Endpoint(
        method="DELETE",
        path="/catalogs/{catalog}/schemas/{schema}/tables/{table}",
        handler=drop,
        summary="Drop a table",
        tag="tables",
        responses={204: None},
        errors=DROP_ERRORS,
        headers=("If-Match",),
    ),
]
