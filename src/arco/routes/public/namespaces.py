"""`/namespaces`: the two-level names (catalog.md 4.6). Writes mean the catalog `default`, reads look in all."""

from starlette.requests import Request
from starlette.responses import Response

from arco.domains.catalog import commands, queries
from arco.domains.catalog.tables import NAMESPACES, NAMESPACES_BY_NAME
from arco.edge.codec import decode, no_content, reply
from arco.edge.context import idempotency_key_of, if_match_of
from arco.edge.endpoint import Endpoint
from arco.edge.pages import PageQuery
from arco.routes.public.clerks import (
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
from arco.routes.public.views import CreateNamespaceRequest, NamespaceListView, NamespaceView, namespace_view


async def create(request: Request) -> Response:
    """Creates a schema in the catalog `default`, and that catalog when there is none yet."""
    key = idempotency_key_of(request)
    body = await decode(request, CreateNamespaceRequest)
    command = commands.CreateSchema(
        catalog=None, name=body.name, description=body.description, properties=body.properties, key=key
    )
    row = await commands.create_schema(clerk_of(request), command)
    return reply(namespace_view(row), 201, headers=etag_of(row))


async def index(request: Request) -> Response:
    """The schemas of all catalogs, sorted by name; an empty list in an empty workspace."""
    snapshot, page = await pinned(request)
    if snapshot is None:
        return reply(NamespaceListView([]))

    async def build() -> NamespaceListView:
        rows = await queries.list_namespaces(snapshot, limit=page.limit, after=page.after)
        return NamespaceListView(
            [namespace_view(row) for row in rows.rows], cursor_after(request, snapshot, rows.after)
        )

    return await listed(request, snapshot, build, of=[NAMESPACES_BY_NAME, NAMESPACES])


async def show(request: Request) -> Response:
    """The one in the catalog `default`, else the oldest of that name in any catalog."""
    row = await queries.any_namespace(await head_of(request), request.path_params["namespace"])
    return await one(request, row, lambda: namespace_view(row))


async def drop(request: Request) -> Response:
    """Only an empty namespace of the catalog `default` can be dropped here."""
    command = commands.DropSchema(catalog=None, name=request.path_params["namespace"], if_match=if_match_of(request))
    await commands.drop_schema(clerk_of(request), command)
    return no_content()


routes = [
    Endpoint(
        method="POST",
        path="/namespaces",
        handler=create,
        summary="Create a namespace",
        tag="namespaces",
        request=CreateNamespaceRequest,
        responses={201: NamespaceView},
        errors=(400, 409, 422),
        headers=("Idempotency-Key",),
    ),
    Endpoint(
        method="GET",
        path="/namespaces",
        handler=index,
        summary="List namespaces",
        tag="namespaces",
        query=PageQuery,
        responses={200: NamespaceListView, 304: None},
        errors=(400,),
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="GET",
        path="/namespaces/{namespace}",
        handler=show,
        summary="Read a namespace",
        tag="namespaces",
        responses={200: NamespaceView, 304: None},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
    ),
    Endpoint(
        method="DELETE",
        path="/namespaces/{namespace}",
        handler=drop,
        summary="Drop an empty namespace",
        tag="namespaces",
        responses={204: None},
        errors=DROP_ERRORS,
        headers=("If-Match",),
    ),
]
