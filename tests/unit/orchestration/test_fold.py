"""How runs and tasks change: orchestration.md 4 and the conformance list, 7 to 30."""

import itertools
from typing import Any

import msgspec
import pytest
from tests.fakes import MemoryView
from tests.unit.orchestration.story import DOMAIN, RUN, START_MS, Story, accepted, of, refused

from arco.core import instant
from arco.core.ids import ulid_ms
from arco.domains.orchestration import keys
from arco.domains.orchestration.agenda import place_of_task
from arco.domains.orchestration.rows import DEPENDENCIES, PARTITIONS, RUN_KEY_CONFLICTS, RUN_KEYS, RUNS, TIMERS
from arco.kernel.fold import FoldContext, InvalidEvent, UnsupportedEvent

DIAMOND = {"a.a": [], "b.b": ["a.a"], "c.c": ["a.a"], "d.d": ["b.b", "c.c"]}


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_run_goes_from_its_first_task_to_its_last(story: Story) -> None:
    story.run_of(DIAMOND)
    assert story.states == {"a.a": "READY", "b.b": "BLOCKED", "c.c": "BLOCKED", "d.d": "BLOCKED"}
    assert (story.run.state, story.run.tasks_total) == ("RUNNING", 4)
    accepted(story.through("a.a"))
    assert story.states == {"a.a": "SUCCEEDED", "b.b": "READY", "c.c": "READY", "d.d": "BLOCKED"}
    accepted(story.through("b.b"))
    assert story.task("d.d").deps_satisfied_count == 1
    accepted(story.through("c.c"))
    assert story.states["d.d"] == "READY"
    accepted(story.through("d.d"))
    assert (story.run.state, story.run.tasks_succeeded) == ("SUCCEEDED", 4)
    assert story.run.completed_at == story.now_ms


def test_07_the_same_event_twice_is_the_event_once(story: Story) -> None:
    story.run_of({"a.a": [], "b.b": ["a.a"]})
    for event in [
        story.envelope("DispatchRequested", **of("a.a", 1), dispatch_id=keys.dispatch_id(RUN, "a.a", 1)),
        story.envelope("TaskStarted", **of("a.a", 1), worker_id="w"),
        story.envelope("TaskHeartbeat", **of("a.a", 1), worker_id="w"),
        story.envelope("TaskFinished", **of("a.a", 1), worker_id="w", outcome="succeeded"),
    ]:
        story.fold(event)
        before = {name: dict(rows) for name, rows in story.view.state.items()}
        story.fold(event)
        assert story.view.state == before


def test_11_a_task_that_is_over_counts_once(story: Story) -> None:
    story.run_of({"a.a": [], "b.b": []})
    story.through("a.a")
    accepted(story.finish("a.a"))
    refused(story.finish("a.a", "failed"), "task_already_terminal")
    assert story.run.tasks_completed == 1


def test_12_an_attempt_that_was_given_up_cannot_speak_for_the_next(story: Story) -> None:
    story.run_of({"a.a": []})
    story.through("a.a", "failed")
    story.dispatch("a.a", 2)
    story.start("a.a", 2)
    no = refused(story.finish("a.a", attempt=1), "attempt_mismatch")
    assert no.details == {"state": "RUNNING", "expected_attempt": "2", "received_attempt": "1"}
    assert story.states == {"a.a": "RUNNING"}
    refused(story.beat("a.a", 1), "attempt_mismatch")
    refused(story.start("a.a", 1), "attempt_mismatch")


def test_13_an_attempt_needs_its_id_unless_it_is_newer(story: Story) -> None:
    story.run_of({"a.a": []})
    story.dispatch("a.a")
    wrong = {**of("a.a", 1), "attempt_id": "att_wrong"}
    no = refused(story.tell("TaskStarted", **wrong, worker_id="w"), "attempt_id_mismatch")
    assert no.details["expected_attempt_id"] == of("a.a", 1)["attempt_id"]
    accepted(story.start("a.a"))
    accepted(story.start("a.a", 3))
    assert story.task("a.a").attempt == 3


def test_14_a_run_that_is_heard_of_after_its_tasks_is_counted(story: Story) -> None:
    tasks = [{"key": "a.a"}, {"key": "b.b", "depends_on": ["a.a"]}]
    story.tell("PlanCreated", run_id=RUN, plan_id="P", tasks=tasks)
    story.through("a.a")
    story.through("b.b", "failed", error={"category": "CONFIGURATION"})
    story.tell("RunTriggered", run_id=RUN, plan_id="P")
    assert (story.run.state, story.run.tasks_succeeded, story.run.tasks_failed) == ("FAILED", 1, 1)


def test_15_what_waits_for_a_failure_is_skipped_to_the_last(story: Story) -> None:
    story.run_of({**DIAMOND, "e.e": []}, max_attempts=1)
    story.through("a.a", "failed")
    assert story.states == {
        "a.a": "FAILED",
        "b.b": "SKIPPED",
        "c.c": "SKIPPED",
        "d.d": "SKIPPED",
        "e.e": "READY",
    }
    assert story.run.state == "RUNNING"
    story.through("e.e")
    assert (story.run.state, story.run.tasks_skipped) == ("FAILED", 3)
    edges = {(edge.upstream_task_key, edge.resolution) for edge in story.view.scan(DEPENDENCIES, ())}
    assert edges == {("a.a", "FAILED"), ("b.b", "SKIPPED"), ("c.c", "SKIPPED")}


def test_16_what_waits_for_a_cancelled_task_is_cancelled(story: Story) -> None:
    story.run_of(DIAMOND)
    story.through("a.a", "cancelled")
    assert set(story.states.values()) == {"CANCELLED"}
    assert story.run.state == "CANCELLED"


def test_17_a_failure_with_attempts_left_waits_and_waits_longer(story: Story) -> None:
    story.run_of({"a.a": [], "b.b": ["a.a"]}, max_attempts=9)
    for attempt, wait_s in enumerate((30, 60, 120, 240, 480, 900, 900), start=1):
        story.through("a.a", "failed", attempt)
        assert story.states == {"a.a": "RETRY_WAIT", "b.b": "BLOCKED"}
        failed_ms = ulid_ms(story.told[-1].event_id)
        assert story.task("a.a").retry_not_before == failed_ms + wait_s * 1000
        refused(story.start("a.a", attempt), "attempt_already_completed")
        story.dispatch("a.a", attempt + 1)
        assert story.task("a.a").retry_not_before is None


def test_18_no_clock_but_the_servers_decides_when_to_try_again(story: Story) -> None:
    story.run_of({"a.a": []})
    story.dispatch("a.a")
    story.start("a.a")
    ahead = START_MS + 10 * 365 * 86_400_000
    event = story.envelope("TaskFinished", ahead, **of("a.a", 1), worker_id="w", outcome="failed")
    story.fold(event)
    assert story.task("a.a").retry_not_before == ulid_ms(event.event_id) + 30_000


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "RETRY_WAIT"),
        ({"category": "USER_CODE"}, "RETRY_WAIT"),
        ({"category": "INFRASTRUCTURE"}, "RETRY_WAIT"),
        ({"category": "TIMEOUT"}, "RETRY_WAIT"),
        ({"category": "DATA_QUALITY"}, "FAILED"),
        ({"category": "CONFIGURATION"}, "FAILED"),
        ({"category": "CANCELLED"}, "FAILED"),
        ({"category": "DATA_QUALITY", "retryable": True}, "RETRY_WAIT"),
        ({"category": "USER_CODE", "retryable": False}, "FAILED"),
    ],
)
def test_19_20_whether_it_is_tried_again_is_for_the_error_to_say(
    story: Story, error: dict[str, Any] | None, state: str
) -> None:
    story.run_of({"a.a": []})
    story.through("a.a", "failed", 1, error=error)
    assert story.states == {"a.a": state}


def test_21_cancelling_ends_what_no_worker_has_begun(story: Story) -> None:
    story.run_of({"a.a": [], "b.b": [], "c.c": [], "d.d": ["a.a"]})
    story.dispatch("a.a")
    story.start("a.a")
    story.dispatch("b.b")
    accepted(story.tell("RunCancelRequested", run_id=RUN, requested_by="u", reason="bad input"))
    assert story.states == {"a.a": "RUNNING", "b.b": "CANCELLED", "c.c": "CANCELLED", "d.d": "CANCELLED"}
    assert story.outbox() == []
    assert accepted(story.beat("a.a")).details == {"cancel": "user_requested"}
    refused(story.start("b.b"), "task_already_terminal")
    accepted(story.finish("a.a"))
    assert (story.run.state, story.states["a.a"]) == ("CANCELLED", "SUCCEEDED")


def test_21_a_task_that_fails_while_its_run_is_cancelled_is_not_tried_again(story: Story) -> None:
    story.run_of({"a.a": [], "b.b": []})
    story.dispatch("a.a")
    story.start("a.a")
    story.tell("RunCancelRequested", run_id=RUN, requested_by="u")
    story.finish("a.a", "failed")
    assert story.run.state == "CANCELLED"


def test_22_cancelling_nothing_is_at_once_and_cancelling_what_is_over_changes_nothing(story: Story) -> None:
    story.tell("RunTriggered", run_id=RUN, plan_id="P")
    accepted(story.tell("RunCancelRequested", run_id=RUN, requested_by="u"))
    assert story.run.state == "CANCELLED"
    no = story.tell("RunCancelRequested", run_id=RUN, requested_by="u")
    assert refused(no, "run_already_terminal").details == {"state": "CANCELLED"}
    over = story.run
    refused(story.tell("RunCancelRequested", run_id=RUN, requested_by="other", reason="again"), "run_already_terminal")
    assert story.run == over
    refused(story.tell("RunCancelRequested", run_id="01J", requested_by="u"), "run_not_found")


def test_23_the_queue_may_be_heard_of_first(story: Story) -> None:
    story.run_of({"a.a": []})
    name = keys.dispatch_id(RUN, "a.a", 1)
    story.tell("DispatchEnqueued", dispatch_id=name, cloud_task_id="d_1")
    (row,) = story.outbox()
    assert (row.status, row.attempt_id, row.run_id, row.attempt) == ("CREATED", "", RUN, 1)
    story.dispatch("a.a")
    (row,) = story.outbox()
    assert (row.status, row.attempt_id, row.cloud_task_id) == ("CREATED", of("a.a", 1)["attempt_id"], "d_1")
    assert story.states == {"a.a": "DISPATCHED"}


def test_24_what_was_begun_is_in_the_outbox_no_more(story: Story) -> None:
    story.run_of({"a.a": []})
    story.dispatch("a.a")
    story.start("a.a")
    assert story.outbox() == []
    accepted(story.tell("DispatchEnqueued", dispatch_id=keys.dispatch_id(RUN, "a.a", 1), cloud_task_id="d_1"))
    refused(story.dispatch("a.a"), "nothing_to_do")
    assert story.outbox() == []


@pytest.mark.parametrize("kind", ["retry", "heartbeat", "cron", "sla"])
def test_25_a_timer_may_fire_and_be_in_the_queue_before_it_was_asked_for(story: Story, kind: str) -> None:
    timer = keys.timer_id(kind, f"{RUN}:a.a:1", 1_767_225_700)
    timer_type = {"retry": "RETRY", "heartbeat": "HEARTBEAT_CHECK", "cron": "CRON", "sla": "SLA_CHECK"}[kind]
    news = {"TimerFired": {"timer_type": timer_type.lower()}, "TimerEnqueued": {"cloud_task_id": "t_1"}}
    for order in (list(news), list(news)[::-1]):
        again = Story()
        for event_type in order:
            accepted(again.tell(event_type, timer_id=timer, **news[event_type]))
            (row,) = again.view.scan(TIMERS, ())
            assert (row.timer_type, row.fire_at) == (timer_type, 1_767_225_700_000)
        assert (row.cloud_task_id, row.state) == ("t_1", "FIRED")
    refused(story.tell("TimerFired", timer_id="nothing"), "nothing_to_do")
    refused(story.tell("TimerEnqueued", timer_id="nothing", cloud_task_id="t_1"), "nothing_to_do")


def test_25_a_retry_timer_moves_the_retry(story: Story) -> None:
    story.run_of({"a.a": []})
    story.through("a.a", "failed")
    fire_at = instant.http_text(START_MS + 86_400_000)
    timer = keys.timer_id("retry", f"{RUN}:a.a:1", 1)
    asked = {"timer_id": timer, "timer_type": "retry", "fire_at": fire_at}
    story.tell("TimerRequested", **asked, run_id=RUN, task_key="a.a", attempt=1)
    assert story.task("a.a").retry_not_before == START_MS + 86_400_000


def test_26_two_controllers_ask_for_one_attempt(story: Story) -> None:
    story.run_of({"a.a": []})
    accepted(story.dispatch("a.a"))
    name = keys.dispatch_id(RUN, "a.a", 1)
    other = {**of("a.a", 1), "attempt_id": "att_other"}
    accepted(story.tell("DispatchRequested", **other, dispatch_id=name, worker_queue="gpu"))
    (row,) = story.outbox()
    assert (row.attempt_id, row.worker_queue) == (of("a.a", 1)["attempt_id"], "gpu")
    assert story.task("a.a").attempt_id == of("a.a", 1)["attempt_id"]


def test_27_what_can_be_read_is_not_taken_back(story: Story) -> None:
    story.run_of({"a.a": []}, requires_visible_output=True)
    story.through("a.a", output_visibility={"visibility_state": "pending"})
    seen = {**of("a.a", 1), "visibility_state": "visible"}
    refused(story.tell("TaskOutputVisibilityChanged", **{**seen, "attempt": 2}), "attempt_mismatch")
    accepted(story.tell("TaskOutputVisibilityChanged", **seen))
    assert story.task("a.a").published_at == story.now_ms
    refused(story.tell("TaskOutputVisibilityChanged", **{**seen, "visibility_state": "pending"}), "nothing_to_do")
    assert story.task("a.a").output_visibility_state == "VISIBLE"


def test_29_completion_and_visibility_are_one_event(story: Story) -> None:
    story.run_of({"a.a": []})
    published = "2026-01-01T00:00:05Z"
    story.through("a.a", output_visibility={"visibility_state": "visible", "published_at": published})
    task = story.task("a.a")
    assert (task.state, task.output_visibility_state) == ("SUCCEEDED", "VISIBLE")
    assert task.published_at == instant.parse_ms(published)


def test_30_a_partition_knows_its_last_attempt_and_its_last_success(story: Story) -> None:
    story.run_of({"a.a": []}, partition_key="date=d:2025-01-15")
    story.through("a.a", output={"deltaTable": "sales", "deltaVersion": 12, "deltaPartition": "p"})
    (row,) = story.view.scan(PARTITIONS, ())
    assert (row.partition_key, row.delta_version, row.last_materialization_run_id) == ("date=d:2025-01-15", 12, RUN)
    ref = {
        "runId": RUN,
        "taskKey": "a.a",
        "attempt": 1,
        "deltaTable": "sales",
        "deltaVersion": 12,
        "deltaPartition": "p",
    }
    assert msgspec.json.decode(row.execution_lineage_ref or "") == ref
    before = row
    again = RUN[:-1] + "9"
    story.run_of({"a.a": []}, again, partition_key="date=d:2025-01-15", max_attempts=1)
    story.dispatch("a.a", run_id=again)
    story.start("a.a", run_id=again)
    story.tell("TaskFinished", **of("a.a", 1, again), worker_id="w", outcome="failed")
    (row,) = story.view.scan(PARTITIONS, ())
    assert (row.last_attempt_run_id, row.last_attempt_outcome) == (again, "FAILED")
    changed = {name for name in row.__struct_fields__ if getattr(row, name) != getattr(before, name)}
    assert changed == {"last_attempt_run_id", "last_attempt_at", "last_attempt_outcome", "row_version"}


def test_34_a_run_key_is_taken_once_and_a_conflict_stays_on_record(story: Story) -> None:
    for fingerprint in ("one", "one", "two"):
        accepted(story.tell("RunRequested", run_key="sched:x:1", request_fingerprint=fingerprint))
    (row,) = story.view.scan(RUN_KEYS, ())
    assert row.run_id == keys.run_id_of_key(b"", ("acme", "prod"), "sched:x:1")
    (conflict,) = story.view.scan(RUN_KEY_CONFLICTS, ())
    assert (conflict.existing_fingerprint, conflict.conflicting_fingerprint) == ("one", "two")
    no = story.tell("RunTriggered", run_id=RUN, plan_id="P", run_key="sched:x:1")
    assert refused(no, "run_key_taken").details["run_id"] == row.run_id
    accepted(story.tell("RunTriggered", run_id=row.run_id, plan_id="P", run_key="sched:x:1"))
    assert [run.run_id for run in story.view.scan(RUNS, ())] == [row.run_id]


def test_a_worker_that_is_alive_is_not_given_up_and_a_silent_one_is_looked_at_in_time(story: Story) -> None:
    story.run_of({"a.a": []}, heartbeat_timeout_sec=60)
    story.dispatch("a.a")
    story.start("a.a")
    began = story.now_ms
    assert story.task("a.a").due_at == began + 90_000
    for _ in range(100):
        story.beat("a.a", progress_pct=50, message="half")
        place = place_of_task(story.task("a.a"))
        assert place is not None
        assert place.due <= story.now_ms + 90_000
        assert place.due > story.now_ms
    assert (story.task("a.a").progress_pct, story.task("a.a").progress) == (50, "half")


def test_a_heartbeat_of_the_attempt_before_does_not_keep_the_next_alive(story: Story) -> None:
    story.run_of({"a.a": []})
    story.dispatch("a.a")
    story.start("a.a")
    story.beat("a.a")
    story.finish("a.a", "failed")
    story.dispatch("a.a", 2)
    story.start("a.a", 2)
    assert story.task("a.a").last_heartbeat_at is None


def test_a_plan_that_could_not_end_is_refused_as_a_whole(story: Story) -> None:
    circle = [{"key": "a.a", "depends_on": ["b.b"]}, {"key": "b.b", "depends_on": ["a.a"]}]
    for tasks, because in (
        (circle, "wait for each other"),
        ([{"key": "a.a", "depends_on": ["x.x"]}], "not planned"),
        ([{"key": "a.a"}, {"key": "a.a"}], "twice"),
        ([{"key": "a.a", "max_attempts": 0}], "never run"),
    ):
        with pytest.raises(InvalidEvent, match=because):
            story.tell("PlanCreated", run_id=RUN, plan_id="P", tasks=tasks)


def test_10_a_type_of_a_newer_build_waits(story: Story) -> None:
    event = story.envelope("TaskTeleported", run_id=RUN)
    with pytest.raises(UnsupportedEvent):
        DOMAIN.fold(story.view, event, FoldContext(0, 1))


def test_08_09_the_order_of_ids_decides_however_the_events_are_cut(story: Story) -> None:
    story.run_of({"a.a": [], "b.b": ["a.a"]})
    story.through("a.a", "failed")
    story.through("a.a", attempt=2)
    story.through("b.b")
    expected = story.view.state
    for cut in range(len(story.told)):
        again = Story(MemoryView())
        for batch in (story.told[:cut], story.told[cut:]):
            for event in sorted(batch, key=lambda event: event.event_id):
                again.fold(event)
        assert again.view.state == expected


def test_priority_comes_before_age_in_the_agenda(story: Story) -> None:
    story.tell("RunTriggered", run_id=RUN, plan_id="P")
    tasks = [{"key": f"a.t{number}", "priority": priority} for number, priority in enumerate((0, -5, 7, 1_000))]
    story.tell("PlanCreated", run_id=RUN, plan_id="P", tasks=tasks)
    places = [place_of_task(story.task(f"a.t{number}")) for number in range(4)]
    order = sorted((place.due, place.task_key) for place in places if place is not None)
    assert [key for _, key in order] == ["a.t3", "a.t2", "a.t0", "a.t1"]


def test_every_permutation_of_a_fan_in_ends_alike() -> None:
    ends = set()
    for order in itertools.permutations(["a.a", "b.b", "c.c"]):
        story = Story()
        story.run_of({"a.a": [], "b.b": [], "c.c": [], "d.d": ["a.a", "b.b", "c.c"]})
        for key in order:
            story.through(key)
        ends.add((story.states["d.d"], story.task("d.d").deps_satisfied_count))
    assert ends == {("READY", 3)}


def test_no_more_attempts_than_there_are_slots(story: Story) -> None:
    story.run_of({"a.a": [], "b.b": [], "c.c": []}, concurrency_key="warehouse")
    accepted(story.tell("ConcurrencyLimitSet", concurrency_key="warehouse", slots=1))
    accepted(story.dispatch("a.a"))
    accepted(story.dispatch("a.a"))
    no = refused(story.dispatch("b.b"), "concurrency_limit")
    assert no.details == {"concurrency_key": "warehouse"}
    assert story.states["b.b"] == "READY"
    story.start("a.a")
    refused(story.dispatch("b.b"), "concurrency_limit")
    story.finish("a.a", "failed")
    accepted(story.dispatch("b.b"))
    accepted(story.tell("ConcurrencyLimitSet", concurrency_key="*", slots=1))
    accepted(story.tell("ConcurrencyLimitSet", concurrency_key="warehouse"))
    refused(story.dispatch("c.c"), "concurrency_limit")
    accepted(story.tell("ConcurrencyLimitSet", concurrency_key="*"))
    accepted(story.dispatch("c.c"))


def test_a_paused_workspace_finishes_what_runs_and_begins_nothing(story: Story) -> None:
    story.run_of({"a.a": [], "b.b": ["a.a"]})
    story.dispatch("a.a")
    accepted(story.tell("WorkspacePauseChanged", paused=True, changed_by="u"))
    accepted(story.start("a.a"))
    accepted(story.finish("a.a"))
    assert story.states["b.b"] == "READY"
    refused(story.dispatch("b.b"), "workspace_paused")
    accepted(story.tell("WorkspacePauseChanged", paused=False, changed_by="u"))
    accepted(story.dispatch("b.b"))


@pytest.mark.parametrize("attempt", [-1, 2**32, 2**70])
def test_a_number_no_column_holds_costs_its_event_and_nothing_else(story: Story, attempt: int) -> None:
    story.run_of({"a.a": []})
    before = {name: dict(rows) for name, rows in story.view.state.items()}
    with pytest.raises(InvalidEvent, match=r"Expected `int`|out of range"):
        story.start("a.a", attempt)
    refused(
        story.tell("DispatchEnqueued", dispatch_id=f"dispatch:{RUN}:a.a:{attempt}", cloud_task_id="d"), "nothing_to_do"
    )
    for priority in (-1_001, 1_001):
        with pytest.raises(InvalidEvent, match="priority"):
            story.tell("PlanCreated", run_id="R", plan_id="P", tasks=[{"key": "a.a", "priority": priority}])
    refused(story.tell("TimerFired", timer_id="timer:retry:x:1:9999999999999999999"), "nothing_to_do")
    assert story.view.state == before


def test_a_dispatch_is_named_after_its_attempt(story: Story) -> None:
    story.run_of({"a.a": []})
    named = keys.dispatch_id(RUN, "a.a", 2)
    refused(story.tell("DispatchRequested", **of("a.a", 1), dispatch_id=named), "nothing_to_do")
