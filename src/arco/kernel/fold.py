"""What a fold is: a pure function of view, event and context (architecture.md, "One kernel, many domains").

A domain gives the kernel its tables, its event types and `fold`. Nothing here does I/O. *Not loaded is not
absent*: reading a range that is not in memory raises `NotLoaded`; the kernel loads it and folds the unit again from
its savepoint, so a fold must not catch it and must have no effect but through the view.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec

from arco.kernel.envelope import Envelope, Unit
from arco.kernel.spec import R, RowKey, TableSpec


class NotLoaded(Exception):
    """A fold touched rows that are not in memory: keys in `[low, high]`, `high` None for a prefix range."""

    def __init__(self, table: str, low: RowKey, prefix: RowKey | None = None) -> None:
        super().__init__(table, low, prefix)
        self.table = table
        self.low = low
        self.prefix = prefix


class UnsupportedEvent(Exception):
    """A type, version or kind this build does not know: the unit stays pending (rolling deploys)."""


class InvalidEvent(Exception):
    """A payload that was read and cannot be valid: the unit is quarantined."""


class View(Protocol):
    """The state a fold reads and changes. Changes of a rejected unit are undone by the kernel."""

    def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        """The row with this key. Raises `NotLoaded`."""
        ...

    def scan(self, table: TableSpec[R], prefix: RowKey, *, limit: int | None = None) -> Iterator[R]:
        """Rows whose key begins with `prefix`, in key order. Raises `NotLoaded`."""
        ...

    def put(self, table: TableSpec[R], row: R) -> None:
        """Insert or replace the row with this key. Raises `NotLoaded` (row counts need the old row)."""
        ...

    def delete(self, table: TableSpec[R], key: RowKey) -> None:
        """Remove the row if it is there. Raises `NotLoaded`."""
        ...


class FoldContext(msgspec.Struct, frozen=True):
    """Every input of a fold that is not in the event; recorded in the commit."""

    now_ms: int
    fold_version: int


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a unit changed, for history: the contracts' `operation`, `object_type`, `object_id`, `object_name`."""

    operation: str
    object_type: str
    object_id: str
    object_name: str


class Accepted(msgspec.Struct, frozen=True):
    """The event is a fact. `subject` None means it changed nothing and leaves no trace in history."""

    subject: Subject | None = None


class Rejected(msgspec.Struct, frozen=True):
    """A definite no: stable `code` (`already_exists`, `stale_base`, ...), public text, details for the caller.

    `final` rejections are kept with the idempotency key and replayed; others leave the key free.
    """

    code: str
    message: str
    details: Mapping[str, str] = {}
    final: bool = True


Decision = Accepted | Rejected


class Domain(Protocol):
    """One domain on the kernel."""

    @property
    def name(self) -> str:
        """Ledger prefix and pointer name: `catalog`, `lineage`."""
        ...

    @property
    def event_types(self) -> frozenset[str]:
        """The envelope types this domain folds."""
        ...

    @property
    def tables(self) -> tuple[TableSpec[Any], ...]:
        """Every table this domain owns."""
        ...

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Decide one event. Raises `NotLoaded`, `UnsupportedEvent`, `InvalidEvent`."""
        ...


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a unit; part of the log, and what its caller is told.

    `status`: `accepted`, `rejected`, `expired`, `quarantined` (all recorded), `unsupported` (not recorded, may still
    be folded by a newer build). `replayed` is set when the answer is the recorded one of an earlier unit.
    `manifest_id` is the receipt: a manifest at which the outcome is visible. `final` is False for a rejection that
    leaves its idempotency key free.
    """

    unit_id: str
    status: str
    code: str = ""
    message: str = ""
    details: dict[str, str] = {}
    subject: Subject | None = None
    manifest_id: str = ""
    snapshot_version: int = 0
    replayed: bool = False
    final: bool = True


class Moment(msgspec.Struct, frozen=True):
    """When a unit was decided; all of it is in the commit record. `decision_ulid` belongs to this decision alone."""

    now_ms: int
    fold_version: int
    decision_ulid: str


@runtime_checkable
class Witness(Protocol):
    """A domain that also keeps rows about the units of others, in the very commit that decides them."""

    def witness(self, view: View, unit: Unit, outcome: Outcome, moment: Moment) -> None:
        """Note how a unit was decided for the first time, accepted or not. Pure. Raises `NotLoaded`."""
        ...
