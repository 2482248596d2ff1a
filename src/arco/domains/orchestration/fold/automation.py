"""How schedules, sensors and backfills change (orchestration.md 4.8). Pure.

What leads to a run asks for it by a run key in the same unit (`run_requested`); nothing here makes a run.
"""

import json
from typing import Any, Final

import msgspec

from arco.core import instant
from arco.domains.orchestration.automation_events import (
    BackfillChunkPlanned,
    BackfillCreated,
    BackfillStateChanged,
    ScheduleDefinitionUpserted,
    ScheduleTicked,
    SensorEvaluated,
)
from arco.domains.orchestration.automation_rows import (
    BACKFILL_CHUNKS,
    BACKFILLS,
    SCHEDULE_DEFINITIONS,
    SCHEDULE_STATE,
    SCHEDULE_TICKS,
    SENSOR_EVALS,
    SENSOR_STATE,
    BackfillChunkRow,
    BackfillRow,
    ScheduleDefinitionRow,
    ScheduleStateRow,
    ScheduleTickRow,
    SensorEvalRow,
    SensorStateRow,
)
from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.fold.board import Moment
from arco.kernel.fold import Accepted, Decision, View

STALE_CURSOR: Final = "skipped_stale_cursor"

_EDGES: Final = {
    "RUNNING": ("PENDING", "PAUSED"),
    "CANCELLED": ("PENDING", "RUNNING", "PAUSED"),
    "PAUSED": ("RUNNING",),
    "SUCCEEDED": ("RUNNING",),
    "FAILED": ("RUNNING",),
}


def schedule_defined(view: View, event: ScheduleDefinitionUpserted, moment: Moment) -> Decision:
    """A schedule is made or changed; an older version changes nothing."""
    old = view.get(SCHEDULE_DEFINITIONS, (event.schedule_id,))
    if old is not None and old.row_version >= moment.version:
        return Accepted()
    view.put(
        SCHEDULE_DEFINITIONS,
        ScheduleDefinitionRow(
            tenant_id=moment.tenant,
            workspace_id=moment.workspace,
            schedule_id=event.schedule_id,
            cron_expression=event.cron_expression,
            timezone=event.timezone,
            catchup_window_minutes=event.catchup_window_minutes,
            asset_selection=_list(event.asset_selection),
            code_version=event.code_version,
            max_catchup_ticks=event.max_catchup_ticks,
            enabled=event.enabled,
            created_at=moment.at_ms if old is None else old.created_at,
            row_version=moment.version,
        ),
    )
    return Accepted()


def schedule_ticked(view: View, event: ScheduleTicked, moment: Moment, run_id: str | None) -> Decision:
    """It was time."""
    scheduled_for = instant.parse_ms(event.scheduled_for)
    key = (event.schedule_id, scheduled_for, event.tick_id)
    tick = view.get(SCHEDULE_TICKS, key)
    if tick is None or tick.row_version < moment.version:
        view.put(
            SCHEDULE_TICKS,
            ScheduleTickRow(
                tenant_id=moment.tenant,
                workspace_id=moment.workspace,
                tick_id=event.tick_id,
                schedule_id=event.schedule_id,
                scheduled_for=scheduled_for,
                definition_version=event.definition_version,
                asset_selection=_list(event.asset_selection),
                partition_selection=_list(event.partition_selection),
                status=_text(event.status),
                run_key=event.run_key,
                run_id=run_id,
                request_fingerprint=event.request_fingerprint,
                row_version=moment.version,
            ),
        )
    state = view.get(SCHEDULE_STATE, (event.schedule_id,))
    if state is None or state.row_version < moment.version:
        last = (state.last_scheduled_for or 0) if state else 0
        if scheduled_for >= last:
            view.put(
                SCHEDULE_STATE,
                ScheduleStateRow(
                    tenant_id=moment.tenant,
                    workspace_id=moment.workspace,
                    schedule_id=event.schedule_id,
                    last_scheduled_for=scheduled_for,
                    last_tick_id=event.tick_id,
                    last_run_key=event.run_key or (state.last_run_key if state else None),
                    row_version=moment.version,
                ),
            )
    return Accepted()


def sensor_evaluated(view: View, event: SensorEvaluated, moment: Moment) -> Decision:
    """A sensor has looked. A poll that began from an older state than there is keeps its record, and moves nothing."""
    if view.get(SENSOR_EVALS, (event.eval_id,)) is not None:
        return Accepted()
    state = view.get(SENSOR_STATE, (event.sensor_id,))
    version = 0 if state is None else state.state_version
    stale = event.expected_state_version is not None and event.expected_state_version != version
    view.put(
        SENSOR_EVALS,
        SensorEvalRow(
            tenant_id=moment.tenant,
            workspace_id=moment.workspace,
            eval_id=event.eval_id,
            sensor_id=event.sensor_id,
            cursor_before=event.cursor_before,
            cursor_after=event.cursor_after,
            expected_state_version=event.expected_state_version,
            trigger_source=_text(event.trigger_source),
            run_requests=_json(event.run_requests) if event.run_requests else None,
            status=_json({"status": STALE_CURSOR}) if stale else _text(event.status),
            evaluated_at=moment.at_ms,
            row_version=moment.version,
        ),
    )
    if not stale:
        row = state or SensorStateRow(
            tenant_id=moment.tenant,
            workspace_id=moment.workspace,
            sensor_id=event.sensor_id,
            row_version=moment.version,
        )
        view.put(
            SENSOR_STATE,
            msgspec.structs.replace(
                row,
                cursor=event.cursor_after,
                last_evaluation_at=moment.at_ms,
                last_eval_id=event.eval_id,
                state_version=version + 1,
                row_version=moment.version,
            ),
        )
    return Accepted()


def is_stale(view: View, eval_id: str) -> bool:
    """True when a sensor's look came to nothing because others were faster: what it asked for is not wanted."""
    row = view.get(SENSOR_EVALS, (eval_id,))
    return row is not None and json.loads(row.status).get("status") == STALE_CURSOR


def backfill_created(view: View, event: BackfillCreated, moment: Moment) -> Decision:
    """Many partitions shall be made."""
    if view.get(BACKFILLS, (event.backfill_id,)) is not None:
        return Accepted()
    view.put(
        BACKFILLS,
        BackfillRow(
            tenant_id=moment.tenant,
            workspace_id=moment.workspace,
            backfill_id=event.backfill_id,
            asset_selection=_json(event.asset_selection),
            code_version=event.code_version,
            partition_selector=_text(event.partition_selector),
            chunk_size=event.chunk_size,
            max_concurrent_runs=event.max_concurrent_runs,
            state="RUNNING",
            state_version=1,
            total_partitions=event.total_partitions,
            parent_backfill_id=event.parent_backfill_id,
            created_at=moment.at_ms,
            row_version=moment.version,
        ),
    )
    return Accepted()


def chunk_planned(view: View, event: BackfillChunkPlanned, moment: Moment, run_id: str) -> Decision:
    """The next partitions of a backfill have their run."""
    backfill = view.get(BACKFILLS, (event.backfill_id,))
    if backfill is None:
        return refusals.moot(f"there is no backfill {event.backfill_id}")
    key = (event.backfill_id, event.chunk_index)
    if view.get(BACKFILL_CHUNKS, key) is not None:
        return Accepted()
    view.put(
        BACKFILL_CHUNKS,
        BackfillChunkRow(
            tenant_id=moment.tenant,
            workspace_id=moment.workspace,
            chunk_id=event.chunk_id,
            backfill_id=event.backfill_id,
            chunk_index=event.chunk_index,
            partition_keys=_json(event.partition_keys),
            run_key=event.run_key,
            run_id=run_id,
            state="PLANNED",
            row_version=moment.version,
        ),
    )
    planned = backfill.planned_chunks
    while view.get(BACKFILL_CHUNKS, (event.backfill_id, planned)) is not None:
        planned += 1
    view.put(BACKFILLS, msgspec.structs.replace(backfill, planned_chunks=planned, row_version=moment.version))
    return Accepted()


def backfill_changed(view: View, event: BackfillStateChanged, moment: Moment) -> Decision:
    """A backfill goes on, pauses, or is over: from the state it is in, one version at a time."""
    row = view.get(BACKFILLS, (event.backfill_id,))
    if row is None:
        return refusals.moot(f"there is no backfill {event.backfill_id}")
    if row.state == event.to_state and row.state_version == event.state_version:
        return Accepted()
    if row.state != event.from_state or event.state_version != row.state_version + 1:
        return refusals.moot(f"backfill {row.backfill_id} is {row.state}, version {row.state_version}")
    if event.from_state not in _EDGES.get(event.to_state, ()):
        return refusals.moot(f"a backfill does not go from {event.from_state} to {event.to_state}")
    new = msgspec.structs.replace(
        row, state=event.to_state, state_version=event.state_version, row_version=moment.version
    )
    view.put(BACKFILLS, new)
    return Accepted()


def _list(items: list[str] | None) -> str | None:
    return _json(items) if items else None


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
