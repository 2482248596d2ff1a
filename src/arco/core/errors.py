"""Facts that more than one room raises. They are raised without formatting; `edge.problems` words them."""

from collections.abc import Mapping
from typing import Any, NoReturn


class ArcoError(Exception):
    """A fact a caller may meet. `message` is plain public text."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class InvalidInput(ArcoError):
    """The caller's input breaks a documented rule; the message names the field and the fix."""


class NotFound(ArcoError):
    """The named object does not exist in the caller's scope."""


class Gone(ArcoError):
    """What is named was there, and is given up for ever: its retention has ended."""


class AlreadyExists(ArcoError):
    """The name is taken."""


class Conflict(ArcoError):
    """The request is at odds with the current state."""


class StaleBase(ArcoError):
    """The caller's `If-Match` names a version that is no longer current."""


class Overloaded(ArcoError):
    """Refused for load before anything was appended; `retry_after_s` in the details."""


class Unavailable(ArcoError):
    """A part this request needs does not answer; nothing was appended."""


class OutcomeUnknown(ArcoError):
    """It is not known whether the write happened; `event_id` in the details decides it later."""


class CorruptData(ArcoError):
    """Stored bytes are not what their hash or format says: reads fail closed."""


class InvariantViolated(Exception):
    """Our own bug: a sentence that should always be true is not."""


def invariant(condition: object, sentence: str) -> None:
    """Raise `InvariantViolated` unless `condition` holds."""
    if not condition:
        raise InvariantViolated(sentence)


def unreachable(sentence: str) -> NoReturn:
    """Raise `InvariantViolated`: control never gets here."""
    raise InvariantViolated(sentence)
