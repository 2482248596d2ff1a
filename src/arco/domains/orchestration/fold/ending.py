"""How a task ends, what follows for the tasks behind it, and when a run is over (orchestration.md 4.1 to 4.5). Pure."""

from collections import deque
from typing import Final

import msgspec

from arco.domains.orchestration.agenda import TERMINAL
from arco.domains.orchestration.fold.board import Moment, put_run, put_task
from arco.domains.orchestration.rows import DEPENDENCIES, RUNS, TASKS, DependencyRow, RunRow, TaskRow
from arco.kernel.fold import View

RETRY_BASE_MS: Final = 30_000
RETRY_MAX_MS: Final = 900_000
_DOUBLINGS_MAX: Final = 6

_COUNTERS: Final = {
    "SUCCEEDED": "tasks_succeeded",
    "FAILED": "tasks_failed",
    "SKIPPED": "tasks_skipped",
    "CANCELLED": "tasks_cancelled",
}
_RESOLUTIONS: Final = {"SUCCEEDED": "SUCCESS", "FAILED": "FAILED", "SKIPPED": "SKIPPED", "CANCELLED": "CANCELLED"}


def retry_at_ms(task: TaskRow, id_ms: int) -> int:
    """When the next attempt may be made: from the id of the event, so that every replay says the same (4.3)."""
    base = RETRY_BASE_MS if task.retry_delay_sec is None else task.retry_delay_sec * 1000
    return id_ms + min(base << min(max(task.attempt, 1) - 1, _DOUBLINGS_MAX), max(base, RETRY_MAX_MS))


def end_task(view: View, old: TaskRow, new: TaskRow, moment: Moment) -> None:
    """Write a task that has become terminal, and everything that follows from it within its run."""
    put_task(view, old, new)
    ended = [new.state]
    waiting = deque([new])
    while waiting:
        task = waiting.popleft()
        for edge in list(view.scan(DEPENDENCIES, (task.born, task.task_key))):
            dropped = _pass_on(view, edge, task, moment)
            if dropped is not None:
                ended.append(dropped.state)
                waiting.append(dropped)
    count_ended(view, new.born, ended, moment)


def _pass_on(view: View, edge: DependencyRow, task: TaskRow, moment: Moment) -> TaskRow | None:
    """Tell the task behind an edge how the one before it ended; that task, if it can never run now."""
    resolution = _RESOLUTIONS[task.state]
    succeeded = resolution == "SUCCESS"
    told = msgspec.structs.replace(
        edge,
        satisfied=succeeded,
        resolution=resolution,
        satisfied_at=moment.at_ms,
        satisfying_attempt=task.attempt if succeeded else edge.satisfying_attempt,
        row_version=moment.version,
    )
    view.put(DEPENDENCIES, told)
    behind = view.get(TASKS, (task.born, edge.downstream_task_key))
    if behind is None or behind.state in TERMINAL:
        return None
    if succeeded:
        if not edge.satisfied:
            _release(view, behind, moment)
        return None
    state = "CANCELLED" if resolution == "CANCELLED" else "SKIPPED"
    dropped = msgspec.structs.replace(behind, state=state, retry_not_before=None, row_version=moment.version)
    put_task(view, behind, dropped)
    return dropped


def _release(view: View, task: TaskRow, moment: Moment) -> None:
    """One more of the tasks before it has succeeded; the last one makes it ready."""
    count = task.deps_satisfied_count + 1
    ready = task.state == "BLOCKED" and count >= task.deps_total
    new = msgspec.structs.replace(
        task,
        deps_satisfied_count=count,
        state="READY" if ready else task.state,
        ready_at=moment.at_ms if ready else task.ready_at,
        row_version=moment.version,
    )
    put_task(view, task, new)


def count_ended(view: View, born: str, states: list[str], moment: Moment) -> None:
    """Add tasks that have ended to their run's counters, and end the run with its last task."""
    run = view.get(RUNS, (born,))
    if run is None:
        return
    changes = {"tasks_completed": run.tasks_completed + len(states)}
    for state in states:
        name = _COUNTERS[state]
        changes[name] = changes.get(name, getattr(run, name)) + 1
    new = msgspec.structs.replace(run, **changes, row_version=moment.version)
    put_run(view, run, ended_run(new, moment))


def ended_run(run: RunRow, moment: Moment) -> RunRow:
    """The run, over if its last task is."""
    if run.completed_at is not None or run.state == "TRIGGERED" or run.tasks_completed < run.tasks_total:
        return run
    state = "CANCELLED" if run.tasks_cancelled else "FAILED" if run.tasks_failed else "SUCCEEDED"
    return msgspec.structs.replace(run, state=state, completed_at=moment.at_ms)
