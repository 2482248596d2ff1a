"""A task with the account of it, as people and programs see it. (Ours.)"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.domains.orchestration.agenda import TERMINAL
from arco.domains.orchestration.controllers.steps import SILENT
from arco.domains.orchestration.events import TaskError
from arco.domains.orchestration.fold.tries import SUPERSEDED
from arco.domains.orchestration.history_rows import AttemptRow
from arco.domains.orchestration.queries.account import Account, Planned, error_of
from arco.domains.orchestration.queries.runs import public_task_state
from arco.domains.orchestration.rows import TaskRow
from arco.routes.public.flow_clerks import time_text
from arco.routes.public.run_views import TaskView, task_view

_HEARTBEAT: Final = "heartbeat_timeout"


class _Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A view: camelCase, what is not there is left out."""


class PlannedView(_Camel, frozen=True, kw_only=True):
    """Why a task is in the plan, and the way from an asset that was asked for to it.

    `why`: `root`, `upstream`, `downstream`, `unsucceeded`, or `selected` when an older build has planned it.
    """

    why: str
    of: str | None = None
    path: list[str]
    message: str
    parent_run_id: str | None = None
    rerun_kind: str | None = None
    parent_state: str | None = None


class NotRunView(_Camel, frozen=True, kw_only=True):
    """Why a task was skipped or called off: where that began, and the tasks between, nearest first.

    `why`: `check_blocked`, `upstream_failed`, `upstream_cancelled`, `upstream_skipped`, `run_cancelled`,
    `cancelled_by_worker` or `skipped_by_worker`.
    """

    why: str
    message: str
    task_key: str | None = None
    category: str | None = None
    via: list[str] = []


class TaskPlaceView(_Camel, frozen=True, kw_only=True):
    """A task somewhere, as it is."""

    run_id: str
    task_key: str
    state: str
    attempt: int
    worker_id: str | None = None
    started_at: str | None = None


class NextAttemptView(_Camel, frozen=True, kw_only=True):
    """Why there was another attempt after one, and since when: `retry_policy`, `operator_retry` or `superseded`."""

    why: str
    at: str | None = None
    by: str | None = None


class AttemptView(_Camel, frozen=True, kw_only=True):
    """An attempt at a task.

    `outcome`: `SUCCEEDED FAILED SKIPPED CANCELLED SUPERSEDED`, none while it is under way. `because`: `heartbeat_lost`,
    `timed_out`, `check_blocked`, `cancelled`, `superseded`, or `failed` for what user code and workers report.
    """

    attempt: int
    attempt_id: str | None = None
    worker_id: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    outcome: str | None = None
    because: str | None = None
    category: str | None = None
    message: str | None = None
    stack_trace: str | None = None
    next: NextAttemptView | None = None
    last: str | None = None
    """Why there was no other attempt: `attempts_used_up`, `not_retryable`, `run_cancelled`."""


class AccountView(_Camel, frozen=True, kw_only=True):
    """Why a task is in its run, what it waits for, why it was not run, why it ran again."""

    planned: PlannedView
    holders: list[TaskPlaceView] = []
    held_up_by: list[TaskPlaceView] = []
    not_run: NotRunView | None = None
    attempts: list[AttemptView] = []


class TaskAccountView(TaskView, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A task as its run shows it, and the account of it."""

    run_id: str
    account: AccountView


def task_account(found: Account) -> TaskAccountView:
    """A task with its account."""
    shown = task_view(found.task, found.coming, found.waits)
    fields = {name: getattr(shown, name) for name in TaskView.__struct_fields__}
    return TaskAccountView(**fields, run_id=found.run.run_id, account=_account(found))


def _account(found: Account) -> AccountView:
    off = found.not_run
    return AccountView(
        planned=_planned(found.planned, found.task),
        holders=[_place(task) for task in found.holders],
        held_up_by=[_place(task) for task in found.held_up_by],
        not_run=None
        if off is None
        else NotRunView(
            why=off.why, message=off.message, task_key=off.task_key, category=off.category, via=list(off.via)
        ),
        attempts=_attempts(found),
    )


def _planned(planned: Planned, task: TaskRow) -> PlannedView:
    return PlannedView(
        why=planned.why,
        of=planned.of,
        path=list(planned.path),
        message=_because(planned, task),
        parent_run_id=planned.parent,
        rerun_kind=planned.kind,
        parent_state=None if planned.before is None else public_task_state(planned.before),
    )


def _because(planned: Planned, task: TaskRow) -> str:
    match planned.why:
        case "root":
            said = f"{task.task_key} was asked for"
        case "upstream":
            said = f"{planned.of} is made from it, and the run includes what is upstream"
        case "downstream":
            said = f"it is made from {planned.of}, and the run includes what is downstream"
        case "unsucceeded":
            said = "it had not succeeded"
        case _:
            said = "it belongs to what was asked for"
    if planned.parent is None:
        return said
    state = "" if planned.before is None else f", where it was {public_task_state(planned.before)}"
    return f"{said}; the run does {planned.parent} again{state}"


def _place(task: TaskRow) -> TaskPlaceView:
    return TaskPlaceView(
        run_id=task.run_id,
        task_key=task.task_key,
        state=public_task_state(task),
        attempt=task.attempt,
        worker_id=task.worker_id,
        started_at=time_text(task.started_at) if task.state == "RUNNING" else None,
    )


def _attempts(found: Account) -> list[AttemptView]:
    task, ended = found.task, found.attempts
    views = [_ended(row, found, last=row is ended[-1] and task.attempt <= row.attempt) for row in ended]
    if task.attempt and (not ended or ended[-1].attempt < task.attempt):
        views.append(_current(task, ended))
    return views


def _ended(row: AttemptRow, found: Account, *, last: bool) -> AttemptView:
    given_up = last and found.task.state in TERMINAL
    return AttemptView(
        attempt=row.attempt,
        attempt_id=row.attempt_id,
        worker_id=row.worker_id,
        started_at=time_text(row.started_at),
        ended_at=time_text(row.ended_at),
        outcome=row.outcome,
        because=_why_ended(row.outcome, row.category, row.error_message),
        category=row.category,
        message=row.error_message,
        stack_trace=row.stack_trace,
        next=_next(row, given_up=given_up),
        last=_why_last(row, found) if given_up else None,
    )


def _next(row: AttemptRow, *, given_up: bool) -> NextAttemptView | None:
    if row.retried_at is not None:
        return NextAttemptView(why="operator_retry", at=time_text(row.retried_at), by=row.retried_by)
    if given_up:
        return None
    if row.outcome == SUPERSEDED:
        return NextAttemptView(why="superseded", at=time_text(row.ended_at))
    if row.retry_at is not None:
        return NextAttemptView(why="retry_policy", at=time_text(row.retry_at))
    return None


def _why_last(row: AttemptRow, found: Account) -> str | None:
    if row.outcome != "FAILED" or row.retried_at is not None:
        return None
    if row.retry_at is not None:
        return "run_cancelled"
    if row.attempt >= found.task.max_attempts:
        return "attempts_used_up"
    return "run_cancelled" if found.run.cancel_requested else "not_retryable"


def _current(task: TaskRow, ended: Sequence[AttemptRow]) -> AttemptView:
    """The attempt under way, the one that succeeded, or one that an older build has kept no record of."""
    begun = task.state != "DISPATCHED" and (not ended or task.started_at != ended[-1].started_at)
    outcome = task.state if task.state in ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED") else None
    # What was called off still has the error of the attempt before it.
    category, message = error_of(task) if outcome == "FAILED" else (None, None)
    trace = None if task.error is None else msgspec.json.decode(task.error, type=TaskError).stack_trace
    return AttemptView(
        attempt=task.attempt,
        attempt_id=task.attempt_id,
        worker_id=task.worker_id if begun else None,
        started_at=time_text(task.started_at) if begun else None,
        ended_at=time_text(task.completed_at),
        outcome=outcome,
        because=_why_ended(outcome, category, message) if outcome not in (None, "SUCCEEDED") else None,
        category=category,
        message=message,
        stack_trace=trace if outcome == "FAILED" else None,
    )


def _why_ended(outcome: str | None, category: str | None, message: str | None) -> str:
    if outcome in ("CANCELLED", SUPERSEDED):
        return outcome.lower()
    if message is not None and message.startswith((SILENT, _HEARTBEAT)):
        return "heartbeat_lost"
    return {"TIMEOUT": "timed_out", "DATA_QUALITY": "check_blocked"}.get(category or "", "failed")
