"""Reading some fields of many rows in order, for lists: columns are decoded and rows are not. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from arco.kernel.spec import RowKey, TableSpec
from arco.kernel.state import ChainState, Missing, Span

Picked = tuple[Any, ...]
"""The wanted fields of one row."""


def picked(state: ChainState, spec: TableSpec[Any], fields: tuple[str, ...], span: Span) -> list[Picked]:
    """The wanted `fields`, the key's among them, of an ascending span's first `limit` rows. Raises `Missing`.

    Segments are asked for without their bulky fields, unless one of these is wanted.
    """
    some = spec.lean if spec.bulky and spec.bulky.isdisjoint(fields) else ()
    limit = span.limit or 0
    changes = _Changes(state.overlay(spec, span.prefix), span, (spec, fields))
    found: list[Picked] = []
    for ref, following in state.leaves(spec, span):
        columns = state.columns(ref, some)
        if columns is None:
            raise Missing(spec, state.wanted(ref, following, span, some), pages=False, key=span.prefix, some=some)
        low, high = span.within(columns)
        while low < high and len(found) < limit:
            end = min(high, low + limit - len(found))
            values = (columns.values(field, low, end) for field in fields)
            found += changes.laid_over(list(zip(*values, strict=True)))
            low = end
        if len(found) >= limit:
            return found[:limit]
    return [*found, *changes.left()][:limit]


class _Changes:
    """What is not merged yet, laid over the rows of the segments as they come, in key order."""

    def __init__(self, overlay: dict[RowKey, Any], span: Span, wanted: tuple[TableSpec[Any], tuple[str, ...]]) -> None:
        spec, self._fields = wanted
        self._overlay = overlay
        self._pending = sorted(key for key in overlay if span.beyond(key))
        self._at = 0
        self._key_of = _key_getter([self._fields.index(part) for part in spec.key])

    def laid_over(self, rows: list[Picked]) -> list[Picked]:
        """The rows with all changes up to the last of them."""
        if self._at == len(self._pending):
            return rows
        end = bisect_right(self._pending, self._key_of(rows[-1]), self._at)
        if end == self._at:
            return rows
        by_key = {self._key_of(row): row for row in rows}
        for key in self._pending[self._at : end]:
            row = self._overlay[key]
            if row is None:
                by_key.pop(key, None)
            else:
                by_key[key] = self._picked(row)
        self._at = end
        return [by_key[key] for key in sorted(by_key)]

    def left(self) -> list[Picked]:
        """The rows beyond all segments."""
        rows = (self._overlay[key] for key in self._pending[self._at :])
        return [self._picked(row) for row in rows if row is not None]

    def _picked(self, row: Any) -> Picked:
        return tuple([getattr(row, field) for field in self._fields])


def _key_getter(places: Sequence[int]) -> Callable[[Picked], RowKey]:
    if len(places) == 1:
        (place,) = places
        return lambda row: (row[place],)
    return itemgetter(*places)
