"""What a task waits for: tasks before it, a pause, a slot, the dispatcher, a worker, its next attempt. (Ours.)

Everything is told from rows of one snapshot: the task, its edges, the workspace's settings, the slots of its key.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from arco.core import instant
from arco.domains.orchestration.fold.board import WORKSPACE_SLOTS
from arco.domains.orchestration.fold.dispatch import PENDING
from arco.domains.orchestration.keys import DEFAULT_QUEUE
from arco.domains.orchestration.queries.runs import public_task_state
from arco.domains.orchestration.rows import (
    OUTBOX,
    SLOTS,
    WORKSPACE,
    DependencyRow,
    RunRow,
    SlotsRow,
    TaskRow,
    WorkspaceRow,
)
from arco.kernel.reading import Snapshot

UPSTREAM: Final = "upstream"
PAUSED: Final = "workspace_paused"
NO_SLOT: Final = "concurrency_limit"
NOT_DISPATCHED: Final = "not_dispatched"
IN_QUEUE: Final = "in_queue"
BACKOFF: Final = "retry_backoff"
CANCELLING: Final = "cancelling"
NOT_VISIBLE: Final = "output_not_visible"

_NAMED_MAX: Final = 5
"""Tasks that one sentence names."""


class Circumstances(msgspec.Struct, frozen=True):
    """What tasks of a run share: whether the workspace is paused, how many slots are in use, what no queue has yet."""

    settings: WorkspaceRow | None = None
    slots: Mapping[str, SlotsRow] = {}
    unsent: frozenset[tuple[str, int]] = frozenset()
    """Tasks with the attempt that is wanted, and that no queue is known to have taken."""

    def full(self, task: TaskRow) -> list[SlotsRow]:
        """The limits of a task that leave no slot."""
        found = [self.slots.get(key) for key in (WORKSPACE_SLOTS, task.concurrency_key) if key is not None]
        return [row for row in found if row is not None and row.slots is not None and row.in_use >= row.slots]


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a task waits for: a code, a sentence, and what each code has. Times in ms."""

    reason: str
    message: str
    upstream: tuple[tuple[str, str], ...] = ()
    """For `upstream`: the tasks before it that have not succeeded, each with its public state."""
    concurrency_key: str | None = None
    slots: int | None = None
    in_use: int | None = None
    since: int | None = None
    until: int | None = None
    queue: str | None = None
    by: str | None = None


async def circumstances(snapshot: Snapshot, run: RunRow, tasks: Collection[TaskRow]) -> Circumstances:
    """What these tasks of a run share; nothing is read of what concerns none of them."""
    unsent: frozenset[tuple[str, int]] = frozenset()
    if any(task.state == "DISPATCHED" for task in tasks):
        outbox = await snapshot.scan(OUTBOX, prefix=(run.run_id,))
        unsent = frozenset((row.task_key, row.attempt) for row in outbox if row.status == PENDING)
    waiting = [task for task in tasks if task.state in ("READY", "RETRY_WAIT")]
    if not waiting:
        return Circumstances(unsent=unsent)
    keys = sorted({WORKSPACE_SLOTS, *(task.concurrency_key for task in waiting if task.concurrency_key)})
    settings, *slots = await asyncio.gather(
        snapshot.get(WORKSPACE, ("",)), *(snapshot.get(SLOTS, (key,)) for key in keys)
    )
    assert settings is None or isinstance(settings, WorkspaceRow)
    return Circumstances(settings, {row.concurrency_key: row for row in slots if isinstance(row, SlotsRow)}, unsent)


def waits_of(
    task: TaskRow,
    coming: Sequence[DependencyRow],
    states: Mapping[str, str],
    *,
    run: RunRow,
    around: Circumstances,
) -> list[Wait]:
    """Everything a task waits for, what it waits for first in front; nothing for one that runs or is over.

    `coming` are the edges that lead to it, `states` the public states of its run's tasks.
    """
    match task.state:
        case "BLOCKED":
            return [_upstream(coming, states)]
        case "READY":
            return _ready(task, around)
        case "DISPATCHED":
            return [_wanted(task) if (task.task_key, task.attempt) in around.unsent else _sent(task)]
        case "RETRY_WAIT":
            return [_backoff(task), *_paused(around), *map(_no_slot, around.full(task))]
        case "RUNNING" if run.cancel_requested:
            return [Wait(reason=CANCELLING, message="its worker is told to stop with its next heartbeat")]
        case "SUCCEEDED" if task.requires_visible_output and task.output_visibility_state == "PENDING":
            return [Wait(reason=NOT_VISIBLE, message="it is done, and what it made cannot be read yet")]
    return []


def _upstream(coming: Sequence[DependencyRow], states: Mapping[str, str]) -> Wait:
    left = tuple(
        (edge.upstream_task_key, states.get(edge.upstream_task_key, "PENDING")) for edge in coming if not edge.satisfied
    )
    named = ", ".join(f"{key} ({state})" for key, state in left[:_NAMED_MAX])
    more = f" and {len(left) - _NAMED_MAX} more" if len(left) > _NAMED_MAX else ""
    return Wait(reason=UPSTREAM, message=f"waits for {named}{more}", upstream=left)


def _ready(task: TaskRow, around: Circumstances) -> list[Wait]:
    found = [*_paused(around), *map(_no_slot, around.full(task))]
    queue = task.worker_queue or DEFAULT_QUEUE
    return found or [
        Wait(
            reason=NOT_DISPATCHED,
            message=f"ready since {_time(task.ready_at)}; the dispatcher has not sent it to {queue} yet",
            since=task.ready_at,
            queue=queue,
        )
    ]


def _paused(around: Circumstances) -> list[Wait]:
    settings = around.settings
    if settings is None or not settings.paused:
        return []
    by = f" by {settings.paused_by}" if settings.paused_by else ""
    why = f": {settings.pause_reason}" if settings.pause_reason else ""
    message = f"the workspace is paused since {_time(settings.changed_at)}{by}{why}"
    return [Wait(reason=PAUSED, message=message, since=settings.changed_at, by=settings.paused_by)]


def _no_slot(row: SlotsRow) -> Wait:
    whole = row.concurrency_key == WORKSPACE_SLOTS
    what = "the workspace" if whole else f"concurrency key {row.concurrency_key}"
    return Wait(
        reason=NO_SLOT,
        message=f"{what} has no free slot: {row.in_use} of {row.slots} in use",
        concurrency_key=row.concurrency_key,
        slots=row.slots,
        in_use=row.in_use,
    )


def _wanted(task: TaskRow) -> Wait:
    queue = task.worker_queue or DEFAULT_QUEUE
    return Wait(
        reason=NOT_DISPATCHED,
        message=f"attempt {task.attempt} is wanted since {_time(task.due_at)}; {queue} has not taken it yet",
        since=task.due_at,
        queue=queue,
    )


def _sent(task: TaskRow) -> Wait:
    queue = task.worker_queue or DEFAULT_QUEUE
    return Wait(
        reason=IN_QUEUE,
        message=f"attempt {task.attempt} was sent to {queue} at {_time(task.due_at)}; no worker has begun it yet",
        since=task.due_at,
        queue=queue,
    )


def _backoff(task: TaskRow) -> Wait:
    said = f": {task.error_message}" if task.error_message else ""
    return Wait(
        reason=BACKOFF,
        message=f"attempt {task.attempt} failed{said}; the next one is due at {_time(task.retry_not_before)}",
        until=task.retry_not_before,
    )


def _time(time_ms: int | None) -> str:
    return "an unknown time" if time_ms is None else instant.stored_text(time_ms)


def public_states(tasks: Iterable[TaskRow]) -> dict[str, str]:
    """The public states of a run's tasks."""
    return {task.task_key: public_task_state(task) for task in tasks}
