"""Reading as queries see it: pinned snapshots of one workspace. Implemented by `kernel.reader`.

A snapshot is immutable and complete; holding one costs nothing and reads load what they touch. Segments are shared
between snapshots through one cache.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol

import msgspec

from arco.kernel.spec import R, RowKey, TableSpec

if TYPE_CHECKING:
    import pyarrow as pa


class Part(Protocol):
    """A run of consecutive rows of one table in one snapshot."""

    @property
    def place(self) -> str:
        """Where its rows mainly lie: stays when a few of them change."""
        ...

    @property
    def identity(self) -> str:
        """An opaque text: parts of one table with one identity hold the same rows, in whatever snapshot."""
        ...

    async def rows(self) -> "pa.Table":
        """The rows with their public columns, in key order."""
        ...


class Range(NamedTuple):
    """Keys in `[low, high)`; both may be beginnings of keys, and `(*key, "")` lies right behind a key."""

    low: RowKey
    high: RowKey


class Sieve(NamedTuple):
    """Which rows pass: `keep` gets the values of `fields`, a list each, and tells the indexes of rows that do.

    Where passing is `rare`, segments are looked at whole, and only those in which a row passes have more than these
    fields decoded.
    """

    fields: tuple[str, ...]
    keep: Callable[..., list[int]]
    rare: bool = False


class Sifted(msgspec.Struct, Generic[R], frozen=True):
    """Rows that passed, how many were looked at, and the last key looked at; None when the range is at its end."""

    rows: list[R]
    examined: int
    reached: RowKey | None


class Firsts(msgspec.Struct, Generic[R], frozen=True):
    """What many keys begin, and in how many segments that was looked up, whether they were at hand or not."""

    rows: dict[RowKey, R]
    segments: int


class Snapshot(Protocol):
    """All tables of a chain as of one manifest."""

    @property
    def manifest_id(self) -> str:
        """The manifest this snapshot is (N20): a receipt, a cache key and an ETag."""
        ...

    @property
    def snapshot_version(self) -> int:
        """How many units had been accepted."""
        ...

    @property
    def published_ms(self) -> int:
        """When the manifest was made."""
        ...

    def count(self, table: TableSpec[R]) -> int:
        """Rows of the table; no I/O."""
        ...

    def counted(self, table: TableSpec[R]) -> int | None:
        """Rows of the table; None in a chain that is older than the table and has never held it; no I/O."""
        ...

    def table_version(self, table: TableSpec[R]) -> str:
        """An opaque text, equal exactly when the table's contents are: a cache key. No I/O."""
        ...

    async def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        """The row with this key: at most one page and one segment are read."""
        ...

    async def scan(
        self,
        table: TableSpec[R],
        *,
        prefix: RowKey = (),
        after: RowKey | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[R]:
        """Rows whose key begins with `prefix` and lies strictly beyond `after`, in key order, at most `limit`."""
        ...

    async def pick(
        self,
        table: TableSpec[Any],
        fields: tuple[str, ...],
        *,
        prefix: RowKey,
        after: RowKey | None = None,
        limit: int,
    ) -> list[tuple[Any, ...]]:
        """Some fields, the key's among them, of the rows that `scan` gives: no structs, and no more is decoded."""
        ...

    async def sift(self, table: TableSpec[R], between: Range, sieve: Sieve, *, most: int) -> Sifted[R]:
        """The rows of a range that pass, in key order; about `most` are looked at, and only what passes is decoded."""
        ...

    async def firsts(
        self, table: TableSpec[R], prefix: RowKey, each: Iterable[RowKey], wanted: Callable[[R], bool]
    ) -> Firsts[R]:
        """For each key its first wanted row whose key begins with `prefix` and it, all looked up together."""
        ...

    async def estimate(self, table: TableSpec[R], low: RowKey, high: RowKey) -> int:
        """About how many rows have keys in `[low, high)`: never too few by more than what is not merged yet."""
        ...

    async def arrow(self, table: TableSpec[R]) -> "pa.Table":
        """The whole table with its public columns, in key order: for indexes, not for request handlers."""
        ...

    async def parts(self, table: TableSpec[R]) -> Sequence[Part]:
        """The whole table in key order as parts, of which the next snapshot shares most: for SQL. At least one."""
        ...


class Reader(Protocol):
    """Finds snapshots of one workspace."""

    async def head(self) -> Snapshot | None:
        """The newest snapshot, probed after this call began; None when the workspace has none yet."""
        ...

    async def at_manifest(self, manifest_id: str) -> Snapshot | None:
        """The snapshot with this manifest id, or None when it never was or was collected."""
        ...

    async def at_time(self, time_ms: int) -> Snapshot | None:
        """The newest snapshot published at or before this time, or None when that is before the first."""
        ...
