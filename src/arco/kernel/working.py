"""The view a fold works on: a chain state under a set of uncommitted changes, with savepoints.

Row counts are kept as the changes are made, which is why `put` and `delete` look at the old row.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from arco.kernel.fold import Change
from arco.kernel.layers import Changes
from arco.kernel.spec import R, RowKey, TableSpec
from arco.kernel.state import ChainState, Missing, Span

_Undo = tuple[str, RowKey, bool, Any, int]


class WorkingView:
    """Implements `kernel.fold.DerivedView` over a `ChainState`."""

    def __init__(self, state: ChainState) -> None:
        self._state = state
        self._changes: dict[str, dict[RowKey, Any]] = {}
        self._counts: dict[str, int] = {}
        self._journal: list[_Undo] = []
        self._known: dict[str, dict[RowKey, Any]] = {}
        self.guesses: list[Missing] | None = None
        """When a list: what is missing is noted here and taken for absent, to learn what else will be missing."""

    @property
    def changes(self) -> Changes:
        """What was changed so far, per table."""
        return self._changes

    def count(self, table: str) -> int:
        """Rows of a table, changes included."""
        return self._state.manifest.counts.get(table, 0) + self._counts.get(table, 0)

    def counted(self, table: TableSpec[R]) -> int | None:
        """Rows of the table, changes included; None in a chain that has never held it."""
        known = table.name in self._state.manifest.counts or bool(self._changes.get(table.name))
        return self.count(table.name) if known else None

    def changed(self, table: TableSpec[R], savepoint: int) -> list[Change[R]]:
        """The rows of a table that differ from what they were at the mark, in key order. Raises `NotLoaded`."""
        before: dict[RowKey, tuple[bool, R | None]] = {}
        for name, key, had, old, _ in self._journal[savepoint:]:
            if name == table.name:
                before.setdefault(key, (had, old))
        changes: list[Change[R]] = []
        for key in sorted(before):
            had, old = before[key]
            first = old if had else self._stored(table, key)
            last: R | None = self._changes[table.name][key]
            if first != last:
                changes.append(Change(first, last))
        return changes

    def savepoint(self) -> int:
        """A mark to roll back to."""
        return len(self._journal)

    def changed_since(self, savepoint: int) -> Iterator[tuple[str, RowKey]]:
        """Table and key of every change made after the mark, in order."""
        return ((table, key) for table, key, *_ in self._journal[savepoint:])

    def rollback(self, savepoint: int) -> None:
        """Undo every change made after the mark."""
        while len(self._journal) > savepoint:
            table, key, had, old, count = self._journal.pop()
            self._counts[table] = count
            if had:
                self._changes[table][key] = old
            else:
                del self._changes[table][key]

    def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        """The row with this key. Raises `NotLoaded`."""
        changed = self._changes.get(table.name)
        if changed is not None and key in changed:
            row: R | None = changed[key]
            return row
        return self._stored(table, key)

    def _stored(self, table: TableSpec[R], key: RowKey) -> R | None:
        # A fold asks for the same row several times: whether it is there, to replace it, and what it was before.
        known = self._known.setdefault(table.name, {})
        if key in known:
            row: R | None = known[key]
            return row
        try:
            row = known[key] = self._state.get(table, key)
            return row
        except Missing as missing:
            if self.guesses is None:
                raise
            self.guesses.append(missing.plain())
            return None

    def scan(self, table: TableSpec[R], prefix: RowKey, *, limit: int | None = None) -> Iterator[R]:
        """Rows whose key begins with `prefix`, in key order. Raises `NotLoaded`."""
        width = len(prefix)
        changed = self._changes.get(table.name, {})
        mine = {key: row for key, row in changed.items() if key[:width] == prefix}
        base = self._state.scan(table, prefix)
        rows = self._merged(table, base, mine) if mine else base
        try:
            for index, row in enumerate(rows):
                if limit is not None and index >= limit:
                    return
                yield row
        except Missing as missing:
            if self.guesses is None:
                raise
            self.guesses.append(missing.plain())

    def following(self, table: TableSpec[R], after: RowKey, *, limit: int) -> list[R]:
        """At most `limit` rows whose key lies beyond `after`, in key order. Raises `NotLoaded`."""
        changed = self._changes.get(table.name, {})
        mine = {key: row for key, row in changed.items() if key > after}
        base = self._state.scan(table, Span(after=after or None, limit=limit + len(mine)))
        try:
            return list(islice(self._merged(table, base, mine), limit))
        except Missing as missing:
            if self.guesses is None:
                raise
            self.guesses.append(missing.plain())
            return []

    def put(self, table: TableSpec[R], row: R) -> None:
        """Insert or replace a row. Raises `NotLoaded`."""
        key = table.key_of(row)
        existed = self.get(table, key) is not None
        self._change(table.name, key, row, 0 if existed else 1)

    def delete(self, table: TableSpec[R], key: RowKey) -> None:
        """Remove a row if it is there. Raises `NotLoaded`."""
        if self.get(table, key) is not None:
            self._change(table.name, key, None, -1)

    def write(self, table: TableSpec[R], row: R, *, existed: bool) -> None:
        """Insert or replace a row whose former existence the caller knows."""
        self._change(table.name, table.key_of(row), row, 0 if existed else 1)

    def remove(self, table: TableSpec[R], key: RowKey) -> None:
        """Remove a row that is known to exist."""
        self._change(table.name, key, None, -1)

    def _change(self, table: str, key: RowKey, row: Any, difference: int) -> None:
        changed = self._changes.setdefault(table, {})
        count = self._counts.get(table, 0)
        self._journal.append((table, key, key in changed, changed.get(key), count))
        changed[key] = row
        self._counts[table] = count + difference

    @staticmethod
    def _merged(table: TableSpec[R], base: Iterator[R], mine: dict[RowKey, R | None]) -> Iterator[R]:
        pending = sorted(mine)
        position = 0
        for row in base:
            key = table.key_of(row)
            while position < len(pending) and pending[position] < key:
                fresh = mine[pending[position]]
                position += 1
                if fresh is not None:
                    yield fresh
            if position < len(pending) and pending[position] == key:
                continue
            yield row
        for left in pending[position:]:
            fresh = mine[left]
            if fresh is not None:
                yield fresh
