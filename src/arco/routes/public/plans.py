"""`/workspaces/{workspace}/plans`: what a run would consist of, and why, without beginning it. (Ours.)"""

from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.domains.orchestration.commands.trigger import Planned, planned
from arco.edge.codec import reply
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.routes.public.flow_clerks import PARAMETERS, PATH, READ_HEADERS, body_of, head_of
from arco.routes.public.runs import TriggerRunRequest, wanted_of

_Count = Annotated[int, msgspec.Meta(ge=0)]


class PlannedTaskView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A task, and why it is there: `root`, or `upstream` or `downstream` of another one."""

    task_key: str
    why: str
    of: str | None = None
    depends_on: list[str] = []
    partition_key: str | None = None
    max_attempts: _Count
    heartbeat_timeout_sec: _Count
    timeout_sec: int | None = None
    retry_delay_sec: int | None = None
    worker_queue: str | None = None
    priority: int | None = None
    concurrency_key: str | None = None


class PlanView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A plan: the same definitions and the same request give the same fingerprint."""

    manifest_id: str
    fingerprint: str
    partition_key: str | None = None
    tasks: list[PlannedTaskView]


async def create(request: Request) -> Response:
    """Plan a run without beginning it: the body is that of a run."""
    services, scope = services_of(request), context_of(request).scope
    snapshot = await head_of(request)
    body = await body_of(request, TriggerRunRequest)
    deployment = await services.definitions.in_force(scope, snapshot, services.store_for(scope))
    if deployment is None:
        raise InvalidInput("nothing is deployed in this workspace: run `arco deploy` first")
    time_texts = services.definitions.cutoffs.time_texts(services.clock.now_ms())
    return reply(_view(planned(deployment.graph, wanted_of(body), time_texts=time_texts), deployment.manifest_id))


def _view(found: Planned, manifest_id: str) -> PlanView:
    tasks = [
        PlannedTaskView(
            task_key=task.key,
            why=found.plan.reasons[task.key].why,
            of=found.plan.reasons[task.key].of or None,
            depends_on=task.depends_on,
            partition_key=task.partition_key,
            max_attempts=task.max_attempts,
            heartbeat_timeout_sec=task.heartbeat_timeout_sec,
            timeout_sec=task.timeout_sec,
            retry_delay_sec=task.retry_delay_sec,
            worker_queue=task.worker_queue,
            priority=task.priority,
            concurrency_key=task.concurrency_key,
        )
        for task in found.plan.tasks
    ]
    return PlanView(
        manifest_id=manifest_id,
        fingerprint=found.plan.fingerprint,
        partition_key=found.partition_key,
        tasks=tasks,
    )


routes: Final = [
    Endpoint(
        method="POST",
        path=f"{PATH}/plans",
        handler=create,
        summary="Show what a run would consist of",
        tag="orchestration",
        request=TriggerRunRequest,
        responses={200: PlanView},
        errors=(400, 404, 422),
        parameters=PARAMETERS,
        headers=READ_HEADERS,
    ),
]
