"""What ended an attempt, in the words of the contract's `error` (orchestration.md 7.4)."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from arco.sdk.errors import Category, DefinitionError, TaskFailed
from arco.sdk.traces import MESSAGE_CHARS_MAX, message_of, shortened, trace_of

Phase = Literal["prepare", "load", "run", "stage", "check", "publish"]
_CATEGORY_OF_PHASE: Final[Mapping[Phase, Category]] = {
    "prepare": "CONFIGURATION",
    "load": "INFRASTRUCTURE",
    "run": "USER_CODE",
    "stage": "USER_CODE",  # a result that comes in pieces is made while it is kept
    "check": "USER_CODE",
    "publish": "INFRASTRUCTURE",
}


def error_of(error: BaseException, phase: Phase) -> dict[str, Any]:
    """The contract's `error` of what ended an attempt: `category message stackTrace? retryable?`."""
    if isinstance(error, TaskFailed):
        found: dict[str, Any] = {
            "category": error.category,
            "message": shortened(str(error.message), MESSAGE_CHARS_MAX),
        }
        if error.retryable is not None:
            found["retryable"] = bool(error.retryable)
        if error.__traceback__ is not None and phase in ("run", "stage", "check"):
            found["stackTrace"] = trace_of(error)
        return found
    if isinstance(error, SystemExit):
        message = (
            f"the function ended the process with exit code {shortened(repr(error.code), 200)}; return or raise instead"
        )
        return {"category": "USER_CODE", "message": message, "stackTrace": trace_of(error)}
    category: Category = "INFRASTRUCTURE" if isinstance(error, MemoryError) else _CATEGORY_OF_PHASE[phase]
    found = {"category": category, "message": message_of(error), "stackTrace": trace_of(error)}
    if isinstance(error, DefinitionError):
        found["retryable"] = False
    return found
