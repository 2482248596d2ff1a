"""What a fold is: a pure function of view, event and context (architecture.md, "One kernel, many domains").

A domain gives the kernel its tables, its event types and `fold`. Nothing here does I/O. *Not loaded is not
absent*: reading a range that is not in memory raises `NotLoaded`; the kernel loads it and folds the unit again from
its savepoint, so a fold must not catch it and must have no effect but through the view.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, runtime_checkable

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


@runtime_checkable
class DerivedView(View, Protocol):
    """What a derived domain may do beyond `View`: it knows which of its rows exist, because it derived them."""

    def counted(self, table: TableSpec[R]) -> int | None:
        """Rows of the table; None in a chain that is older than the table and has never held it. No load."""
        ...

    def following(self, table: TableSpec[R], after: RowKey, *, limit: int) -> list[R]:
        """At most `limit` rows whose key lies beyond `after`, in key order. Raises `NotLoaded`."""
        ...

    def write(self, table: TableSpec[R], row: R, *, existed: bool) -> None:
        """Insert or replace a row whose former existence the caller knows: nothing is loaded."""
        ...

    def remove(self, table: TableSpec[R], key: RowKey) -> None:
        """Remove a row that is known to exist: nothing is loaded."""
        ...


class FoldContext(msgspec.Struct, frozen=True):
    """Every input of a fold that is not in the event; all of it is recorded in the commit.

    `manifest_id` is the manifest the unit will be visible at, `commit_ulid` names its entry in history if it gets one,
    and `snapshot_version` is that entry's.
    """

    now_ms: int
    fold_version: int
    manifest_id: str = ""
    commit_ulid: str = ""
    snapshot_version: int = 0


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a unit changed, for history: the contracts' `operation`, `object_type`, `object_id`, `object_name`."""

    operation: str
    object_type: str
    object_id: str
    object_name: str


class Accepted(msgspec.Struct, frozen=True):
    """The event is a fact. `subject` None means it changed nothing and leaves no trace in history.

    `also` are further things it changed: their histories show it, the workspace's shows the subject. `details` are for
    the caller: what the answer to it says besides yes.
    """

    subject: Subject | None = None
    also: tuple[Subject, ...] = ()
    details: Mapping[str, str] = {}


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


class Change(msgspec.Struct, Generic[R], frozen=True):
    """One row before and after a unit; None where there was none, or is none any more."""

    old: R | None
    new: R | None


@runtime_checkable
class Derived(Domain, Protocol):
    """A domain whose rows follow from other domains' rows, in the same commit.

    Its own events are upkeep only: they build in steps what a chain made before the domain existed lacks.
    """

    @property
    def sources(self) -> tuple[TableSpec[Any], ...]:
        """The tables it is derived from."""
        ...

    def derive(self, view: DerivedView, changes: Mapping[str, Sequence[Change[Any]]]) -> None:
        """Follow one unit's changes of the source tables, by table name, in key order. Raises `NotLoaded`."""
        ...

    def upkeep(self, counts: Mapping[str, int]) -> "Upkeep | None":
        """The next step that a chain with these row counts needs, None when it needs none."""
        ...


class Upkeep(msgspec.Struct, frozen=True):
    """An event the compactor submits by itself, as a unit like any other."""

    event_type: str
    event_version: int
    payload: Any


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
