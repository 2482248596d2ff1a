"""Arrow rows as a JSON array of objects.

Guarantees: keys whose value is null are left out (catalog.md 7.4); integers and floats are numbers (a float that is no
number counts as null), decimals are strings, binary is base64, dates, times and durations are ISO 8601. A timestamp
with a zone is RFC 3339 in UTC with a fraction only when it has one; a timestamp without a zone is written without one,
since the data does not say which it is. Of two columns with one name the later becomes `name_1`, so that none is lost.

Tried and dropped: writing the text a column at a time with Arrow's kernels. At 10,000 rows x 12 columns it was as fast
(16 ms against 17 ms), at 10 rows fifteen times slower (0.5 ms against 0.035 ms).
"""

from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

_ROWS_AT_ONCE: Final = 10_000
_CELLS_AT_ONCE: Final = 200_000
_ENCODER: Final = msgspec.json.Encoder()
_PER_SECOND: Final = {"ms": (1_000, 3), "us": (1_000_000, 6), "ns": (1_000_000_000, 9)}


class TooLarge(Exception):
    """The encoded rows exceed the bytes they may have."""


def encode_rows(table: pa.Table, bytes_max: int) -> bytes:
    """The rows of `table` as JSON. Raises `TooLarge` beyond `bytes_max`, a bounded part of the rows after it is met."""
    keys = _distinct(table.column_names)
    pieces: list[bytes] = []
    size = 2
    # Very wide rows go in small parts, so that what the keys alone add up to is noticed early.
    step = max(1, min(_ROWS_AT_ONCE, _CELLS_AT_ONCE // max(1, len(keys))))
    for start in range(0, table.num_rows, step):
        piece = _ENCODER.encode(_objects(table.slice(start, step), keys))[1:-1]
        size += len(piece) + bool(pieces)
        if size > bytes_max:
            raise TooLarge
        pieces.append(piece)
    return b"[" + b",".join(pieces) + b"]"


def _objects(table: pa.Table, keys: list[str]) -> list[dict[str, Any]]:
    columns = [_values(column) for column in table.columns]
    if not columns:
        return [{} for _ in range(table.num_rows)]
    rows = zip(*columns, strict=True)
    return [{key: cell for key, cell in zip(keys, row, strict=True) if cell is not None} for row in rows]


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The column as Python values that the encoder writes as promised above."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = _timestamp_texts(column)
    elif pa.types.is_floating(kind):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
    elif pa.types.is_interval(kind):
        return [None if value is None else _interval_text(value) for value in column.to_pylist()]
    else:
        coarse = _microseconds(kind)
        column = column if coarse == kind else column.cast(coarse, safe=False)
    if pa.types.is_nested(kind):
        return [_without_nulls(value) for value in column.to_pylist(maps_as_pydicts="lossy")]
    return list(column.to_pylist())


def _timestamp_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    unit, zone = column.type.unit, "+00:00" if column.type.tz is not None else ""
    instants = column.cast(pa.timestamp(unit))
    seconds = pc.floor_temporal(instants, unit="second").cast(pa.timestamp("s"))
    text = pc.replace_substring(seconds.cast(pa.string()), " ", "T")
    if unit not in _PER_SECOND:
        return pc.binary_join_element_wise(text, zone, "")
    per_second, digits = _PER_SECOND[unit]
    rest = pc.subtract(instants.cast(pa.int64()), pc.multiply(seconds.cast(pa.int64()), per_second))
    padded = pc.utf8_lpad(rest.cast(pa.string()), width=digits, padding="0")
    fraction = pc.if_else(pc.equal(rest, 0), "", pc.binary_join_element_wise(".", padded, ""))
    return pc.binary_join_element_wise(text, fraction, zone, "")


def _microseconds(kind: pa.DataType) -> pa.DataType:
    """The type with nanoseconds, which Python's own types cannot hold, cut to microseconds."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return pa.struct([field.with_type(_microseconds(field.type)) for field in fields])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_microseconds(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_microseconds(kind.value_type)))
    return kind


def _without_nulls(value: Any) -> Any:
    """Nested objects leave out their null keys too; nulls in lists keep their place."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _interval_text(value: pa.MonthDayNano) -> str:
    return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:f}S"


def _distinct(names: list[str]) -> list[str]:
    taken, found = set(names), list[str]()
    for name in names:
        chosen, number = name, 0
        while chosen in found or (number and chosen in taken):
            number += 1
            chosen = f"{name}_{number}"
        found.append(chosen)
    return found
