"""How catalog events change the state."""

from arco.domains.catalog.events import (
    CatalogCreated,
    CatalogDeleted,
    CatalogRecord,
    CatalogRenamed,
    CatalogUpdated,
    catalog_record,
    catalog_row,
)
from arco.domains.catalog.fold import verdicts
from arco.domains.catalog.rows import DEFAULT_CATALOG, CatalogById, CatalogRow
from arco.domains.catalog.tables import CATALOGS, CATALOGS_BY_ID, NAMESPACES
from arco.kernel.fold import Accepted, Decision, InvalidEvent, Rejected, View


def catalog_by_id(view: View, catalog_id: str) -> CatalogRow | None:
    """The catalog with this id."""
    found = view.get(CATALOGS_BY_ID, (catalog_id,))
    return None if found is None else view.get(CATALOGS, (found.name,))


def key_of(row: CatalogRow) -> str:
    """What the schemas of this catalog are stored under."""
    return DEFAULT_CATALOG if row.name == DEFAULT_CATALOG else row.id


def created(view: View, event: CatalogCreated) -> Decision:
    """Add a catalog."""
    record = event.catalog
    if record.id == DEFAULT_CATALOG:
        raise InvalidEvent("a catalog's id cannot be the key of the catalog 'default'")
    stored = catalog_by_id(view, record.id)
    if stored is not None:
        same = catalog_record(stored) == record
        return verdicts.NOTHING if same else verdicts.id_collision("catalog", record.id)
    if view.get(CATALOGS, (record.name,)) is not None:
        return verdicts.already_exists("catalog", record.name)
    view.put(CATALOGS, catalog_row(record, 1))
    view.put(CATALOGS_BY_ID, CatalogById(id=record.id, name=record.name))
    return _done("catalog_created", record)


def updated(view: View, event: CatalogUpdated, base: int | None) -> Decision:
    """Replace a catalog's row; the name stays."""
    record = event.catalog
    stored = _current(view, record.id, record.name, base)
    if isinstance(stored, Rejected):
        return stored
    if stored.name != record.name:
        return verdicts.identity_mismatch("catalog", record.name)
    if catalog_record(stored) == record:
        return verdicts.NOTHING
    view.put(CATALOGS, catalog_row(record, stored.row_version + 1))
    return _done("catalog_updated", record)


def renamed(view: View, event: CatalogRenamed, base: int | None) -> Decision:
    """Replace a catalog's row by one of another name; its schemas are not touched."""
    record = event.catalog
    stored = _current(view, record.id, event.old_name, base)
    if isinstance(stored, Rejected):
        return stored
    if stored.name != event.old_name:
        return verdicts.identity_mismatch("catalog", event.old_name)
    if catalog_record(stored) == record:
        return verdicts.NOTHING
    if record.name != stored.name:
        refusal = _refused_rename(view, stored.name, record.name)
        if refusal is not None:
            return refusal
        view.delete(CATALOGS, (stored.name,))
        view.put(CATALOGS_BY_ID, CatalogById(id=record.id, name=record.name))
    view.put(CATALOGS, catalog_row(record, stored.row_version + 1))
    return _done("catalog_renamed", record)


def deleted(view: View, event: CatalogDeleted, base: int | None) -> Decision:
    """Remove an empty catalog."""
    stored = catalog_by_id(view, event.catalog_id)
    if stored is None:
        return verdicts.NOTHING
    stale = verdicts.stale_base("catalog", stored.name, base=base, current=stored.row_version)
    if stale is not None:
        return stale
    if stored.name != event.catalog_name:
        return verdicts.identity_mismatch("catalog", event.catalog_name)
    if next(view.scan(NAMESPACES, (key_of(stored),), limit=1), None) is not None:
        return verdicts.not_empty("catalog", stored.name, "schemas")
    view.delete(CATALOGS, (stored.name,))
    view.delete(CATALOGS_BY_ID, (stored.id,))
    return verdicts.done("catalog_deleted", "catalog", stored.id, stored.name)


def _current(view: View, catalog_id: str, name: str, base: int | None) -> CatalogRow | Rejected:
    stored = catalog_by_id(view, catalog_id)
    if stored is None:
        return verdicts.not_found("catalog", name)
    stale = verdicts.stale_base("catalog", stored.name, base=base, current=stored.row_version)
    return stored if stale is None else stale


def _refused_rename(view: View, old_name: str, new_name: str) -> Rejected | None:
    if DEFAULT_CATALOG in (old_name, new_name):
        return verdicts.reserved_name("catalog", DEFAULT_CATALOG)
    if view.get(CATALOGS, (new_name,)) is not None:
        return verdicts.already_exists("catalog", new_name)
    return None


def _done(operation: str, record: CatalogRecord) -> Accepted:
    return verdicts.done(operation, "catalog", record.id, record.name)
