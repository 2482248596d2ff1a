"""Tracebacks as users want to read them: their own frames, without the machinery that called them. Bounded."""

import importlib
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

TRACE_CHARS_MAX: Final = 32_768
MESSAGE_CHARS_MAX: Final = 4_096
"""What a completion report carries for people: beyond it the middle of a trace, the end of a message are left out."""

_ARCO: Final = Path(__file__).resolve().parents[1]
_OURS: Final = (
    *(str(_ARCO / room) for room in ("sdk", "testing", "worker")),
    str(Path(importlib.__file__).parent),
    "<frozen importlib",
)


def message_of(error: BaseException) -> str:
    """`Type: text` in one bounded piece."""
    try:
        words = str(error)
    except Exception as broken:  # noqa: BLE001  # what user code raises may not even have a text
        words = f"(its text cannot be made: {type(broken).__name__})"
    name = type(error).__name__
    return shortened(f"{name}: {words}" if words else name, MESSAGE_CHARS_MAX)


def trace_of(error: BaseException) -> str:
    """The traceback of an error and of what caused it, from the first frame outside arco on."""
    seen: BaseException | None = error
    while seen is not None:
        seen.__traceback__ = _trimmed(seen.__traceback__)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    lines = _encodable("".join(traceback.format_exception(error)))
    if len(lines) <= TRACE_CHARS_MAX:
        return lines
    half = TRACE_CHARS_MAX // 2
    return f"{lines[:half]}\n... {len(lines) - 2 * half} characters left out ...\n{lines[-half:]}"


def cause_of(error: BaseException) -> str:
    """`Type: text (file:line)` with the last place outside arco and the import machinery."""
    own = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    own = [place for place in own if not _is_ours(place[0])]
    if isinstance(error, SyntaxError) and error.filename:  # it never ran: the place is what could not be read
        own.append((error.filename, error.lineno))
    place = f" ({own[-1][0]}:{own[-1][1]})" if own else ""
    return message_of(error) + place


def shortened(text: str, chars_max: int) -> str:
    """The text, or its beginning and a sign that more was there; always one that UTF-8 can say."""
    text = _encodable(text)
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _trimmed(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of arco it begins with; as it is when there are no others."""
    first = trace
    while first is not None and _is_ours(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return first if first is not None else trace


def _is_ours(file: str) -> bool:
    return file.startswith(_OURS)
