"""One more try at a task that failed, and what was skipped because of it."""

from tests.fakes import MemoryView
from tests.unit.orchestration.story import DOMAIN, RUN, Story, accepted, refused

from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.fold.again import AT_ONCE_SINCE
from arco.domains.orchestration.fold.tries import KEPT_SINCE
from arco.domains.orchestration.history_rows import SLOT_HOLDERS, TASK_ATTEMPTS
from arco.domains.orchestration.numbers import ATTEMPTS_MAX
from arco.domains.orchestration.rows import TASKS
from arco.kernel.fold import Decision, FoldContext

DIAMOND = {"n.a": [], "n.b": ["n.a"], "n.c": ["n.a"], "n.d": ["n.b", "n.c"], "n.e": ["n.d"]}


def failed_run() -> Story:
    """`b` has failed for good, so `d` and `e` were skipped; `c` is done."""
    story = Story()
    story.run_of(DIAMOND, max_attempts=1)
    story.through("n.a")
    story.through("n.c")
    story.through("n.b", "failed")
    assert (story.run.state, story.states["n.d"], story.states["n.e"]) == ("FAILED", "SKIPPED", "SKIPPED")
    return story


def retry(story: Story, task: str) -> Decision:
    return story.tell("TaskRetryRequested", run_id=RUN, task_key=task, requested_by="u")


def test_a_retried_task_and_what_waits_behind_it_run_to_the_end() -> None:
    story = failed_run()
    accepted(retry(story, "n.b"))
    assert (story.run.state, story.run.completed_at) == ("RUNNING", None)
    assert story.states == {
        "n.a": "SUCCEEDED",
        "n.b": "READY",
        "n.c": "SUCCEEDED",
        "n.d": "BLOCKED",
        "n.e": "BLOCKED",
    }
    assert story.task("n.d").deps_satisfied_count == 1
    for task, attempt in (("n.b", 2), ("n.d", 1), ("n.e", 1)):
        story.through(task, attempt=attempt)
    assert (story.run.state, story.run.tasks_succeeded) == ("SUCCEEDED", 5)


def test_what_another_failure_holds_back_stays_skipped() -> None:
    story = Story()
    story.run_of({"n.a": [], "n.b": [], "n.c": ["n.a", "n.b"]}, max_attempts=1)
    story.through("n.a", "failed")
    story.through("n.b", "failed")
    accepted(retry(story, "n.a"))
    assert story.states == {"n.a": "READY", "n.b": "FAILED", "n.c": "SKIPPED"}
    story.through("n.a", attempt=2)
    assert story.run.state == "FAILED"
    accepted(retry(story, "n.b"))
    assert story.states["n.c"] == "BLOCKED"
    story.through("n.b", attempt=2)
    story.through("n.c")
    assert story.run.state == "SUCCEEDED"


def test_only_what_failed_is_retried() -> None:
    story = failed_run()
    refused(retry(story, "n.a"), refusals.NOTHING_TO_DO)
    refused(retry(story, "n.x"), refusals.TASK_NOT_FOUND)
    refused(
        story.tell("TaskRetryRequested", run_id="01J00000000000000000000000", task_key="n.a", requested_by="u"),
        refusals.RUN_NOT_FOUND,
    )
    story.tell("TaskRetryRequested", run_id=RUN, task_key="n.b", requested_by="u")
    refused(retry(story, "n.b"), refusals.NOTHING_TO_DO)


def test_a_task_that_waits_for_its_next_attempt_need_not_wait() -> None:
    story = Story()
    story.run_of({"n.a": [], "n.b": ["n.a"]})
    story.through("n.a", "failed")
    waiting, run = story.task("n.a"), story.run
    assert (waiting.state, waiting.attempt) == ("RETRY_WAIT", 1)
    accepted(retry(story, "n.a"))
    now = story.task("n.a")
    assert (now.state, now.attempt, now.max_attempts, now.retry_not_before) == ("READY", 1, waiting.max_attempts, None)
    assert (story.run, story.states["n.b"]) == (run, "BLOCKED")
    refused(retry(story, "n.a"), refusals.NOTHING_TO_DO)
    for task, attempt in (("n.a", 2), ("n.b", 1)):
        story.through(task, attempt=attempt)
    assert story.run.state == "SUCCEEDED"


def test_an_older_build_let_a_task_wait_and_what_it_folded_replays_so() -> None:
    story = Story()
    story.run_of({"n.a": []})
    story.through("n.a", "failed")
    retry(story, "n.a")
    older = MemoryView()
    for event in story.told:
        DOMAIN.fold(older, event, FoldContext(0, AT_ONCE_SINCE - 1))
    assert [row.state for row in older.scan(TASKS, ())] == ["RETRY_WAIT"]


def test_what_an_older_build_folded_is_folded_again_as_it_was() -> None:
    story = failed_run()
    retry(story, "n.b")
    assert list(story.view.scan(TASK_ATTEMPTS, ()))
    older = MemoryView()
    for event in story.told:
        DOMAIN.fold(older, event, FoldContext(0, KEPT_SINCE - 1))
    assert (list(older.scan(TASK_ATTEMPTS, ())), list(older.scan(SLOT_HOLDERS, ()))) == ([], [])
    assert list(older.scan(TASKS, ())) == list(story.view.scan(TASKS, ()))


def test_an_attempt_that_another_one_takes_the_place_of_is_kept() -> None:
    story = Story()
    story.run_of({"n.a": []})
    story.dispatch("n.a")
    story.start("n.a")
    accepted(story.start("n.a", attempt=2))
    (kept,) = story.view.scan(TASK_ATTEMPTS, ())
    assert (kept.attempt, kept.outcome, kept.error_message) == (1, "SUPERSEDED", None)


def test_there_is_a_last_attempt_and_nobody_is_given_one_beyond_it() -> None:
    story = Story()
    story.run_of({"n.a": []})
    accepted(story.start("n.a", ATTEMPTS_MAX))
    story.finish("n.a", "failed", ATTEMPTS_MAX, error={"category": "CONFIGURATION"})
    assert "run it again instead" in refused(retry(story, "n.a"), "nothing_to_do").message
    assert story.states == {"n.a": "FAILED"}
