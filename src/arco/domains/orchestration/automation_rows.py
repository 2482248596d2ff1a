"""Tables of schedules, sensors and backfills (orchestration.md 3). Pure. Times are ms."""

from typing import Any, Final

from arco.domains.orchestration.rows import ORCHESTRATION
from arco.kernel.spec import Row, TableSpec, Uint32


class SensorStateRow(Row, frozen=True, kw_only=True, gc=False):
    """Where a sensor has got to. `status`: `ACTIVE PAUSED ERROR`."""

    tenant_id: str
    workspace_id: str
    sensor_id: str
    cursor: str | None = None
    last_evaluation_at: int | None = None
    last_eval_id: str | None = None
    status: str = "ACTIVE"
    state_version: Uint32 = 0
    row_version: str


class SensorEvalRow(Row, frozen=True, kw_only=True, gc=False):
    """One look of a sensor. `trigger_source`, `run_requests` and `status` are JSON."""

    tenant_id: str
    workspace_id: str
    eval_id: str
    sensor_id: str
    cursor_before: str | None = None
    cursor_after: str | None = None
    expected_state_version: Uint32 | None = None
    trigger_source: str
    run_requests: str | None = None
    status: str
    evaluated_at: int
    row_version: str


class ScheduleDefinitionRow(Row, frozen=True, kw_only=True, gc=False):
    """When which assets are made. `asset_selection` is JSON, null when empty; `created_at` is of the first version."""

    tenant_id: str
    workspace_id: str
    schedule_id: str
    cron_expression: str
    timezone: str
    catchup_window_minutes: Uint32
    asset_selection: str | None = None
    code_version: str | None = None
    max_catchup_ticks: Uint32
    enabled: bool
    created_at: int
    row_version: str


class ScheduleStateRow(Row, frozen=True, kw_only=True, gc=False):
    """The last tick of a schedule."""

    tenant_id: str
    workspace_id: str
    schedule_id: str
    last_scheduled_for: int | None = None
    last_tick_id: str | None = None
    last_run_key: str | None = None
    row_version: str


class ScheduleTickRow(Row, frozen=True, kw_only=True, gc=False):
    """One tick of a schedule. `asset_selection`, `partition_selection` and `status` are JSON."""

    tenant_id: str
    workspace_id: str
    tick_id: str
    schedule_id: str
    scheduled_for: int
    definition_version: str
    asset_selection: str | None = None
    partition_selection: str | None = None
    status: str
    run_key: str | None = None
    run_id: str | None = None
    request_fingerprint: str | None = None
    row_version: str


class BackfillRow(Row, frozen=True, kw_only=True, gc=False):
    """Many partitions of an asset. `state`: `PENDING RUNNING PAUSED SUCCEEDED FAILED CANCELLED`."""

    tenant_id: str
    workspace_id: str
    backfill_id: str
    asset_selection: str
    code_version: str | None = None
    partition_selector: str
    chunk_size: Uint32
    max_concurrent_runs: Uint32
    state: str
    state_version: Uint32
    total_partitions: Uint32
    planned_chunks: Uint32 = 0
    completed_chunks: Uint32 = 0
    failed_chunks: Uint32 = 0
    parent_backfill_id: str | None = None
    created_at: int
    row_version: str


class BackfillChunkRow(Row, frozen=True, kw_only=True, gc=False):
    """The partitions one run of a backfill makes. `state`: `PENDING PLANNED RUNNING SUCCEEDED FAILED`."""

    tenant_id: str
    workspace_id: str
    chunk_id: str
    backfill_id: str
    chunk_index: Uint32
    partition_keys: str
    run_key: str
    run_id: str | None = None
    state: str
    row_version: str


SENSOR_STATE: Final = TableSpec("sensor_state", SensorStateRow, key=("sensor_id",), domain=ORCHESTRATION)
SENSOR_EVALS: Final = TableSpec("sensor_evals", SensorEvalRow, key=("eval_id",), domain=ORCHESTRATION)
SCHEDULE_DEFINITIONS: Final = TableSpec(
    "schedule_definitions", ScheduleDefinitionRow, key=("schedule_id",), domain=ORCHESTRATION
)
SCHEDULE_STATE: Final = TableSpec("schedule_state", ScheduleStateRow, key=("schedule_id",), domain=ORCHESTRATION)
SCHEDULE_TICKS: Final = TableSpec(
    "schedule_ticks", ScheduleTickRow, key=("schedule_id", "scheduled_for", "tick_id"), domain=ORCHESTRATION
)
BACKFILLS: Final = TableSpec("backfills", BackfillRow, key=("backfill_id",), domain=ORCHESTRATION)
BACKFILL_CHUNKS: Final = TableSpec(
    "backfill_chunks", BackfillChunkRow, key=("backfill_id", "chunk_index"), domain=ORCHESTRATION
)
AUTOMATION: Final[tuple[TableSpec[Any], ...]] = (
    SENSOR_STATE,
    SENSOR_EVALS,
    SCHEDULE_DEFINITIONS,
    SCHEDULE_STATE,
    SCHEDULE_TICKS,
    BACKFILLS,
    BACKFILL_CHUNKS,
)
