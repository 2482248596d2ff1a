"""Events of schedules, sensors and backfills: the contract's types, tags and payloads (orchestration.md 2.3). Pure."""

from typing import Any, Final

import msgspec

from arco.domains.orchestration.numbers import Count


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """An event's `data`."""


class ScheduleDefinitionUpserted(_Event, tag="schedule_definition_upserted", frozen=True, kw_only=True):
    """A schedule is, from now on, this."""

    schedule_id: str
    cron_expression: str
    timezone: str
    catchup_window_minutes: Count
    asset_selection: list[str] = []
    code_version: str | None = None
    max_catchup_ticks: Count
    enabled: bool


class ScheduleTicked(_Event, tag="schedule_ticked", frozen=True, kw_only=True):
    """It was time, and this is what came of it."""

    schedule_id: str
    scheduled_for: str
    tick_id: str
    definition_version: str
    asset_selection: list[str] = []
    partition_selection: list[str] | None = None
    status: msgspec.Raw
    run_key: str | None = None
    request_fingerprint: str | None = None


class SensorEvaluated(_Event, tag="sensor_evaluated", frozen=True, kw_only=True):
    """A sensor has looked, and this is what it saw. Without `expected_state_version` it was pushed."""

    sensor_id: str
    eval_id: str
    cursor_before: str | None = None
    cursor_after: str | None = None
    expected_state_version: Count | None = None
    trigger_source: msgspec.Raw
    run_requests: list[dict[str, Any]] = []
    status: msgspec.Raw


class BackfillCreated(_Event, tag="backfill_created", frozen=True, kw_only=True):
    """Many partitions shall be made."""

    backfill_id: str
    client_request_id: str
    asset_selection: list[str]
    code_version: str | None = None
    partition_selector: msgspec.Raw
    total_partitions: Count
    chunk_size: Count
    max_concurrent_runs: Count
    parent_backfill_id: str | None = None


class BackfillChunkPlanned(_Event, tag="backfill_chunk_planned", frozen=True, kw_only=True):
    """The next partitions of a backfill shall be made, by one run."""

    backfill_id: str
    chunk_id: str
    chunk_index: Count
    partition_keys: list[str]
    run_key: str
    request_fingerprint: str


class BackfillStateChanged(_Event, tag="backfill_state_changed", frozen=True, kw_only=True):
    """A backfill goes on, pauses, or is over."""

    backfill_id: str
    from_state: str
    to_state: str
    state_version: Count
    changed_by: str | None = None


AUTOMATION_EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "ScheduleDefinitionUpserted": ScheduleDefinitionUpserted,
    "ScheduleTicked": ScheduleTicked,
    "SensorEvaluated": SensorEvaluated,
    "BackfillCreated": BackfillCreated,
    "BackfillChunkPlanned": BackfillChunkPlanned,
    "BackfillStateChanged": BackfillStateChanged,
}
