"""`/tasks/{task_id}/...`: what workers tell (orchestration.md 7.3, 7.4).

A task token lets one attempt speak for itself. The api looks nothing up: an event is handed in, and what the fold says
of it is the answer. A token that is genuine but of a superseded attempt is told so (409), not that it is invalid.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.scope import InvalidScopeId, Scope
from arco.dispatch.tokens import InvalidTaskToken, TaskClaims, mismatch
from arco.domains.orchestration.commands.callbacks import (
    RETRYABLE,
    Attempt,
    Completion,
    cancel_reason,
    completed,
    heartbeat,
    started,
    told,
)
from arco.domains.orchestration.events import OutputVisibility, TaskError, TaskOutput
from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.keys import parse_task_id
from arco.edge.codec import decode, reply
from arco.edge.context import flow_of, services_of
from arco.edge.endpoint import Endpoint
from arco.kernel.desk import UnitDraft
from arco.kernel.fold import Outcome
from arco.kernel.verdicts import settled
from arco.routes.public.flow_clerks import time_text

SOURCE: Final = "api:worker"
_OUTCOMES: Final[dict[str, Literal["succeeded", "failed", "cancelled"]]] = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}
_U32: Final = (1 << 32) - 1
_Attempt = Annotated[int, msgspec.Meta(ge=-(2**31), le=_U32)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Message = Annotated[str, msgspec.Meta(max_length=16_384)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A body: camelCase, unknown fields ignored."""


class StartedRequest(_Camel, frozen=True, kw_only=True):
    """A worker has begun an attempt."""

    attempt: _Attempt
    attempt_id: _Text
    worker_id: _Text
    traceparent: str | None = None
    started_at: str | None = None


class HeartbeatRequest(_Camel, frozen=True, kw_only=True):
    """A worker is still at it."""

    attempt: _Attempt
    attempt_id: _Text
    worker_id: _Text
    traceparent: str | None = None
    heartbeat_at: str | None = None
    progress_pct: int | None = None
    message: Annotated[str, msgspec.Meta(max_length=2_048)] | None = None


class OutputRequest(_Camel, frozen=True, kw_only=True):
    """What an attempt made. From `inputs` on ours: what was read, which columns were handed on, checks, columns."""

    materialization_id: str | None = None
    row_count: _Size | None = None
    byte_size: _Size | None = None
    output_path: str | None = None
    delta_table: str | None = None
    delta_version: _Size | None = None
    delta_partition: str | None = None
    output_visibility_state: Literal["PENDING", "VISIBLE", "FAILED"] | None = None
    published_at: str | None = None
    publish_error: str | None = None
    inputs: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=1_000)] = []
    column_lineage: Annotated[dict[str, list[str]], msgspec.Meta(max_length=10_000)] = {}
    checks: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=1_000)] = []
    schema: Any = None
    metadata: dict[str, Any] = {}


class ErrorRequest(_Camel, frozen=True, kw_only=True):
    """Why an attempt failed."""

    category: Literal["USER_CODE", "DATA_QUALITY", "INFRASTRUCTURE", "CONFIGURATION", "TIMEOUT", "CANCELLED"]
    message: _Message = ""
    stack_trace: str | None = None
    retryable: bool | None = None


class CompletedRequest(_Camel, frozen=True, kw_only=True):
    """An attempt is over. `result` is another name of `output`."""

    attempt: _Attempt
    attempt_id: _Text
    worker_id: _Text
    traceparent: str | None = None
    outcome: Literal["SUCCEEDED", "FAILED", "CANCELLED"]
    completed_at: str | None = None
    output: OutputRequest | None = None
    result: OutputRequest | None = None
    error: ErrorRequest | None = None
    metrics: dict[str, Any] | None = None
    cancelled_during_phase: str | None = None
    partial_progress: dict[str, Any] | None = None


class StartedView(_Camel, frozen=True, kw_only=True):
    """It is on record that the attempt runs."""

    acknowledged: bool = True
    server_time: str | None


class HeartbeatView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether the worker shall stop, and why."""

    acknowledged: bool
    should_cancel: bool
    cancel_reason: str | None = None
    server_time: str | None


class CompletedView(_Camel, frozen=True, kw_only=True):
    """It is on record how the attempt ended."""

    acknowledged: bool = True
    final_state: str
    server_time: str | None


class CallbackProblemView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A refused callback: `error` is for workers, and what was expected instead of what came.

    A body that is not readable is refused without them, as everywhere.
    """

    code: str
    message: str
    error: str | None = None
    state: str | None = None
    expected_attempt: int | None = None
    received_attempt: int | None = None
    expected_attempt_id: str | None = None
    received_attempt_id: str | None = None


class _Refused(Exception):
    def __init__(self, status: int, view: CallbackProblemView) -> None:
        super().__init__(view.message)
        self.status = status
        self.view = view


class _Caller(msgspec.Struct, frozen=True):
    """Who speaks, in which workspace."""

    scope: Scope
    who: Attempt


def _refuse(status: int, code: str, error: str, message: str) -> _Refused:
    return _Refused(status, CallbackProblemView(code=code, error=error, message=message))


async def start(request: Request) -> Response:
    """An attempt runs from now on. 409 means: do not run it; the dispatch is settled all the same."""
    body = await decode(request, StartedRequest)
    try:
        caller = _caller(request, body)
        outcome = await _tell(request, caller, started(caller.who))
        _settle(outcome, terminal=409)
    except _Refused as refused:
        return reply(refused.view, refused.status)
    return reply(StartedView(server_time=_now(request)))


async def beat(request: Request) -> Response:
    """An attempt is alive; the answer says whether it shall stop. 410 means that nobody waits for it any more."""
    body = await decode(request, HeartbeatRequest)
    try:
        caller = _caller(request, body)
        if body.progress_pct is not None and not 0 <= body.progress_pct <= 100:
            raise _refuse(400, "BAD_REQUEST", "invalid_argument", "progressPct must be 0 to 100")
        now_ms = services_of(request).clock.now_ms()
        news = heartbeat(caller.who, now_ms, progress_pct=body.progress_pct, message=body.message)
        outcome = settled(await services_of(request).heartbeats.submit(caller.scope, news))
        _settle(outcome, terminal=410)
    except _Refused as refused:
        return reply(refused.view, refused.status)
    reason = cancel_reason(outcome)
    view = HeartbeatView(
        acknowledged=True, should_cancel=reason is not None, cancel_reason=reason, server_time=_now(request)
    )
    return reply(view)


async def complete(request: Request) -> Response:
    """An attempt is over. The same report again is acknowledged again; another report of it is not."""
    body = await decode(request, CompletedRequest)
    try:
        caller = _caller(request, body)
        outcome = await _tell(request, caller, completed(caller.who, _completion(body)))
        _settle(outcome, terminal=409)
    except _Refused as refused:
        return reply(refused.view, refused.status)
    return reply(CompletedView(final_state=body.outcome, server_time=_now(request)))


def _caller(request: Request, body: StartedRequest | HeartbeatRequest | CompletedRequest) -> _Caller:
    """Who speaks. Raises `_Refused`."""
    if body.attempt < 1:
        raise _refuse(400, "BAD_REQUEST", "invalid_argument", "attempt must be at least 1")
    task_id = request.path_params["task_id"]
    named = parse_task_id(task_id)
    if named is None:
        raise _refuse(404, "NOT_FOUND", "task_not_found", "there is no such task")
    claims = _claims(request, task_id)
    run_id, task_key = named
    wrong = mismatch(claims, run_id=run_id, attempt=body.attempt, attempt_id=body.attempt_id)
    if wrong is not None:
        raise _refuse(401, "INVALID_TOKEN", "invalid_token", f"the task token is not of this attempt: {wrong}")
    who = Attempt(
        run_id=run_id,
        task_key=task_key,
        attempt=body.attempt,
        attempt_id=body.attempt_id,
        worker_id=body.worker_id,
    )
    return _Caller(_scope(claims), who)


def _claims(request: Request, task_id: str) -> TaskClaims:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise _refuse(401, "MISSING_AUTH", "invalid_token", "send the task token as Authorization: Bearer")
    try:
        found: TaskClaims = services_of(request).task_tokens.read(token.strip(), task_id=task_id)
    except InvalidTaskToken as error:
        raise _refuse(401, "INVALID_TOKEN", "invalid_token", f"the task token is not good: {error.reason}") from None
    return found


def _scope(claims: TaskClaims) -> Scope:
    try:
        return Scope(claims.tenant_id, claims.workspace_id)
    except InvalidScopeId:
        raise _refuse(401, "INVALID_TOKEN", "invalid_token", "the task token names no workspace") from None


async def _tell(request: Request, caller: _Caller, news: UnitDraft) -> Outcome:
    return await told(flow_of(request).desk_for(caller.scope), news, source=SOURCE)


def _settle(outcome: Outcome, *, terminal: int) -> None:
    """Raise `_Refused` for what the fold refused."""
    if outcome.status == "accepted":
        return
    details = outcome.details
    status = {
        refusals.TASK_NOT_FOUND: 404,
        refusals.TASK_TERMINAL: terminal,
    }.get(outcome.code, 409)
    expired = status == 410
    view = CallbackProblemView(
        code={404: "NOT_FOUND", 410: "GONE"}.get(status, "CONFLICT"),
        error="task_expired" if expired else outcome.code,
        message=outcome.message,
        state=details.get("state"),
        expected_attempt=_int(details.get("expected_attempt")),
        received_attempt=_int(details.get("received_attempt")),
        expected_attempt_id=details.get("expected_attempt_id"),
        received_attempt_id=details.get("received_attempt_id"),
    )
    raise _Refused(status, view)


def _completion(body: CompletedRequest) -> Completion:
    told_output = body.output or body.result
    error = body.error
    return Completion(
        outcome=_OUTCOMES[body.outcome],
        output=None if told_output is None else _output(told_output),
        visibility=_visibility(told_output),
        error=None
        if error is None
        else TaskError(
            category=error.category,
            message=error.message,
            stack_trace=error.stack_trace,
            retryable=RETRYABLE[error.category] if error.retryable is None else error.retryable,
        ),
        metrics=body.metrics,
        cancelled_during_phase=body.cancelled_during_phase,
        partial_progress=body.partial_progress,
    )


def _output(told_output: OutputRequest) -> TaskOutput:
    return TaskOutput(
        materialization_id=told_output.materialization_id,
        row_count=told_output.row_count,
        byte_size=told_output.byte_size,
        output_path=told_output.output_path,
        delta_table=told_output.delta_table,
        delta_version=told_output.delta_version,
        delta_partition=told_output.delta_partition,
        inputs=told_output.inputs,
        column_lineage=told_output.column_lineage,
        checks=told_output.checks,
        schema=told_output.schema,
        metadata=told_output.metadata,
    )


def _visibility(told_output: OutputRequest | None) -> OutputVisibility | None:
    if told_output is None or told_output.output_visibility_state is None:
        return None
    states: dict[str, Literal["pending", "visible", "failed"]] = {
        "PENDING": "pending",
        "VISIBLE": "visible",
        "FAILED": "failed",
    }
    return OutputVisibility(
        visibility_state=states[told_output.output_visibility_state],
        published_at=told_output.published_at,
        publish_error=told_output.publish_error,
    )


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


def _now(request: Request) -> str | None:
    return time_text(services_of(request).clock.now_ms())


def _endpoint(
    name: str, handler: Any, summary: str, *, request: Any, response: Any, problems: tuple[int, ...]
) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"/tasks/{{task_id}}/{name}",
        handler=handler,
        summary=summary,
        tag="workers",
        request=request,
        responses={200: response, **dict.fromkeys(problems, CallbackProblemView)},
        errors=(408, 413, 415, 422, 503),
        parameters={"task_id": "The `taskId` of the dispatch."},
        public=True,
    )


routes: Final = [
    _endpoint(
        "started",
        start,
        "An attempt runs",
        request=StartedRequest,
        response=StartedView,
        problems=(400, 401, 404, 409),
    ),
    _endpoint(
        "heartbeat",
        beat,
        "An attempt is alive",
        request=HeartbeatRequest,
        response=HeartbeatView,
        problems=(400, 401, 404, 409, 410),
    ),
    _endpoint(
        "completed",
        complete,
        "An attempt is over",
        request=CompletedRequest,
        response=CompletedView,
        problems=(400, 401, 404, 409),
    ),
]
