"""What is told of a task beside its state."""

from arco.cli.told_tasks import Progress, next_attempt, trace_lines, warnings


def test_a_long_traceback_keeps_its_beginning_where_the_user_s_code_is_and_its_end():
    trace = "\n".join(
        ["Traceback", '  File "assets.py", line 41', *(f"  frame {number}" for number in range(20)), "KeyError: 'x'"]
    )
    lines = trace_lines({"error": {"stackTrace": trace + "\n"}})
    assert lines[:2] == ["Traceback", '  File "assets.py", line 41']
    assert lines[7:] == ["  ... 13 more lines ...", "  frame 18", "  frame 19", "KeyError: 'x'"]


def test_a_short_traceback_is_told_whole_and_without_one_the_message():
    whole = [f"line {number}" for number in range(11)]
    assert trace_lines({"error": {"stackTrace": "\n".join(whole)}}) == whole
    assert trace_lines({"errorMessage": "the worker was not heard of"}) == ["the worker was not heard of"]
    assert trace_lines({}) == []


def test_checks_that_failed_and_stopped_nothing_are_warnings():
    checks = [
        {"name": "rows", "passed": True, "blocking": False},
        {"name": "few", "passed": False, "blocking": False, "description": "5.1% never left"},
        {"name": "old", "passed": False, "blocking": False},
    ]
    tasks = [{"taskKey": "clean.flights", "output": {"checks": checks}}, {"taskKey": "raw.flights"}]
    assert list(warnings({"tasks": tasks})) == [
        "clean.flights: check few warns: 5.1% never left",
        "clean.flights: check old warns",
    ]


def test_the_next_attempt_is_told_in_seconds_and_as_a_time():
    assert next_attempt({"retryNotBefore": "2000-01-31T12:30:05.250Z"}) == "at 12:30:05 UTC"
    assert next_attempt({"retryNotBefore": "9000-01-31T12:30:05.250Z"}).endswith(" s, at 12:30:05 UTC")


def test_progress_counts_what_is_done_and_down_to_the_next_attempt():
    progress = Progress()
    assert progress.label() == "the run begins"
    for key, state in (("n.a", "SUCCEEDED"), ("n.b", "RUNNING"), ("n.c", "SKIPPED"), ("n.d", "QUEUED")):
        progress.note({"taskKey": key, "state": state})
    assert progress.label() == "2 of 4 tasks done, 1 running"
    progress.note({"taskKey": "n.b", "state": "PENDING", "retryNotBefore": "2000-01-31T12:30:05Z"})
    assert progress.label() == "2 of 4 tasks done; n.b tried again in 0 s"
    progress.note({"taskKey": "n.d", "state": "PENDING", "retryNotBefore": "9000-01-31T12:30:05Z"})
    assert progress.label() == "2 of 4 tasks done; n.b and 1 more tried again in 0 s"
