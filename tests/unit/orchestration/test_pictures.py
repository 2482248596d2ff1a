"""What followers are told: enough to know how everything stands, and nothing that is no news."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from arco.domains.orchestration.queries.pictures import Change, Picture, changes
from arco.domains.orchestration.queries.runs import public_state, public_task_state
from arco.domains.orchestration.rows import RunRow, TaskRow

BORN = "01JRUN00000000000000000000"
RUN = RunRow(born=BORN, run_id=BORN, plan_id="p", state="RUNNING", triggered_at=1, row_version="1")
TASK = TaskRow(born=BORN, run_id=BORN, task_key="", state="BLOCKED", row_version="1")
KEYS = ("a.a", "b.b", "c.c")

_TASKS = st.builds(
    lambda state, attempt, error, beat, version: {
        "state": state,
        "attempt": attempt,
        "error_message": error,
        "last_heartbeat_at": beat,
        "row_version": version,
    },
    st.sampled_from(["BLOCKED", "READY", "DISPATCHED", "RUNNING", "RETRY_WAIT", "SKIPPED", "FAILED", "SUCCEEDED"]),
    st.integers(0, 3),
    st.sampled_from([None, "boom"]),
    st.sampled_from([None, 5, 6]),
    st.sampled_from(["1", "2"]),
)


def a_picture(number: int, state: str, tasks: tuple[dict[str, object], ...]) -> Picture:
    rows = {key: msgspec.structs.replace(TASK, task_key=key, **fields) for key, fields in zip(KEYS, tasks, strict=True)}
    return Picture(number, msgspec.structs.replace(RUN, state=state), rows, {}, ("", ""))


_PICTURES = st.builds(
    a_picture,
    st.integers(1, 9),
    st.sampled_from(["TRIGGERED", "RUNNING", "SUCCEEDED", "FAILED"]),
    st.tuples(_TASKS, _TASKS, _TASKS),
)


def told(row: TaskRow) -> tuple[object, ...]:
    return public_task_state(row), row.attempt, row.error_message


@given(st.lists(_PICTURES, min_size=1, max_size=5))
def test_the_changes_from_picture_to_picture_tell_how_everything_stands(pictures: list[Picture]) -> None:
    known: dict[str, tuple[object, ...]] = {}
    state = None
    for old, new in zip([None, *pictures], pictures, strict=False):
        for change in changes(old, new):
            if change.task is not None:
                known[change.task.task_key] = told(change.task)
            else:
                state = public_state(new.run)
        assert known == {key: told(row) for key, row in new.tasks.items()}
        assert state == public_state(new.run)


@given(_PICTURES, _PICTURES)
def test_changes_come_in_one_order_and_only_for_what_is_different(old: Picture, new: Picture) -> None:
    found = changes(old, new)
    assert found == changes(old, msgspec.structs.replace(new, number=99))
    keys = [change.task.task_key for change in found if change.task is not None]
    assert keys == sorted(key for key in KEYS if told(old.tasks[key]) != told(new.tasks[key]))
    assert [change.kind for change in found if change.kind == "end"] == ["end"] * (
        new.over and (bool(keys) or public_state(old.run) != public_state(new.run))
    )


@given(_PICTURES)
def test_the_same_picture_is_no_news(picture: Picture) -> None:
    assert changes(picture, msgspec.structs.replace(picture, number=99)) == []


def test_a_heartbeat_is_no_news_and_progress_is() -> None:
    before = a_picture(1, "RUNNING", ({"state": "RUNNING", "attempt": 1},) * 3)
    rows = dict(before.tasks)
    rows["a.a"] = msgspec.structs.replace(rows["a.a"], last_heartbeat_at=9, row_version="9")
    assert changes(before, msgspec.structs.replace(before, tasks=rows)) == []
    rows["a.a"] = msgspec.structs.replace(rows["a.a"], progress_pct=50)
    assert changes(before, msgspec.structs.replace(before, tasks=rows)) == [Change("task", rows["a.a"])]
