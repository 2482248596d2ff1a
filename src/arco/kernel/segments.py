"""Segments as the kernel sees them: sorted rows that are found by key, and the codec that makes bytes of them.

Production stores Parquet (`kernel.codec.PARQUET`). The simulation folds millions of schedules with a codec that keeps
plain rows; the protocol around it is the same.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from arco.kernel.spec import RowKey, TableSpec

Edits = Sequence[tuple[RowKey, Any]]
"""Key-ordered (key, row or None to delete), each key once."""


class Keys(Protocol):
    """The keys of a segment, in order."""

    @property
    def count(self) -> int:
        """How many rows there are."""
        ...

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        ...

    def index_of(self, key: RowKey) -> int | None:
        """Where the row with this key is, or None."""
        ...


class Columns(Keys, Protocol):
    """Some fields of a segment. It is searched by key only when the whole key is among them."""

    def key_at(self, index: int) -> RowKey:
        """The key of one row."""
        ...

    def bisect(self, key: RowKey, low: int = 0, *, right: bool = False) -> int:
        """Where `key` belongs at or after `low`; with `right`, after all rows whose key begins with it."""
        ...

    def values(self, field: str, low: int, high: int) -> list[Any]:
        """One field of the rows `[low, high)`."""
        ...


class Segment(Columns, Protocol):
    """A decoded segment: immutable rows in key order."""

    @property
    def table(self) -> Any:
        """The rows as an Arrow table with every stored column."""
        ...

    def find(self, key: RowKey) -> Any | None:
        """The row with this key, or None."""
        ...

    def rows(self, low: int, high: int) -> list[Any]:
        """Rows `[low, high)` as structs."""
        ...

    def rows_at(self, indexes: Sequence[int]) -> list[Any]:
        """The rows at these places, in ascending order, as structs."""
        ...

    def keys_alone(self) -> Keys:
        """The keys without the rows."""
        ...


class SegmentCodec(Protocol):
    """How segments are made, changed and stored. Equal rows give equal bytes."""

    def of_rows(self, spec: TableSpec[Any], rows: Sequence[Any]) -> Segment:
        """A segment of rows that are in key order."""
        ...

    def edited(self, segment: Segment, spec: TableSpec[Any], edits: Edits) -> Segment:
        """The segment with edits applied."""
        ...

    def joined(self, first: Segment, second: Segment, spec: TableSpec[Any]) -> Segment:
        """The rows of two segments of which the second follows the first."""
        ...

    def part(self, segment: Segment, spec: TableSpec[Any], low: int, high: int) -> Segment:
        """Rows `[low, high)`, which keep nothing of the others alive."""
        ...

    def encode(self, segment: Segment) -> bytes:
        """The stored bytes."""
        ...

    def decode(self, spec: TableSpec[Any], body: bytes) -> Segment:
        """The segment of stored bytes. Raises `CorruptData`."""
        ...

    def decode_keys(self, spec: TableSpec[Any], body: bytes) -> Keys:
        """Only the keys of stored bytes. Raises `CorruptData`."""
        ...

    def decode_some(self, spec: TableSpec[Any], body: bytes, fields: Sequence[str]) -> Columns:
        """Some fields of stored bytes. Raises `CorruptData`."""
        ...
