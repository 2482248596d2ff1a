"""What a report says: failures in words, logs that fit, and what is left when the api does not understand it. Pure."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from arco.clients.callbacks import LogText
from arco.worker import words

LOGS_BODY_BYTES_MAX: Final = 1_900_000
"""The encoded logs of one attempt: below what an api takes as a body (2 MiB)."""

_PLAIN_OUTPUT: Final = frozenset(
    {
        *("materializationId", "rowCount", "byteSize", "outputPath", "deltaTable", "deltaVersion", "deltaPartition"),
        *("outputVisibilityState", "publishedAt", "publishError"),
    }
)
"""The members of `output` that the contract names (7.4); the others are ours, and may be too much."""

_MESSAGE_CHARS_MAX: Final = 8 * 1024
_TRACE_CHARS_MAX: Final = 64 * 1024


def fitting(text: LogText) -> LogText:
    """The logs with so much of their beginnings that an api takes them."""
    while len(msgspec.json.encode(text)) > LOGS_BODY_BYTES_MAX:
        cut = {name: _halved(getattr(text, name)) for name in ("stdout", "stderr")}
        text = msgspec.structs.replace(text, **cut)
    return text


def _halved(text: str) -> str:
    return text if len(text) < 1_000 else text[: len(text) // 2] + "\n... cut: too long ...\n"


def plainer(report: words.Report) -> Iterator[words.Report]:
    """What can be said instead of a report that the api does not understand: less, and in the end that it failed."""
    if report.output is not None:
        plain = {name: value for name, value in report.output.items() if name in _PLAIN_OUTPUT}
        yield words.Report(outcome=report.outcome, output=plain)
    yield failed("INFRASTRUCTURE", f"the api does not take the report of a task that ended as {report.outcome}")


def failed(category: str, message: str, *, trace: str | None = None, retryable: bool | None = None) -> words.Report:
    """A report of failure."""
    told: dict[str, Any] = {"category": category, "message": message}
    if trace:
        told["stackTrace"] = trace
    if retryable is not None:
        told["retryable"] = retryable
    return words.Report(outcome="FAILED", error=told)


def death(code: int) -> tuple[str, str]:
    """Category and message of a process that ended without a report."""
    if code >= 0:
        return "USER_CODE", f"the process ended with exit code {code} before the function returned"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        hint = "; often it had no memory left" if -code == signal.SIGKILL else ""
        return "INFRASTRUCTURE", f"the process was killed by {name} before the function returned{hint}"
    return "INFRASTRUCTURE", f"the process was killed by signal {-code} before the function returned"


def bounded(error: Mapping[str, Any]) -> dict[str, Any]:
    """The error with no more text than a report carries: the end of a trace says what was raised."""
    found = dict(error)
    if isinstance(found.get("message"), str):
        found["message"] = found["message"][:_MESSAGE_CHARS_MAX]
    if isinstance(found.get("stackTrace"), str):
        found["stackTrace"] = found["stackTrace"][-_TRACE_CHARS_MAX:]
    return found


def progress_members(progress: words.Progress) -> dict[str, Any]:
    """The members of a heartbeat that say how far a task is."""
    members = {"progressPct": progress.percent, "message": progress.message}
    return {name: value for name, value in members.items() if value is not None}
