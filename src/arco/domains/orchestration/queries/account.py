"""The account of one task: why it is planned, what it waits for, why it was not run, why it ran again. (Ours.)

Read from tables only, and from what belongs to its run: how many other runs there are, or were, costs nothing. Holders
of slots and tasks that hold it up are told up to a number.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from arco.core.errors import NotFound
from arco.domains.orchestration.agenda import TERMINAL
from arco.domains.orchestration.events import TaskError
from arco.domains.orchestration.fold.board import WORKSPACE_SLOTS
from arco.domains.orchestration.history_rows import SLOT_HOLDERS, TASK_ATTEMPTS, AttemptRow
from arco.domains.orchestration.labels import KIND_LABEL, PARENT_LABEL, labels_of
from arco.domains.orchestration.queries.runs import RunDetail, run_by_id, run_detail
from arco.domains.orchestration.queries.waiting import NO_SLOT, Wait, circumstances, public_states, waits_of
from arco.domains.orchestration.rows import TASKS, DependencyRow, RunRow, TaskRow
from arco.kernel.reading import Snapshot

HOLDERS_MAX: Final = 20
"""Holders of a slot, and tasks that hold another one up, that are named."""

_BAD: Final = frozenset({"FAILED", "SKIPPED", "CANCELLED"})


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task is in the plan: `why` as `plan.graph.Reason` has it, and the way from a root of the run to it.

    Of a run that does another one again: `parent` is that run, and `before` the task in it, if it was there.
    """

    why: str
    of: str | None
    path: tuple[str, ...]
    parent: str | None = None
    kind: str | None = None
    before: TaskRow | None = None


class NotRun(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task was never run, or called off: the task where it began, and the tasks between, nearest first."""

    why: str
    message: str
    task_key: str | None = None
    category: str | None = None
    via: tuple[str, ...] = ()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is to say about one task. `attempts` are those that ended without success, oldest first.

    `holders` hold the slots it waits for; `held_up_by` are the tasks at the beginning of what it waits for.
    """

    run: RunRow
    task: TaskRow
    coming: list[DependencyRow]
    planned: Planned
    waits: list[Wait]
    holders: list[TaskRow]
    held_up_by: list[TaskRow]
    not_run: NotRun | None
    attempts: list[AttemptRow]


async def account_of(snapshot: Snapshot | None, run_id: str, task_key: str) -> Account:
    """The account of a task. Raises `NotFound`."""
    found = await run_detail(snapshot, run_id)
    assert snapshot is not None
    tasks = {task.task_key: task for task in found.tasks}
    task = tasks.get(task_key)
    if task is None:
        raise NotFound(f"run {run_id} has no task {task_key}")
    around = await circumstances(snapshot, found.run, [task])
    coming = coming_of(found).get(task_key, [])
    waits = waits_of(task, coming, public_states(found.tasks), run=found.run, around=around)
    attempts, holders, planned = await asyncio.gather(
        snapshot.scan(TASK_ATTEMPTS, prefix=(task.born, task_key)),
        _holders(snapshot, waits),
        _planned(snapshot, found.run, task, tasks),
    )
    return Account(
        run=found.run,
        task=task,
        coming=coming,
        planned=planned,
        waits=waits,
        holders=holders,
        held_up_by=_held_up_by(task, tasks, coming_of(found)),
        not_run=_not_run(found.run, task, tasks, coming_of(found)),
        attempts=attempts,
    )


def coming_of(found: RunDetail) -> dict[str, list[DependencyRow]]:
    """The edges of a run by the task they lead to."""
    edges: dict[str, list[DependencyRow]] = {}
    for edge in found.edges:
        edges.setdefault(edge.downstream_task_key, []).append(edge)
    return edges


def first_bad(coming: Sequence[DependencyRow]) -> DependencyRow | None:
    """The first of the tasks before one that did not succeed (orchestration.md 4.5)."""
    bad = [edge for edge in coming if edge.resolution in _BAD]
    return min(bad, key=lambda edge: (edge.satisfied_at or 0, edge.upstream_task_key, edge.row_version), default=None)


async def _holders(snapshot: Snapshot, waits: Sequence[Wait]) -> list[TaskRow]:
    """Who holds the slots of a key; of the whole workspace everybody does who is on the way or runs."""
    key = next((wait.concurrency_key for wait in waits if wait.reason == NO_SLOT), None)
    if key is None or key == WORKSPACE_SLOTS:
        return []
    rows = await snapshot.scan(SLOT_HOLDERS, prefix=(key,), limit=HOLDERS_MAX)
    found = await asyncio.gather(*(snapshot.get(TASKS, (row.born, row.task_key)) for row in rows))
    return [task for task in found if task is not None]


async def _planned(snapshot: Snapshot, run: RunRow, task: TaskRow, tasks: Mapping[str, TaskRow]) -> Planned:
    labels = labels_of(run)
    parent_id, before = labels.get(PARENT_LABEL), None
    if parent_id is not None and (parent := await run_by_id(snapshot, parent_id)) is not None:
        before = await snapshot.get(TASKS, (parent.born, task.task_key))
    roots = () if run.root_assets is None else msgspec.json.decode(run.root_assets, type=tuple[str, ...])
    # What an older build planned does not say why.
    why = task.planned_as or ("root" if task.task_key in roots else "selected")
    return Planned(
        why=why,
        of=task.planned_for,
        path=_path(task, tasks),
        parent=parent_id,
        kind=labels.get(KIND_LABEL),
        before=before,
    )


def _path(task: TaskRow, tasks: Mapping[str, TaskRow]) -> tuple[str, ...]:
    found = [task.task_key]
    here: TaskRow | None = task
    while here is not None and here.planned_for is not None and here.planned_for not in found:
        found.append(here.planned_for)
        here = tasks.get(here.planned_for)
    return tuple(reversed(found))


def _held_up_by(
    task: TaskRow, tasks: Mapping[str, TaskRow], edges: Mapping[str, Sequence[DependencyRow]]
) -> list[TaskRow]:
    """The tasks before a blocked one that wait for no other task: what must happen first, nearest in front."""
    found: list[TaskRow] = []
    seen, going = {task.task_key}, deque([task] if task.state == "BLOCKED" else [])
    while going and len(found) < HOLDERS_MAX:
        for edge in edges.get(going.popleft().task_key, ()):
            before = tasks.get(edge.upstream_task_key)
            if before is None or before.task_key in seen or before.state in TERMINAL:
                continue
            seen.add(before.task_key)
            (going if before.state == "BLOCKED" else found).append(before)
    return found[:HOLDERS_MAX]


def _not_run(
    run: RunRow, task: TaskRow, tasks: Mapping[str, TaskRow], edges: Mapping[str, Sequence[DependencyRow]]
) -> NotRun | None:
    if task.state not in ("SKIPPED", "CANCELLED"):
        return None
    via: list[str] = []
    here = task
    while (edge := first_bad(edges.get(here.task_key, ()))) is not None and here.state in ("SKIPPED", "CANCELLED"):
        before = tasks.get(edge.upstream_task_key)
        if before is None:
            break
        via.append(before.task_key)
        here = before
    if here is task:
        return _called_off(run, task)
    return _because_of(here, run, tuple(via[:-1]))


def _called_off(run: RunRow, task: TaskRow) -> NotRun:
    if task.state == "SKIPPED":
        return NotRun(why="skipped_by_worker", message="its worker reported that there was nothing to do")
    if run.cancel_requested:
        by = f" by {run.cancelled_by}" if run.cancelled_by else ""
        said = f": {run.cancel_reason}" if run.cancel_reason else ""
        return NotRun(why="run_cancelled", message=f"the run was called off{by}{said}")
    return NotRun(why="cancelled_by_worker", message="its worker reported that it was cancelled")


def _because_of(origin: TaskRow, run: RunRow, via: tuple[str, ...]) -> NotRun:
    """Why nothing came of what waits for a task that did not succeed."""
    category = error_of(origin)[0]
    if origin.state == "FAILED":
        blocked = category == "DATA_QUALITY"
        what = "a check of it blocked its output" if blocked else f"it failed ({category or 'no category'})"
        said = f": {origin.error_message}" if origin.error_message else ""
        why = "check_blocked" if blocked else "upstream_failed"
        return NotRun(
            why=why, message=f"{origin.task_key}: {what}{said}", task_key=origin.task_key, category=category, via=via
        )
    off = _called_off(run, origin)
    why = "run_cancelled" if off.why == "run_cancelled" else f"upstream_{origin.state.lower()}"
    return NotRun(why=why, message=f"{origin.task_key}: {off.message}", task_key=origin.task_key, via=via)


def error_of(task: TaskRow) -> tuple[str | None, str | None]:
    """Category and message of a task's error."""
    if task.error is None:
        return None, task.error_message
    return msgspec.json.decode(task.error, type=TaskError).category, task.error_message
