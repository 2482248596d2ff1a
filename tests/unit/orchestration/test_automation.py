"""Schedules, sensors and backfills in the fold: orchestration.md 4.8 and the conformance list, 31 to 38."""

from typing import Any

import pytest
from tests.unit.orchestration.story import Story, accepted, refused

from arco.core import instant
from arco.domains.orchestration import keys
from arco.domains.orchestration.automation_rows import (
    BACKFILL_CHUNKS,
    BACKFILLS,
    SCHEDULE_DEFINITIONS,
    SCHEDULE_STATE,
    SCHEDULE_TICKS,
    SENSOR_EVALS,
    SENSOR_STATE,
)
from arco.domains.orchestration.rows import RUN_KEYS

PUSH: dict[str, Any] = {"trigger_source": {"source": "push", "message_id": "m"}, "status": {"status": "triggered"}}
POLL: dict[str, Any] = {"trigger_source": {"source": "poll", "poll_epoch": 1}}


@pytest.fixture
def story() -> Story:
    return Story()


def test_31_a_message_is_evaluated_once(story: Story) -> None:
    for _ in range(2):
        accepted(story.tell("SensorEvaluated", sensor_id="s", eval_id="e1", cursor_after="1", **PUSH))
    (state,) = story.view.scan(SENSOR_STATE, ())
    assert (state.state_version, state.cursor, state.last_eval_id) == (1, "1", "e1")


def test_32_a_poll_that_was_overtaken_moves_nothing_and_asks_for_nothing(story: Story) -> None:
    story.tell("SensorEvaluated", sensor_id="s", eval_id="e1", cursor_after="1", **PUSH)
    late = {"eval_id": "e2", "expected_state_version": 0, "cursor_after": "x", "status": {"status": "triggered"}}
    accepted(story.tell("SensorEvaluated", sensor_id="s", **late, **POLL))
    (state,) = story.view.scan(SENSOR_STATE, ())
    assert (state.state_version, state.cursor) == (1, "1")
    assert [row.status for row in story.view.scan(SENSOR_EVALS, ("e2",))] == ['{"status":"skipped_stale_cursor"}']
    source = {"type": "sensor", "sensor_id": "s", "eval_id": "e2"}
    asked = {"run_key": "k", "request_fingerprint": "f", "trigger_source_ref": source}
    refused(story.tell("RunRequested", **asked), "nothing_to_do")
    assert list(story.view.scan(RUN_KEYS, ())) == []
    accepted(story.tell("RunRequested", **{**asked, "trigger_source_ref": {**source, "eval_id": "e1"}}))


def test_33_an_error_keeps_the_cursor_and_counts(story: Story) -> None:
    story.tell("SensorEvaluated", sensor_id="s", eval_id="e1", cursor_after="1", **PUSH)
    failed = {"cursor_before": "1", "cursor_after": "1", "expected_state_version": 1}
    error = {"status": "error", "message": "no network"}
    story.tell("SensorEvaluated", sensor_id="s", eval_id="e2", status=error, **failed, **POLL)
    (state,) = story.view.scan(SENSOR_STATE, ())
    assert (state.cursor, state.state_version, state.status) == ("1", 2, "ACTIVE")
    assert state.last_evaluation_at == story.now_ms  # what the next poll counts its 30 seconds from
    (row,) = story.view.scan(SENSOR_EVALS, ("e2",))
    assert (row.status, row.evaluated_at) == ('{"status":"error","message":"no network"}', story.now_ms)


def defined(story: Story, **fields: Any) -> None:
    plain = {"cron_expression": "0 10 * * *", "timezone": "UTC", "catchup_window_minutes": 0, "max_catchup_ticks": 1}
    event = {**plain, "enabled": True, "asset_selection": ["a.a"], **fields}
    accepted(story.tell("ScheduleDefinitionUpserted", schedule_id="daily", **event))


def test_a_schedule_keeps_its_birthday(story: Story) -> None:
    defined(story)
    (first,) = story.view.scan(SCHEDULE_DEFINITIONS, ())
    defined(story, enabled=False, asset_selection=[])
    (row,) = story.view.scan(SCHEDULE_DEFINITIONS, ())
    assert (row.enabled, row.asset_selection, row.created_at) == (False, None, first.created_at)
    assert row.row_version > first.row_version


@pytest.mark.parametrize("asked_first", [False, True])
def test_36_a_tick_knows_its_run_before_there_is_one(story: Story, asked_first: bool) -> None:
    defined(story)
    (definition,) = story.view.scan(SCHEDULE_DEFINITIONS, ())
    epoch = 1_736_935_200
    run_key = f"sched:daily:{epoch}"
    scheduled = {"scheduled_for": instant.http_text(epoch * 1000), "definition_version": definition.row_version}
    tick = {"schedule_id": "daily", "tick_id": f"daily:{epoch}", **scheduled, "run_key": run_key}
    source = {"type": "schedule", "schedule_id": "daily", "tick_id": f"daily:{epoch}"}
    events: list[tuple[str, dict[str, Any]]] = [
        ("ScheduleTicked", {**tick, "status": {"status": "triggered"}, "request_fingerprint": "f"}),
        ("RunRequested", {"run_key": run_key, "request_fingerprint": "f", "trigger_source_ref": source}),
    ]
    for name, data in events[:: -1 if asked_first else 1]:
        accepted(story.tell(name, **data))
    defined(story, cron_expression="0 11 * * *")
    (row,) = story.view.scan(SCHEDULE_TICKS, ())
    (index,) = story.view.scan(RUN_KEYS, ())
    assert row.run_id == index.run_id == keys.run_id_of_key(b"", ("acme", "prod"), run_key)
    assert row.definition_version == definition.row_version
    (state,) = story.view.scan(SCHEDULE_STATE, ())
    assert (state.last_scheduled_for, state.last_tick_id, state.last_run_key) == (epoch * 1000, row.tick_id, run_key)


def test_35_a_skipped_tick_moves_the_schedule_on_and_an_older_one_does_not_move_it_back(story: Story) -> None:
    for epoch, status in ((2_000, {"status": "skipped", "reason": "paused"}), (1_000, {"status": "triggered"})):
        tick = {"tick_id": f"daily:{epoch}", "scheduled_for": instant.http_text(epoch * 1000)}
        story.tell("ScheduleTicked", schedule_id="daily", **tick, definition_version="1", status=status)
    (state,) = story.view.scan(SCHEDULE_STATE, ())
    assert state.last_scheduled_for == 2_000_000
    ticks = {row.scheduled_for: row for row in story.view.scan(SCHEDULE_TICKS, ("daily",))}
    assert sorted(ticks) == [1_000_000, 2_000_000]
    paused = ticks[2_000_000]
    assert (paused.status, paused.run_key, paused.run_id) == ('{"status":"skipped","reason":"paused"}', None, None)
    assert list(story.view.scan(RUN_KEYS, ())) == []


def test_35_a_schedule_nobody_can_read_leaves_a_failed_tick_and_no_run(story: Story) -> None:
    defined(story, cron_expression="never")
    tick = {"tick_id": "daily:3000", "scheduled_for": instant.http_text(3_000_000), "definition_version": "1"}
    why = {"status": "failed", "error": "never is no cron expression"}
    accepted(story.tell("ScheduleTicked", schedule_id="daily", **tick, status=why))
    (row,) = story.view.scan(SCHEDULE_TICKS, ("daily",))
    assert (row.status, row.run_id) == ('{"status":"failed","error":"never is no cron expression"}', None)
    assert list(story.view.scan(RUN_KEYS, ())) == []


def test_39_a_backfill_of_what_failed_keeps_its_partitions_in_order_and_knows_its_parent(story: Story) -> None:
    created(story)
    failed = {"type": "explicit", "partition_keys": ["x=i:3", "x=i:1"]}
    again = {"asset_selection": ["a.a"], "partition_selector": failed, "parent_backfill_id": "B"}
    sizes = {"total_partitions": 2, "chunk_size": 1, "max_concurrent_runs": 2}
    for _ in range(2):
        accepted(story.tell("BackfillCreated", backfill_id="C", client_request_id="again", **again, **sizes))
    (row,) = [row for row in story.view.scan(BACKFILLS, ()) if row.backfill_id != "B"]
    assert (row.parent_backfill_id, row.partition_selector) == (
        "B",
        '{"type":"explicit","partition_keys":["x=i:3","x=i:1"]}',
    )
    assert (row.state, row.state_version, row.planned_chunks) == ("RUNNING", 1, 0)


def test_40_a_run_that_was_asked_for_is_made_once_and_only_under_its_own_key(story: Story) -> None:
    accepted(story.tell("RunRequested", run_key="sched:daily:1", request_fingerprint="f"))
    (index,) = story.view.scan(RUN_KEYS, ())
    run = {"run_id": index.run_id, "plan_id": f"plan_{index.run_id}"}
    for _ in range(2):
        accepted(
            story.tell("RunTriggered", **run, run_key="sched:daily:1", trigger={"type": "cron", "schedule_id": "d"})
        )
        accepted(story.tell("PlanCreated", **run, tasks=[{"key": "a.a"}]))
    assert (story.run.run_id, story.run.tasks_total, story.states) == (index.run_id, 1, {"a.a": "READY"})
    other = {"run_id": "01J00000000000000000000000", "plan_id": "P", "run_key": "sched:daily:1"}
    assert refused(story.tell("RunTriggered", **other), "run_key_taken").details["run_id"] == index.run_id
    assert story.run.run_id == index.run_id


def created(story: Story) -> None:
    sizes = {"total_partitions": 3, "chunk_size": 1, "max_concurrent_runs": 2}
    selector = {"type": "explicit", "partition_keys": ["x=i:1", "x=i:2", "x=i:3"]}
    for _ in range(2):
        accepted(
            story.tell(
                "BackfillCreated",
                backfill_id="B",
                client_request_id="c",
                asset_selection=["a.a"],
                partition_selector=selector,
                **sizes,
            )
        )


def test_chunks_are_counted_as_far_as_there_is_no_gap(story: Story) -> None:
    created(story)
    for index, planned in ((0, 1), (2, 1), (1, 3), (1, 3)):
        chunk = {"chunk_id": f"B:{index}", "chunk_index": index, "partition_keys": [f"x=i:{index}"]}
        named = {"run_key": f"backfill:B:chunk:{index}", "request_fingerprint": "f"}
        accepted(story.tell("BackfillChunkPlanned", backfill_id="B", **chunk, **named))
        (row,) = story.view.scan(BACKFILLS, ())
        assert row.planned_chunks == planned
    chunks = list(story.view.scan(BACKFILL_CHUNKS, ("B",)))
    assert [chunk.chunk_index for chunk in chunks] == [0, 1, 2]
    assert all(chunk.run_id and chunk.state == "PLANNED" for chunk in chunks)


def test_38_a_backfill_changes_one_version_at_a_time_along_its_edges(story: Story) -> None:
    created(story)

    def change(before: str, after: str, version: int) -> Any:
        fields = {"from_state": before, "to_state": after, "state_version": version}
        return story.tell("BackfillStateChanged", backfill_id="B", **fields)

    refused(change("PAUSED", "RUNNING", 2), "nothing_to_do")
    refused(change("RUNNING", "PAUSED", 3), "nothing_to_do")
    refused(change("RUNNING", "PENDING", 2), "nothing_to_do")
    accepted(change("RUNNING", "PAUSED", 2))
    accepted(change("RUNNING", "PAUSED", 2))
    accepted(change("PAUSED", "RUNNING", 3))
    accepted(change("RUNNING", "CANCELLED", 4))
    refused(change("CANCELLED", "RUNNING", 5), "nothing_to_do")
    (row,) = story.view.scan(BACKFILLS, ())
    assert (row.state, row.state_version) == ("CANCELLED", 4)
