"""How attempts get to workers: wanted, in the queue, until a worker speaks (orchestration.md 4.2, 4.4). Pure."""

import msgspec

from arco.domains.orchestration.agenda import TERMINAL
from arco.domains.orchestration.events import DispatchEnqueued, DispatchRequested
from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.fold.board import Moment, put_task, run_of, task_of
from arco.domains.orchestration.fold.settings import bar_to_dispatch
from arco.domains.orchestration.fold.tries import name_holder, note_superseded
from arco.domains.orchestration.keys import DEFAULT_QUEUE, dispatch_id, parse_dispatch_id
from arco.domains.orchestration.rows import OUTBOX, OutboxRow, TaskRow
from arco.kernel.fold import Accepted, Decision, View

PENDING = "PENDING"
CREATED = "CREATED"


def requested(view: View, event: DispatchRequested, moment: Moment) -> Decision:
    """An attempt shall be sent."""
    if event.dispatch_id != dispatch_id(event.run_id, event.task_key, event.attempt):
        return refusals.moot(f"{event.dispatch_id} names another attempt")
    task = task_of(view, event.run_id, event.task_key)
    if task is None:
        return refusals.no_task(event.run_id, event.task_key)
    outbox = view.get(OUTBOX, (event.run_id, event.task_key, event.attempt))
    if _consumed(task, event.attempt):
        return refusals.moot(f"attempt {event.attempt} of {event.task_key} needs no dispatch: it is {task.state}")
    run = run_of(view, event.run_id)
    if run is not None and run.cancel_requested:
        return refusals.moot(f"run {event.run_id} is being cancelled")
    if event.attempt > task.max_attempts:
        return refusals.moot(f"{event.task_key} has {task.max_attempts} attempts, {event.attempt} was asked for")
    if task.state == "BLOCKED":
        return refusals.moot(f"{event.task_key} waits for other tasks")
    if (barred := bar_to_dispatch(view, task)) is not None:
        return barred
    attempt_id = (outbox.attempt_id if outbox is not None else "") or event.attempt_id
    view.put(OUTBOX, _wanted(outbox, event, attempt_id, moment))
    new = msgspec.structs.replace(
        task,
        state="DISPATCHED",
        attempt=event.attempt,
        attempt_id=attempt_id,
        retry_not_before=None,
        due_at=moment.at_ms,
        row_version=moment.version,
    )
    note_superseded(view, task, event.attempt, moment)
    put_task(view, task, new)
    name_holder(view, new, moment)
    return Accepted()


def enqueued(view: View, event: DispatchEnqueued, moment: Moment) -> Decision:
    """The queue has taken an attempt."""
    parsed = parse_dispatch_id(event.dispatch_id)
    if parsed is None and None in (event.run_id, event.task_key, event.attempt):
        return refusals.moot(f"{event.dispatch_id} names no attempt")
    run_id, task_key, attempt = parsed or (event.run_id or "", event.task_key or "", event.attempt or 0)
    task = task_of(view, run_id, task_key)
    if task is None or _consumed(task, attempt):
        return Accepted()
    outbox = view.get(OUTBOX, (run_id, task_key, attempt))
    if outbox is not None and outbox.row_version >= moment.version:
        return Accepted()
    row = outbox or OutboxRow(
        run_id=run_id,
        task_key=task_key,
        attempt=attempt,
        dispatch_id=event.dispatch_id,
        status=CREATED,
        attempt_id="",
        worker_queue=DEFAULT_QUEUE,
        created_at=moment.at_ms,
        row_version=moment.version,
    )
    view.put(
        OUTBOX,
        msgspec.structs.replace(
            row,
            status=CREATED,
            cloud_task_id=event.cloud_task_id,
            created_at=moment.at_ms,
            row_version=moment.version,
        ),
    )
    if task.state == "DISPATCHED":
        put_task(view, task, msgspec.structs.replace(task, due_at=moment.at_ms, row_version=moment.version))
    return Accepted()


def _consumed(task: TaskRow, attempt: int) -> bool:
    """True when the attempt has begun, or is over, or another one has taken its place (4.4)."""
    if task.state in TERMINAL or task.attempt > attempt:
        return True
    return task.attempt == attempt and task.state in ("RUNNING", "RETRY_WAIT")


def _wanted(outbox: OutboxRow | None, event: DispatchRequested, attempt_id: str, moment: Moment) -> OutboxRow:
    if outbox is None:
        return OutboxRow(
            run_id=event.run_id,
            task_key=event.task_key,
            attempt=event.attempt,
            dispatch_id=event.dispatch_id,
            status=PENDING,
            attempt_id=attempt_id,
            worker_queue=event.worker_queue,
            created_at=moment.at_ms,
            row_version=moment.version,
        )
    queue = event.worker_queue if outbox.worker_queue == DEFAULT_QUEUE else outbox.worker_queue
    return msgspec.structs.replace(outbox, attempt_id=attempt_id, worker_queue=queue, row_version=moment.version)
