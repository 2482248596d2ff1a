"""The messages of `arco.orchestration.v1` (orchestration.md 2.3): event envelopes in protobuf, declared once.

The contract numbers the envelope and its events. Fields of the events it only lists: here they are numbered from 1 on
in the order of that list, and what arco adds from 1000 on (ADR 0024).
"""

from typing import Final

from arco.routes.wire.protos import TEXTS, TIMESTAMP, Field, ProtoFile

ENVELOPE: Final = "OrchestrationEventEnvelope"

EVENTS: Final = (
    "run_triggered",
    "plan_created",
    "run_cancel_requested",
    "task_started",
    "task_heartbeat",
    "task_finished",
    "dispatch_requested",
    "timer_requested",
    "dispatch_enqueued",
    "timer_enqueued",
    "timer_fired",
    "schedule_definition_upserted",
    "schedule_ticked",
    "sensor_evaluated",
    "run_requested",
    "backfill_created",
    "backfill_chunk_planned",
    "backfill_state_changed",
    "task_output_visibility_changed",
    "task_completion_recorded",
)
"""The events of the envelope's oneof, from number 20 on."""

_FIRST_EVENT: Final = 20

ENUMS: Final[dict[str, dict[str, int]]] = {
    "TaskOutcome": {
        "TASK_OUTCOME_UNSPECIFIED": 0,
        "TASK_OUTCOME_SUCCEEDED": 1,
        "TASK_OUTCOME_FAILED": 2,
        "TASK_OUTCOME_SKIPPED": 3,
        "TASK_OUTCOME_CANCELLED": 4,
    },
    "VisibilityState": {
        "VISIBILITY_STATE_UNSPECIFIED": 0,
        "VISIBILITY_STATE_PENDING": 1,
        "VISIBILITY_STATE_VISIBLE": 2,
        "VISIBILITY_STATE_FAILED": 3,
    },
    "TimerType": {
        "TIMER_TYPE_UNSPECIFIED": 0,
        "TIMER_TYPE_RETRY": 1,
        "TIMER_TYPE_HEARTBEAT_CHECK": 2,
        "TIMER_TYPE_CRON": 3,
        "TIMER_TYPE_SLA_CHECK": 4,
    },
    "ErrorCategory": {
        "ERROR_CATEGORY_UNSPECIFIED": 0,
        "ERROR_CATEGORY_USER_CODE": 1,
        "ERROR_CATEGORY_DATA_QUALITY": 2,
        "ERROR_CATEGORY_INFRASTRUCTURE": 3,
        "ERROR_CATEGORY_CONFIGURATION": 4,
        "ERROR_CATEGORY_TIMEOUT": 5,
        "ERROR_CATEGORY_CANCELLED": 6,
    },
    "BackfillState": {
        "BACKFILL_STATE_UNSPECIFIED": 0,
        "BACKFILL_STATE_PENDING": 1,
        "BACKFILL_STATE_RUNNING": 2,
        "BACKFILL_STATE_PAUSED": 3,
        "BACKFILL_STATE_SUCCEEDED": 4,
        "BACKFILL_STATE_FAILED": 5,
        "BACKFILL_STATE_CANCELLED": 6,
    },
}


def _numbered(*fields: tuple[str, str]) -> tuple[Field, ...]:
    """Fields in the contract's order, numbered from 1 on."""
    return tuple((name, number, kind) for number, (name, kind) in enumerate(fields, 1))


def _one_of(group: str, *fields: tuple[str, str]) -> tuple[Field, ...]:
    return _numbered(*((name, f"{kind}|{group}") for name, kind in fields))


_TEXT: Final = "string"
_ATTEMPT: Final = (("run_id", _TEXT), ("task_key", _TEXT), ("attempt", "uint32"), ("attempt_id", _TEXT))
_OF_TASK: Final = (("run_id", "string?"), ("task_key", "string?"), ("attempt", "uint32?"))
_FINISHED: Final = (
    *_ATTEMPT,
    ("worker_id", _TEXT),
    ("outcome", "TaskOutcome"),
    ("materialization_id", "string?"),
    ("error_message", "string?"),
    ("output", "TaskOutput"),
    ("error", "TaskError"),
    ("metrics", "TaskMetrics"),
    ("cancelled_during_phase", "string?"),
    ("partial_progress_json", "string?"),
    ("asset_key", "string?"),
    ("partition_key", "PartitionKey"),
    ("code_version", "string?"),
)

_VALUES: Final[dict[str, tuple[Field, ...]]] = {
    "PartitionDimension": (
        ("name", 1, _TEXT),
        ("string_value", 2, "string|value"),
        ("int_value", 3, "int64|value"),
        ("bool_value", 4, "bool|value"),
        ("date_value", 5, "string|value"),
        ("timestamp_value", 6, f"{TIMESTAMP}|value"),
        ("null_value", 7, "bool|value"),
    ),
    "PartitionKey": _numbered(("dimensions", "PartitionDimension*")),
    "TaskDef": (
        *_numbered(
            ("key", _TEXT),
            ("depends_on", "string*"),
            ("asset_key", "string?"),
            ("partition_key", "PartitionKey"),
            ("max_attempts", "uint32?"),
            ("heartbeat_timeout_sec", "uint32?"),
            ("requires_visible_output", "bool?"),
        ),
        ("worker_queue", 1000, "string?"),
        ("priority", 1001, "int32?"),
        ("timeout_sec", 1002, "uint32?"),
        ("retry_delay_sec", 1003, "uint32?"),
        ("concurrency_key", 1004, "string?"),
        ("planned_as", 1005, "string?"),
        ("planned_for", 1006, "string?"),
    ),
    "CronTrigger": _numbered(("schedule_id", _TEXT)),
    "ManualTrigger": _numbered(("user_id", _TEXT)),
    "MaterializationTrigger": _numbered(("upstream_materialization_id", _TEXT)),
    "WebhookTrigger": _numbered(("webhook_id", _TEXT)),
    "SensorTrigger": _numbered(("sensor_id", _TEXT), ("cursor", _TEXT)),
    "Trigger": _one_of(
        "type",
        ("cron", "CronTrigger"),
        ("manual", "ManualTrigger"),
        ("materialization", "MaterializationTrigger"),
        ("webhook", "WebhookTrigger"),
        ("sensor", "SensorTrigger"),
    ),
    "ScheduleSource": _numbered(("schedule_id", _TEXT), ("tick_id", _TEXT)),
    "SensorSource": _numbered(("sensor_id", _TEXT), ("eval_id", _TEXT)),
    "BackfillSource": _numbered(("backfill_id", _TEXT), ("chunk_id", _TEXT)),
    "ManualSource": _numbered(("user_id", _TEXT), ("request_id", _TEXT)),
    "TriggerSourceRef": _one_of(
        "type",
        ("schedule", "ScheduleSource"),
        ("sensor", "SensorSource"),
        ("backfill", "BackfillSource"),
        ("manual", "ManualSource"),
    ),
    "TickTriggered": (),
    "TickSkipped": _numbered(("reason", _TEXT)),
    "TickFailed": _numbered(("error", _TEXT)),
    "TickStatus": _one_of(
        "status", ("triggered", "TickTriggered"), ("skipped", "TickSkipped"), ("failed", "TickFailed")
    ),
    "PushSource": _numbered(("message_id", _TEXT)),
    "PollSource": _numbered(("poll_epoch", "int64")),
    "TriggerSource": _one_of("source", ("push", "PushSource"), ("poll", "PollSource")),
    "SensorTriggered": (),
    "SensorNoNewData": (),
    "SensorError": _numbered(("message", _TEXT)),
    "SensorSkippedStaleCursor": (),
    "SensorEvalStatus": _one_of(
        "status",
        ("triggered", "SensorTriggered"),
        ("no_new_data", "SensorNoNewData"),
        ("error", "SensorError"),
        ("skipped_stale_cursor", "SensorSkippedStaleCursor"),
    ),
    "RunRequest": _numbered(
        ("run_key", _TEXT),
        ("request_fingerprint", _TEXT),
        ("asset_selection", "string*"),
        ("partition_selection", "PartitionKey*"),
        ("code_version", "string?"),
    ),
    "PartitionRange": _numbered(("start", _TEXT), ("end", _TEXT)),
    "PartitionList": _numbered(("partition_keys", "PartitionKey*")),
    "PartitionFilter": _numbered(("filters", TEXTS)),
    "PartitionSelector": _one_of(
        "type", ("range", "PartitionRange"), ("explicit", "PartitionList"), ("filter", "PartitionFilter")
    ),
    "TaskOutput": _numbered(
        ("materialization_id", "string?"),
        ("row_count", "int64?"),
        ("byte_size", "int64?"),
        ("output_path", "string?"),
        ("delta_table", "string?"),
        ("delta_version", "int64?"),
        ("delta_partition", "PartitionKey"),
    ),
    "TaskError": _numbered(
        ("category", "ErrorCategory"), ("message", _TEXT), ("stack_trace", "string?"), ("retryable", "bool?")
    ),
    "TaskMetrics": _numbered(
        ("cpu_time_ms", "int64?"),
        ("peak_memory_bytes", "int64?"),
        ("io_read_bytes", "int64?"),
        ("io_write_bytes", "int64?"),
    ),
    "OutputVisibility": _numbered(
        ("visibility_state", "VisibilityState"), ("published_at", f"{TIMESTAMP}"), ("publish_error", "string?")
    ),
}

_EVENTS: Final[dict[str, tuple[Field, ...]]] = {
    "RunTriggered": (
        *_numbered(
            ("run_id", _TEXT),
            ("plan_id", _TEXT),
            ("trigger", "Trigger"),
            ("root_assets", "string*"),
            ("run_key", "string?"),
            ("labels", TEXTS),
            ("code_version", "string?"),
        ),
        ("request_fingerprint", 1000, "string?"),
        ("timeout_sec", 1001, "uint32?"),
    ),
    "PlanCreated": _numbered(("run_id", _TEXT), ("plan_id", _TEXT), ("tasks", "TaskDef*")),
    "RunCancelRequested": _numbered(("run_id", _TEXT), ("reason", "string?"), ("requested_by", _TEXT)),
    "TaskStarted": _numbered(*_ATTEMPT, ("worker_id", _TEXT)),
    "TaskHeartbeat": _numbered(
        *_ATTEMPT,
        ("worker_id", _TEXT),
        ("heartbeat_at", TIMESTAMP),
        ("progress_pct", "uint32?"),
        ("message", "string?"),
    ),
    "TaskFinished": _numbered(*_FINISHED),
    "DispatchRequested": _numbered(*_ATTEMPT, ("worker_queue", "string?"), ("dispatch_id", _TEXT)),
    "TimerRequested": _numbered(("timer_id", _TEXT), ("timer_type", "TimerType"), *_OF_TASK, ("fire_at", TIMESTAMP)),
    "DispatchEnqueued": _numbered(("dispatch_id", _TEXT), *_OF_TASK, ("cloud_task_id", _TEXT)),
    "TimerEnqueued": _numbered(("timer_id", _TEXT), *_OF_TASK, ("cloud_task_id", _TEXT)),
    "TimerFired": _numbered(("timer_id", _TEXT), ("timer_type", "TimerType"), *_OF_TASK),
    "ScheduleDefinitionUpserted": _numbered(
        ("schedule_id", _TEXT),
        ("cron_expression", _TEXT),
        ("timezone", _TEXT),
        ("catchup_window_minutes", "uint32"),
        ("asset_selection", "string*"),
        ("code_version", "string?"),
        ("max_catchup_ticks", "uint32"),
        ("enabled", "bool"),
    ),
    "ScheduleTicked": _numbered(
        ("schedule_id", _TEXT),
        ("scheduled_for", TIMESTAMP),
        ("tick_id", _TEXT),
        ("definition_version", _TEXT),
        ("asset_selection", "string*"),
        ("partition_selection", "PartitionKey*"),
        ("status", "TickStatus"),
        ("run_key", "string?"),
        ("request_fingerprint", "string?"),
    ),
    "SensorEvaluated": _numbered(
        ("sensor_id", _TEXT),
        ("eval_id", _TEXT),
        ("cursor_before", "string?"),
        ("cursor_after", "string?"),
        ("expected_state_version", "uint32?"),
        ("trigger_source", "TriggerSource"),
        ("run_requests", "RunRequest*"),
        ("status", "SensorEvalStatus"),
    ),
    "RunRequested": _numbered(
        ("run_key", _TEXT),
        ("request_fingerprint", _TEXT),
        ("asset_selection", "string*"),
        ("partition_selection", "PartitionKey*"),
        ("trigger_source_ref", "TriggerSourceRef"),
        ("labels", TEXTS),
        ("code_version", "string?"),
    ),
    "BackfillCreated": _numbered(
        ("backfill_id", _TEXT),
        ("client_request_id", _TEXT),
        ("asset_selection", "string*"),
        ("code_version", "string?"),
        ("partition_selector", "PartitionSelector"),
        ("total_partitions", "uint32"),
        ("chunk_size", "uint32"),
        ("max_concurrent_runs", "uint32"),
        ("parent_backfill_id", "string?"),
    ),
    "BackfillChunkPlanned": _numbered(
        ("backfill_id", _TEXT),
        ("chunk_id", _TEXT),
        ("chunk_index", "uint32"),
        ("partition_keys", "PartitionKey*"),
        ("run_key", _TEXT),
        ("request_fingerprint", _TEXT),
    ),
    "BackfillStateChanged": _numbered(
        ("backfill_id", _TEXT),
        ("from_state", "BackfillState"),
        ("to_state", "BackfillState"),
        ("state_version", "uint32"),
        ("changed_by", "string?"),
    ),
    "TaskOutputVisibilityChanged": _numbered(
        *_ATTEMPT, ("visibility_state", "VisibilityState"), ("published_at", TIMESTAMP), ("publish_error", "string?")
    ),
    "TaskCompletionRecorded": _numbered(*_FINISHED, ("output_visibility", "OutputVisibility")),
}

MESSAGES: Final[dict[str, tuple[Field, ...]]] = {
    **_VALUES,
    **_EVENTS,
    ENVELOPE: (
        ("event_id", 1, _TEXT),
        ("event_version", 2, "uint32"),
        ("timestamp", 3, TIMESTAMP),
        ("source", 4, _TEXT),
        ("idempotency_key", 5, _TEXT),
        ("correlation_id", 6, "string?"),
        ("causation_id", 7, "string?"),
        *(
            (name, number, "".join(part.capitalize() for part in name.split("_")) + "|event")
            for number, name in enumerate(EVENTS, _FIRST_EVENT)
        ),
    ),
}

ORCHESTRATION_FILE: Final = ProtoFile(
    package="arco.orchestration.v1",
    path="arco/orchestration/v1/events.proto",
    enums=ENUMS,
    messages=MESSAGES,
)

ENVELOPE_SCHEMA: Final = {
    "type": "object",
    "title": ENVELOPE,
    "description": "An event's envelope as the ledger of runs has it; in JSON partition keys are canonical texts.",
    "properties": {
        "event_id": {"type": "string", "description": "A ULID, ascending within the batch; the ledger has its own."},
        "event_type": {"type": "string", "examples": ["RunTriggered", "PlanCreated"]},
        "event_version": {"type": "integer", "enum": [1]},
        "timestamp": {"type": "string", "format": "date-time"},
        "source": {"type": "string", "examples": ["arco-flow/{tenant}/{workspace}"]},
        "tenant_id": {"type": "string"},
        "workspace_id": {"type": "string"},
        "idempotency_key": {"type": "string"},
        "correlation_id": {"type": "string"},
        "causation_id": {"type": "string"},
        "data": {
            "type": "object",
            "description": "The event, tagged by `type`, for instance `run_triggered`.",
            "properties": {"type": {"type": "string", "enum": list(EVENTS)}},
            "required": ["type"],
        },
    },
    "required": ["data"],
}
"""An envelope in JSON (orchestration.md 2.1), for the OpenAPI document."""
