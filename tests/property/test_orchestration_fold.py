"""Random graphs with random news, true and false: rows, counters, agenda and slots agree at every moment, and runs end.

Told one by one, told twice, with nothing loaded and with everything loaded: the state is the same.
"""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import LazyView, MemoryView
from tests.unit.orchestration.story import DOMAIN, RUN, Story, of

from arco.domains.orchestration import keys
from arco.domains.orchestration.agenda import RUN_TERMINAL, TERMINAL
from arco.domains.orchestration.rows import AGENDA, OUTBOX, SLOTS
from arco.kernel.envelope import Envelope
from arco.kernel.fold import FoldContext, NotLoaded, Rejected
from arco.kernel.workshop import FOLD_VERSION

OUTCOMES = ("succeeded", "succeeded", "succeeded", "failed", "cancelled", "skipped")


def plan_of(rng: random.Random) -> list[dict[str, Any]]:
    names = [f"n.t{number}" for number in range(rng.randint(1, 7))]
    return [
        {
            "key": name,
            "asset_key": name,
            "depends_on": rng.sample(names[:index], rng.randint(0, min(index, 3))),
            "max_attempts": rng.randint(1, 3),
            "priority": rng.choice((None, 5)),
            "concurrency_key": rng.choice((None, "k")),
        }
        for index, name in enumerate(names)
    ]


def any_news(rng: random.Random, story: Story, names: list[str]) -> Envelope:
    """Something that might be heard: mostly of the attempt that is current."""
    task = story.task(rng.choice(names))
    attempt = max(1, task.attempt + rng.choice((0, 0, 0, 0, 0, 1, -1)))
    if task.state in ("READY", "RETRY_WAIT") and rng.random() < 0.7:
        attempt = task.attempt + 1
        return story.envelope(
            "DispatchRequested", **of(task.task_key, attempt), dispatch_id=keys.dispatch_id(RUN, task.task_key, attempt)
        )
    who = {**of(task.task_key, attempt), "worker_id": "w"}
    if rng.random() < 0.05:
        who["attempt_id"] = "att_wrong"
    match rng.randrange(12):
        case 0 | 1 | 2:
            return story.envelope("TaskStarted", **who)
        case 3:
            return story.envelope("TaskHeartbeat", **who)
        case 4:
            name = keys.dispatch_id(RUN, task.task_key, attempt)
            return story.envelope("DispatchEnqueued", dispatch_id=name, cloud_task_id="d_x")
        case 5 if rng.random() < 0.1:
            return story.envelope("RunCancelRequested", run_id=RUN, requested_by="u")
        case 6 if task.state == "FAILED":
            return story.envelope("TaskRetryRequested", run_id=RUN, task_key=task.task_key, requested_by="u")
        case _:
            return story.envelope("TaskFinished", **who, outcome=rng.choice(OUTCOMES))


def told(seed: int) -> Story:
    """A run and up to sixty pieces of news about it; `Story` checks the state after each."""
    rng = random.Random(seed)
    story = Story()
    tasks = plan_of(rng)
    story.tell("RunTriggered", run_id=RUN, plan_id="P")
    story.tell("PlanCreated", run_id=RUN, plan_id="P", tasks=tasks)
    for _ in range(rng.randint(0, 60)):
        story.fold(any_news(rng, story, [task["key"] for task in tasks]))
    return story


def finish(story: Story) -> None:
    """What dispatcher, sweeper and well-behaved workers do with what the agenda says."""
    for _ in range(200):
        places = list(story.view.scan(AGENDA, ()))
        if not places:
            return
        task = story.task(places[0].task_key)
        attempt = task.attempt
        if task.state in ("READY", "RETRY_WAIT"):
            attempt += 1
            story.dispatch(task.task_key, attempt)
        if story.task(task.task_key).state == "DISPATCHED":
            story.start(task.task_key, attempt)
        who = {**of(task.task_key, attempt), "attempt_id": story.task(task.task_key).attempt_id}
        story.tell("TaskFinished", **who, worker_id="w", outcome="succeeded")


@given(seed=st.integers(0, 2**32))
@settings(max_examples=150)
def test_whatever_is_heard_the_run_can_end_and_holds_nothing_then(seed: int) -> None:
    story = told(seed)
    finish(story)
    assert set(story.states.values()) <= TERMINAL
    assert story.run.state in RUN_TERMINAL
    assert list(story.view.scan(AGENDA, ())) == []
    assert [row for row in story.view.scan(SLOTS, ()) if row.in_use] == []
    assert list(story.view.scan(OUTBOX, ())) == []


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_not_loaded_is_not_absent(seed: int) -> None:
    story = told(seed)
    lazy = LazyView({})
    plain = MemoryView()
    for event in story.told:
        for view in (plain, lazy):
            _fold(view, event)
        lazy = LazyView(lazy.state)
    assert {name: rows for name, rows in lazy.state.items() if rows} == {
        name: rows for name, rows in plain.state.items() if rows
    }


def _fold(view: MemoryView, event: Envelope) -> None:
    for _ in range(500):
        savepoint = view.savepoint()
        try:
            if isinstance(DOMAIN.fold(view, event, FoldContext(0, FOLD_VERSION)), Rejected):
                view.rollback(savepoint)
        except NotLoaded as missing:
            view.rollback(savepoint)
            assert isinstance(view, LazyView)
            view.load(missing)
        else:
            return
    raise AssertionError("loading does not come to an end")
