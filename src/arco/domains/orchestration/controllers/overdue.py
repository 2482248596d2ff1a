"""What is overdue, and what is done about it: the sweeper's questions (orchestration.md 4.7, 8.2). Pure.

A row of the agenda only says when to look; these functions look at the task or the run itself, and answer None when its
time has not come after all.
"""

import msgspec

from arco.domains.orchestration.agenda import RUN_TERMINAL, late_at, silent_at
from arco.domains.orchestration.controllers.steps import (
    LATE,
    RUN_LATE,
    SILENT,
    CallOff,
    GiveUp,
    Redeliver,
    Send,
)
from arco.domains.orchestration.rows import RunRow, TaskRow


class Patience(msgspec.Struct, frozen=True):
    """How long a task may stay in a state that should be short, in ms."""

    ready_ms: int = 300_000
    sent_ms: int = 600_000


def of_task(task: TaskRow, now_ms: int, patience: Patience) -> Send | Redeliver | GiveUp | None:
    """What must be done about a task by now, if anything."""
    match task.state:
        case "READY":
            return Send(task, task.attempt + 1) if now_ms - (task.ready_at or 0) >= patience.ready_ms else None
        case "DISPATCHED":
            return Redeliver(task) if now_ms - (task.due_at or 0) >= patience.sent_ms else None
        case "RETRY_WAIT":
            return Send(task, task.attempt + 1) if now_ms >= (task.retry_not_before or 0) else None
        case "RUNNING":
            return _of_running(task, now_ms)
    return None


def of_run(run: RunRow, now_ms: int) -> CallOff | None:
    """Whether a run has had its time."""
    if run.state in RUN_TERMINAL or run.cancel_requested or run.deadline_at is None or now_ms < run.deadline_at:
        return None
    return CallOff(run, RUN_LATE)


def _of_running(task: TaskRow, now_ms: int) -> GiveUp | None:
    late = late_at(task)
    if late is not None and now_ms >= late:
        return GiveUp(task, "TIMEOUT", f"{LATE}: {task.task_key} ran longer than {task.timeout_sec} s")
    if now_ms > silent_at(task):
        return GiveUp(task, "INFRASTRUCTURE", SILENT)
    return None
