"""Runs and their tasks, and the states people see of them (orchestration.md 4.1, 4.2, 6.3)."""

from collections.abc import Callable
from typing import Final

import msgspec

from arco.core.errors import NotFound
from arco.core.ids import is_ulid
from arco.domains.orchestration.rows import (
    DEPENDENCIES,
    RUN_BIRTHS,
    RUNS,
    TASKS,
    DependencyRow,
    RunRow,
    TaskRow,
)
from arco.kernel.reading import Snapshot

STATES: Final = ("PENDING", "RUNNING", "CANCELLING", "SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT")
TERMINAL: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})

EXAMINED_MAX: Final = 2_000
"""Runs that one page with a filter looks at; then it ends with a cursor."""

_OF_TASK: Final = {
    "PLANNED": "PENDING",
    "BLOCKED": "PENDING",
    "READY": "QUEUED",
    "DISPATCHED": "QUEUED",
    "RETRY_WAIT": "PENDING",
}


class RunPage(msgspec.Struct, frozen=True):
    """Runs, newest first, and where the next page begins; None at the end."""

    runs: list[RunRow]
    after: str | None


class RunDetail(msgspec.Struct, frozen=True):
    """A run with its tasks by key, and the edges between them."""

    run: RunRow
    tasks: list[TaskRow]
    edges: list[DependencyRow]


def public_state(run: RunRow) -> str:
    """The state of a run as it is told: what has to be readable counts (orchestration.md 4.1)."""
    if run.cancel_requested and run.state not in TERMINAL:
        return "CANCELLING"
    if run.state == "CANCELLED":
        return "CANCELLED"
    if run.state == "FAILED" or run.outputs_failed:
        return "FAILED"
    if run.state == "SUCCEEDED" and run.outputs_pending:
        return "RUNNING"
    return "PENDING" if run.state == "TRIGGERED" else run.state


def public_task_state(task: TaskRow) -> str:
    """The state of a task as it is told."""
    return _OF_TASK.get(task.state, task.state)


async def run_by_id(snapshot: Snapshot | None, run_id: str) -> RunRow | None:
    """A run; None when there is none."""
    if snapshot is None:
        return None
    if is_ulid(run_id):
        return await snapshot.get(RUNS, (run_id,))
    birth = await snapshot.get(RUN_BIRTHS, (run_id,))
    return None if birth is None else await snapshot.get(RUNS, (birth.born,))


async def the_run(snapshot: Snapshot | None, run_id: str) -> RunRow:
    """A run. Raises `NotFound`."""
    found = await run_by_id(snapshot, run_id)
    if found is None:
        raise NotFound(f"run not found: {run_id}")
    return found


async def run_detail(snapshot: Snapshot | None, run_id: str) -> RunDetail:
    """A run with everything that belongs to it. Raises `NotFound`."""
    run = await the_run(snapshot, run_id)
    assert snapshot is not None
    tasks = await snapshot.scan(TASKS, prefix=(run.born,))
    return RunDetail(run, tasks, await snapshot.scan(DEPENDENCIES, prefix=(run.born,)))


async def list_runs(
    snapshot: Snapshot | None, *, limit: int, after: str | None, wanted: Callable[[RunRow], bool] | None = None
) -> RunPage:
    """Runs beyond `after` that are wanted, newest first; a page may be short and still have a next one."""
    found: list[RunRow] = []
    examined = 0
    while snapshot is not None and examined < EXAMINED_MAX:
        key = None if after is None else (after,)
        rows = await snapshot.scan(RUNS, after=key, limit=limit + 1, descending=True)
        for row in rows[:limit]:
            after = row.born
            if wanted is None or wanted(row):
                found.append(row)
            if len(found) == limit:
                return RunPage(found, after if row is not rows[-1] else None)
        examined += len(rows)
        if len(rows) <= limit:
            return RunPage(found, None)
    return RunPage(found, after)
