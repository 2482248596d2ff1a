"""Instants: milliseconds since the epoch (0 to the end of year 9999), and the two texts they are written as.

HTTP bodies use `2026-01-01T00:00:00.123+00:00`, fraction omitted when zero (catalog.md 4.1); stored
objects use `Z` with 0 or 3 digits. Readers accept both.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS: Final = tuple(f"{second:02d}" for second in range(60))
_HTTP_ENDS: Final = ("+00:00", *(f".{ms:03d}+00:00" for ms in range(1, 1_000)))


def http_text(time_ms: int) -> str:
    """RFC 3339 with `+00:00`, as HTTP responses show it."""
    # A list page holds a thousand of them: of pieces that are there already.
    minute, rest = divmod(time_ms, 60_000)
    return _minute_text(minute) + _SECONDS[rest // 1_000] + _HTTP_ENDS[rest % 1_000]


def stored_text(time_ms: int) -> str:
    """RFC 3339 with `Z`, as stored objects hold it."""
    return f"{_seconds_text(time_ms)}{_fraction(time_ms)}Z"


def parse_ms(text: str) -> int:
    """Milliseconds of an RFC 3339 text with a zone. Raises `ValueError` otherwise."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone, for instance 2026-01-01T00:00:00Z")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _seconds_text(time_ms: int) -> str:
    minute, rest = divmod(time_ms, 60_000)
    return f"{_minute_text(minute)}{rest // 1000:02d}"


@lru_cache(maxsize=4096)
def _minute_text(minute: int) -> str:
    # A list page holds a thousand times, most of them close together; strftime is its largest cost.
    return (_EPOCH + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:")


def _fraction(time_ms: int) -> str:
    return f".{time_ms % 1000:03d}" if time_ms % 1000 else ""
