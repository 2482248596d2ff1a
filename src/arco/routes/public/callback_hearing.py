"""What is made of a callback, whether it came alone or with others: who speaks, what the fold says, how that is told.

A task token lets one attempt speak for itself. The api looks nothing up: an event is handed in, and what the fold says
of it is the answer. A token that is genuine but of a superseded attempt is told so (409), not that it is invalid.
Source: orchestration.md 7.2 to 7.4.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from arco.core import instant
from arco.core.scope import InvalidScopeId, Scope
from arco.dispatch.tokens import InvalidTaskToken, TaskClaims, mismatch
from arco.domains.orchestration.commands.callbacks import (
    RETRYABLE,
    Attempt,
    Completion,
    cancel_reason,
    completed,
    heard,
    heartbeat,
    started,
    told,
)
from arco.domains.orchestration.events import OutputVisibility, TaskError, TaskOutput
from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.keys import parse_task_id
from arco.edge.context import ApiServices
from arco.kernel.desk import UnitDraft
from arco.kernel.fold import Outcome
from arco.routes.public.callback_views import (
    CallbackProblemView,
    CompletedRequest,
    CompletedView,
    HeartbeatRequest,
    HeartbeatView,
    OutputRequest,
    StartedRequest,
    StartedView,
)
from arco.routes.public.flow_clerks import time_text

SOURCE: Final = "api:worker"
_OUTCOMES: Final[dict[str, Literal["succeeded", "failed", "cancelled"]]] = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to be heard: of which task, with which token, if any. `hurried`: a heartbeat waits for no others."""

    services: ApiServices
    task_id: str
    token: str | None
    hurried: bool = False

    def __repr__(self) -> str:
        return f"Voice({self.task_id!r})"


class Answered(msgspec.Struct, frozen=True):
    """What a callback is told."""

    status: int
    view: Any


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


async def hear_started(voice: Voice, body: StartedRequest) -> Answered:
    """An attempt runs. Raises as the desk does."""
    try:
        caller = _caller(voice, body)
        _settle(await _tell(voice, caller, started(caller.who)), terminal=409)
    except _Refused as refused:
        return Answered(refused.status, refused.view)
    return Answered(200, StartedView(server_time=_now(voice)))


async def hear_heartbeat(voice: Voice, body: HeartbeatRequest) -> Answered:
    """An attempt is alive. Raises as the desk does."""
    services = voice.services
    try:
        caller = _caller(voice, body)
        if body.progress_pct is not None and not 0 <= body.progress_pct <= 100:
            raise _refuse(400, "BAD_REQUEST", "invalid_argument", "progressPct must be 0 to 100")
        now_ms = services.clock.now_ms()
        news = heartbeat(caller.who, now_ms, progress_pct=body.progress_pct, message=body.message)
        if voice.hurried:
            outcome = await _tell(voice, caller, news)
        else:
            outcome = heard(await services.heartbeats.submit(caller.scope, news))
        _settle(outcome, terminal=410)
    except _Refused as refused:
        return Answered(refused.status, refused.view)
    reason = cancel_reason(outcome)
    view = HeartbeatView(
        acknowledged=True, should_cancel=reason is not None, cancel_reason=reason, server_time=_now(voice)
    )
    return Answered(200, view)


async def hear_completed(voice: Voice, body: CompletedRequest) -> Answered:
    """An attempt is over. Raises as the desk does."""
    try:
        caller = _caller(voice, body)
        _settle(await _tell(voice, caller, completed(caller.who, _completion(body))), terminal=409)
    except _Refused as refused:
        return Answered(refused.status, refused.view)
    return Answered(200, CompletedView(final_state=body.outcome, server_time=_now(voice)))


class Kind(msgspec.Struct, frozen=True):
    """A kind of callback: its body, and what is made of it."""

    body: type[msgspec.Struct]
    hear: Callable[[Voice, Any], Awaitable[Answered]]


KINDS: Final[Mapping[str, Kind]] = {
    "started": Kind(StartedRequest, hear_started),
    "heartbeat": Kind(HeartbeatRequest, hear_heartbeat),
    "completed": Kind(CompletedRequest, hear_completed),
}


async def answer_to(voice: Voice, name: str, body: Any) -> Answered:
    """What a callback is told, counted. Raises as the desk does."""
    services = voice.services
    began_ms, status = services.clock.steady_ms(), 500
    try:
        answered = await KINDS[name].hear(voice, body)
        status = answered.status
        return answered
    finally:
        if services.callbacks is not None:
            services.callbacks.count(name, status, services.clock.steady_ms() - began_ms)


def _caller(voice: Voice, body: StartedRequest | HeartbeatRequest | CompletedRequest) -> _Caller:
    """Who speaks. Raises `_Refused`."""
    if body.attempt < 1:
        raise _refuse(400, "BAD_REQUEST", "invalid_argument", "attempt must be at least 1")
    named = parse_task_id(voice.task_id)
    if named is None:
        raise _refuse(404, "NOT_FOUND", "task_not_found", "there is no such task")
    claims = _claims(voice)
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


def _claims(voice: Voice) -> TaskClaims:
    if voice.token is None:
        raise _refuse(401, "MISSING_AUTH", "invalid_token", "send the task token as Authorization: Bearer")
    try:
        found: TaskClaims = voice.services.task_tokens.read(voice.token, task_id=voice.task_id)
    except InvalidTaskToken as error:
        raise _refuse(401, "INVALID_TOKEN", "invalid_token", f"the task token is not good: {error.reason}") from None
    return found


def _scope(claims: TaskClaims) -> Scope:
    try:
        return Scope(claims.tenant_id, claims.workspace_id)
    except InvalidScopeId:
        raise _refuse(401, "INVALID_TOKEN", "invalid_token", "the task token names no workspace") from None


async def _tell(voice: Voice, caller: _Caller, news: UnitDraft) -> Outcome:
    flow = voice.services.flow
    assert flow is not None
    return await told(flow.desk_for(caller.scope), news, source=SOURCE)


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
    if told_output.published_at is not None:
        _check_time("output.publishedAt", told_output.published_at)
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


def _check_time(field: str, text: str) -> None:
    """Raise `_Refused` for a time that is none: the fold would have no answer for it."""
    try:
        instant.parse_ms(text)
    except ValueError:
        sentence = f"{field} must be a time such as 2025-01-15T10:00:00Z"
        raise _refuse(400, "BAD_REQUEST", "invalid_argument", sentence) from None


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


def _now(voice: Voice) -> str | None:
    return time_text(voice.services.clock.now_ms())
