"""Events of orchestration as commands and controllers hand them in, each under the contract's key (2.3). Pure."""

from typing import Any

import msgspec

from arco.domains.orchestration import events
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
        key=_key(event),
        at_ms=at_ms,
    )


def unit(*made: Any, claim: Claim | None = None, lasting: bool = False, at_ms: int | None = None) -> UnitDraft:
    """Events that are one fact; a lasting one is something that has happened anyway."""
    events_ = tuple(draft(one, at_ms) for one in made)
    return UnitDraft(domain=ORCHESTRATION, events=events_, claim=claim, lasting=lasting)


def _key(event: Any) -> str | None:
    match event:
        case events.RunTriggered():
            return f"run:{event.run_key or event.run_id}"
        case events.PlanCreated():
            return f"plan:{event.run_id}"
        case events.RunCancelRequested():
            return f"cancel_req:{event.run_id}"
        case events.TaskStarted():
            return f"started:{_attempt(event)}"
        case events.TaskFinished():
            return f"finished:{_attempt(event)}"
        case events.TaskHeartbeat():
            return f"heartbeat:{_attempt(event)}:{event.attempt_id}:{event.heartbeat_at}"
        case events.TaskOutputVisibilityChanged():
            return f"output_visibility:{_attempt(event)}:{event.visibility_state}"
        case events.DispatchRequested():
            return f"dispatch_req:{event.dispatch_id}"
        case events.DispatchEnqueued():
            return f"dispatch_ack:{event.dispatch_id}"
    return None


def _attempt(event: Any) -> str:
    return f"{event.run_id}:{event.task_key}:{event.attempt}"


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
