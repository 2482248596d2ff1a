"""Attempts that ended without success are kept, with why, and why there was another one after them. Pure. (Ours.)"""

from typing import Final

import msgspec

from arco.domains.orchestration.agenda import holds_slots
from arco.domains.orchestration.events import TaskError, TaskRetryRequested
from arco.domains.orchestration.fold.board import Moment
from arco.domains.orchestration.history_rows import SLOT_HOLDERS, TASK_ATTEMPTS, AttemptRow, SlotHolderRow
from arco.domains.orchestration.rows import TaskRow
from arco.kernel.fold import View

SUPERSEDED: Final = "SUPERSEDED"
MESSAGE_CHARS_MAX: Final = 2_048
TRACE_CHARS_MAX: Final = 4_096
"""The end of a trace is what tells; the whole of the last attempt's is with the task."""


KEPT_SINCE: Final = 6
"""The fold version from which on history is kept; commits before it replay without."""


def keeps_history(moment: Moment) -> bool:
    """Whether the commit of this event was made by a build that keeps what explanations need."""
    return moment.fold_version >= KEPT_SINCE


def name_holder(view: View, task: TaskRow, moment: Moment) -> None:
    """Name the task with the concurrency key of which it holds a slot; `board.put_task` ends that."""
    if task.concurrency_key is not None and holds_slots(task) and keeps_history(moment):
        view.put(
            SLOT_HOLDERS, SlotHolderRow(concurrency_key=task.concurrency_key, born=task.born, task_key=task.task_key)
        )


def note_end(view: View, old: TaskRow, new: TaskRow, moment: Moment, *, outcome: str) -> None:
    """Keep the attempt that has just ended without success."""
    if keeps_history(moment):
        view.put(TASK_ATTEMPTS, _row(old, new, outcome, moment))


def note_superseded(view: View, task: TaskRow, attempt: int, moment: Moment) -> None:
    """Keep the attempt that another one takes the place of, if nobody has said how it ended."""
    if keeps_history(moment) and attempt > task.attempt >= 1 and holds_slots(task):
        bare = msgspec.structs.replace(task, error=None, error_message=None, retry_not_before=None)
        view.put(TASK_ATTEMPTS, _row(task, bare, SUPERSEDED, moment))


def note_retried(view: View, task: TaskRow, event: TaskRetryRequested, moment: Moment) -> None:
    """Note with the attempt that failed for good that somebody wants another one."""
    if not keeps_history(moment):
        return
    known = view.get(TASK_ATTEMPTS, (task.born, task.task_key, task.attempt))
    row = known or _row(task, task, "FAILED", moment)
    view.put(
        TASK_ATTEMPTS,
        msgspec.structs.replace(
            row, retried_by=event.requested_by, retried_at=moment.at_ms, row_version=moment.version
        ),
    )


def _row(old: TaskRow, new: TaskRow, outcome: str, moment: Moment) -> AttemptRow:
    error = None if new.error is None else msgspec.json.decode(new.error, type=TaskError)
    trace = None if error is None else error.stack_trace
    message = new.error_message
    return AttemptRow(
        born=old.born,
        run_id=old.run_id,
        task_key=old.task_key,
        attempt=old.attempt,
        attempt_id=old.attempt_id,
        worker_id=new.worker_id,
        # A task keeps the start of the attempt before until the next one has begun.
        started_at=old.started_at if old.state in ("RUNNING", "FAILED") else None,
        ended_at=moment.at_ms if old.completed_at is None else old.completed_at,
        outcome=outcome,
        category=None if error is None else error.category,
        error_message=None if message is None else message[:MESSAGE_CHARS_MAX],
        stack_trace=None if trace is None else trace[-TRACE_CHARS_MAX:],
        retry_at=new.retry_not_before,
        row_version=moment.version,
    )
