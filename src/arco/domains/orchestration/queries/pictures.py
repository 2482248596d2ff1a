"""A run as it stood at one manifest, and what is different at a later one: what followers are told.

A picture holds rows and nothing else; two of them are compared without I/O. What changed is decided by rows alone, so
that whoever takes the same two pictures again, in another process, finds the same changes in the same order.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from arco.core.errors import NotFound
from arco.domains.orchestration.agenda import RUN_TERMINAL
from arco.domains.orchestration.queries.account import coming_of
from arco.domains.orchestration.queries.runs import (
    TERMINAL,
    RunDetail,
    public_state,
    public_task_state,
    run_by_id,
)
from arco.domains.orchestration.rows import DEPENDENCIES, RUNS, TASKS, DependencyRow, RunRow, TaskRow
from arco.kernel.reading import Snapshot

_SILENT: Final = frozenset(
    {
        *("state", "attempt_id", "deps_total", "deps_satisfied_count", "last_heartbeat_at", "ready_at", "row_version"),
        *("worker_queue", "priority", "due_at", "heartbeat_timeout_sec", "timeout_sec", "retry_delay_sec"),
    }
)
"""What of a task is nobody's business while it is watched; its state is compared as it is told."""

_TOLD: Final = tuple(name for name in TaskRow.__struct_fields__ if name not in _SILENT)


class Picture(msgspec.Struct, frozen=True):
    """A run at manifest `number`: its tasks by key, in order, and the edges into each."""

    number: int
    run: RunRow
    tasks: Mapping[str, TaskRow]
    coming: Mapping[str, list[DependencyRow]]
    versions: tuple[str, str]
    """Of the tables at that manifest: equal ones hold equal rows."""

    @property
    def over(self) -> bool:
        """Whether nothing more is to come, unless somebody has a task tried once more."""
        return self.run.state in RUN_TERMINAL and public_state(self.run) in TERMINAL


class Change(msgspec.Struct, frozen=True):
    """What is different: `run`, `task`, or `end`; with the task it is about."""

    kind: str
    task: TaskRow | None = None


async def picture(snapshot: Snapshot, run_id: str, previous: Picture | None = None) -> Picture:
    """The run in a snapshot. Costs nothing when no run has changed since the previous picture. Raises `NotFound`."""
    versions = (snapshot.table_version(RUNS), snapshot.table_version(TASKS))
    number = int(snapshot.manifest_id)
    if previous is not None and previous.versions == versions:
        return msgspec.structs.replace(previous, number=number)
    run = await run_by_id(snapshot, run_id)
    if run is None:
        raise NotFound(f"run not found: {run_id}")
    rows = await snapshot.scan(TASKS, prefix=(run.born,))
    tasks = {row.task_key: row for row in rows}
    if previous is not None and not _edges_matter(previous, tasks):
        return Picture(number, run, tasks, previous.coming, versions)
    edges = await snapshot.scan(DEPENDENCIES, prefix=(run.born,))
    return Picture(number, run, tasks, coming_of(RunDetail(run, rows, edges)), versions)


def changes(old: Picture | None, new: Picture) -> list[Change]:
    """What is different, the run first, then tasks by key, then the end when nothing more is to come."""
    found = [Change("run")] if old is None or _of_run(old.run) != _of_run(new.run) else []
    for key, task in new.tasks.items():
        before = None if old is None else old.tasks.get(key)
        if before is not task and (before is None or _of_task(before) != _of_task(task)):
            found.append(Change("task", task))
    if new.over and (found or old is None or not old.over):
        found.append(Change("end"))
    return found


def _of_run(run: RunRow) -> tuple[Any, ...]:
    return (public_state(run), run.started_at, run.completed_at if run.state in RUN_TERMINAL else None)


def _of_task(task: TaskRow) -> tuple[Any, ...]:
    return (public_task_state(task), *(getattr(task, name) for name in _TOLD))


def _edges_matter(previous: Picture, tasks: Mapping[str, TaskRow]) -> bool:
    """Whether a task was skipped since: then its edges say why."""
    return any(
        task.state == "SKIPPED" and (key not in previous.tasks or previous.tasks[key].state != "SKIPPED")
        for key, task in tasks.items()
    )
