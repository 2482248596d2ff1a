"""`/workspaces/{workspace}/runs/{run_id}/graph`: a run as nodes and edges. (Ours.)"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.domains.orchestration.queries.run_graph import Node, run_graph
from arco.domains.orchestration.queries.runs import public_state, public_task_state, run_detail
from arco.domains.orchestration.rows import DependencyRow
from arco.edge.codec import reply
from arco.edge.context import services_of
from arco.edge.endpoint import Endpoint
from arco.routes.public.flow_clerks import PARAMETERS, PATH, READ_ERRORS, READ_HEADERS, head_of, time_text


class _Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A view: camelCase, what is not there is left out."""


class GraphNodeView(_Camel, frozen=True, kw_only=True):
    """A task. `level` is how many edges the longest way to it has, `elapsedMs` the time since it was ready."""

    task_key: str
    asset_key: str | None = None
    partition_key: str | None = None
    state: str
    attempt: int
    max_attempts: int
    level: int
    ready_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    elapsed_ms: int
    critical: bool


class GraphEdgeView(_Camel, frozen=True, kw_only=True):
    """`downstream` waits for `upstream`; `resolution` is how that ended: `SUCCESS FAILED SKIPPED CANCELLED`."""

    upstream: str
    downstream: str
    satisfied: bool
    resolution: str | None = None
    satisfied_at: str | None = None
    critical: bool


class RunGraphView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run as a graph: nodes by level and name, edges, and the path that took longest, as of `asOf`."""

    run_id: str
    state: str
    as_of: str | None
    nodes: list[GraphNodeView]
    edges: list[GraphEdgeView]
    critical_path: list[str]
    critical_path_ms: int


async def show(request: Request) -> Response:
    """A run as nodes and edges, with states, attempts, times, and the path that its length comes from."""
    found = await run_detail(await head_of(request), request.path_params["run_id"])
    now_ms = services_of(request).clock.now_ms()
    graph = run_graph(found, now_ms)
    critical = frozenset(graph.critical)
    steps = frozenset(zip(graph.critical, graph.critical[1:], strict=False))
    view = RunGraphView(
        run_id=found.run.run_id,
        state=public_state(found.run),
        as_of=time_text(now_ms),
        nodes=[_node(node, critical=node.task.task_key in critical) for node in graph.nodes],
        edges=[_edge(edge, (edge.upstream_task_key, edge.downstream_task_key) in steps) for edge in graph.edges],
        critical_path=list(graph.critical),
        critical_path_ms=graph.critical_ms,
    )
    return reply(view)


def _node(node: Node, *, critical: bool) -> GraphNodeView:
    task = node.task
    return GraphNodeView(
        task_key=task.task_key,
        asset_key=task.asset_key,
        partition_key=task.partition_key,
        state=public_task_state(task),
        attempt=task.attempt,
        max_attempts=task.max_attempts,
        level=node.level,
        ready_at=time_text(task.ready_at),
        started_at=time_text(task.started_at),
        completed_at=time_text(task.completed_at),
        elapsed_ms=node.elapsed_ms,
        critical=critical,
    )


def _edge(edge: DependencyRow, critical: bool) -> GraphEdgeView:
    return GraphEdgeView(
        upstream=edge.upstream_task_key,
        downstream=edge.downstream_task_key,
        satisfied=edge.satisfied,
        resolution=edge.resolution,
        satisfied_at=time_text(edge.satisfied_at),
        critical=critical,
    )


routes: Final = [
    Endpoint(
        method="GET",
        path=f"{PATH}/runs/{{run_id}}/graph",
        handler=show,
        summary="Show a run as a graph",
        tag="orchestration",
        responses={200: RunGraphView},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    )
]
