"""Events of orchestration as commands and controllers hand them in, each under the contract's key (2.3). Pure."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from arco.core import instant
from arco.core.canonical_json import sha256_hex
from arco.domains.orchestration import automation_events, events, fingerprints
from arco.domains.orchestration.fingerprints import ScheduleDefinition
from arco.domains.orchestration.keys import dispatch_id
from arco.domains.orchestration.rows import ORCHESTRATION
from arco.kernel.desk import EventDraft, UnitDraft
from arco.kernel.envelope import Claim


def draft(event: Any, at_ms: int | None = None) -> EventDraft:
    """An event as the desk takes it; it happens now unless a time is given."""
    return EventDraft(
        event_type=type(event).__name__,
        event_version=events.EVENT_VERSION,
        payload=event,
        key=key_of(event),
        at_ms=at_ms,
    )


def unit(*made: Any, claim: Claim | None = None, lasting: bool = False, at_ms: int | None = None) -> UnitDraft:
    """Events that are one fact, drafted already or not; a lasting one is something that has happened anyway."""
    events_ = tuple(one if isinstance(one, EventDraft) else draft(one, at_ms) for one in made)
    return UnitDraft(domain=ORCHESTRATION, events=events_, claim=claim, lasting=lasting)


def keyed(event: Any, key: str) -> EventDraft:
    """An event under a key of its own: where the contract has more than one for its type."""
    return msgspec.structs.replace(draft(event), key=key)


def key_of(event: Any) -> str | None:
    """The contract's idempotency key of an event; None for types of our own."""
    make = _KEYS.get(type(event))
    return None if make is None else make(event)


def _heartbeat(event: events.TaskHeartbeat) -> str:
    key = f"heartbeat:{_attempt(event)}:{event.attempt_id}"
    return key if event.heartbeat_at is None else f"{key}:{instant.parse_ms(event.heartbeat_at)}"


def _schedule(event: automation_events.ScheduleDefinitionUpserted) -> str:
    definition = ScheduleDefinition(
        event.cron_expression,
        event.timezone,
        event.catchup_window_minutes,
        event.max_catchup_ticks,
        event.enabled,
        event.asset_selection,
    )
    return f"sched_def:{event.schedule_id}:{fingerprints.of_schedule(definition)}"


def _evaluation(event: automation_events.SensorEvaluated) -> str:
    source = msgspec.json.decode(event.trigger_source)
    if source["source"] == "push":
        return f"sensor_eval:{event.sensor_id}:msg:{source['message_id']}"
    before = "none" if event.cursor_before is None else sha256_hex(event.cursor_before.encode())
    return f"sensor_eval:{event.sensor_id}:poll:{source['poll_epoch']}:{before}"


def _backfill(event: automation_events.BackfillCreated) -> str:
    if event.parent_backfill_id is not None:
        return f"backfill_retry:{event.parent_backfill_id}:{event.client_request_id}"
    return f"backfill_create:{event.client_request_id}"


def _visibility(event: events.TaskOutputVisibilityChanged) -> str:
    return f"output_visibility:{_attempt(event)}:{event.visibility_state}"


def _attempt(event: Any) -> str:
    return f"{event.run_id}:{event.task_key}:{event.attempt}"


def _finished(event: events.TaskFinished) -> str:
    return f"finished:{_attempt(event)}"


_KEYS: Final[dict[type[Any], Callable[[Any], str]]] = {
    events.RunTriggered: lambda event: f"run:{event.run_key or event.run_id}",
    events.PlanCreated: lambda event: f"plan:{event.run_id}",
    events.RunCancelRequested: lambda event: f"cancel_req:{event.run_id}",
    events.TaskStarted: lambda event: f"started:{_attempt(event)}",
    events.TaskHeartbeat: _heartbeat,
    events.TaskFinished: _finished,
    events.TaskCompletionRecorded: _finished,
    events.TaskOutputVisibilityChanged: _visibility,
    events.DispatchRequested: lambda event: f"dispatch_req:{event.dispatch_id}",
    events.DispatchEnqueued: lambda event: f"dispatch_ack:{event.dispatch_id}",
    events.TimerRequested: lambda event: f"timer_req:{event.timer_id}",
    events.TimerEnqueued: lambda event: f"timer_ack:{event.timer_id}",
    events.TimerFired: lambda event: f"timer_fired:{event.timer_id}",
    events.RunRequested: lambda event: f"runreq:{event.run_key}:{sha256_hex(event.request_fingerprint.encode())}",
    automation_events.ScheduleDefinitionUpserted: _schedule,
    automation_events.ScheduleTicked: lambda event: f"sched_tick:{event.tick_id}",
    automation_events.SensorEvaluated: _evaluation,
    automation_events.BackfillCreated: _backfill,
    automation_events.BackfillChunkPlanned: lambda event: f"backfill_chunk:{event.backfill_id}:{event.chunk_index}",
    automation_events.BackfillStateChanged: lambda event: (
        f"backfill_state:{event.backfill_id}:{event.state_version}:{event.to_state}"
    ),
}


def dispatched(run_id: str, task_key: str, attempt: int, *, attempt_id: str, queue: str | None) -> Any:
    """An attempt shall be sent."""
    wanted = events.DispatchRequested(
        run_id=run_id,
        task_key=task_key,
        attempt=attempt,
        attempt_id=attempt_id,
        dispatch_id=dispatch_id(run_id, task_key, attempt),
    )
    return wanted if queue is None else msgspec.structs.replace(wanted, worker_queue=queue)
