"""The contract's idempotency key of an event (orchestration.md 2.3), for those who bring one. Pure.

What de-duplicates is the fold; a key that says something else than its event would mislead who reads the ledger.
"""

import json
from typing import Any

import msgspec

from arco.core import instant
from arco.core.canonical_json import sha256_hex
from arco.domains.orchestration import automation_events as automation
from arco.domains.orchestration import events, fingerprints
from arco.domains.orchestration.fingerprints import ScheduleDefinition


class Key(msgspec.Struct, frozen=True):
    """The event's key, and beginnings of keys that its emitters give it besides."""

    text: str
    prefixes: tuple[str, ...] = ()

    def fits(self, given: str) -> bool:
        """Whether an event may bring this key."""
        return given == self.text or any(given.startswith(prefix) and given != prefix for prefix in self.prefixes)


def key_of(event: Any) -> Key:
    """The key of an event that people or roles may commit."""
    match event:
        case events.RunTriggered():
            return Key(f"run:{event.run_key or event.run_id}")
        case events.PlanCreated():
            return Key(f"plan:{event.run_id}")
        case events.RunCancelRequested():
            return Key(f"cancel_req:{event.run_id}")
        case events.RunRequested():
            return Key(f"runreq:{event.run_key}:{_hash(event.request_fingerprint)}")
        case events.DispatchRequested():
            return Key(f"dispatch_req:{event.dispatch_id}")
        case events.DispatchEnqueued():
            return Key(f"dispatch_ack:{event.dispatch_id}")
        case events.TimerRequested():
            return Key(f"timer_req:{event.timer_id}")
        case events.TimerEnqueued():
            return Key(f"timer_ack:{event.timer_id}")
        case events.TimerFired():
            return Key(f"timer_fired:{event.timer_id}")
    return _of_attempt(event) or _of_automation(event)


def _of_attempt(event: Any) -> Key | None:
    attempt = f"{getattr(event, 'run_id', '')}:{getattr(event, 'task_key', '')}:{getattr(event, 'attempt', '')}"
    match event:
        case events.TaskStarted():
            return Key(f"started:{attempt}")
        case events.TaskHeartbeat():
            at = "" if event.heartbeat_at is None else f":{instant.parse_ms(event.heartbeat_at)}"
            return Key(f"heartbeat:{attempt}:{event.attempt_id}{at}")
        case events.TaskFinished():
            return Key(f"finished:{attempt}")
        case events.TaskOutputVisibilityChanged():
            return Key(f"output_visibility:{attempt}:{event.visibility_state}")
    return None


def _of_automation(event: Any) -> Key:
    match event:
        case automation.ScheduleDefinitionUpserted():
            emitted = ("sched_def_api", "sched_enable", "sched_disable")
            prefixes = tuple(f"{kind}:{event.schedule_id}:" for kind in emitted)
            return Key(f"sched_def:{event.schedule_id}:{_fingerprint(event)}", (*prefixes, "sched_def_manifest:"))
        case automation.ScheduleTicked():
            return Key(f"sched_tick:{event.tick_id}")
        case automation.SensorEvaluated():
            return Key(f"sensor_eval:{event.sensor_id}:{_look(event)}")
        case automation.BackfillCreated():
            again = () if event.parent_backfill_id is None else (f"backfill_retry:{event.parent_backfill_id}:",)
            return Key(f"backfill_create:{event.client_request_id}", again)
        case automation.BackfillChunkPlanned():
            return Key(f"backfill_chunk:{event.backfill_id}:{event.chunk_index}")
        case automation.BackfillStateChanged():
            return Key(f"backfill_state:{event.backfill_id}:{event.state_version}:{event.to_state}")
    raise TypeError(f"{type(event).__name__} has no key")


def _fingerprint(event: automation.ScheduleDefinitionUpserted) -> str:
    return fingerprints.of_schedule(
        ScheduleDefinition(
            cron=event.cron_expression,
            timezone=event.timezone,
            catchup_window_minutes=event.catchup_window_minutes,
            max_catchup_ticks=event.max_catchup_ticks,
            enabled=event.enabled,
            assets=event.asset_selection,
        )
    )


def _look(event: automation.SensorEvaluated) -> str:
    source = json.loads(bytes(event.trigger_source))
    if source.get("source") == "push":
        return f"msg:{source.get('message_id')}"
    before = "none" if event.cursor_before is None else _hash(event.cursor_before)
    return f"poll:{source.get('poll_epoch')}:{before}"


def _hash(text: str) -> str:
    return sha256_hex(text.encode())
