"""What is heard of attempts: started, alive, over, and whether their output can be read (orchestration.md 4). Pure.

An attempt speaks with its number and its id; whoever has another of either is refused, so a worker that was given up
cannot speak for the next one. The same news twice changes nothing the second time.
"""

from typing import Final

import msgspec

from arco.core import instant
from arco.domains.orchestration.agenda import TERMINAL, holds_slots, late_at, silent_at
from arco.domains.orchestration.events import (
    LineageHandedOn,
    OutputVisibility,
    TaskCompletionRecorded,
    TaskFinished,
    TaskHeartbeat,
    TaskOutputVisibilityChanged,
    TaskStarted,
)
from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.fold.board import Moment, born_of, put_run, put_task, run_of, task_of
from arco.domains.orchestration.fold.ending import end_task, retry_at_ms
from arco.domains.orchestration.fold.materialized import note_attempt
from arco.domains.orchestration.fold.tries import name_holder, note_end, note_superseded
from arco.domains.orchestration.rows import LINEAGE_DUE, RUNS, LineageDueRow, RunRow, TaskRow
from arco.kernel.fold import Accepted, Decision, Rejected, View

CANCEL: Final = "cancel"
"""The detail of a heartbeat's outcome that tells the worker to stop, and why."""

_RETRYABLE: Final = frozenset({"USER_CODE", "INFRASTRUCTURE", "TIMEOUT"})
_STATES: Final = {"succeeded": "SUCCEEDED", "skipped": "SKIPPED", "cancelled": "CANCELLED"}


def started(view: View, event: TaskStarted, moment: Moment) -> Decision:
    """A worker has begun an attempt."""
    task = task_of(view, event.run_id, event.task_key)
    if task is None:
        return refusals.no_task(event.run_id, event.task_key)
    if task.state in TERMINAL:
        return refusals.terminal(task)
    if task.state == "RETRY_WAIT" and task.attempt == event.attempt:
        return refusals.completed(task, event.attempt)
    if event.attempt < task.attempt:
        return refusals.other_attempt(task, event.attempt)
    if event.attempt == task.attempt and task.attempt_id not in (None, event.attempt_id):
        return refusals.other_attempt_id(task, event.attempt_id)
    run = run_of(view, event.run_id)
    if run is not None and run.cancel_requested:
        return refusals.terminal(task, "CANCELLED")
    if task.state == "RUNNING" and task.attempt == event.attempt:
        return Accepted()
    new = msgspec.structs.replace(
        task,
        state="RUNNING",
        attempt=event.attempt,
        attempt_id=event.attempt_id,
        started_at=moment.at_ms,
        last_heartbeat_at=None,
        progress_pct=None,
        progress=None,
        worker_id=event.worker_id,
        retry_not_before=None,
        row_version=moment.version,
    )
    note_superseded(view, task, event.attempt, moment)
    put_task(view, task, msgspec.structs.replace(new, due_at=_due(new)))
    if not holds_slots(task):
        name_holder(view, new, moment)
    if run is not None and run.started_at is None:
        put_run(view, run, msgspec.structs.replace(run, started_at=moment.at_ms, row_version=moment.version))
    return Accepted()


def heartbeat(view: View, event: TaskHeartbeat, moment: Moment) -> Decision:
    """A worker is still at it; the outcome tells it whether to stop."""
    task = _current(view, event)
    if isinstance(task, Rejected):
        return task
    heard = moment.at_ms if event.heartbeat_at is None else instant.parse_ms(event.heartbeat_at)
    new = msgspec.structs.replace(
        task,
        last_heartbeat_at=max(heard, task.last_heartbeat_at or 0),
        progress_pct=event.progress_pct if event.progress_pct is not None else task.progress_pct,
        progress=event.message if event.message is not None else task.progress,
        row_version=moment.version,
    )
    due = _due(new)
    # The agenda may look too early but never too late: it is moved only when it lies half a time-out behind.
    if task.due_at is None or due - task.due_at > task.heartbeat_timeout_sec * 500:
        new = msgspec.structs.replace(new, due_at=due)
    put_task(view, task, new)
    run = run_of(view, event.run_id)
    return Accepted(details={CANCEL: "user_requested"}) if run is not None and run.cancel_requested else Accepted()


def finished(view: View, event: TaskFinished, moment: Moment) -> Decision:
    """An attempt is over."""
    known = task_of(view, event.run_id, event.task_key)
    if known is not None and _told_before(known, event):
        return Accepted()
    task = _current(view, event)
    if isinstance(task, Rejected):
        return task
    run = run_of(view, event.run_id)
    new = _succeeded(task, event, moment) if event.outcome == "succeeded" else _unsuccessful(task, event, moment, run)
    note_attempt(view, new, event, moment, run=run)
    if event.outcome != "succeeded":
        note_end(view, task, new, moment, outcome=_STATES.get(event.outcome, "FAILED"))
    if new.state in TERMINAL:
        end_task(view, task, new, moment)
        _count_output(view, task, new)
        if event.outcome == "succeeded" and event.output is not None and event.output.inputs:
            view.put(
                LINEAGE_DUE,
                LineageDueRow(born=new.born, task_key=new.task_key, attempt=new.attempt, run_id=new.run_id),
            )
    else:
        put_task(view, task, new)
    return Accepted()


def visibility_changed(view: View, event: TaskOutputVisibilityChanged, moment: Moment) -> Decision:
    """What a task made can be read now, or will never be: said once, and not taken back."""
    task = task_of(view, event.run_id, event.task_key)
    if task is None:
        return refusals.no_task(event.run_id, event.task_key)
    if task.attempt != event.attempt:
        return refusals.other_attempt(task, event.attempt)
    if task.attempt_id != event.attempt_id:
        return refusals.other_attempt_id(task, event.attempt_id)
    if task.state != "SUCCEEDED":
        return refusals.moot(f"task {task.task_key} is {task.state}: it has no output to be seen")
    state = event.visibility_state.upper()
    if task.output_visibility_state == state:
        return Accepted()
    if task.output_visibility_state in ("VISIBLE", "FAILED"):
        return refusals.moot(f"the output of {task.task_key} is {task.output_visibility_state} already")
    seen = OutputVisibility(
        visibility_state=event.visibility_state, published_at=event.published_at, publish_error=event.publish_error
    )
    new = msgspec.structs.replace(_seen(task, seen, moment), row_version=moment.version)
    put_task(view, task, new)
    _count_output(view, task, new)
    return Accepted()


def lineage_handed_on(view: View, event: LineageHandedOn, _moment: Moment) -> Decision:
    """Lineage knows what a task read: it need not be told again."""
    born = born_of(view, event.run_id)
    if born is not None:
        view.delete(LINEAGE_DUE, (born, event.task_key, event.attempt))
    return Accepted()


def _count_output(view: View, old: TaskRow, new: TaskRow) -> None:
    """Keep with the run how many required outputs are not to be seen yet, or never: what it is called depends on it."""
    before, after = _gate(old), _gate(new)
    run = view.get(RUNS, (new.born,))
    if before == after or run is None:
        return
    changed = {
        name: getattr(run, name) + (after == name) - (before == name) for name in ("outputs_pending", "outputs_failed")
    }
    put_run(view, run, msgspec.structs.replace(run, **changed, row_version=new.row_version))


def _gate(task: TaskRow) -> str:
    if task.state != "SUCCEEDED" or not task.requires_visible_output:
        return ""
    return {"PENDING": "outputs_pending", "FAILED": "outputs_failed"}.get(task.output_visibility_state or "", "")


def _current(view: View, event: TaskHeartbeat | TaskFinished) -> TaskRow | Rejected:
    """The task, if the event speaks for its current attempt."""
    task = task_of(view, event.run_id, event.task_key)
    if task is None:
        return refusals.no_task(event.run_id, event.task_key)
    if task.state in TERMINAL:
        return refusals.terminal(task)
    if task.attempt != event.attempt:
        return refusals.other_attempt(task, event.attempt)
    if task.attempt_id != event.attempt_id:
        return refusals.other_attempt_id(task, event.attempt_id)
    if task.state == "RETRY_WAIT":
        return refusals.completed(task, event.attempt)
    return task


def _told_before(task: TaskRow, event: TaskFinished) -> bool:
    """True for the same news of the same attempt: an answer that was lost is given again."""
    if (task.attempt, task.attempt_id) != (event.attempt, event.attempt_id):
        return False
    state = {"RETRY_WAIT": "failed"}.get(task.state, task.state.lower())
    return state == event.outcome


def _due(task: TaskRow) -> int:
    late = late_at(task)
    return silent_at(task) if late is None else min(late, silent_at(task))


def _succeeded(task: TaskRow, event: TaskFinished, moment: Moment) -> TaskRow:
    output = event.output
    new = msgspec.structs.replace(
        task,
        state="SUCCEEDED",
        completed_at=moment.at_ms,
        error_message=None,
        error=None,
        retry_not_before=None,
        asset_key=task.asset_key or event.asset_key,
        partition_key=task.partition_key or event.partition_key,
        materialization_id=event.materialization_id or (output.materialization_id if output else None),
        delta_table=output.delta_table if output else None,
        delta_version=output.delta_version if output else None,
        delta_partition=output.delta_partition if output else None,
        output=None if output is None else _json(output),
        metrics=None if event.metrics is None else _json(event.metrics),
        worker_id=event.worker_id,
        row_version=moment.version,
    )
    new = msgspec.structs.replace(new, execution_lineage_ref=_lineage_ref(new))
    if isinstance(event, TaskCompletionRecorded) and event.output_visibility is not None:
        new = _seen(new, event.output_visibility, moment)
    return new


def _unsuccessful(task: TaskRow, event: TaskFinished, moment: Moment, run: RunRow | None) -> TaskRow:
    error = event.error
    again = event.outcome == "failed" and _retryable(event) and task.attempt < task.max_attempts
    if run is not None and run.cancel_requested:
        again = False
    state = "RETRY_WAIT" if again else _STATES.get(event.outcome, "FAILED")
    return msgspec.structs.replace(
        task,
        state=state,
        completed_at=None if again else moment.at_ms,
        error_message=event.error_message or (error.message if error else None),
        error=None if error is None else _json(error),
        retry_not_before=retry_at_ms(task, moment.id_ms) if again else None,
        asset_key=task.asset_key or event.asset_key,
        partition_key=task.partition_key or event.partition_key,
        output_visibility_state=None,
        published_at=None,
        publish_error=None,
        metrics=None if event.metrics is None else _json(event.metrics),
        worker_id=event.worker_id,
        row_version=moment.version,
    )


def _retryable(event: TaskFinished) -> bool:
    error = event.error
    if error is None:
        return True
    return error.category in _RETRYABLE if error.retryable is None else error.retryable


def _seen(task: TaskRow, seen: OutputVisibility, moment: Moment) -> TaskRow:
    published = moment.at_ms if seen.published_at is None else instant.parse_ms(seen.published_at)
    return msgspec.structs.replace(
        task,
        output_visibility_state=seen.visibility_state.upper(),
        published_at=published if seen.visibility_state == "visible" else None,
        publish_error=seen.publish_error if seen.visibility_state == "failed" else None,
    )


def _lineage_ref(task: TaskRow) -> str:
    fields = {
        "runId": task.run_id,
        "taskKey": task.task_key,
        "attempt": task.attempt,
        "materializationId": task.materialization_id,
        "deltaTable": task.delta_table,
        "deltaVersion": task.delta_version,
        "deltaPartition": task.delta_partition,
    }
    return _json({name: value for name, value in fields.items() if value is not None})


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
