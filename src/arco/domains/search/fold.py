"""How the index follows the catalog, and how that of an older catalog is built step by step. Pure.

A chain made by a build that knows search has an index from its first commit. An older one gets it by upkeep units:
schemas first, then tables, in key order. While that lasts an object is indexed exactly when its key is not beyond the
last step's, so changes and steps may come in any order.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from arco.core.errors import invariant
from arco.core.limits import SEARCH_UPKEEP_ROWS
from arco.domains.catalog.tables import NAMESPACES, TABLES
from arco.domains.search.documents import Postings, differences, namespace_postings, table_postings
from arco.domains.search.rows import BUILDING, POSTINGS, SEARCH, SEARCH_TABLES, BuildingRow
from arco.kernel.envelope import Envelope
from arco.kernel.fold import (
    Accepted,
    Change,
    Decision,
    DerivedView,
    FoldContext,
    InvalidEvent,
    UnsupportedEvent,
    Upkeep,
    View,
)
from arco.kernel.spec import RowKey, TableSpec

SEARCH_INDEX: Final = "search.index"
"""Upkeep alone: the index itself has no events (catalog.md 2.8)."""

INDEX_VERSION: Final = 1
_INDEX: Final = "postings"
_SOURCES: Final[tuple[TableSpec[Any], ...]] = (NAMESPACES, TABLES)


class IndexExtended(msgspec.Struct, frozen=True, tag_field="kind", tag="index_extended"):
    """The index covers so many more schemas and tables."""

    rows: int


_PAYLOAD: Final = msgspec.json.Decoder(IndexExtended)


class SearchDomain:
    """Search on the kernel; implements `kernel.fold.Derived`."""

    name: Final = SEARCH
    event_types: Final = frozenset({SEARCH_INDEX})
    tables: Final[tuple[TableSpec[Any], ...]] = SEARCH_TABLES
    sources: Final[tuple[TableSpec[Any], ...]] = _SOURCES

    def derive(self, view: DerivedView, changes: Mapping[str, Sequence[Change[Any]]]) -> None:
        """Follow changes of schemas and tables as far as they are indexed. Raises `NotLoaded`."""
        counted = view.counted(BUILDING)
        if counted is None:
            return
        reached = _reached(view) if counted else None
        old: Postings = {}
        new: Postings = {}
        # A renamed table is two changes of one object: what stays of it is only seen when both are put together.
        for source in _SOURCES:
            for change in changes[source.name]:
                old |= _indexed(source, change.old, reached)
                new |= _indexed(source, change.new, reached)
        _apply(view, old, new)

    def upkeep(self, counts: Mapping[str, int]) -> Upkeep | None:
        """One more step for a chain whose index is not whole."""
        if counts.get(BUILDING.name) == 0:
            return None
        return Upkeep(SEARCH_INDEX, INDEX_VERSION, IndexExtended(SEARCH_UPKEEP_ROWS))

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Index the next schemas and tables; leaves no trace in history. Raises `NotLoaded`."""
        if event.event_version != INDEX_VERSION:
            raise UnsupportedEvent(f"{event.event_type} version {event.event_version} is not known to this build")
        try:
            rows = _PAYLOAD.decode(event.payload).rows
        except msgspec.MsgspecError as error:
            raise InvalidEvent(f"{event.event_type}: {error}") from error
        invariant(isinstance(view, DerivedView), "search is folded over a view that derives")
        extend(cast(DerivedView, view), max(rows, 1))
        return Accepted()


def extend(view: DerivedView, rows: int) -> None:
    """Index at most so many objects beyond what is indexed. Raises `NotLoaded`."""
    counted = view.counted(BUILDING)
    if counted == 0:
        return
    reached = _reached(view) if counted else (0, ())
    step = _beyond(view, reached, rows + 1)
    for source, row in step[:rows]:
        _apply(view, {}, _postings(source, row))
    if len(step) <= rows:
        # Counted from now on, and empty: that is how a whole index is told from none.
        view.write(BUILDING, _building((0, ("", ""))), existed=bool(counted))
        view.remove(BUILDING, (_INDEX,))
        return
    source, row = step[rows - 1]
    position = (_SOURCES.index(source), source.key_of(row))
    view.write(BUILDING, _building(position), existed=bool(counted))


def _reached(view: View) -> tuple[int, RowKey]:
    row = view.get(BUILDING, (_INDEX,))
    if row is None:  # while the kernel guesses what else will be missing
        return 0, ()
    return [source.name for source in _SOURCES].index(row.source), (row.parent, row.name)


def _building(position: tuple[int, RowKey]) -> BuildingRow:
    number, key = position
    return BuildingRow(index=_INDEX, source=_SOURCES[number].name, parent=str(key[0]), name=str(key[1]))


def _beyond(view: DerivedView, reached: tuple[int, RowKey], limit: int) -> list[tuple[TableSpec[Any], Any]]:
    number, after = reached
    found: list[tuple[TableSpec[Any], Any]] = []
    for source in _SOURCES[number:]:
        found += [(source, row) for row in view.following(source, after, limit=limit - len(found))]
        after = ()
        if len(found) >= limit:
            break
    return found


def _indexed(source: TableSpec[Any], row: Any | None, reached: tuple[int, RowKey] | None) -> Postings:
    if row is None or (reached is not None and (_SOURCES.index(source), source.key_of(row)) > reached):
        return {}
    return _postings(source, row)


def _postings(source: TableSpec[Any], row: Any) -> Postings:
    return table_postings(row) if source is TABLES else namespace_postings(row)


def _apply(view: DerivedView, old: Postings, new: Postings) -> None:
    for key, row, existed in differences(old, new):
        if row is None:
            view.remove(POSTINGS, key)
        else:
            view.write(POSTINGS, row, existed=existed)
