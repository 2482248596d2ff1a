"""`/catalogs/{catalog}/schemas`: create, list, read, change, rename and drop schemas (catalog.md 4.4).

`GET` of one schema, `PATCH` and `DELETE` are ours.
"""

from starlette.requests import Request
from starlette.responses import Response

from arco.domains.catalog import commands, queries
from arco.domains.catalog.tables import CATALOGS, NAMESPACES
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
from arco.routes.public.views import (
    CreateSchemaRequest,
    SchemaListView,
    SchemaView,
    UpdateSchemaRequest,
    schema_view,
)


async def create(request: Request) -> Response:
    """The catalog must exist."""
    catalog = request.path_params["catalog"]
    key = idempotency_key_of(request)
    body = await decode(request, CreateSchemaRequest)
    command = commands.CreateSchema(
        catalog=catalog, name=body.name, description=body.description, properties=body.properties, key=key
    )
    row = await commands.create_schema(clerk_of(request), command)
    return reply(schema_view(row, catalog), 201, headers=etag_of(row))


async def index(request: Request) -> Response:
    """Sorted by name. All pages of one list show the same moment."""
    catalog = request.path_params["catalog"]
    found, page = await pinned(request)
    key = await queries.catalog_key(found, catalog)
    snapshot = queries.initialised(found)

    async def build() -> SchemaListView:
        rows = await queries.list_schemas(snapshot, key, limit=page.limit, after=page.after)
        views = [schema_view(row, catalog) for row in rows.rows]
        return SchemaListView(views, cursor_after(request, snapshot, rows.after))

    return await listed(request, snapshot, build, of=[CATALOGS, NAMESPACES])


async def show(request: Request) -> Response:
    """The `ETag` changes with every change of the schema."""
    catalog = request.path_params["catalog"]
    row = await queries.get_schema(await head_of(request), catalog, request.path_params["schema"])
    return await one(request, row, lambda: schema_view(row, catalog))


async def update(request: Request) -> Response:
    """Fields left out stay as they are. A new `name` renames; tables inside are not touched."""
    catalog = request.path_params["catalog"]
    body = await decode(request, UpdateSchemaRequest)
    command = commands.UpdateSchema(
        catalog=catalog,
        name=request.path_params["schema"],
        new_name=body.name,
        description=body.description,
        properties=body.properties,
        if_match=if_match_of(request),
    )
    row = await commands.update_schema(clerk_of(request), command)
    return reply(schema_view(row, catalog), headers=etag_of(row))


async def drop(request: Request) -> Response:
    """Only an empty schema can be dropped."""
    command = commands.DropSchema(
        catalog=request.path_params["catalog"],
        name=request.path_params["schema"],
        if_match=if_match_of(request),
    )
    await commands.drop_schema(clerk_of(request), command)
    return no_content()


routes = [
    Endpoint(
        method="POST",
        path="/catalogs/{catalog}/schemas",
        handler=create,
        summary="Create a schema",
        tag="schemas",
        request=CreateSchemaRequest,
        responses={201: SchemaView},
        errors=CREATE_ERRORS,
        headers=("Idempotency-Key",),
    ),
    Endpoint(
        method="GET",
        path="/catalogs/{catalog}/schemas",
        handler=index,
        summary="List the schemas of a catalog",
        tag="schemas",
        query=PageQuery,
        responses={200: SchemaListView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="GET",
        path="/catalogs/{catalog}/schemas/{schema}",
        handler=show,
        summary="Read a schema",
        tag="schemas",
        responses={200: SchemaView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="PATCH",
        path="/catalogs/{catalog}/schemas/{schema}",
        handler=update,
        summary="Change or rename a schema",
        tag="schemas",
        request=UpdateSchemaRequest,
        responses={200: SchemaView},
        errors=CHANGE_ERRORS,
        headers=("If-Match",),
    ),
    Endpoint(
        method="DELETE",
        path="/catalogs/{catalog}/schemas/{schema}",
        handler=drop,
        summary="Drop an empty schema",
        tag="schemas",
        responses={204: None},
        errors=DROP_ERRORS,
        headers=("If-Match",),
    ),
]
