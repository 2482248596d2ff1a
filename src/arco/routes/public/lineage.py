"""`/lineage`: record edges, and follow them any number of hops (catalog.md 8; depth and direction are our addition).

A workspace that holds nothing yet answers with empty lists, as an unknown id does, and not with a failure.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.core.instant import http_text
from arco.domains.lineage.commands import AddEdges, Clerk, add_edges
from arco.domains.lineage.graph import UNBOUNDED, Bounds
from arco.domains.lineage.queries import (
    DOWNSTREAM,
    EDGES_MAX,
    UPSTREAM,
    Lineage,
    LineageQuestion,
    ReachedNode,
    lineage_of,
)
from arco.domains.lineage.rows import EdgeRow
from arco.domains.lineage.rules import DEFAULT_EDGE_TYPE, NewEdge
from arco.edge.codec import decode, query_params, reply
from arco.edge.context import context_of, desk_of, services_of
from arco.edge.endpoint import Endpoint

DEPTH_MAX: Final = 64
"""Hops one may count; whoever wants more wants all of them."""

_ALL: Final = ("all", "0")
_BOTH: Final = "both"


class NewEdgeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One edge: `target_id` was made from `source_id`. Ids are any text; they need not name anything known here."""

    source_id: str
    target_id: str
    edge_type: str | None = None
    run_id: str | None = None


class AddEdgesRequest(msgspec.Struct, frozen=True):
    """Edges to record."""

    edges: list[NewEdgeRequest]


class AddedEdgesView(msgspec.Struct, frozen=True):
    """How many different edges the request named, whether they were known before or not."""

    added: int


class LineageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How far and which way; without any of them the answer is one hop, both ways, in the short form."""

    depth: str | None = None
    """Hops, 1 to 64; `all` or 0 follows edges to their end. 1 when only other parameters are given."""
    direction: str | None = None
    """`upstream`, `downstream` or `both` (the default)."""
    limit: int | None = None
    """Most edges in each direction, 1 to 10000 (the default)."""


class EdgeView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One edge."""

    id: str
    source_id: str
    target_id: str
    edge_type: str
    run_id: str | None = None
    created_at: str


class LineageView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Edges that lead to `table_id` and edges that lead away from it, nearest first.

    `nodes`, `edges` (each edge once, whichever direction met it) and `truncated` are there when a parameter was given;
    `truncated` also whenever edges were left out.
    """

    table_id: str
    upstream: list[EdgeView]
    downstream: list[EdgeView]
    nodes: list[ReachedNode] | None = None
    edges: list[EdgeView] | None = None
    truncated: bool | None = None


async def add(request: Request) -> Response:
    """Record 1 to 1,000 edges.

    Known edges stay as they are and keep their `created_at`, so sending a request again changes nothing.
    """
    body = await decode(request, AddEdgesRequest)
    edges = tuple(
        NewEdge(
            source_id=edge.source_id,
            target_id=edge.target_id,
            edge_type=DEFAULT_EDGE_TYPE if edge.edge_type is None else edge.edge_type,
            run_id=edge.run_id,
        )
        for edge in body.edges
    )
    context, services = context_of(request), services_of(request)
    clerk = Clerk(desk_of(request), services.clock)
    return reply(AddedEdgesView(await add_edges(clerk, AddEdges(edges), actor=context.actor)), 201)


async def show(request: Request) -> Response:
    """Edges that lead to (`upstream`) and away from (`downstream`) an id.

    Without parameters one hop; with `depth` every edge within so many hops, `nodes` with their fewest hops, and in
    `edges` each edge once. Cycles end by themselves. An id that is not known has empty lists. At most 10,000 edges in
    each direction, nearest first; `truncated` says that there are more.
    """
    query = query_params(request, LineageQuery)
    question = _question(request.path_params["table_id"], query)
    scope, services = context_of(request).scope, services_of(request)
    snapshot = await services.reader_for(scope).head()
    found = await lineage_of(question, snapshot, scope=scope, indexes=services.lineage)
    return reply(_view(question.node, found, whole=query != LineageQuery()))


def _question(node: str, query: LineageQuery) -> LineageQuestion:
    direction = _BOTH if query.direction is None else query.direction
    if direction not in (UPSTREAM, DOWNSTREAM, _BOTH):
        raise InvalidInput("direction must be upstream, downstream or both")
    limit = EDGES_MAX if query.limit is None else query.limit
    if limit < 1:
        raise InvalidInput("limit must be greater than 0")
    if limit > EDGES_MAX:
        raise InvalidInput(f"limit must be less than or equal to {EDGES_MAX}")
    return LineageQuestion(
        node=node,
        bounds=Bounds(_depth(query.depth), limit),
        upstream=direction != DOWNSTREAM,
        downstream=direction != UPSTREAM,
    )


def _depth(text: str | None) -> int:
    if text is None:
        return 1
    if text in _ALL:
        return UNBOUNDED
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(DEPTH_MAX)) and 1 <= int(text) <= DEPTH_MAX):
        raise InvalidInput(f"depth must be a number from 1 to {DEPTH_MAX}, or all")
    return int(text)


def _view(node: str, found: Lineage, *, whole: bool) -> LineageView:
    views = _edge_views(found.edges)
    return LineageView(
        table_id=node,
        upstream=[views[edge.source_id, edge.id] for edge in found.upstream],
        downstream=[views[edge.source_id, edge.id] for edge in found.downstream],
        nodes=found.nodes if whole else None,
        edges=list(views.values()) if whole else None,
        truncated=found.truncated if whole or found.truncated else None,
    )


def _edge_views(edges: list[EdgeRow]) -> dict[tuple[str, str], EdgeView]:
    # Edges of one request share their time: each different one is written out once.
    times = {created_at: http_text(created_at) for created_at in {edge.created_at for edge in edges}}
    return {
        (edge.source_id, edge.id): EdgeView(
            id=edge.id,
            source_id=edge.source_id,
            target_id=edge.target_id,
            edge_type=edge.edge_type,
            run_id=edge.run_id,
            created_at=times[edge.created_at],
        )
        for edge in edges
    }


routes = [
    Endpoint(
        method="POST",
        path="/lineage/edges",
        handler=add,
        summary="Record lineage edges",
        tag="lineage",
        request=AddEdgesRequest,
        responses={201: AddedEdgesView},
        errors=(400, 409, 422),
    ),
    Endpoint(
        method="GET",
        path="/lineage/{table_id}",
        handler=show,
        summary="Follow the lineage of an id",
        tag="lineage",
        query=LineageQuery,
        responses={200: LineageView},
        errors=(400,),
        parameters={"table_id": "The id lineage was recorded under: a table's id, or any other text"},
    ),
]
