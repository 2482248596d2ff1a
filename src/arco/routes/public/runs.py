"""`/workspaces/{workspace}/runs`: ask for runs, look at them, call them off, run them again (orchestration.md 6.3)."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.domains.orchestration.commands import control, rerun, run_keys
from arco.domains.orchestration.commands.trigger import RunRequest, Triggered, trigger
from arco.domains.orchestration.queries.runs import STATES, list_runs, public_state, run_detail
from arco.domains.orchestration.queries.waiting import circumstances
from arco.domains.orchestration.rows import RunRow
from arco.edge.codec import query_params, reply
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.edge.pages import next_cursor
from arco.routes.public.flow_clerks import (
    KEY_CHARS_MAX,
    PAGE_MAX,
    PARAMETERS,
    PATH,
    READ_ERRORS,
    READ_HEADERS,
    WRITE_ERRORS,
    body_of,
    clerk_of,
    head_of,
    key_of,
    time_text,
)
from arco.routes.public.run_views import RunItemView, RunView, run_item, run_view

RUNS_DEFAULT: Final = 20
_SELECTION_MAX: Final = 10_000
_Text = Annotated[str, msgspec.Meta(max_length=256)]
_PartitionKey = Annotated[str, msgspec.Meta(max_length=1024)]
_RunKey = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_CHARS_MAX)]
_Labels = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=128)], Annotated[str, msgspec.Meta(max_length=2048)]],
    msgspec.Meta(max_length=128),
]


class PartitionRequest(msgspec.Struct, frozen=True):
    """A dimension and its value."""

    key: Annotated[str, msgspec.Meta(max_length=64)]
    value: Annotated[str, msgspec.Meta(max_length=256)]


class TriggerRunRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to run. `timeoutSeconds` is how long the run may take; then it is called off. (Ours.)"""

    selection: Annotated[list[_Text], msgspec.Meta(max_length=_SELECTION_MAX)]
    include_upstream: bool = False
    include_downstream: bool = False
    partitions: Annotated[list[PartitionRequest], msgspec.Meta(max_length=128)] = []
    partition_key: _PartitionKey | None = None
    run_key: _RunKey | None = None
    labels: _Labels = {}
    timeout_seconds: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] | None = None


class TriggeredView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run; `created` says whether this request made it."""

    run_id: str
    plan_id: str
    state: str
    created: bool
    created_at: str | None


class BackfillRunKeyRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run key, and the request that it was for."""

    run_key: _RunKey
    selection: Annotated[list[_Text], msgspec.Meta(max_length=_SELECTION_MAX)]
    include_upstream: bool = False
    include_downstream: bool = False
    partitions: Annotated[list[PartitionRequest], msgspec.Meta(max_length=128)] = []
    partition_key: _PartitionKey | None = None
    labels: _Labels = {}


class RunKeyView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run key, its run, and the fingerprint of its request; `updated` says whether this request gave it."""

    run_key: str
    run_id: str
    request_fingerprint: str
    updated: bool
    created_at: str | None


class RerunRunRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to do again: everything that did not succeed, or a selection of tasks."""

    mode: Literal["fromFailure", "subset"]
    selection: Annotated[list[_Text], msgspec.Meta(max_length=_SELECTION_MAX)] = []
    include_upstream: bool = False
    include_downstream: bool = False
    run_key: _RunKey | None = None
    labels: _Labels = {}


class RerunView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The new run, and what it is to its parent."""

    run_id: str
    plan_id: str
    state: str
    created: bool
    created_at: str | None
    parent_run_id: str
    rerun_kind: str
    rerun_reason: str


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is called off."""

    reason: Annotated[str, msgspec.Meta(max_length=2048)] | None = None


class CancelledView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run that was called off: CANCELLING until its running tasks have ended."""

    run_id: str
    state: str
    cancelled_at: str | None


class RunsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX, description="Runs of a page.")] = RUNS_DEFAULT
    cursor: Annotated[str | None, msgspec.Meta(description="Where the last page ended: its `nextCursor`.")] = None
    state: Annotated[str | None, msgspec.Meta(description=f"One of {', '.join(STATES)}.")] = None


class RunsView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Runs, newest first. A page of a filtered list may be short and still have a next one."""

    runs: list[RunItemView]
    next_cursor: str | None = None


def partitions_of(body: TriggerRunRequest | BackfillRunKeyRequest) -> dict[str, str] | None:
    """The values of a request's dimensions; None when it names none. Raises `InvalidInput`."""
    partitions = {one.key: one.value for one in body.partitions}
    if len(partitions) != len(body.partitions):
        raise InvalidInput("partitions: a dimension is given twice")
    return partitions or None


def wanted_of(body: TriggerRunRequest, key: str | None = None) -> RunRequest:
    """What a body asks for; `key` names the run where the body does not. Raises `InvalidInput`."""
    return RunRequest(
        selection=body.selection,
        include_upstream=body.include_upstream,
        include_downstream=body.include_downstream,
        partitions=partitions_of(body),
        partition_key=body.partition_key,
        run_key=body.run_key or key,
        labels=body.labels,
        timeout_s=body.timeout_seconds,
    )


async def create(request: Request) -> Response:
    """Plan a run of the selected assets and begin it.

    `runKey`, or the `Idempotency-Key`, names the run: the same request again answers 200 with the same run, another
    request with the same key 409. Nothing is kept of a request that is refused.
    """
    clerk, key = clerk_of(request), key_of(request)
    body = await body_of(request, TriggerRunRequest)
    found = await trigger(clerk, services_of(request).definitions, wanted_of(body, key))
    return reply(_triggered(found), 201 if found.created else 200)


async def index(request: Request) -> Response:
    """Runs of the workspace, newest first."""
    query = query_params(request, RunsQuery)
    scope, services = context_of(request).scope, services_of(request)
    after = None if query.cursor is None else services.cursors.decode(scope, request.scope["path"], query.cursor)[0]
    snapshot = await head_of(request)
    page = await list_runs(snapshot, limit=query.limit, after=after, wanted=_wanted(query.state))
    cursor = None
    if page.after is not None and snapshot is not None:
        cursor = next_cursor(request, services, scope, (page.after, snapshot.manifest_id))
    return reply(RunsView(runs=[run_item(run) for run in page.runs], next_cursor=cursor))


def _wanted(state: str | None) -> Callable[[RunRow], bool] | None:
    if state is None:
        return None
    if state not in STATES:
        raise InvalidInput(f"state must be one of {', '.join(STATES)}")
    return lambda run: public_state(run) == state


async def show(request: Request) -> Response:
    """A run with all its tasks: states, attempts, errors, what they made, and what each waits for."""
    snapshot = await head_of(request)
    found = await run_detail(snapshot, request.path_params["run_id"])
    assert snapshot is not None
    around = await circumstances(snapshot, found.run, found.tasks)
    return reply(run_view(found, context_of(request).scope.workspace, around))


async def cancel(request: Request) -> Response:
    """Call a run off: what has not begun is over at once, running tasks are told with their next heartbeat."""
    clerk = clerk_of(request)
    body = await body_of(request, CancelRequest)
    found = await control.cancel(clerk, request.path_params["run_id"], body.reason)
    return reply(CancelledView(run_id=found.run_id, state=found.state, cancelled_at=time_text(found.at_ms)))


async def again(request: Request) -> Response:
    """Run again what of a run did not succeed, or some of its tasks; the same request again answers the same run."""
    clerk = clerk_of(request)
    body = await body_of(request, RerunRunRequest)
    wanted = rerun.RerunRequest(
        parent_run_id=request.path_params["run_id"],
        mode=body.mode,
        selection=body.selection,
        include_upstream=body.include_upstream,
        include_downstream=body.include_downstream,
        run_key=body.run_key,
        labels=body.labels,
    )
    found = await rerun.rerun(clerk, wanted)
    run = found.run
    view = RerunView(
        run_id=run.run_id,
        plan_id=run.plan_id,
        state=run.state,
        created=run.created,
        created_at=time_text(run.created_ms),
        parent_run_id=found.parent_run_id,
        rerun_kind=found.kind,
        rerun_reason=found.reason,
    )
    return reply(view, 201 if run.created else 200)


async def backfill_key(request: Request) -> Response:
    """Give a run key that an older writer took without a fingerprint the one of its request.

    From then on another request with the key is 409, as for every other key.
    """
    clerk = clerk_of(request)
    body = await body_of(request, BackfillRunKeyRequest)
    wanted = RunRequest(
        selection=body.selection,
        include_upstream=body.include_upstream,
        include_downstream=body.include_downstream,
        partitions=partitions_of(body),
        partition_key=body.partition_key,
        run_key=body.run_key,
        labels=body.labels,
    )
    found = await run_keys.backfill(clerk, services_of(request).definitions, wanted)
    view = RunKeyView(
        run_key=found.run_key,
        run_id=found.run_id,
        request_fingerprint=found.fingerprint,
        updated=found.updated,
        created_at=time_text(found.created_ms),
    )
    return reply(view)


def _triggered(found: Triggered) -> TriggeredView:
    return TriggeredView(
        run_id=found.run_id,
        plan_id=found.plan_id,
        state=found.state,
        created=found.created,
        created_at=time_text(found.created_ms),
    )


_RUN: Final = f"{PATH}/runs/{{run_id}}"

routes: Final = [
    Endpoint(
        method="POST",
        path=f"{PATH}/runs",
        handler=create,
        summary="Trigger a run",
        tag="orchestration",
        request=TriggerRunRequest,
        responses={200: TriggeredView, 201: TriggeredView},
        errors=WRITE_ERRORS,
        headers=("Idempotency-Key",),
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/runs/run-key/backfill",
        handler=backfill_key,
        summary="Give a run key the fingerprint of its request",
        tag="orchestration",
        request=BackfillRunKeyRequest,
        responses={200: RunKeyView},
        errors=WRITE_ERRORS,
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/runs",
        handler=index,
        summary="List runs",
        tag="orchestration",
        query=RunsQuery,
        responses={200: RunsView},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="GET",
        path=_RUN,
        handler=show,
        summary="Show a run",
        tag="orchestration",
        responses={200: RunView},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="POST",
        path=f"{_RUN}/cancel",
        handler=cancel,
        summary="Cancel a run",
        tag="orchestration",
        request=CancelRequest,
        responses={200: CancelledView},
        errors=WRITE_ERRORS,
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="POST",
        path=f"{_RUN}/rerun",
        handler=again,
        summary="Run a run, or a part of it, again",
        tag="orchestration",
        request=RerunRunRequest,
        responses={200: RerunView, 201: RerunView},
        errors=WRITE_ERRORS,
        parameters=PARAMETERS,
    ),
]
