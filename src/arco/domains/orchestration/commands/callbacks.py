"""What workers tell of their attempts, as events; the fold's outcome is the answer (orchestration.md 7.3, 7.4)."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from arco.core import instant
from arco.core.errors import Unavailable
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import (
    OutputVisibility,
    TaskCompletionRecorded,
    TaskError,
    TaskHeartbeat,
    TaskOutput,
    TaskStarted,
)
from arco.domains.orchestration.fold.attempts import CANCEL
from arco.kernel.desk import Desk, UnitDraft
from arco.kernel.fold import Outcome
from arco.kernel.holds import HELD
from arco.kernel.verdicts import settled

Category = Literal["USER_CODE", "DATA_QUALITY", "INFRASTRUCTURE", "CONFIGURATION", "TIMEOUT", "CANCELLED"]

RETRYABLE: Mapping[str, bool] = {
    "USER_CODE": True,
    "INFRASTRUCTURE": True,
    "TIMEOUT": True,
    "DATA_QUALITY": False,
    "CONFIGURATION": False,
    "CANCELLED": False,
}
_MESSAGE_CHARS_MAX = 8 * 1024
_TRACE_CHARS_MAX = 64 * 1024


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks: one attempt at one task, and the worker that has it."""

    run_id: str
    task_key: str
    attempt: int
    attempt_id: str
    worker_id: str


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, as its worker tells."""

    outcome: Literal["succeeded", "failed", "cancelled"]
    output: TaskOutput | None = None
    visibility: OutputVisibility | None = None
    error: TaskError | None = None
    metrics: dict[str, Any] | None = None
    cancelled_during_phase: str | None = None
    partial_progress: Any = None


def started(who: Attempt) -> UnitDraft:
    """A worker has begun."""
    return unit(TaskStarted(**msgspec.structs.asdict(who)))


def heartbeat(who: Attempt, now_ms: int, *, progress_pct: int | None, message: str | None) -> UnitDraft:
    """A worker is still at it; heard of now, whatever its own clock says."""
    return unit(
        TaskHeartbeat(
            **msgspec.structs.asdict(who),
            heartbeat_at=instant.stored_text(now_ms),
            progress_pct=progress_pct,
            message=message,
        )
    )


def completed(who: Attempt, how: Completion) -> UnitDraft:
    """An attempt is over: a fact that may be folded however late."""
    error = how.error
    if error is not None:
        again = RETRYABLE.get(error.category, False) if error.retryable is None else error.retryable
        trace = error.stack_trace
        error = msgspec.structs.replace(
            error,
            message=_cut(error.message, _MESSAGE_CHARS_MAX),
            stack_trace=None if trace is None else _cut(trace, _TRACE_CHARS_MAX),
            retryable=again,
        )
    progress = how.partial_progress
    event = TaskCompletionRecorded(
        **msgspec.structs.asdict(who),
        outcome=how.outcome,
        materialization_id=how.output.materialization_id if how.output else None,
        error_message=error.message if error else None,
        output=how.output,
        error=error,
        metrics=how.metrics,
        cancelled_during_phase=how.cancelled_during_phase,
        partial_progress_json=None if progress is None else msgspec.json.encode(progress).decode(),
        output_visibility=how.visibility if how.outcome == "succeeded" else None,
    )
    return unit(event, lasting=True)


async def told(desk: Desk, news: UnitDraft, *, source: str) -> Outcome:
    """What became of the news: accepted, or refused with the state of things in its details. Raises as `heard`."""
    (outcome,) = await desk.submit([news], source=source)
    return heard(outcome)


def heard(outcome: Outcome) -> Outcome:
    """The outcome of news, accepted or refused. Raises as `settled`, and `Unavailable` while a transaction holds it.

    A worker takes a conflict for the end of its attempt; what a transaction holds is free again within seconds.
    """
    if outcome.code == HELD:
        raise Unavailable("a transaction holds the task for a moment; say it again", retry_after_s=1)
    return settled(outcome)


def cancel_reason(outcome: Outcome) -> str | None:
    """Why the worker shall stop, if it shall."""
    return outcome.details.get(CANCEL)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... [{len(text) - most} more characters]"
