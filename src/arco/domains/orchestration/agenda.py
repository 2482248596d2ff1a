"""The agenda: who must look at a task or a run next, and when (architecture.md, "What to avoid"). Pure.

| lane | whose | what happens there |
| --- | --- | --- |
| `ready` | dispatcher | a task that may be sent; groups by concurrency key, urgent first |
| `sent` | sweeper | an attempt nobody has begun since `due` |
| `running` | sweeper | an attempt that was not heard of, or takes too long |
| `retry` | sweeper | an attempt to be made at `due` |
| `run` | sweeper | a run that must be over by `due` |

A blocked task waits for tasks that have a place here themselves; what is terminal has none.
"""

from typing import Final

from arco.domains.orchestration.rows import AgendaRow, RunRow, TaskRow

READY: Final = "ready"
SENT: Final = "sent"
RUNNING: Final = "running"
RETRY: Final = "retry"
RUN: Final = "run"

PRIORITY_MAX: Final = 1_000
"""Priorities are -1,000 to 1,000; a task without one has 0."""

ZOMBIE_GRACE_MS: Final = 30_000
"""How long after its heartbeat is overdue an attempt is given up (orchestration.md 4.7)."""

_RANK: Final = 1 << 48
"""More than any time in ms: a higher priority comes before any time."""

TERMINAL: Final = frozenset({"SKIPPED", "CANCELLED", "FAILED", "SUCCEEDED"})
"""States of a task that nothing leaves."""

RUN_TERMINAL: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


def place_of_task(task: TaskRow) -> AgendaRow | None:
    """A task's place in the agenda."""
    match task.state:
        case "READY":
            rank = (PRIORITY_MAX - (task.priority or 0)) * _RANK
            return _row(READY, task, rank + (task.ready_at or 0), group=task.concurrency_key or "")
        case "DISPATCHED":
            return _row(SENT, task, task.due_at or 0)
        case "RUNNING":
            return _row(RUNNING, task, task.due_at or 0)
        case "RETRY_WAIT":
            return _row(RETRY, task, task.retry_not_before or 0)
    return None


def place_of_run(run: RunRow) -> AgendaRow | None:
    """A run's place in the agenda: only a run that must be over at some time has one."""
    if run.deadline_at is None or run.state in RUN_TERMINAL or run.cancel_requested:
        return None
    return AgendaRow(lane=RUN, group="", due=run.deadline_at, born=run.born, task_key="")


def holds_slots(task: TaskRow) -> bool:
    """True while an attempt is on its way to a worker or with one."""
    return task.state in ("DISPATCHED", "RUNNING")


def silent_at(task: TaskRow) -> int:
    """The moment from which on a running attempt that is not heard of is taken for dead."""
    heard = task.last_heartbeat_at if task.last_heartbeat_at is not None else task.started_at
    return (heard or 0) + task.heartbeat_timeout_sec * 1000 + ZOMBIE_GRACE_MS


def late_at(task: TaskRow) -> int | None:
    """The moment from which on a running attempt has taken too long; None: it may take for ever."""
    return None if task.timeout_sec is None else (task.started_at or 0) + task.timeout_sec * 1000


def _row(lane: str, task: TaskRow, due: int, *, group: str = "") -> AgendaRow:
    return AgendaRow(lane=lane, group=group, due=due, born=task.born, task_key=task.task_key)
