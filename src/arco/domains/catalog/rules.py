"""What the catalog accepts, and how it words, hashes and compares things. Pure.

Names are 1 to 255 bytes without control characters, `/` and `\\`, neither `.` nor `..`, and without white space at
either end: whatever is accepted can be one segment of a URL and shown on a terminal (the contract's "not validated" is
superseded). Column names may hold `/` and `\\`: they are never part of a path, and real files have them.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from arco.core.canonical_json import canonical_json, canonical_sha256
from arco.core.errors import InvalidInput
from arco.core.limits import (
    COLUMNS_PER_TABLE_MAX,
    DESCRIPTION_BYTES_MAX,
    NAME_BYTES_MAX,
    PROPERTIES_MAX,
    PROPERTY_BYTES_MAX,
)
from arco.domains.catalog.rows import ColumnRow

LOCATION_BYTES_MAX: Final = 4096
"""A location: what URLs and file systems take."""

FORMATS: Final = ("delta", "iceberg", "parquet")
DEFAULT_FORMAT: Final = "delta"
LEGACY_FORMAT: Final = "parquet"
"""How a table without a stored format is shown (catalog.md 1.6)."""

_BUCKET: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/?")
_BIDI: Final = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


class ColumnSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A column as a caller describes it. `id` names an existing column of the table to keep or rename."""

    name: str
    data_type: str
    nullable: bool = True
    description: str | None = None
    id: str | None = None


Columns = Sequence[ColumnSpec]
Properties = Mapping[str, str]


def check_name(field: str, text: str) -> None:
    """Raises `InvalidInput` unless `text` may name a catalog, schema or table."""
    check_column_name(field, text)
    if "/" in text or "\\" in text:
        raise InvalidInput(f"{field} must not contain '/' or '\\'")
    if text in (".", ".."):
        raise InvalidInput(f"{field} must not be '.' or '..'")


def check_column_name(field: str, text: str) -> None:
    """Raises `InvalidInput` unless `text` may name a column."""
    if not text:
        raise InvalidInput(f"{field} must not be empty")
    _check_bytes(field, text, NAME_BYTES_MAX)
    if text.isascii() and text.isprintable():
        blank = text[0] == " " or text[-1] == " "
    else:
        if any(unicodedata.category(char) == "Cc" for char in text) or _BIDI.search(text):
            raise InvalidInput(f"{field} must not contain control characters")
        blank = text != text.strip()
    if blank:
        raise InvalidInput(f"{field} must not begin or end with white space")


def check_description(field: str, text: str | None) -> None:
    """Raises `InvalidInput` when the text is too long."""
    if text is not None:
        _check_bytes(field, text, DESCRIPTION_BYTES_MAX)


def check_properties(field: str, properties: Mapping[str, str | None] | None) -> None:
    """Raises `InvalidInput` when there are too many properties, or one is empty or too long."""
    if properties is None:
        return
    if len(properties) > PROPERTIES_MAX:
        raise InvalidInput(f"{field} must not have more than {PROPERTIES_MAX} entries")
    for key, value in properties.items():
        if not key:
            raise InvalidInput(f"{field} must not have an empty key")
        _check_bytes(f"{field}[{key[:50]!r}]", key + (value or ""), PROPERTY_BYTES_MAX)


def check_columns(columns: Columns) -> None:
    """Raises `InvalidInput` naming the first column that cannot be stored."""
    if len(columns) > COLUMNS_PER_TABLE_MAX:
        raise InvalidInput(f"columns must not have more than {COLUMNS_PER_TABLE_MAX} entries")
    seen: set[str] = set()
    for index, column in enumerate(columns):
        field = f"columns[{index}]"
        check_column_name(f"{field}.name", column.name)
        if column.name in seen:
            raise InvalidInput(f"{field}.name repeats '{column.name}'; give every column its own name")
        seen.add(column.name)
        if not column.data_type.strip():
            raise InvalidInput(f"{field}.data_type must not be empty")
        _check_bytes(f"{field}.data_type", column.data_type, DESCRIPTION_BYTES_MAX)
        check_description(f"{field}.description", column.description)


def normal_format(text: str | None) -> str:
    """The stored form of a table format; `delta` when none is given. Raises `InvalidInput` (catalog.md 1.6)."""
    if text is None:
        return DEFAULT_FORMAT
    folded = text.strip().casefold()
    if folded not in FORMATS:
        raise InvalidInput(f"unknown table format '{text.strip()[:100]}'; expected one of: {', '.join(FORMATS)}")
    return folded


def normal_location(text: str | None, format_: str, scope_prefix: str) -> str | None:
    """The location as stored: trimmed and checked for Delta, verbatim otherwise. Raises `InvalidInput` (1.6).

    `scope_prefix` is `tenant={t}/workspace={w}/` of the caller.
    """
    if text is None:
        return None
    _check_bytes("location", text, LOCATION_BYTES_MAX)
    if format_ != "delta":
        return text
    rest = reduced_location(text, scope_prefix)
    if not rest:
        raise InvalidInput("location must name a directory below the bucket")
    if "\\" in rest or "%" in rest:
        raise InvalidInput("location must not contain a backslash or a percent sign")
    if any(unicodedata.category(char) == "Cc" for char in rest):
        raise InvalidInput("location must not contain control characters")
    if any(part in (".", "..") for part in rest.split("/")):
        raise InvalidInput("location must not contain '.' or '..' segments")
    return text.strip()


def reduced_location(location: str, scope_prefix: str) -> str:
    """The scope-relative folder a Delta location names: without bucket, scope prefix and outer slashes (1.6)."""
    trimmed = location.strip()
    bucket = _BUCKET.match(trimmed)
    rest = trimmed[bucket.end() :] if bucket else trimmed
    return rest.removeprefix(scope_prefix).strip("/")


def properties_json(properties: Properties | None) -> str | None:
    """Properties as stored: canonical JSON, null when there are none."""
    return canonical_json(dict(properties)).decode() if properties else None


def merged_properties(stored: str | None, changes: Mapping[str, str | None] | None) -> str | None:
    """Stored properties after a merge patch: null removes a key, null as a whole removes all (RFC 7396)."""
    if changes is None:
        return None
    merged: dict[str, Any] = msgspec.json.decode(stored) if stored else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    if len(merged) > PROPERTIES_MAX:
        raise InvalidInput(f"properties must not have more than {PROPERTIES_MAX} entries")
    return msgspec.json.encode(merged, order="deterministic").decode() if merged else None


def later(now_ms: int, than_ms: int) -> int:
    """The new `updated_at` of a row: now, but always after the old one."""
    return max(now_ms, than_ms + 1)


def etag(object_id: str, row_version: int) -> str:
    """The entity tag of a row: changes with every change of it, quotes included."""
    return f'"{object_id}.{row_version}"'


def matches_etag(condition: str, current: str) -> bool:
    """Whether `If-Match: condition` holds: strong comparison, lists and `*` allowed (RFC 9110, 13.1.1)."""
    return condition == "*" or any(tag.strip() == current for tag in condition.split(","))


class _ColumnWire(msgspec.Struct, omit_defaults=True):
    id: str
    name: str
    data_type: str
    nullable: bool
    position: int
    description: str | None = None


def columns_json(columns: Sequence[ColumnRow]) -> str:
    """Columns as the API shows them, in the given order: `[{id,name,data_type,nullable,position,description?}]`."""
    wire = [_ColumnWire(c.id, c.name, c.data_type, c.is_nullable, c.ordinal, c.description) for c in columns]
    return msgspec.json.encode(wire).decode()


def catalog_request_hash(name: str, description: str | None, properties: Properties | None = None) -> str:
    """`request_hash` of create_catalog and create_namespace (catalog.md 3.6)."""
    return _hash({"name": name, "description": description}, properties)


def schema_request_hash(catalog: str, name: str, description: str | None, properties: Properties | None = None) -> str:
    """`request_hash` of create_schema (catalog.md 3.6)."""
    return _hash({"catalog": catalog, "name": name, "description": description}, properties)


def table_request_hash(
    *, parent: Mapping[str, str], body: Mapping[str, str | None], columns: Columns, properties: Properties | None
) -> str:
    """`request_hash` of register_table and register_table_in_schema (catalog.md 3.6).

    `parent` is `{namespace}` or `{catalog, schema}`; `body` is name, description, format and, in a schema, location.
    """
    hashed = [
        {"name": c.name, "data_type": c.data_type, "nullable": c.nullable, "description": c.description}
        for c in columns
    ]
    return _hash({**parent, **body, "columns": hashed}, properties)


def _hash(request: dict[str, Any], properties: Properties | None) -> str:
    # Properties are our addition: requests without them keep the contract's hash.
    return canonical_sha256({**request, "properties": dict(properties)} if properties else request)


def _check_bytes(field: str, text: str, limit: int) -> None:
    if len(text) * 4 > limit and len(text.encode("utf-8", "surrogatepass")) > limit:
        raise InvalidInput(f"{field} must not be longer than {limit} bytes in UTF-8")
