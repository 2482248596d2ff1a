"""How schema events change the state."""

from arco.domains.catalog.events import (
    NamespaceCreated,
    NamespaceDeleted,
    NamespaceRecord,
    NamespaceRenamed,
    NamespaceUpdated,
    namespace_record,
    namespace_row,
)
from arco.domains.catalog.fold import verdicts
from arco.domains.catalog.fold.catalogs import catalog_by_id, key_of
from arco.domains.catalog.rows import DEFAULT_CATALOG, NamespaceById, NamespaceByName, NamespaceRow
from arco.domains.catalog.tables import NAMESPACES, NAMESPACES_BY_ID, NAMESPACES_BY_NAME, TABLES
from arco.kernel.fold import Accepted, Decision, Rejected, View


def created(view: View, event: NamespaceCreated) -> Decision:
    """Add a schema to its catalog."""
    record = event.namespace
    stored = _by_id(view, record.id)
    if stored is not None:
        same = namespace_record(stored) == record
        return verdicts.NOTHING if same else verdicts.id_collision("namespace", record.id)
    catalog_key = _catalog_key(view, record.catalog_id)
    if catalog_key is None:
        return verdicts.parent_not_found("catalog", str(record.catalog_id))
    if view.get(NAMESPACES, (catalog_key, record.name)) is not None:
        return verdicts.already_exists("namespace", record.name)
    _put(view, namespace_row(record, catalog_key, 1))
    return _done("namespace_created", record)


def updated(view: View, event: NamespaceUpdated, base: int | None) -> Decision:
    """Replace a schema's row; name and catalog stay."""
    record = event.namespace
    stored = _current(view, record, record.name, base)
    if isinstance(stored, Rejected):
        return stored
    if namespace_record(stored) == record:
        return verdicts.NOTHING
    view.put(NAMESPACES, namespace_row(record, stored.catalog_key, stored.row_version + 1))
    return _done("namespace_updated", record)


def renamed(view: View, event: NamespaceRenamed, base: int | None) -> Decision:
    """Replace a schema's row by one of another name; its tables are not touched."""
    record = event.namespace
    stored = _current(view, record, event.old_name, base)
    if isinstance(stored, Rejected):
        return stored
    if namespace_record(stored) == record:
        return verdicts.NOTHING
    if record.name == stored.name:
        view.put(NAMESPACES, namespace_row(record, stored.catalog_key, stored.row_version + 1))
        return _done("namespace_renamed", record)
    if view.get(NAMESPACES, (stored.catalog_key, record.name)) is not None:
        return verdicts.already_exists("namespace", record.name)
    view.delete(NAMESPACES, (stored.catalog_key, stored.name))
    view.delete(NAMESPACES_BY_NAME, (stored.name, stored.id))
    _put(view, namespace_row(record, stored.catalog_key, stored.row_version + 1))
    return _done("namespace_renamed", record)


def deleted(view: View, event: NamespaceDeleted, base: int | None) -> Decision:
    """Remove an empty schema."""
    stored = _by_id(view, event.namespace_id)
    if stored is None:
        return verdicts.NOTHING
    stale = verdicts.stale_base("namespace", stored.name, base=base, current=stored.row_version)
    if stale is not None:
        return stale
    if stored.name != event.namespace_name:
        return verdicts.identity_mismatch("namespace", event.namespace_name)
    if next(view.scan(TABLES, (stored.id,), limit=1), None) is not None:
        return verdicts.not_empty("namespace", stored.name, "tables")
    view.delete(NAMESPACES, (stored.catalog_key, stored.name))
    view.delete(NAMESPACES_BY_ID, (stored.id,))
    view.delete(NAMESPACES_BY_NAME, (stored.name, stored.id))
    return verdicts.done("namespace_deleted", "namespace", stored.id, stored.name)


def _by_id(view: View, namespace_id: str) -> NamespaceRow | None:
    found = view.get(NAMESPACES_BY_ID, (namespace_id,))
    return None if found is None else view.get(NAMESPACES, (found.catalog_key, found.name))


def _catalog_key(view: View, catalog_id: str | None) -> str | None:
    if catalog_id is None:
        return DEFAULT_CATALOG
    catalog = catalog_by_id(view, catalog_id)
    return None if catalog is None else key_of(catalog)


def _current(view: View, record: NamespaceRecord, name: str, base: int | None) -> NamespaceRow | Rejected:
    """The stored row the event is about, or why it is not: unknown, changed since, or another than it says."""
    stored = _by_id(view, record.id)
    if stored is None:
        return verdicts.not_found("namespace", name)
    stale = verdicts.stale_base("namespace", stored.name, base=base, current=stored.row_version)
    if stale is not None:
        return stale
    same_parent = record.catalog_id == stored.catalog_id or _catalog_key(view, record.catalog_id) == stored.catalog_key
    if stored.name != name or not same_parent:
        return verdicts.identity_mismatch("namespace", name)
    return stored


def _put(view: View, row: NamespaceRow) -> None:
    view.put(NAMESPACES, row)
    view.put(NAMESPACES_BY_ID, NamespaceById(id=row.id, catalog_key=row.catalog_key, name=row.name))
    view.put(NAMESPACES_BY_NAME, NamespaceByName(name=row.name, id=row.id, catalog_key=row.catalog_key))


def _done(operation: str, record: NamespaceRecord) -> Accepted:
    return verdicts.done(operation, "namespace", record.id, record.name)
