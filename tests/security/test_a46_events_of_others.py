"""A-46: nobody says through a transaction what only workers and roles may say, nor in somebody else's name."""

import pytest
from tests.http.batches import IDS, a_run, an_event, committed, run_of, send
from tests.http.flow import Attempt, states
from tests.http.world import a_world, problem

OPERATORS = {"ARCO_ORCH_OPERATOR_GROUP": "keepers"}
ATTEMPT = {"run_id": "x", "task_key": "analytics.daily", "attempt": 1, "attempt_id": "att_x"}
TASK = {"run_id": "x", "task_key": "analytics.daily", "attempt": 1}
TIME = "2026-01-01T00:00:00Z"
ROLES_SAY = [
    an_event("task_started", **ATTEMPT, worker_id="w"),
    an_event("task_heartbeat", **ATTEMPT, worker_id="w"),
    an_event("task_finished", **ATTEMPT, worker_id="w", outcome="succeeded"),
    an_event("task_completion_recorded", **ATTEMPT, worker_id="w", outcome="succeeded"),
    an_event("dispatch_requested", **ATTEMPT, dispatch_id="dispatch:x:analytics.daily:1"),
    an_event("dispatch_enqueued", dispatch_id="dispatch:x:analytics.daily:1", cloud_task_id="d_x"),
    an_event("timer_requested", timer_id="timer:retry:x:y:1:1", timer_type="retry", fire_at=TIME, **TASK),
    an_event("timer_enqueued", timer_id="timer:retry:x:y:1:1", cloud_task_id="t_x"),
    an_event("timer_fired", timer_id="timer:retry:x:y:1:1", timer_type="retry"),
    an_event(
        "schedule_ticked",
        schedule_id="s",
        scheduled_for=TIME,
        tick_id="t",
        definition_version="v",
        status={"status": "triggered"},
    ),
    an_event(
        "backfill_chunk_planned",
        backfill_id="b",
        chunk_id="c",
        chunk_index=0,
        partition_keys=[],
        run_key="k",
        request_fingerprint="f",
    ),
    an_event(
        "run_requested",
        run_key="sched:daily:1",
        request_fingerprint="f",
        trigger_source_ref={"type": "schedule", "schedule_id": "s", "tick_id": "t"},
    ),
    an_event(
        "sensor_evaluated",
        sensor_id="s",
        eval_id="e",
        trigger_source={"source": "poll", "poll_epoch": 1},
        status={"status": "triggered"},
    ),
]


@pytest.mark.parametrize("event", ROLES_SAY, ids=lambda event: event["data"]["type"])
@pytest.mark.parametrize("groups", ["", "others", "keeper,keepersx"])
async def test_a46_what_workers_and_roles_say_is_forbidden_to_others(event, groups):
    async with a_world(OPERATORS) as world, world.client() as api:
        world.store.forget()
        answer = await send(api, [*a_run(), event], groups=groups)
        assert problem(answer)[:2] == (403, "FORBIDDEN"), answer.text
        assert answer.json()["message"].startswith("events[2].data")
        assert answer.json()["details"] == {"event": 2}
        assert not [each for each in world.store.operations if each.name in ("create", "replace")]


async def test_a46_without_an_operators_group_nobody_is_one():
    async with a_world() as world, world.client() as api:
        for groups in ("", "keepers", "None", "null"):
            assert (await send(api, [ROLES_SAY[2]], groups=groups)).status_code == 403


async def test_a46_a_colleague_s_task_is_not_finished_through_a_transaction():
    async with a_world(OPERATORS) as world, world.client() as api:
        events = a_run("analytics.daily")
        await committed(api, events)
        attempt = Attempt(world, api, run_of(events), "analytics.daily")
        assert await attempt.dispatch() == "accepted"
        await attempt.told("started")
        # The id of an attempt follows from its names: knowing it is no right.
        who = {"run_id": attempt.run_id, "task_key": attempt.task_key, "attempt": 1, "attempt_id": attempt.attempt_id}
        forged = an_event("task_completion_recorded", **who, worker_id="worker-7", outcome="failed")
        assert (await send(api, [forged], key="2")).status_code == 403
        assert (await states(api, attempt.run_id))["analytics.daily"] == "RUNNING"


async def test_a46_nobody_asks_in_somebody_else_s_name():
    async with a_world() as world, world.client({"x-user-id": "mallory"}) as api:
        for event, field in (
            (an_event("run_cancel_requested", run_id=IDS.ulid(), requested_by="alice"), "requested_by"),
            (
                an_event(
                    "backfill_state_changed",
                    backfill_id="b",
                    from_state="RUNNING",
                    to_state="CANCELLED",
                    state_version=2,
                    changed_by="alice",
                ),
                "changed_by",
            ),
            (a_run(trigger={"type": "manual", "user_id": "alice"})[0], "trigger.user_id"),
        ):
            answer = await send(api, [event])
            assert answer.status_code == 400, answer.text
            assert answer.json()["message"] == f"events[0].data.{field} must be the caller, mallory, or left out"
        for trigger in ({"type": "cron", "schedule_id": "s"}, {"type": "sensor", "sensor_id": "s", "cursor": "c"}):
            assert (await send(api, a_run(trigger=trigger))).status_code == 403
