"""How table events change the state. A table's columns are rows of their own and, as one text, part of its row."""

from collections.abc import Sequence

import msgspec

from arco.domains.catalog.events import (
    ColumnRecord,
    TableDropped,
    TableRegistered,
    TableRenamed,
    TableUpdated,
    column_row,
    table_record,
    table_row,
)
from arco.domains.catalog.fold import verdicts
from arco.domains.catalog.rows import ColumnRow, NamespaceById, TableById, TableRow
from arco.domains.catalog.rules import columns_json
from arco.domains.catalog.tables import COLUMNS, NAMESPACES_BY_ID, TABLES, TABLES_BY_ID
from arco.kernel.fold import Accepted, Decision, Rejected, View


def registered(view: View, event: TableRegistered) -> Decision:
    """Add a table and its columns to a schema."""
    record = event.table
    stored = _by_id(view, record.id)
    if stored is not None:
        return _again(view, stored, event)
    parent = view.get(NAMESPACES_BY_ID, (record.namespace_id,))
    if parent is None:
        return verdicts.parent_not_found("namespace", record.namespace_id)
    if _foreign(event.columns, record.id):
        return verdicts.identity_mismatch("column of table", record.name)
    if view.get(TABLES, (record.namespace_id, record.name)) is not None:
        return verdicts.already_exists("table", f"{parent.name}.{record.name}")
    columns = _rows(event.columns)
    view.put(TABLES, table_row(record, columns_json(columns), 1))
    view.put(TABLES_BY_ID, TableById(id=record.id, namespace_id=record.namespace_id, name=record.name))
    for column in columns:
        view.put(COLUMNS, column)
    return _done("table_registered", record.id, record.name)


def updated(view: View, event: TableUpdated, base: int | None) -> Decision:
    """Replace a table's row, and its columns if the event has any to say; name and schema stay."""
    record = event.table
    stored = _current(view, record.id, record.name, base)
    if isinstance(stored, Rejected):
        return stored
    if (stored.name, stored.namespace_id) != (record.name, record.namespace_id):
        return verdicts.identity_mismatch("table", record.name)
    text = stored.columns_json
    if event.columns is not None:
        if _foreign(event.columns, record.id):
            return verdicts.identity_mismatch("column of table", record.name)
        columns = _rows(event.columns)
        text = columns_json(columns)
    if table_record(stored) == record and text == stored.columns_json:
        return verdicts.NOTHING
    if text != stored.columns_json:
        _replace_columns(view, stored.id, columns)
    view.put(TABLES, table_row(record, text, stored.row_version + 1))
    return _done("table_updated", record.id, record.name)


def renamed(view: View, event: TableRenamed, base: int | None) -> Decision:
    """Give a table another name in its schema."""
    stored = _current(view, event.table_id, event.old_name, base)
    if isinstance(stored, Rejected):
        return stored
    if (stored.name, stored.namespace_id) != (event.old_name, event.namespace_id):
        return verdicts.identity_mismatch("table", event.old_name)
    if event.new_name == stored.name:
        return verdicts.NOTHING
    if view.get(TABLES, (stored.namespace_id, event.new_name)) is not None:
        return verdicts.already_exists("table", _full_name(view, stored.namespace_id, event.new_name))
    view.delete(TABLES, (stored.namespace_id, stored.name))
    fresh = msgspec.structs.replace(
        stored, name=event.new_name, updated_at=event.updated_at, row_version=stored.row_version + 1
    )
    view.put(TABLES, fresh)
    view.put(TABLES_BY_ID, TableById(id=fresh.id, namespace_id=fresh.namespace_id, name=fresh.name))
    return _done("table_renamed", fresh.id, fresh.name)


def dropped(view: View, event: TableDropped, base: int | None) -> Decision:
    """Remove a table and its columns."""
    stored = _by_id(view, event.table_id)
    if stored is None:
        return verdicts.NOTHING
    stale = verdicts.stale_base("table", stored.name, base=base, current=stored.row_version)
    if stale is not None:
        return stale
    if (stored.name, stored.namespace_id) != (event.table_name, event.namespace_id):
        return verdicts.identity_mismatch("table", event.table_name)
    view.delete(TABLES, (stored.namespace_id, stored.name))
    view.delete(TABLES_BY_ID, (stored.id,))
    _replace_columns(view, stored.id, [])
    return _done("table_dropped", stored.id, stored.name)


def _by_id(view: View, table_id: str) -> TableRow | None:
    found = view.get(TABLES_BY_ID, (table_id,))
    return None if found is None else view.get(TABLES, (found.namespace_id, found.name))


def _again(view: View, stored: TableRow, event: TableRegistered) -> Decision:
    """The same registration a second time changes nothing; another one under the same id is refused."""
    columns = set(view.scan(COLUMNS, (stored.id,)))
    same = table_record(stored) == event.table and columns.issuperset(map(column_row, event.columns))
    return verdicts.NOTHING if same else verdicts.id_collision("table", stored.id)


def _current(view: View, table_id: str, name: str, base: int | None) -> TableRow | Rejected:
    stored = _by_id(view, table_id)
    if stored is None:
        return verdicts.not_found("table", name)
    stale = verdicts.stale_base("table", stored.name, base=base, current=stored.row_version)
    return stored if stale is None else stale


def _foreign(columns: Sequence[ColumnRecord], table_id: str) -> bool:
    return any(column.table_id != table_id for column in columns)


def _rows(columns: Sequence[ColumnRecord]) -> list[ColumnRow]:
    """Rows in key order; of two columns with one id the first counts (catalog.md 2.8)."""
    first: dict[str, ColumnRow] = {}
    for column in columns:
        first.setdefault(column.id, column_row(column))
    return sorted(first.values(), key=COLUMNS.key_of)


def _replace_columns(view: View, table_id: str, columns: Sequence[ColumnRow]) -> None:
    fresh = {COLUMNS.key_of(column): column for column in columns}
    for old in list(view.scan(COLUMNS, (table_id,))):
        key = COLUMNS.key_of(old)
        if fresh.get(key) == old:
            del fresh[key]
        elif key not in fresh:
            view.delete(COLUMNS, key)
    for column in fresh.values():
        view.put(COLUMNS, column)


def _full_name(view: View, namespace_id: str, name: str) -> str:
    parent: NamespaceById | None = view.get(NAMESPACES_BY_ID, (namespace_id,))
    return name if parent is None else f"{parent.name}.{name}"


def _done(operation: str, table_id: str, name: str) -> Accepted:
    return verdicts.done(operation, "table", table_id, name)
