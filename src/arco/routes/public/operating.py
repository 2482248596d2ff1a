"""What operators do with a workspace's runs beyond the contract: retry a task, pause, limit what runs at once."""

from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.domains.orchestration.commands import control
from arco.domains.orchestration.queries.runs import public_task_state
from arco.domains.orchestration.rows import SLOTS, WORKSPACE, SlotsRow, WorkspaceRow
from arco.edge.codec import decode, reply
from arco.edge.endpoint import Endpoint
from arco.routes.public.flow_clerks import (
    PARAMETERS,
    PATH,
    READ_ERRORS,
    READ_HEADERS,
    WRITE_ERRORS,
    clerk_of,
    head_of,
    time_text,
)

_Reason = Annotated[str, msgspec.Meta(max_length=2048)]
_Slots = Annotated[int, msgspec.Meta(ge=0, le=control.SLOTS_MAX)]


class RetriedView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task that is tried once more."""

    run_id: str
    task_key: str
    state: str
    attempt: int
    max_attempts: int


class PauseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Whether anything new is dispatched. What runs goes on: a paused workspace drains."""

    paused: bool
    reason: _Reason | None = None


class LimitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How many attempts may be under way at once; null is no limit."""

    slots: _Slots | None


class LimitView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A limit and how much of it is in use; the key `*` is the whole workspace."""

    concurrency_key: str
    slots: int | None
    in_use: int


class OrchestrationSettingsView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a workspace runs: what is deployed, whether it is paused, what is limited."""

    paused: bool
    paused_by: str | None = None
    pause_reason: str | None = None
    changed_at: str | None = None
    manifest_id: str | None = None
    limits: list[LimitView] = []


async def retry(request: Request) -> Response:
    """Try a failed task once more within its run; what was skipped because of it waits for it again.

    A task that waits for its next attempt is tried at once.
    """
    params = request.path_params
    task = await control.retry(clerk_of(request), params["run_id"], params["task_key"])
    return reply(
        RetriedView(
            run_id=task.run_id,
            task_key=task.task_key,
            state=public_task_state(task),
            attempt=task.attempt,
            max_attempts=task.max_attempts,
        )
    )


async def show(request: Request) -> Response:
    """How the workspace runs."""
    snapshot = await head_of(request)
    settings = None if snapshot is None else await snapshot.get(WORKSPACE, ("",))
    slots = [] if snapshot is None else await snapshot.scan(SLOTS)
    return reply(_view(settings, slots))


async def pause(request: Request) -> Response:
    """Pause or resume: while paused nothing new is dispatched, retries included; what runs ends as it ends."""
    clerk = clerk_of(request)
    body = await decode(request, PauseRequest)
    settings = await control.set_paused(clerk, paused=body.paused, reason=body.reason)
    return reply(_view(settings, ()))


async def limit(request: Request) -> Response:
    """Limit how many attempts that name a key are under way at once; `*` is the whole workspace."""
    clerk = clerk_of(request)
    body = await decode(request, LimitRequest)
    return reply(_limit(await control.set_limit(clerk, request.path_params["concurrency_key"], body.slots)))


def _view(settings: WorkspaceRow | None, slots: list[SlotsRow] | tuple[SlotsRow, ...]) -> OrchestrationSettingsView:
    if settings is None:
        return OrchestrationSettingsView(paused=False, limits=[_limit(row) for row in slots])
    return OrchestrationSettingsView(
        paused=settings.paused,
        paused_by=settings.paused_by,
        pause_reason=settings.pause_reason,
        changed_at=time_text(settings.changed_at),
        manifest_id=settings.manifest_id,
        limits=[_limit(row) for row in slots],
    )


def _limit(row: SlotsRow) -> LimitView:
    return LimitView(concurrency_key=row.concurrency_key, slots=row.slots, in_use=row.in_use)


_SETTINGS: Final = f"{PATH}/orchestration"

routes: Final = [
    Endpoint(
        method="POST",
        path=f"{PATH}/runs/{{run_id}}/tasks/{{task_key}}/retry",
        handler=retry,
        summary="Try a failed task once more",
        tag="orchestration",
        responses={200: RetriedView},
        errors=(400, 404, 409),
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="GET",
        path=_SETTINGS,
        handler=show,
        summary="Show how the workspace runs",
        tag="orchestration",
        responses={200: OrchestrationSettingsView},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="PUT",
        path=f"{_SETTINGS}/pause",
        handler=pause,
        summary="Pause or resume the workspace",
        tag="orchestration",
        request=PauseRequest,
        responses={200: OrchestrationSettingsView},
        errors=WRITE_ERRORS,
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="PUT",
        path=f"{_SETTINGS}/limits/{{concurrency_key}}",
        handler=limit,
        summary="Limit what runs at once",
        tag="orchestration",
        request=LimitRequest,
        responses={200: LimitView},
        errors=WRITE_ERRORS,
        parameters={**PARAMETERS, "concurrency_key": "A key that assets name, or `*` for the whole workspace."},
    ),
]
