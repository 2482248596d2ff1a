"""Structured logs: what happened, as one line a record (operations.md 5).

Guarantees: redaction is the last step and cannot be bypassed; control characters and bidirectional marks are escaped,
so one record is one line; every field is at most 4 KiB and every line at most 32 KiB; writing a log line never raises.
Events are named in the past tense (`request_failed`) and carry fields, never payloads, tokens, signed URLs or SQL text.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Protocol

from arco.core.clock import Clock
from arco.core.instant import stored_text

Sink = Callable[[str], None]
"""Takes one finished line, without its line end."""

LEVELS: Final = ("debug", "info", "warning", "error")

_FIELD_CHARS_MAX: Final = 4 * 1024
_LINE_CHARS_MAX: Final = 32 * 1024
_ITEMS_MAX: Final = 50
_DEPTH_MAX: Final = 4
_CUT: Final = "…(cut)"
_HIDDEN: Final = "[REDACTED]"

_SECRET_WORDS: Final = re.compile(
    r"token|secret|password|authorization|assertion|private_?key|access_?key|cookie|x-bootstrap-token|x-metrics-secret",
    re.IGNORECASE,
)
_HARMLESS_WORDS: Final = re.compile(r"token_?id|digest|checksum|hash", re.IGNORECASE)
_SCRUBBERS: Final = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL), "[REDACTED:pem]"),
    (re.compile(r"\bBearer\s+[^\s\"',;]+", re.IGNORECASE), "Bearer [REDACTED:bearer]"),
    (re.compile(r"\barco_pat_[A-Za-z0-9_-]+"), "[REDACTED:pat]"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), "[REDACTED:jwt]"),
    (
        re.compile(
            r"([?&](?:sig|signature|token|se|sp|sr|sv|sk[a-z]*|x-(?:goog|amz|ms)-[a-z0-9-]+)=)[^&\s\"']+",
            re.IGNORECASE,
        ),
        r"\1[REDACTED:url]",
    ),
    (
        re.compile(r"\b((?:password|secret|token)\s*[=:]\s*)(?!\[REDACTED)[^\s&,;\"']+", re.IGNORECASE),
        r"\1[REDACTED:secret]",
    ),
)
# One cheap search decides whether any scrubber can have something to do.
_SUSPICIOUS: Final = re.compile(r"-----BEGIN|bearer|arco_pat_|eyJ|[?&][a-z-]+=|password|secret|token", re.IGNORECASE)
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Log(Protocol):
    """Where facts about the running process go."""

    def debug(self, event: str, **fields: Any) -> None:
        """Record detail for developers."""
        ...

    def info(self, event: str, **fields: Any) -> None:
        """Record that something happened as it should."""
        ...

    def warning(self, event: str, **fields: Any) -> None:
        """Record something an operator may want to change."""
        ...

    def error(self, event: str, **fields: Any) -> None:
        """Record something that failed."""
        ...

    def bind(self, **fields: Any) -> "Log":
        """A log that adds these fields to every record."""
        ...


class LineLog:
    """Writes each record as one line: JSON for machines, `text=True` for people in dev."""

    def __init__(
        self,
        sink: Sink,
        clock: Clock,
        *,
        level: str = "info",
        text: bool = False,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._level = LEVELS.index(level)
        self._text = text
        self._fields = dict(fields or {})

    def debug(self, event: str, **fields: Any) -> None:
        """Record detail for developers."""
        self._write(0, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Record that something happened as it should."""
        self._write(1, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Record something an operator may want to change."""
        self._write(2, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Record something that failed."""
        self._write(3, event, fields)

    def bind(self, **fields: Any) -> "LineLog":
        """A log that adds these fields to every record."""
        together = {**self._fields, **fields}
        return LineLog(self._sink, self._clock, level=LEVELS[self._level], text=self._text, fields=together)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if level < self._level:
            return
        try:
            record = {"ts": stored_text(self._clock.now_ms()), "level": LEVELS[level], "event": event}
            record |= redacted({**self._fields, **fields})
            self._sink(_text_line(record) if self._text else _json_line(record))
        except Exception:  # noqa: BLE001  # a log line must never fail the work it tells of
            return


class SilentLog:
    """Records nothing: for tools and tests."""

    def debug(self, event: str, **fields: Any) -> None:
        """Drop the record."""

    def info(self, event: str, **fields: Any) -> None:
        """Drop the record."""

    def warning(self, event: str, **fields: Any) -> None:
        """Drop the record."""

    def error(self, event: str, **fields: Any) -> None:
        """Drop the record."""

    def bind(self, **fields: Any) -> "SilentLog":
        """The same silence."""
        return self


def standard_output(line: str) -> None:
    """The sink of services: one line on standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def redacted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` without secrets: by key, then by what the values look like; escaped and capped."""
    return {_clean_name(key): _value(key, value, _DEPTH_MAX) for key, value in fields.items() if value is not None}


def scrubbed(text: str) -> str:
    """`text` with everything that looks like a secret replaced by `[REDACTED:kind]`."""
    if _SUSPICIOUS.search(text):
        for pattern, replacement in _SCRUBBERS:
            text = pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=1024)
def _clean_name(name: str) -> str:
    return _clean(name)


def _value(key: str, value: Any, depth: int) -> Any:
    if _names_a_secret(key):
        return _HIDDEN
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth:
        return {_clean(str(k)): _value(str(k), v, depth - 1) for k, v in list(value.items())[:_ITEMS_MAX]}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_value(key, item, depth - 1) for item in list(value)[:_ITEMS_MAX]]
    return _clean(str(value))


@lru_cache(maxsize=1024)  # field names are few and written in our code
def _names_a_secret(key: str) -> bool:
    return _SECRET_WORDS.search(key) is not None and _HARMLESS_WORDS.search(key) is None


def _clean(text: str) -> str:
    # Cut with a margin first: a scrubber must not run over megabytes, nor a secret survive by being cut in half.
    text = scrubbed(text[: 2 * _FIELD_CHARS_MAX])
    if _UNPRINTABLE.search(text):
        text = _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text if len(text) <= _FIELD_CHARS_MAX else text[: _FIELD_CHARS_MAX - len(_CUT)] + _CUT


def _json_line(record: Mapping[str, Any]) -> str:
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
    if len(line) <= _LINE_CHARS_MAX:
        return line
    kept = {key: record[key] for key in ("ts", "level", "event", "request_id") if key in record}
    return json.dumps({**kept, "cut": True, "chars": len(line)}, separators=(",", ":"))


def _text_line(record: Mapping[str, Any]) -> str:
    rest = " ".join(
        f"{key}={value if isinstance(value, str) and ' ' not in value else json.dumps(value, ensure_ascii=False)}"
        for key, value in record.items()
        if key not in ("ts", "level", "event")
    )
    head = f"{record['ts'][11:19]} {record['level']:<7} {record['event']}"
    return f"{head}  {rest}".rstrip()[:_LINE_CHARS_MAX]
