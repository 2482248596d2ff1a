"""Every event lies in the ledger under the contract's idempotency key (orchestration.md 2.3)."""

from typing import Any

import msgspec
import pytest

from arco.core.canonical_json import sha256_hex
from arco.domains.orchestration import automation_events, events
from arco.domains.orchestration.drafts import draft, keyed, unit

ATTEMPT: dict[str, Any] = {"run_id": "R", "task_key": "a.b", "attempt": 2, "attempt_id": "att_x"}
SPOKEN = {**ATTEMPT, "worker_id": "w"}
TICK: dict[str, Any] = {
    "schedule_id": "s",
    "scheduled_for": "2025-01-15T10:00:00Z",
    "tick_id": "s:1736935200",
    "definition_version": "1",
}
BACKFILL: dict[str, Any] = {
    "asset_selection": ["a.b"],
    "total_partitions": 2,
    "chunk_size": 1,
    "max_concurrent_runs": 2,
}
RAW = msgspec.Raw(b"{}")
EVAL: dict[str, Any] = {"sensor_id": "n", "eval_id": "e", "status": RAW}
PUSH = msgspec.Raw(b'{"source":"push","message_id":"m"}')
POLL = msgspec.Raw(b'{"source":"poll","poll_epoch":7}')
DEFINITION: dict[str, Any] = {
    "cron_expression": "0 10 * * *",
    "timezone": "UTC",
    "catchup_window_minutes": 0,
    "max_catchup_ticks": 1,
}
DEFINED = automation_events.ScheduleDefinitionUpserted(
    schedule_id="s", **DEFINITION, enabled=True, asset_selection=["a.b"]
)
CHANGED: dict[str, Any] = {"backfill_id": "B", "from_state": "RUNNING", "to_state": "PAUSED", "state_version": 2}
CHUNK: dict[str, Any] = {"backfill_id": "B", "chunk_id": "B:3", "chunk_index": 3, "partition_keys": [], "run_key": "k"}

KEYS: list[tuple[Any, str]] = [
    (events.RunTriggered(run_id="R", plan_id="P"), "run:R"),
    (events.RunTriggered(run_id="R", plan_id="P", run_key="daily"), "run:daily"),
    (events.PlanCreated(run_id="R", plan_id="P", tasks=[]), "plan:R"),
    (events.RunCancelRequested(run_id="R", requested_by="u"), "cancel_req:R"),
    (events.TaskStarted(**SPOKEN), "started:R:a.b:2"),
    (events.TaskHeartbeat(**SPOKEN), "heartbeat:R:a.b:2:att_x"),
    (
        events.TaskHeartbeat(**SPOKEN, heartbeat_at="2025-01-15T10:00:00.250Z"),
        "heartbeat:R:a.b:2:att_x:1736935200250",
    ),
    (events.TaskFinished(**SPOKEN, outcome="failed"), "finished:R:a.b:2"),
    (events.TaskCompletionRecorded(**SPOKEN, outcome="succeeded"), "finished:R:a.b:2"),
    (
        events.TaskOutputVisibilityChanged(**ATTEMPT, visibility_state="visible"),
        "output_visibility:R:a.b:2:visible",
    ),
    (events.DispatchRequested(**ATTEMPT, dispatch_id="dispatch:R:a.b:2"), "dispatch_req:dispatch:R:a.b:2"),
    (events.DispatchEnqueued(dispatch_id="dispatch:R:a.b:2", cloud_task_id="d_1"), "dispatch_ack:dispatch:R:a.b:2"),
    (events.TimerRequested(timer_id="timer:cron:s:1", timer_type="cron", fire_at="x"), "timer_req:timer:cron:s:1"),
    (events.TimerEnqueued(timer_id="timer:cron:s:1", cloud_task_id="t_1"), "timer_ack:timer:cron:s:1"),
    (events.TimerFired(timer_id="timer:cron:s:1"), "timer_fired:timer:cron:s:1"),
    (DEFINED, f"sched_def:s:{sha256_hex(b'0 10 * * *|UTC|0|1|true|a.b')}"),
    (automation_events.ScheduleTicked(**TICK, status=RAW), "sched_tick:s:1736935200"),
    (automation_events.SensorEvaluated(**EVAL, trigger_source=PUSH), "sensor_eval:n:msg:m"),
    (automation_events.SensorEvaluated(**EVAL, trigger_source=POLL), "sensor_eval:n:poll:7:none"),
    (
        automation_events.SensorEvaluated(**EVAL, trigger_source=POLL, cursor_before="c"),
        f"sensor_eval:n:poll:7:{sha256_hex(b'c')}",
    ),
    (events.RunRequested(run_key="k", request_fingerprint="f"), f"runreq:k:{sha256_hex(b'f')}"),
    (
        automation_events.BackfillCreated(backfill_id="B", client_request_id="c", partition_selector=RAW, **BACKFILL),
        "backfill_create:c",
    ),
    (
        automation_events.BackfillCreated(
            backfill_id="C", client_request_id="again", partition_selector=RAW, parent_backfill_id="B", **BACKFILL
        ),
        "backfill_retry:B:again",
    ),
    (automation_events.BackfillChunkPlanned(**CHUNK, request_fingerprint="f"), "backfill_chunk:B:3"),
    (automation_events.BackfillStateChanged(**CHANGED), "backfill_state:B:2:PAUSED"),
]
OURS = {
    "ConcurrencyLimitSet",
    "WorkspacePauseChanged",
    "TaskRetryRequested",
    "LineageHandedOn",
    "RunKeyBackfilled",
    "DefinitionsDeployed",
}


@pytest.mark.parametrize(("event", "key"), KEYS, ids=[key for _, key in KEYS])
def test_an_event_has_the_contracts_key(event: Any, key: str) -> None:
    assert draft(event).key == key


def test_every_type_of_the_contract_has_a_key() -> None:
    assert {type(event).__name__ for event, _ in KEYS} == events.EVENT_TYPES - OURS


def test_what_a_deployment_defines_is_under_its_own_key() -> None:
    (drafted,) = unit(keyed(DEFINED, "sched_def_manifest:M:s")).events
    assert (drafted.key, drafted.event_type, drafted.payload) == (
        "sched_def_manifest:M:s",
        "ScheduleDefinitionUpserted",
        DEFINED,
    )
