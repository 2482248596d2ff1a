"""Partition keys: the canonical text of a partition's values, and back (orchestration.md 1.6). Pure."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final

from arco.core.canonical_json import sha256_hex
from arco.core.errors import InvalidInput

Value = str | int | bool | date | datetime | None
"""The value of one dimension; a `datetime` has a zone, and comes back in UTC."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*\Z")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}\Z")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_TIMESTAMP: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z")
_FIRST_YEAR: Final = 1970
_INT64: Final = 1 << 63


def partition_key(values: Mapping[str, Value]) -> str:
    """The canonical key of these values; empty for none. Raises `InvalidInput`."""
    for name in values:
        if not _NAME.match(name):
            raise InvalidInput(f"{name!r} is no name of a dimension: a small letter, then letters, digits or _")
    return ",".join(f"{name}={_tagged(name, values[name])}" for name in sorted(values))


def parse_partition_key(text: str) -> dict[str, Value]:
    """The values of a canonical key. Raises `InvalidInput` naming what is not canonical."""
    values: dict[str, Value] = {}
    before = ""
    for pair in text.split(",") if text else ():
        name, equals, tagged = pair.partition("=")
        if not equals or not _NAME.match(name):
            raise InvalidInput(f"partition key: {pair!r} is not name=tag:value")
        if name in values:
            raise InvalidInput(f"partition key: {name} is there twice")
        if name < before:
            raise InvalidInput(f"partition key: {name} must come before {before}; names are sorted")
        values[name] = _value(name, tagged)
        before = name
    return values


def partition_id(asset_id: str, key: str) -> str:
    """`part_` and 32 hexadecimal digits for a partition of an asset (by its UUID)."""
    return "part_" + sha256_hex(f"{asset_id}:{key}".encode())[:32]


def _tagged(name: str, value: Value) -> str:
    match value:
        case None:
            return "n:null"
        case bool():
            return "b:true" if value else "b:false"
        case int():
            if not -_INT64 <= value < _INT64:
                raise InvalidInput(f"partition key: {name} does not fit 64 bits")
            return f"i:{value}"
        case datetime():
            if value.tzinfo is None:
                raise InvalidInput(f"partition key: the time {name} needs a zone")
            return f"t:{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
        case date():
            return f"d:{value.isoformat()}"
        case str():
            return "s:" + base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def _value(name: str, tagged: str) -> Value:
    tag, colon, text = tagged.partition(":")
    if not colon or tag not in ("s", "i", "b", "d", "t", "n"):
        raise InvalidInput(f"partition key: the value of {name} needs one of the tags s: i: b: d: t: n:")
    try:
        value = _PARSERS[tag](text)
    except ValueError as error:
        raise InvalidInput(f"partition key: {name}={tagged}: {error}") from None
    if _tagged(name, value) != tagged:
        raise InvalidInput(f"partition key: {name}={tagged} is written {name}={_tagged(name, value)}")
    return value


def _string(text: str) -> Value:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()


def _integer(text: str) -> Value:
    if not _INTEGER.match(text) or not -_INT64 <= int(text) < _INT64:
        raise ValueError("not a 64-bit number in decimal")
    return int(text)


def _boolean(text: str) -> Value:
    if text not in ("true", "false"):
        raise ValueError("not true or false")
    return text == "true"


def _date(text: str) -> Value:
    if not _DATE.match(text) or int(text[:4]) < _FIRST_YEAR:
        raise ValueError("not a date YYYY-MM-DD from 1970 on")
    return date.fromisoformat(text)


def _timestamp(text: str) -> Value:
    if not _TIMESTAMP.match(text) or int(text[:4]) < _FIRST_YEAR:
        raise ValueError("not a time YYYY-MM-DDTHH:MM:SS.ffffffZ from 1970 on")
    return datetime.fromisoformat(text)


def _null(text: str) -> Value:
    if text != "null":
        raise ValueError("not null")
    return None


_PARSERS: Final = {"s": _string, "i": _integer, "b": _boolean, "d": _date, "t": _timestamp, "n": _null}
