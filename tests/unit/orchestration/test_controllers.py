"""What controllers propose: orchestration.md 8.1, 8.2 and the conformance list, 70 to 72."""

from typing import Any

import msgspec
import pytest
from tests.unit.orchestration.story import RUN, START_MS, Story

from arco.domains.orchestration import keys
from arco.domains.orchestration.agenda import READY, RETRY, RUNNING, SENT, TERMINAL, place_of_task
from arco.domains.orchestration.controllers.overdue import Patience, of_run, of_task
from arco.domains.orchestration.controllers.ready import to_send
from arco.domains.orchestration.controllers.steps import CallOff, GiveUp, Redeliver, Send
from arco.domains.orchestration.rows import RunRow, SlotsRow, TaskRow

PATIENCE = Patience()
STATES = ("BLOCKED", "READY", "DISPATCHED", "RUNNING", "RETRY_WAIT", *sorted(TERMINAL))


def task(state: str = "READY", key: str = "a.a", **fields: Any) -> TaskRow:
    return TaskRow(born=RUN, run_id=RUN, task_key=key, state=state, row_version="1", **fields)


def slots(**rows: tuple[int, int | None]) -> dict[str, SlotsRow]:
    names = {"all": "*"}
    return {
        names.get(key, key): SlotsRow(concurrency_key=names.get(key, key), in_use=used, slots=most)
        for key, (used, most) in rows.items()
    }


def test_no_state_but_the_last_ones_is_without_an_owner() -> None:
    owners = {state: place_of_task(task(state)) for state in STATES}
    lanes = {state: None if place is None else place.lane for state, place in owners.items()}
    assert {state: lanes[state] for state in STATES if state not in TERMINAL} == {
        "BLOCKED": None,  # by the tasks before it
        "READY": READY,
        "DISPATCHED": SENT,
        "RUNNING": RUNNING,
        "RETRY_WAIT": RETRY,
    }
    assert {lanes[state] for state in TERMINAL} == {None}
    for state in ("READY", "DISPATCHED", "RUNNING", "RETRY_WAIT"):
        assert of_task(task(state), START_MS * 2, PATIENCE) is not None, state


def test_ready_tasks_are_sent_as_far_as_there_are_slots() -> None:
    ready = [task(key=f"a.t{number}", concurrency_key="k" if number < 3 else None) for number in range(6)]

    def sent(rows: dict[str, SlotsRow], limit: int = 10) -> list[str]:
        return [step.task.task_key for step in to_send(ready, rows, limit=limit)]

    assert len(sent({})) == 6
    assert sent({}, limit=2) == ["a.t0", "a.t1"]
    assert sent(slots(k=(1, 2))) == ["a.t0", "a.t3", "a.t4", "a.t5"]
    assert sent(slots(k=(5, 2))) == ["a.t3", "a.t4", "a.t5"]
    assert sent(slots(k=(0, None), all=(8, 10))) == ["a.t0", "a.t1"]
    assert sent(slots(all=(3, 0))) == []
    (step,) = to_send([task()], {}, limit=1)
    assert (step.attempt, step.dispatch_id) == (1, keys.dispatch_id(RUN, "a.a", 1))
    assert step.attempt_id == keys.attempt_id(step.dispatch_id)


@pytest.mark.parametrize(
    ("row", "early", "late", "step"),
    [
        (task("READY", ready_at=0), 299_999, 300_000, Send),
        (task("DISPATCHED", attempt=1, due_at=0), 599_999, 600_000, Redeliver),
        (task("RETRY_WAIT", attempt=1, retry_not_before=30_000), 29_999, 30_000, Send),
        (task("RUNNING", attempt=1, started_at=0), 330_000, 330_001, GiveUp),
        (task("RUNNING", attempt=1, started_at=0, last_heartbeat_at=50_000), 380_000, 380_001, GiveUp),
        (task("RUNNING", attempt=1, started_at=0, timeout_sec=60), 59_999, 60_000, GiveUp),
    ],
)
def test_71_72_what_is_overdue_is_dealt_with_and_nothing_before(row: TaskRow, early: int, late: int, step: Any) -> None:
    assert of_task(row, early, PATIENCE) is None
    found = of_task(row, late, PATIENCE)
    assert isinstance(found, step)
    if isinstance(found, Send):
        assert found.attempt == row.attempt + 1


def test_a_task_that_takes_too_long_is_said_to_and_one_that_is_silent_too() -> None:
    late = of_task(task("RUNNING", started_at=0, timeout_sec=60), 60_000, PATIENCE)
    assert isinstance(late, GiveUp)
    assert (late.category, late.message) == ("TIMEOUT", "task_timeout: a.a ran longer than 60 s")
    silent = of_task(task("RUNNING", started_at=0), 400_000, PATIENCE)
    assert isinstance(silent, GiveUp)
    assert (silent.category, silent.message) == ("INFRASTRUCTURE", "heartbeat_timeout_anti_entropy")


def test_a_run_is_called_off_at_its_deadline_and_once() -> None:
    run = RunRow(born=RUN, run_id=RUN, plan_id="P", state="RUNNING", triggered_at=0, deadline_at=100, row_version="1")
    assert of_run(run, 99) is None
    assert of_run(run, 100) == CallOff(run, "run_timeout")
    for change in ({"cancel_requested": True}, {"state": "SUCCEEDED"}, {"deadline_at": None}):
        assert of_run(msgspec.structs.replace(run, **change), 100) is None


def test_the_agenda_leads_to_what_is_overdue_in_time() -> None:
    story = Story()
    story.run_of({"a.a": []}, heartbeat_timeout_sec=60)
    story.dispatch("a.a")
    story.start("a.a")
    for _ in range(30):
        story.beat("a.a")
        row = story.task("a.a")
        place = place_of_task(row)
        assert place is not None
        dead_at = (row.last_heartbeat_at or 0) + 90_000
        # Whoever looks at the latest when the agenda says so misses nothing by more than half a time-out.
        assert of_task(row, dead_at, PATIENCE) is None
        assert place.due <= dead_at <= place.due + 30_000
