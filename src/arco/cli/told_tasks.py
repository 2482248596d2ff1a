"""What is told of a task beside its state: the traceback of its error, its checks that warn, when it is tried again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from arco.cli.render import counted
from arco.cli.session import moment
from arco.core.clock import SystemClock
from arco.core.instant import parse_ms

_FIRST_LINES: Final = 7
_LAST_LINES: Final = 3
"""Of a traceback: it begins with the user's own frames and ends with the error; between are mostly libraries."""

_OVER: Final = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED"})


def trace_lines(task: Mapping[str, Any]) -> Sequence[str]:
    """The traceback of a task's error, as much of it as tells."""
    error = task.get("error") or {}
    lines = (error.get("stackTrace") or task.get("errorMessage") or "").rstrip().splitlines()
    left_out = len(lines) - _FIRST_LINES - _LAST_LINES
    if left_out <= 1:
        return lines
    return [*lines[:_FIRST_LINES], f"  ... {left_out} more lines ...", *lines[-_LAST_LINES:]]


def warnings(run: Mapping[str, Any]) -> Iterator[str]:
    """The checks of a run that failed and stopped nothing."""
    for task in run["tasks"]:
        for check in (task.get("output") or {}).get("checks", ()):
            if not check["passed"] and not check.get("blocking"):
                told = f": {check['description']}" if check.get("description") else ""
                yield f"{task['taskKey']}: check {check['name']} warns{told}"


def next_attempt(task: Mapping[str, Any]) -> str:
    """When a task that failed is tried again: `in 28 s, at 00:33:04 UTC`."""
    wait_s = _wait_s(task)
    at = f"at {moment(task['retryNotBefore'])[-8:]} UTC"
    return f"in {wait_s:.0f} s, {at}" if wait_s > 0 else at


class Progress:
    """How far a run is, in one line that is true at the moment it is asked for."""

    def __init__(self) -> None:
        self._tasks: dict[str, Mapping[str, Any]] = {}

    def note(self, task: Mapping[str, Any]) -> None:
        """Take a task as it is now."""
        self._tasks[task["taskKey"]] = task

    def label(self) -> str:
        """`2 of 5 tasks done, 1 running; raw.weather is tried again in 12 s`."""
        tasks = list(self._tasks.values())
        if not tasks:
            return "the run begins"
        done = sum(task["state"] in _OVER for task in tasks)
        running = sum(task["state"] == "RUNNING" for task in tasks)
        told = f"{done} of {counted(len(tasks), 'task')} done" + (f", {running} running" if running else "")
        waiting = [task for task in tasks if task["state"] == "PENDING" and "retryNotBefore" in task]
        if not waiting:
            return told
        first = min(waiting, key=_wait_s)
        more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        return f"{told}; {first['taskKey']}{more} tried again in {max(0, _wait_s(first)):.0f} s"


def _wait_s(task: Mapping[str, Any]) -> float:
    return parse_ms(task["retryNotBefore"]) / 1000 - SystemClock().now_ms() / 1000
