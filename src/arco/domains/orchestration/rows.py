"""Orchestration's tables (orchestration.md 3). Pure.

Public columns are the contract's, in its order; ours follow, and may be null in what older builds wrote. Two things
differ from the contract's primary keys. Rows of a run are kept under `born`, the ULID of the event that made it: runs
lie in the order of time whatever their ids look like, and finished ones settle in segments nobody touches again;
`run_births` leads from a run id that is no ULID itself to it. And `agenda` holds one row for each thing that somebody
must do something about, by when: controllers read its beginning and nothing else.
"""

from typing import Any, Final

from arco.kernel.spec import Row, TableSpec, Uint32

ORCHESTRATION: Final = "orchestration"
"""The domain: ledger prefix and pointer name."""

_PRIVATE: Final = frozenset({"born"})


class RunRow(Row, frozen=True, kw_only=True, gc=False):
    """A run. `state` is `TRIGGERED RUNNING SUCCEEDED FAILED CANCELLED`; times are ms; `labels` is a JSON object."""

    born: str
    run_id: str
    plan_id: str
    state: str
    run_key: str | None = None
    cancel_requested: bool = False
    tasks_total: Uint32 = 0
    tasks_completed: Uint32 = 0
    tasks_succeeded: Uint32 = 0
    tasks_failed: Uint32 = 0
    tasks_skipped: Uint32 = 0
    tasks_cancelled: Uint32 = 0
    triggered_at: int
    completed_at: int | None = None
    labels: str | None = None
    code_version: str | None = None
    row_version: str
    trigger: str | None = None
    root_assets: str | None = None
    cancel_reason: str | None = None
    deadline_at: int | None = None
    started_at: int | None = None
    outputs_pending: Uint32 = 0
    outputs_failed: Uint32 = 0
    cancelled_by: str | None = None


class TaskRow(Row, frozen=True, kw_only=True, gc=False):
    """A task of a run. `state`: `BLOCKED READY DISPATCHED RUNNING RETRY_WAIT SKIPPED CANCELLED FAILED SUCCEEDED`.

    `planned_as` and `planned_for` say why it is part of its run, as `plan.graph.Reason` does.
    """

    born: str
    run_id: str
    task_key: str
    state: str
    attempt: Uint32 = 0
    attempt_id: str | None = None
    started_at: int | None = None
    completed_at: int | None = None
    error_message: str | None = None
    deps_total: Uint32 = 0
    deps_satisfied_count: Uint32 = 0
    max_attempts: Uint32 = 3
    heartbeat_timeout_sec: Uint32 = 300
    last_heartbeat_at: int | None = None
    ready_at: int | None = None
    asset_key: str | None = None
    partition_key: str | None = None
    requires_visible_output: bool | None = None
    materialization_id: str | None = None
    output_visibility_state: str | None = None
    published_at: int | None = None
    publish_error: str | None = None
    retry_not_before: int | None = None
    delta_table: str | None = None
    delta_version: int | None = None
    delta_partition: str | None = None
    execution_lineage_ref: str | None = None
    row_version: str
    worker_queue: str | None = None
    priority: int | None = None
    timeout_sec: Uint32 | None = None
    retry_delay_sec: Uint32 | None = None
    concurrency_key: str | None = None
    worker_id: str | None = None
    error: str | None = None
    output: str | None = None
    metrics: str | None = None
    progress_pct: Uint32 | None = None
    progress: str | None = None
    due_at: int | None = None
    planned_as: str | None = None
    planned_for: str | None = None


class DependencyRow(Row, frozen=True, kw_only=True, gc=False):
    """An edge of a run's plan. `resolution` is `SUCCESS FAILED SKIPPED CANCELLED` once the upstream task is over."""

    born: str
    run_id: str
    upstream_task_key: str
    downstream_task_key: str
    satisfied: bool = False
    resolution: str | None = None
    satisfied_at: int | None = None
    satisfying_attempt: Uint32 | None = None
    row_version: str


class OutboxRow(Row, frozen=True, kw_only=True, gc=False):
    """An attempt on its way to a worker, until the worker reports. `status`: `PENDING`, `CREATED` (in the queue)."""

    run_id: str
    task_key: str
    attempt: Uint32
    dispatch_id: str
    cloud_task_id: str | None = None
    status: str
    attempt_id: str
    worker_queue: str
    created_at: int
    row_version: str


class TimerRow(Row, frozen=True, kw_only=True, gc=False):
    """A timer. `timer_type`: `RETRY HEARTBEAT_CHECK CRON SLA_CHECK`; `state`: `SCHEDULED FIRED CANCELLED`."""

    timer_id: str
    cloud_task_id: str | None = None
    timer_type: str
    run_id: str | None = None
    task_key: str | None = None
    attempt: Uint32 | None = None
    fire_at: int
    state: str
    payload: str | None = None
    row_version: str


class PartitionStatusRow(Row, frozen=True, kw_only=True, gc=False):
    """What is known of a partition of an asset; an unpartitioned asset has one with an empty key."""

    tenant_id: str
    workspace_id: str
    asset_key: str
    partition_key: str
    last_materialization_run_id: str | None = None
    last_materialization_at: int | None = None
    last_materialization_code_version: str | None = None
    last_attempt_run_id: str | None = None
    last_attempt_at: int | None = None
    last_attempt_outcome: str | None = None
    stale_since: int | None = None
    stale_reason_code: str | None = None
    partition_values: str | None = None
    delta_table: str | None = None
    delta_version: int | None = None
    delta_partition: str | None = None
    execution_lineage_ref: str | None = None
    row_version: str


class RunKeyRow(Row, frozen=True, kw_only=True, gc=False):
    """A run key, and the run it stands for."""

    tenant_id: str
    workspace_id: str
    run_key: str
    run_id: str
    request_fingerprint: str
    code_version: str | None = None
    created_at: int
    row_version: str


class RunKeyConflictRow(Row, frozen=True, kw_only=True, gc=False):
    """A request that used a run key for something else."""

    tenant_id: str
    workspace_id: str
    run_key: str
    existing_fingerprint: str
    conflicting_fingerprint: str
    conflicting_event_id: str
    detected_at: int


class RunBirthRow(Row, frozen=True, kw_only=True, gc=False):
    """Where a run whose id is no ULID is kept."""

    run_id: str
    born: str


class AgendaRow(Row, frozen=True, kw_only=True, gc=False):
    """Something somebody must do, and when: see `agenda` for lanes and groups. `due` orders within a group."""

    lane: str
    group: str
    due: int
    born: str
    task_key: str


class SlotsRow(Row, frozen=True, kw_only=True, gc=False):
    """How many attempts hold a slot of a concurrency key, and how many may; None: no limit."""

    concurrency_key: str
    in_use: Uint32 = 0
    slots: Uint32 | None = None


class WorkspaceRow(Row, frozen=True, kw_only=True, gc=False):
    """The one row of a workspace's own settings: `key` is empty. While it is paused nothing new is dispatched.

    `manifest_id` is the deployment that new runs are planned from.
    """

    key: str = ""
    manifest_id: str | None = None
    paused: bool = False
    paused_by: str | None = None
    pause_reason: str | None = None
    changed_at: int | None = None
    row_version: str


class DeploymentRow(Row, frozen=True, kw_only=True, gc=False):
    """A deployed manifest; its bytes lie at `path`."""

    manifest_id: str
    code_version_id: str
    fingerprint: str
    asset_count: Uint32
    path: str
    sha256: str
    size_bytes: int
    git_branch: str | None = None
    git_commit: str | None = None
    deployed_at: int
    deployed_by: str
    row_version: str


class LineageDueRow(Row, frozen=True, kw_only=True, gc=False):
    """A task that succeeded, and whose inputs lineage has not heard of yet: the sweeper tells it."""

    born: str
    task_key: str
    attempt: Uint32
    run_id: str


RUNS: Final = TableSpec("runs", RunRow, key=("born",), domain=ORCHESTRATION, private=_PRIVATE)
TASKS: Final = TableSpec("tasks", TaskRow, key=("born", "task_key"), domain=ORCHESTRATION, private=_PRIVATE)
DEPENDENCIES: Final = TableSpec(
    "dep_satisfaction",
    DependencyRow,
    key=("born", "upstream_task_key", "downstream_task_key"),
    domain=ORCHESTRATION,
    private=_PRIVATE,
)
OUTBOX: Final = TableSpec("dispatch_outbox", OutboxRow, key=("run_id", "task_key", "attempt"), domain=ORCHESTRATION)
TIMERS: Final = TableSpec("timers", TimerRow, key=("timer_id",), domain=ORCHESTRATION)
PARTITIONS: Final = TableSpec(
    "partition_status", PartitionStatusRow, key=("asset_key", "partition_key"), domain=ORCHESTRATION
)
RUN_KEYS: Final = TableSpec("run_key_index", RunKeyRow, key=("run_key",), domain=ORCHESTRATION)
RUN_KEY_CONFLICTS: Final = TableSpec(
    "run_key_conflicts", RunKeyConflictRow, key=("run_key", "conflicting_event_id"), domain=ORCHESTRATION
)
RUN_BIRTHS: Final = TableSpec("run_births", RunBirthRow, key=("run_id",), domain=ORCHESTRATION)
AGENDA: Final = TableSpec("agenda", AgendaRow, key=("lane", "group", "due", "born", "task_key"), domain=ORCHESTRATION)
SLOTS: Final = TableSpec("concurrency_slots", SlotsRow, key=("concurrency_key",), domain=ORCHESTRATION)
LINEAGE_DUE: Final = TableSpec(
    "lineage_outbox", LineageDueRow, key=("born", "task_key", "attempt"), domain=ORCHESTRATION
)
DEPLOYMENTS: Final = TableSpec("deployments", DeploymentRow, key=("manifest_id",), domain=ORCHESTRATION)
WORKSPACE: Final = TableSpec("workspace_settings", WorkspaceRow, key=("key",), domain=ORCHESTRATION)

ALL: Final[tuple[TableSpec[Any], ...]] = (
    RUNS,
    TASKS,
    DEPENDENCIES,
    OUTBOX,
    TIMERS,
    PARTITIONS,
    RUN_KEYS,
    RUN_KEY_CONFLICTS,
    RUN_BIRTHS,
    AGENDA,
    SLOTS,
    LINEAGE_DUE,
    DEPLOYMENTS,
    WORKSPACE,
)
