"""Orchestration's events: the contract's types, tags and payloads (orchestration.md 2.3). Pure.

The envelope's `payload` is the contract's `data`: an object that its `type` tags. Unknown fields are ignored, and an
unknown type waits for a build that knows it.
"""

from typing import Any, Final, Literal

import msgspec

from arco.domains.orchestration.automation_events import AUTOMATION_EVENTS
from arco.domains.orchestration.numbers import AttemptNumber, Count, Priority, Size
from arco.kernel.envelope import Envelope
from arco.kernel.fold import InvalidEvent, UnsupportedEvent

EVENT_VERSION: Final = 1

Outcome = Literal["succeeded", "failed", "skipped", "cancelled"]
Visibility = Literal["pending", "visible", "failed"]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """An event's `data`."""


class TaskDef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task of a plan. Beyond the contract: what its execution settings ask for, and why it is there.

    `planned_as` is `root`, `upstream` or `downstream` of `planned_for`, or `unsucceeded`: in the run that this one
    does again.
    """

    key: str
    depends_on: list[str] = []
    asset_key: str | None = None
    partition_key: str | None = None
    max_attempts: AttemptNumber = 3
    heartbeat_timeout_sec: Count = 300
    requires_visible_output: bool = False
    worker_queue: str | None = None
    priority: Priority | None = None
    timeout_sec: Count | None = None
    retry_delay_sec: Count | None = None
    concurrency_key: str | None = None
    planned_as: str | None = None
    planned_for: str | None = None


class RunTriggered(_Event, tag="run_triggered", frozen=True, kw_only=True):
    """Somebody, or something, asked for a run."""

    run_id: str
    plan_id: str
    trigger: msgspec.Raw = msgspec.Raw(b"null")
    root_assets: list[str] = []
    run_key: str | None = None
    labels: dict[str, str] = {}
    code_version: str | None = None
    request_fingerprint: str | None = None
    timeout_sec: Count | None = None


class PlanCreated(_Event, tag="plan_created", frozen=True, kw_only=True):
    """What a run consists of."""

    run_id: str
    plan_id: str
    tasks: list[TaskDef]


class RunCancelRequested(_Event, tag="run_cancel_requested", frozen=True, kw_only=True):
    """Somebody wants a run to end."""

    run_id: str
    reason: str | None = None
    requested_by: str


class _OfAttempt(_Event, frozen=True, kw_only=True):
    run_id: str
    task_key: str
    attempt: AttemptNumber
    attempt_id: str


class TaskStarted(_OfAttempt, tag="task_started", frozen=True, kw_only=True):
    """A worker has begun."""

    worker_id: str


class TaskHeartbeat(_OfAttempt, tag="task_heartbeat", frozen=True, kw_only=True):
    """A worker is still at it."""

    worker_id: str
    heartbeat_at: str | None = None
    progress_pct: Count | None = None
    message: str | None = None


class TaskOutput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a task made, as its worker tells (orchestration.md 7.4).

    From `inputs` on ours: what was really read (`assetKey`, `version`, `partitions`, ...), which columns were handed on
    untouched, what checks found, the table's columns, and what the function reported.
    """

    materialization_id: str | None = None
    row_count: Size | None = None
    byte_size: Size | None = None
    output_path: str | None = None
    delta_table: str | None = None
    delta_version: Size | None = None
    delta_partition: str | None = None
    inputs: list[dict[str, Any]] = []
    column_lineage: dict[str, list[str]] = {}
    checks: list[dict[str, Any]] = []
    schema: Any = None
    metadata: dict[str, Any] = {}


class TaskError(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why a task failed. `category`: `USER_CODE DATA_QUALITY INFRASTRUCTURE CONFIGURATION TIMEOUT CANCELLED`."""

    category: str
    message: str = ""
    stack_trace: str | None = None
    retryable: bool | None = None


class OutputVisibility(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether what a task made can be read."""

    visibility_state: Visibility
    published_at: str | None = None
    publish_error: str | None = None


class TaskFinished(_OfAttempt, tag="task_finished", frozen=True, kw_only=True):
    """An attempt is over: told by a controller."""

    worker_id: str
    outcome: Outcome
    materialization_id: str | None = None
    error_message: str | None = None
    output: TaskOutput | None = None
    error: TaskError | None = None
    metrics: dict[str, Any] | None = None
    cancelled_during_phase: str | None = None
    partial_progress_json: str | None = None
    asset_key: str | None = None
    partition_key: str | None = None
    code_version: str | None = None


class TaskCompletionRecorded(TaskFinished, tag="task_completion_recorded", frozen=True, kw_only=True):
    """An attempt is over: told by its worker, with whether its output is visible."""

    output_visibility: OutputVisibility | None = None


class TaskOutputVisibilityChanged(_OfAttempt, tag="task_output_visibility_changed", frozen=True, kw_only=True):
    """What a task made can be read now, or will never be."""

    visibility_state: Visibility
    published_at: str | None = None
    publish_error: str | None = None


class DispatchRequested(_OfAttempt, tag="dispatch_requested", frozen=True, kw_only=True):
    """An attempt shall be sent to a worker."""

    worker_queue: str = "default-queue"
    dispatch_id: str


class DispatchEnqueued(_Event, tag="dispatch_enqueued", frozen=True, kw_only=True):
    """The queue has taken an attempt."""

    dispatch_id: str
    run_id: str | None = None
    task_key: str | None = None
    attempt: AttemptNumber | None = None
    cloud_task_id: str


class _OfTimer(_Event, frozen=True, kw_only=True):
    timer_id: str
    run_id: str | None = None
    task_key: str | None = None
    attempt: AttemptNumber | None = None


class TimerRequested(_OfTimer, tag="timer_requested", frozen=True, kw_only=True):
    """Something shall happen later."""

    timer_type: str
    fire_at: str


class TimerEnqueued(_OfTimer, tag="timer_enqueued", frozen=True, kw_only=True):
    """The queue has taken a timer."""

    cloud_task_id: str


class TimerFired(_OfTimer, tag="timer_fired", frozen=True, kw_only=True):
    """It is time."""

    timer_type: str | None = None


class RunRequested(_Event, tag="run_requested", frozen=True, kw_only=True):
    """A schedule, a sensor or a backfill wants a run."""

    run_key: str
    request_fingerprint: str
    asset_selection: list[str] = []
    partition_selection: list[str] | None = None
    trigger_source_ref: msgspec.Raw = msgspec.Raw(b"null")
    labels: dict[str, str] = {}
    code_version: str | None = None


class ConcurrencyLimitSet(_Event, tag="concurrency_limit_set", frozen=True, kw_only=True):
    """At most so many attempts that name a key are on their way or running at once; `*` is the workspace. (Ours.)"""

    concurrency_key: str
    slots: Count | None = None


class WorkspacePauseChanged(_Event, tag="workspace_pause_changed", frozen=True, kw_only=True):
    """Nothing new is dispatched from now on, or again it is. (Ours.)"""

    paused: bool
    reason: str | None = None
    changed_by: str


class DefinitionsDeployed(_Event, tag="definitions_deployed", frozen=True, kw_only=True):
    """New runs are planned from this manifest; its bytes were put at `path` before. (Ours.)"""

    manifest_id: str
    code_version_id: str
    fingerprint: str
    asset_count: Count
    path: str
    sha256: str
    size_bytes: Size
    git_branch: str | None = None
    git_commit: str | None = None
    deployed_by: str


class TaskRetryRequested(_Event, tag="task_retry_requested", frozen=True, kw_only=True):
    """Somebody wants one more try at a task that failed. (Ours.)"""

    run_id: str
    task_key: str
    requested_by: str


class RunKeyBackfilled(_Event, tag="run_key_backfilled", frozen=True, kw_only=True):
    """A run key that was taken without a fingerprint stands for a request with this one. (Ours.)"""

    run_key: str
    request_fingerprint: str


class LineageHandedOn(_Event, tag="lineage_handed_on", frozen=True, kw_only=True):
    """What a task read and made is known to lineage. (Ours.)"""

    run_id: str
    task_key: str
    attempt: AttemptNumber


_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "RunTriggered": msgspec.json.Decoder(RunTriggered),
    "PlanCreated": msgspec.json.Decoder(PlanCreated),
    "RunCancelRequested": msgspec.json.Decoder(RunCancelRequested),
    "TaskStarted": msgspec.json.Decoder(TaskStarted),
    "TaskHeartbeat": msgspec.json.Decoder(TaskHeartbeat),
    "TaskFinished": msgspec.json.Decoder(TaskFinished),
    "TaskCompletionRecorded": msgspec.json.Decoder(TaskCompletionRecorded),
    "TaskOutputVisibilityChanged": msgspec.json.Decoder(TaskOutputVisibilityChanged),
    "DispatchRequested": msgspec.json.Decoder(DispatchRequested),
    "DispatchEnqueued": msgspec.json.Decoder(DispatchEnqueued),
    "TimerRequested": msgspec.json.Decoder(TimerRequested),
    "TimerEnqueued": msgspec.json.Decoder(TimerEnqueued),
    "TimerFired": msgspec.json.Decoder(TimerFired),
    "RunRequested": msgspec.json.Decoder(RunRequested),
    "ConcurrencyLimitSet": msgspec.json.Decoder(ConcurrencyLimitSet),
    "WorkspacePauseChanged": msgspec.json.Decoder(WorkspacePauseChanged),
    "TaskRetryRequested": msgspec.json.Decoder(TaskRetryRequested),
    "RunKeyBackfilled": msgspec.json.Decoder(RunKeyBackfilled),
    "LineageHandedOn": msgspec.json.Decoder(LineageHandedOn),
    "DefinitionsDeployed": msgspec.json.Decoder(DefinitionsDeployed),
    **{name: msgspec.json.Decoder(kind) for name, kind in AUTOMATION_EVENTS.items()},
}
EVENT_TYPES: Final = frozenset(_DECODERS)


def decoded(event: Envelope) -> msgspec.Struct:
    """The event's payload. Raises `UnsupportedEvent` for a version or type of a newer build, `InvalidEvent`."""
    if event.event_type not in _DECODERS or event.event_version != EVENT_VERSION:
        raise UnsupportedEvent(f"{event.event_type} version {event.event_version} is not known to this build")
    try:
        return payload_of(event.event_type, event.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"{event.event_type}: {error}") from error


def payload_of(event_type: str, data: bytes | msgspec.Raw) -> msgspec.Struct:
    """An event of a known type from its `data` in JSON. Raises `msgspec.MsgspecError`, `UnicodeDecodeError`."""
    found: msgspec.Struct = _DECODERS[event_type].decode(data)
    return found
