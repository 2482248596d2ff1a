"""Segments as plain rows and JSON: what the simulation folds with instead of Parquet (reliability.md 7, tier A)."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arco.core.errors import CorruptData
from arco.kernel.codec import table_of
from arco.kernel.segments import Columns, Edits, Keys, Segment, SegmentCodec
from arco.kernel.spec import RowKey, TableSpec

_ROW_BYTES: Final = 200
_ENCODER: Final = msgspec.json.Encoder()


class PlainSegment:
    """Implements `Segment` over a list of rows."""

    __slots__ = ("_keys", "_rows", "count", "spec")

    def __init__(self, spec: TableSpec[Any], rows: Sequence[Any]) -> None:
        self.spec = spec
        self._rows = list(rows)
        self._keys = [spec.key_of(row) for row in rows]
        self.count = len(self._rows)

    @property
    def size_bytes(self) -> int:
        return self.count * _ROW_BYTES

    @property
    def table(self) -> Any:
        return table_of(self.spec, self._rows)

    def key_at(self, index: int) -> RowKey:
        return self._keys[index]

    def bisect(self, key: RowKey, low: int = 0, *, right: bool = False) -> int:
        if not right:
            return bisect_left(self._keys, key, low)
        width = len(key)
        return bisect_right(self._keys, key, low, key=lambda full: full[:width])

    def index_of(self, key: RowKey) -> int | None:
        index = bisect_left(self._keys, key)
        return index if index < self.count and self._keys[index] == key else None

    def find(self, key: RowKey) -> Any | None:
        index = self.index_of(key)
        return None if index is None else self._rows[index]

    def rows(self, low: int, high: int) -> list[Any]:
        return self._rows[low:high]

    def rows_at(self, indexes: Sequence[int]) -> list[Any]:
        return [self._rows[index] for index in indexes]

    def values(self, field: str, low: int, high: int) -> list[Any]:
        return [getattr(row, field) for row in self._rows[low:high]]

    def keys_alone(self) -> Keys:
        return self


class _Plain:
    """Implements `SegmentCodec`."""

    def of_rows(self, spec: TableSpec[Any], rows: Sequence[Any]) -> Segment:
        return PlainSegment(spec, rows)

    def edited(self, segment: Segment, spec: TableSpec[Any], edits: Edits) -> Segment:
        rows = {spec.key_of(row): row for row in segment.rows(0, segment.count)}
        for key, row in edits:
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        return PlainSegment(spec, [rows[key] for key in sorted(rows)])

    def joined(self, first: Segment, second: Segment, spec: TableSpec[Any]) -> Segment:
        return PlainSegment(spec, [*first.rows(0, first.count), *second.rows(0, second.count)])

    def part(self, segment: Segment, spec: TableSpec[Any], low: int, high: int) -> Segment:
        return PlainSegment(spec, segment.rows(low, high))

    def encode(self, segment: Segment) -> bytes:
        return _ENCODER.encode(segment.rows(0, segment.count))

    def decode(self, spec: TableSpec[Any], body: bytes) -> Segment:
        try:
            return PlainSegment(spec, _decoder(spec.row).decode(body))
        except msgspec.MsgspecError as error:
            raise CorruptData(f"a segment of {spec.name} is not readable: {error}") from error

    def decode_keys(self, spec: TableSpec[Any], body: bytes) -> Keys:
        return self.decode(spec, body)

    def decode_some(self, spec: TableSpec[Any], body: bytes, fields: Sequence[str]) -> Columns:
        return self.decode(spec, body)


PLAIN: Final[SegmentCodec] = _Plain()
"""Rows as they are."""


_DECODERS: Final[dict[type, msgspec.json.Decoder[Any]]] = {}


def _decoder(row: type) -> msgspec.json.Decoder[Any]:
    if row not in _DECODERS:
        _DECODERS[row] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]  # the row type is only known at run time
    return _DECODERS[row]
