"""Timers of the contract (orchestration.md 4.4, 8.3): kept for whoever uses them, and nothing depends on them. Pure.

What must happen later has its place in the agenda; a timer that is lost or fires twice changes nothing of a run but
the moment of a retry, which it may bring forward or put off.
"""

import msgspec

from arco.core import instant
from arco.domains.orchestration.events import TimerEnqueued, TimerFired, TimerRequested
from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.fold.board import Moment, put_task, task_of
from arco.domains.orchestration.keys import parse_timer_id
from arco.domains.orchestration.rows import TIMERS, TimerRow
from arco.kernel.fold import Accepted, Decision, View

SCHEDULED = "SCHEDULED"
FIRED = "FIRED"


def requested(view: View, event: TimerRequested, moment: Moment) -> Decision:
    """Something shall happen later."""
    fire_at = instant.parse_ms(event.fire_at)
    row = _row(view, event, moment)
    if row is None:
        row = _made(event, moment, timer_type=event.timer_type.upper(), fire_at=fire_at)
    view.put(
        TIMERS,
        msgspec.structs.replace(row, timer_type=event.timer_type.upper(), fire_at=fire_at, row_version=moment.version),
    )
    if event.timer_type == "retry" and event.run_id is not None and event.task_key is not None:
        task = task_of(view, event.run_id, event.task_key)
        if task is not None and task.state == "RETRY_WAIT" and task.attempt == event.attempt:
            put_task(view, task, msgspec.structs.replace(task, retry_not_before=fire_at, row_version=moment.version))
    return Accepted()


def enqueued(view: View, event: TimerEnqueued, moment: Moment) -> Decision:
    """The queue has taken a timer."""
    row = _row(view, event, moment)
    if row is None:
        return refusals.moot(f"{event.timer_id} is no timer")
    view.put(TIMERS, msgspec.structs.replace(row, cloud_task_id=event.cloud_task_id, row_version=moment.version))
    return Accepted()


def fired(view: View, event: TimerFired, moment: Moment) -> Decision:
    """It is time."""
    row = _row(view, event, moment)
    if row is None:
        return refusals.moot(f"{event.timer_id} is no timer")
    if row.state != FIRED:
        view.put(TIMERS, msgspec.structs.replace(row, state=FIRED, row_version=moment.version))
    return Accepted()


def _row(view: View, event: TimerRequested | TimerEnqueued | TimerFired, moment: Moment) -> TimerRow | None:
    """The timer, or what its id says of it when nobody has asked for it yet."""
    found = view.get(TIMERS, (event.timer_id,))
    if found is not None:
        return found
    parsed = parse_timer_id(event.timer_id)
    if parsed is None:
        return None
    return _made(event, moment, timer_type=parsed.timer_type, fire_at=parsed.fire_epoch * 1000)


def _made(
    event: TimerRequested | TimerEnqueued | TimerFired, moment: Moment, *, timer_type: str, fire_at: int
) -> TimerRow:
    return TimerRow(
        timer_id=event.timer_id,
        timer_type=timer_type,
        run_id=event.run_id,
        task_key=event.task_key,
        attempt=event.attempt,
        fire_at=fire_at,
        state=SCHEDULED,
        row_version=moment.version,
    )
