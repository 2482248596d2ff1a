"""Rows to Arrow to Parquet and back, from a `TableSpec` alone.

Guarantees: equal rows in key order give byte-identical Parquet (fixed writer options, no time, no threads), and
files that lack a nullable column are read with nulls (catalog.md 2.11: evolution is additive and nullable).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from arco.core.errors import CorruptData
from arco.kernel.probes import Probe, probe_of, probed
from arco.kernel.segments import Columns, Edits, Keys, Segment, SegmentCodec
from arco.kernel.spec import R, RowKey, TableSpec

_TYPES: Final = {
    "utf8": pa.string(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "uint32": pa.uint32(),
    "bool": pa.bool_(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}
_HOT_AFTER: Final = 24
_HOT_ROWS_MAX: Final = 64
"""Single rows a segment keeps as structs: looked-up names repeat."""

_FEW: Final = 16
"""So many rows are made one by one; of more, columns are."""

_METADATA: Final = {"created_by": "arco-catalog"}


@lru_cache(maxsize=256)
def arrow_schema(spec: TableSpec[Any]) -> pa.Schema:
    """The Arrow schema of all stored columns, private ones included, in declaration order."""
    fields = [pa.field(field.name, _TYPES[field.kind], field.nullable) for field in spec.fields]
    return pa.schema(fields)


def public_names(spec: TableSpec[Any]) -> list[str]:
    """The columns everybody may see."""
    return [field.name for field in spec.public_fields]


def table_of(spec: TableSpec[R], rows: Sequence[R]) -> pa.Table:
    """An Arrow table of rows, in the given order."""
    schema = arrow_schema(spec)
    columns = [pa.array([getattr(row, field.name) for row in rows], type=field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def encode_parquet(table: pa.Table) -> bytes:
    """The Parquet bytes of a segment: one row group, zstd, no dictionaries, statistics for other engines."""
    sink = pa.BufferOutputStream()
    writer = pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=False,
        write_statistics=True,
        store_schema=False,
        version="2.6",
        data_page_version="1.0",
    )
    with writer:
        writer.add_key_value_metadata(_METADATA)
        writer.write_table(table, row_group_size=max(table.num_rows, 1))
    result: bytes = sink.getvalue().to_pybytes()
    return result


def decode_parquet(spec: TableSpec[Any], body: bytes) -> pa.Table:
    """The rows of a segment with exactly the columns of `spec`. Raises `CorruptData`."""
    try:
        table = pq.ParquetFile(pa.BufferReader(body)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CorruptData(f"a segment of {spec.name} is not readable Parquet: {error}") from error
    schema = arrow_schema(spec)
    if table.schema.equals(schema):
        return table
    return conformed(spec, table)


def decode_parquet_keys(spec: TableSpec[Any], body: bytes) -> "SegmentKeys":
    """Only the keys of a segment: a fifth of the work of decoding all of it. Raises `CorruptData`."""
    texts = [part for part in spec.key[:-1] if spec.fields[spec.key_index(part)].kind == "utf8"]
    try:
        # All but the last key column repeat: as dictionaries they take next to nothing.
        file = pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts)
        table = file.read(columns=list(spec.key), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CorruptData(f"a segment of {spec.name} is not readable Parquet: {error}") from error
    if table.num_columns != len(spec.key):
        raise CorruptData(f"a segment of {spec.name} lacks key columns")
    return SegmentKeys([_flat(table.column(part)) for part in spec.key], table.num_rows)


def decode_parquet_some(spec: TableSpec[Any], body: bytes, fields: Sequence[str]) -> "SegmentColumns":
    """Some fields of a segment: what that costs grows with their number. Raises `CorruptData`."""
    schema = pa.schema([field for field in arrow_schema(spec) if field.name in fields])
    try:
        table = pq.ParquetFile(pa.BufferReader(body)).read(columns=schema.names, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CorruptData(f"a segment of {spec.name} is not readable Parquet: {error}") from error
    return SegmentColumns(spec, table if table.schema.equals(schema) else conformed(spec, table, schema))


def conformed(spec: TableSpec[Any], table: pa.Table, schema: pa.Schema | None = None) -> pa.Table:
    """`table` with the columns of `schema`, or all of `spec`, in order; absent nullable columns become nulls."""
    schema = schema or arrow_schema(spec)
    columns = []
    for field in schema:
        if field.name in table.column_names:
            columns.append(table.column(field.name).combine_chunks().cast(field.type))
        elif field.nullable:
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            raise CorruptData(f"a segment of {spec.name} lacks the column {field.name}")
    return pa.Table.from_arrays(columns, schema=schema)


def rows_of(spec: TableSpec[R], table: pa.Table) -> list[R]:
    """The rows of an Arrow table as structs."""
    if not table.num_rows:
        return []
    columns = [column.to_pylist() for column in table.columns]
    make = row_maker(spec)
    return [make(*values) for values in zip(*columns, strict=True)]


@lru_cache(maxsize=256)
def row_maker(spec: TableSpec[R]) -> Callable[..., R]:
    """Makes a row from its values in field order; compiled, as `namedtuple` does it: rows are made by thousands."""
    names = [field.name for field in spec.fields]
    source = f"lambda {', '.join(names)}: row({', '.join(f'{name}={name}' for name in names)})"
    make: Callable[..., R] = eval(source, {"row": spec.row})  # made of our own field names only
    return make


class SegmentKeys:
    """The decoded key columns of a segment: what is in it, found by bisection, at a twentieth of the memory."""

    __slots__ = ("_keys", "_probes", "count")

    def __init__(self, columns: Sequence[pa.Array], count: int) -> None:
        self._keys = columns
        self._probes: list[Probe] | None = None
        self.count = count

    @property
    def size_bytes(self) -> int:
        """Bytes of the Arrow buffers."""
        return sum(int(column.nbytes) for column in self._keys)

    def key_at(self, index: int) -> RowKey:
        """The key of one row."""
        return tuple(column[index].as_py() for column in self._keys)

    def bisect(self, key: RowKey, low: int = 0, *, right: bool = False) -> int:
        """Where `key` belongs at or after `low`; with `right`, after all rows whose key begins with it."""
        high = self.count
        # A key with more parts than a row's follows the row it begins with.
        right = right or len(key) > len(self._keys)
        last = min(len(key), len(self._keys)) - 1
        for number, (probe, part) in enumerate(zip(self._columns(), key, strict=False)):
            wanted = probed(part)
            if low >= high:
                break
            # Most segments lie within one value of the first column.
            if number < last and probe(low) == wanted == probe(high - 1):
                continue
            begin = low if number == last and right else bisect_left(range(self.count), wanted, low, high, key=probe)
            if number == last and not right:
                return begin
            end = bisect_right(range(self.count), wanted, begin, high, key=probe)
            low, high = begin, end
        return high if right else low

    def index_of(self, key: RowKey) -> int | None:
        """Where the row with this key is, or None."""
        index = self.bisect(key)
        if index >= self.count:
            return None
        found = all(probe(index) == probed(part) for probe, part in zip(self._columns(), key, strict=True))
        return index if found else None

    def _columns(self) -> list[Probe]:
        if self._probes is None:
            self._probes = [probe_of(column) for column in self._keys]
        return self._probes


class SegmentColumns(SegmentKeys):
    """Some columns of a segment, searched by key only when the whole key is among them."""

    __slots__ = ("_columns_by_name",)

    def __init__(self, spec: TableSpec[Any], table: pa.Table) -> None:
        names = table.column_names
        self._columns_by_name = {name: _flat(column) for name, column in zip(names, table.columns, strict=True)}
        keys = [self._columns_by_name[part] for part in spec.key if part in self._columns_by_name]
        super().__init__(keys, table.num_rows)

    @property
    def size_bytes(self) -> int:
        """Bytes of the Arrow buffers."""
        return sum(int(column.nbytes) for column in self._columns_by_name.values())

    def values(self, field: str, low: int, high: int) -> list[Any]:
        """One field of the rows `[low, high)`."""
        values: list[Any] = self._columns_by_name[field].slice(low, high - low).to_pylist()
        return values


class SegmentRows(SegmentKeys):
    """A decoded segment: rows in key order, found by bisection without decoding the others."""

    __slots__ = ("_asked", "_key_list", "_row_cache", "columns", "spec", "table")

    def __init__(self, spec: TableSpec[Any], table: pa.Table) -> None:
        self.spec = spec
        self.table = table
        self.columns = [_flat(column) for column in table.columns]
        self._key_list: list[RowKey] | None = None
        self._asked = 0
        self._row_cache: dict[int, Any] = {}
        super().__init__([self.columns[index] for index in spec.key_indexes], table.num_rows)

    @property
    def size_bytes(self) -> int:
        """Bytes of the Arrow buffers."""
        return int(self.table.nbytes)

    def bisect(self, key: RowKey, low: int = 0, *, right: bool = False) -> int:
        """Where `key` belongs; once the segment has been asked often, from a list of its keys."""
        if len(key) == len(self._keys) and (keys := self._hot_keys()) is not None:
            return bisect_right(keys, key, low) if right else bisect_left(keys, key, low)
        return super().bisect(key, low, right=right)

    def keys_alone(self) -> SegmentKeys:
        """The keys without the rows; all but the last column repeat, so they are kept as dictionaries."""
        columns = [_compact(column) for column in self._keys[:-1]]
        return SegmentKeys([*columns, *self._keys[-1:]], self.count)

    def decode_keys(self) -> list[RowKey]:
        """All keys, decoded once: for segments that are asked often or edited in many places."""
        if self._key_list is None:
            self._key_list = list(zip(*(column.to_pylist() for column in self._keys), strict=True))
        return self._key_list

    def _hot_keys(self) -> list[RowKey] | None:
        if self._key_list is None:
            self._asked += 1
            if self._asked > _HOT_AFTER:
                return self.decode_keys()
        return self._key_list

    def find(self, key: RowKey) -> Any | None:
        """The row with this key, or None."""
        index = self.index_of(key)
        return None if index is None else self.row(index)

    def row(self, index: int) -> Any:
        """One row as a struct."""
        row = self._row_cache.get(index)
        if row is None:
            if len(self._row_cache) >= _HOT_ROWS_MAX:
                self._row_cache.clear()
            row = row_maker(self.spec)(*[column[index].as_py() for column in self.columns])
            self._row_cache[index] = row
        return row

    def rows(self, low: int, high: int) -> list[Any]:
        """Rows `[low, high)` as structs."""
        return rows_of(self.spec, self.table.slice(low, high - low))

    def rows_at(self, indexes: Sequence[int]) -> list[Any]:
        """The rows at these places, in ascending order, as structs."""
        make = row_maker(self.spec)
        if len(indexes) <= _FEW:
            return [make(*[column[index].as_py() for column in self.columns]) for index in indexes]
        # Not `take`: it loads a library of functions for a second of the first request.
        first, width = indexes[0], indexes[-1] + 1 - indexes[0]
        columns = [column.slice(first, width).to_pylist() for column in self.columns]
        return [make(*[column[index - first] for column in columns]) for index in indexes]

    def values(self, field: str, low: int, high: int) -> list[Any]:
        """One field of the rows `[low, high)`."""
        values: list[Any] = self.columns[self.table.schema.get_field_index(field)].slice(low, high - low).to_pylist()
        return values


def _compact(column: pa.Array) -> pa.Array:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def merged(spec: TableSpec[R], old: pa.Table, edits: Sequence[tuple[RowKey, R | None]]) -> pa.Table:
    """`old` with `edits` applied: key-ordered (key, row or None to delete), each key once."""
    segment = SegmentRows(spec, old)
    if len(edits) >= _HOT_AFTER:
        segment.decode_keys()
    fresh = [row for _, row in edits if row is not None]
    picks: list[int] = []
    position, next_fresh = 0, segment.count
    for key, row in edits:
        at = segment.bisect(key, position)
        picks.extend(range(position, at))
        position = at + 1 if at < segment.count and segment.key_at(at) == key else at
        if row is not None:
            picks.append(next_fresh)
            next_fresh += 1
    picks.extend(range(position, segment.count))
    both = pa.concat_tables([old, table_of(spec, fresh)]).combine_chunks()
    return both.take(pa.array(picks, type=pa.int64())).combine_chunks()


class _Parquet:
    """Implements `SegmentCodec`: Arrow in memory, Parquet on storage."""

    def of_rows(self, spec: TableSpec[Any], rows: Sequence[Any]) -> Segment:
        return SegmentRows(spec, table_of(spec, rows))

    def edited(self, segment: Segment, spec: TableSpec[Any], edits: Edits) -> Segment:
        return SegmentRows(spec, merged(spec, segment.table, edits))

    def joined(self, first: Segment, second: Segment, spec: TableSpec[Any]) -> Segment:
        return SegmentRows(spec, pa.concat_tables([first.table, second.table]).combine_chunks())

    def part(self, segment: Segment, spec: TableSpec[Any], low: int, high: int) -> Segment:
        # Slices are copied, or a cached part would keep the whole table's buffers alive.
        return SegmentRows(spec, segment.table.take(pa.array(range(low, high), type=pa.int64())).combine_chunks())

    def encode(self, segment: Segment) -> bytes:
        return encode_parquet(segment.table)

    def decode(self, spec: TableSpec[Any], body: bytes) -> Segment:
        return SegmentRows(spec, decode_parquet(spec, body))

    def decode_keys(self, spec: TableSpec[Any], body: bytes) -> Keys:
        return decode_parquet_keys(spec, body)

    def decode_some(self, spec: TableSpec[Any], body: bytes, fields: Sequence[str]) -> Columns:
        return decode_parquet_some(spec, body, fields)


PARQUET: Final[SegmentCodec] = _Parquet()
"""What every real store holds."""
