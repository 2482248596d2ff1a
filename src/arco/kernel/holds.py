"""Keeping what a transaction under way depends on as it is, until the transaction is decided. Pure.

A transaction that spans chains is *prepared* in each: its events are folded on trial, and every key and range they read
or would write is held. No unit may change a held key, so that folding the same events later, when the transaction was
decided elsewhere, cannot come out differently. Two transactions may hold the same key for reading only.

A hold is a prefix of a table's key: a whole key, or a range that was scanned. Where nothing is held, nothing is looked
up.
"""

from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec

from arco.kernel.fold import View
from arco.kernel.records import HELD_KEYS, HeldKeyRow
from arco.kernel.spec import R, RowKey, TableSpec

HELD: Final = "held"
"""The code of a refusal because of a hold; never final."""


class HoldingView(View, Protocol):
    """What the check needs of a working view besides reading."""

    def changed_since(self, savepoint: int) -> Iterator[tuple[str, RowKey]]:
        """Table and key of every change made after the mark."""
        ...

    def count(self, table: str) -> int:
        """Rows of a table."""
        ...


def holder_of(view: HoldingView, savepoint: int) -> str | None:
    """The transaction that holds something that was changed since the mark, if any does. Raises `NotLoaded`."""
    if not view.count(HELD_KEYS.name):
        return None
    for table, key in view.changed_since(savepoint):
        if table == HELD_KEYS.name:
            continue
        for width in range(len(key) + 1):
            held = next(view.scan(HELD_KEYS, (table, prefix_text(key[:width])), limit=1), None)
            if held is not None:
                return held.tx_id
    return None


def prefix_text(prefix: RowKey) -> str:
    """A key, or the beginning of one, as holds name it."""
    return msgspec.json.encode(prefix).decode()


class Rehearsal:
    """A view to fold events on trial: sees the view underneath and its own changes, and remembers what it touched."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._changes: dict[str, dict[RowKey, Any]] = {}
        self._touched: dict[tuple[str, RowKey], bool] = {}

    def holds(self, tx_id: str) -> list[HeldKeyRow]:
        """What has to stay as it is for the same events to fold the same way again, in key order."""
        found = [
            HeldKeyRow(table=table, prefix_json=prefix_text(prefix), tx_id=tx_id, writes=writes)
            for (table, prefix), writes in self._touched.items()
        ]
        return sorted(found, key=HELD_KEYS.key_of)

    def conflict(self) -> str | None:
        """Another transaction whose holds do not go together with these, if there is one. Raises `NotLoaded`."""
        for table in sorted({table for table, _ in self._touched}):
            for held in self._view.scan(HELD_KEYS, (table,)):
                theirs: list[Any] = msgspec.json.decode(held.prefix_json)
                if any(
                    (writes or held.writes) and _overlap(prefix, theirs)
                    for (name, prefix), writes in self._touched.items()
                    if name == table
                ):
                    return held.tx_id
        return None

    def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        """The row with this key. Raises `NotLoaded`."""
        self._touch(table.name, key, writes=False)
        changed = self._changes.get(table.name, {})
        if key in changed:
            row: R | None = changed[key]
            return row
        return self._view.get(table, key)

    def scan(self, table: TableSpec[R], prefix: RowKey, *, limit: int | None = None) -> Iterator[R]:
        """Rows whose key begins with `prefix`, in key order. Raises `NotLoaded`."""
        self._touch(table.name, prefix, writes=False)
        changed = {key: row for key, row in self._changes.get(table.name, {}).items() if key[: len(prefix)] == prefix}
        if not changed:
            yield from self._view.scan(table, prefix, limit=limit)
            return
        rows = {table.key_of(row): row for row in self._view.scan(table, prefix)} | changed
        found = [rows[key] for key in sorted(rows) if rows[key] is not None]
        yield from found[:limit]

    def put(self, table: TableSpec[R], row: R) -> None:
        """Insert or replace the row with this key, on trial."""
        self._change(table.name, table.key_of(row), row)

    def delete(self, table: TableSpec[R], key: RowKey) -> None:
        """Remove the row if it is there, on trial."""
        self._change(table.name, key, None)

    def _change(self, table: str, key: RowKey, row: Any) -> None:
        self._touch(table, key, writes=True)
        self._changes.setdefault(table, {})[key] = row

    def _touch(self, table: str, prefix: RowKey, *, writes: bool) -> None:
        self._touched[table, prefix] = writes or self._touched.get((table, prefix), False)


def _overlap(one: RowKey, other: list[Any]) -> bool:
    width = min(len(one), len(other))
    return list(one[:width]) == other[:width]
