"""One more try at a task that failed, or the next one now: what was skipped because of it waits again. Pure. (Ours.)"""

from collections import deque
from typing import Final

import msgspec

from arco.domains.orchestration.events import TaskRetryRequested
from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.fold.board import Moment, put_run, put_task, run_of, task_of
from arco.domains.orchestration.fold.tries import note_retried
from arco.domains.orchestration.numbers import ATTEMPTS_MAX
from arco.domains.orchestration.rows import DEPENDENCIES, TASKS, DependencyRow, RunRow, TaskRow
from arco.kernel.fold import Accepted, Decision, View

_BAD = frozenset({"FAILED", "SKIPPED", "CANCELLED"})


AT_ONCE_SINCE: Final = 7
"""The fold version from which on a task that waits for its next attempt need not wait; before it that was refused."""


def retried(view: View, event: TaskRetryRequested, moment: Moment) -> Decision:
    """A failed task is ready again, with at least one attempt left, and its run goes on; a waiting one is ready now."""
    run, task = run_of(view, event.run_id), task_of(view, event.run_id, event.task_key)
    if run is None:
        return refusals.no_run(event.run_id)
    if task is None:
        return refusals.no_task(event.run_id, event.task_key)
    if run.cancel_requested:
        return refusals.moot(f"run {run.run_id} was cancelled: run it again instead")
    if task.state == "RETRY_WAIT" and moment.fold_version >= AT_ONCE_SINCE:
        note_retried(view, task, event, moment)
        now = msgspec.structs.replace(
            task, state="READY", ready_at=moment.at_ms, retry_not_before=None, row_version=moment.version
        )
        put_task(view, task, now)
        return Accepted()
    if task.state != "FAILED":
        return refusals.moot(f"task {task.task_key} is {task.state}: only what failed can be retried")
    if task.attempt >= ATTEMPTS_MAX:
        return refusals.moot(
            f"task {task.task_key} had {task.attempt} attempts, the most there are: run it again instead"
        )
    new = msgspec.structs.replace(
        task,
        state="READY",
        ready_at=moment.at_ms,
        completed_at=None,
        max_attempts=max(task.max_attempts, task.attempt + 1),
        row_version=moment.version,
    )
    note_retried(view, task, event, moment)
    put_task(view, task, new)
    waiting_again = _undo_skips(view, new, moment)
    put_run(view, run, _going_on(run, waiting_again, moment))
    return Accepted()


def _undo_skips(view: View, task: TaskRow, moment: Moment) -> int:
    """Let wait again what was skipped behind a task, and behind that, where nothing else is in the way; how many."""
    edges: dict[tuple[str, str], DependencyRow] = {
        (edge.upstream_task_key, edge.downstream_task_key): edge for edge in view.scan(DEPENDENCIES, (task.born,))
    }
    count, going = 0, deque([task.task_key])
    while going:
        upstream = going.popleft()
        for key in [key for key in edges if key[0] == upstream]:
            edges[key] = _open(view, edges[key], moment)
            coming = [edge for edge in edges.values() if edge.downstream_task_key == key[1]]
            behind = view.get(TASKS, (task.born, key[1]))
            if behind is None or behind.state != "SKIPPED" or any(edge.resolution in _BAD for edge in coming):
                continue
            satisfied = sum(edge.satisfied for edge in coming)
            blocked = msgspec.structs.replace(
                behind, state="BLOCKED", deps_satisfied_count=satisfied, row_version=moment.version
            )
            put_task(view, behind, blocked)
            count += 1
            going.append(key[1])
    return count


def _open(view: View, edge: DependencyRow, moment: Moment) -> DependencyRow:
    opened = msgspec.structs.replace(
        edge, satisfied=False, resolution=None, satisfied_at=None, row_version=moment.version
    )
    view.put(DEPENDENCIES, opened)
    return opened


def _going_on(run: RunRow, waiting_again: int, moment: Moment) -> RunRow:
    over = run.deadline_at is not None and run.deadline_at <= moment.at_ms
    return msgspec.structs.replace(
        run,
        state="RUNNING",
        completed_at=None,
        deadline_at=None if over else run.deadline_at,
        tasks_completed=run.tasks_completed - 1 - waiting_again,
        tasks_failed=run.tasks_failed - 1,
        tasks_skipped=run.tasks_skipped - waiting_again,
        row_version=moment.version,
    )
