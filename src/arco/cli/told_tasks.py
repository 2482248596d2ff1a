"""What is told of a task beside its state: the traceback of its error, its checks that warn, when it is tried again."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from arco.cli.session import moment

_FIRST_LINES: Final = 7
_LAST_LINES: Final = 3
"""Of a traceback: it begins with the user's own frames and ends with the error; between are mostly libraries."""


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
    again = task["retryNotBefore"]
    now = datetime.now(UTC)  # noqa: TID251  # a command in the real world
    wait_s = (datetime.fromisoformat(again) - now).total_seconds()
    at = f"at {moment(again)[-8:]} UTC"
    return f"in {wait_s:.0f} s, {at}" if wait_s > 0 else at
