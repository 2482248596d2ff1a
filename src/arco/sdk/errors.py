"""Facts that user code meets, and those it raises to say why a task failed (orchestration.md 7.4).

`DefinitionError` is raised while code is imported or loaded: it names file, function and fix. The others end a task
with a category of their own; any other exception out of user code is `USER_CODE`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from arco.core.errors import ArcoError

Category = Literal["USER_CODE", "DATA_QUALITY", "INFRASTRUCTURE", "CONFIGURATION", "TIMEOUT", "CANCELLED"]


class DefinitionError(ArcoError):
    """An asset, check or resource is defined wrongly; the message names the place and the fix."""


class TaskFailed(ArcoError):
    """Raised by user code: the task failed. `retryable` says whether another attempt can help; None leaves it open."""

    category: ClassVar[Category] = "USER_CODE"

    def __init__(self, message: str, *, retryable: bool | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retryable = retryable


class DataQualityFailed(TaskFailed):
    """The data is not as it must be; another attempt would find it the same."""

    category = "DATA_QUALITY"


class ConfigurationFailed(TaskFailed):
    """Something is set up wrongly: a resource without a value, an upstream table that was never made."""

    category = "CONFIGURATION"

    def __init__(self, message: str, *, retryable: bool | None = False, **details: Any) -> None:
        super().__init__(message, retryable=retryable, **details)


class InfrastructureFailed(TaskFailed):
    """Something around the task does not work right now: storage, network, a service."""

    category = "INFRASTRUCTURE"


class TaskCancelled(TaskFailed):
    """The task ended because somebody wanted it to."""

    category = "CANCELLED"

    def __init__(self, message: str = "the task was cancelled", **details: Any) -> None:
        super().__init__(message, retryable=False, **details)


def meant(wanted: str, known: Sequence[str]) -> str:
    """`; did you mean …?` for the nearest of the known names, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415  # only when something is wrong

    near = get_close_matches(wanted, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
