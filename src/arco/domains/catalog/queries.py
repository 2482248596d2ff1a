"""Questions about the catalog, answered from one pinned snapshot. Nothing here writes.

Messages of `NotFound` are the contract's (catalog.md 4.1). A snapshot of None is a workspace without any commit.
"""

import asyncio
from typing import Any, Final, Generic

import msgspec

from arco.core.errors import InvalidInput, NotFound
from arco.core.paths import ROOT_MANIFEST
from arco.domains.catalog.rows import DEFAULT_CATALOG, CatalogRow, NamespaceRow, TableRow
from arco.domains.catalog.tables import (
    CATALOGS,
    CATALOGS_BY_ID,
    COLUMNS,
    NAMESPACES,
    NAMESPACES_BY_ID,
    NAMESPACES_BY_NAME,
    TABLES,
    TABLES_BY_ID,
)
from arco.kernel.reading import Reader, Snapshot
from arco.kernel.records import COMMITS, OBJECT_HISTORY, OUTCOMES, CommitRow, ObjectHistoryRow, OutcomeRow
from arco.kernel.spec import R, RowKey, TableSpec

_LAST: str = "\U0010ffff"
_SEPARATOR: str = "\x00"


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Rows of one page; `after` is where the next one begins (exclusive), None on the last."""

    rows: list[R]
    after: str | None = None


LISTED: Final = (
    *("name", "id", "description", "location", "format", "properties_json", "created_at", "updated_at"),
    "namespace_id",
)
"""What lists of tables show: all but the columns, which are most of a row."""


class Listed(msgspec.Struct, frozen=True):
    """Tables of one page as values of the fields that were asked for; `after` is as in `Page`."""

    rows: list[tuple[Any, ...]]
    after: str | None = None


class Counts(msgspec.Struct, frozen=True):
    """How many objects a snapshot holds."""

    catalogs: int
    schemas: int
    tables: int
    columns: int


async def pinned(reader: Reader, manifest_id: str | None) -> Snapshot | None:
    """The snapshot a list goes on in: the named one, or the newest when none is named or it was collected."""
    if manifest_id is not None:
        snapshot = await reader.at_manifest(manifest_id)
        if snapshot is not None:
            return snapshot
    return await reader.head()


def initialised(snapshot: Snapshot | None) -> Snapshot:
    """The snapshot. Raises `NotFound` when the workspace has none yet."""
    if snapshot is None:
        raise NotFound(f"object not found: {ROOT_MANIFEST}; the workspace is empty until something is created in it")
    return snapshot


# --- one object -------------------------------------------------------------------------------------------------------


async def get_catalog(snapshot: Snapshot | None, name: str) -> CatalogRow:
    """The catalog with this name. Raises `NotFound`."""
    row = None if snapshot is None else await snapshot.get(CATALOGS, (name,))
    if row is None:
        raise NotFound(f"Catalog not found: {name}")
    return row


async def catalog_key(snapshot: Snapshot | None, name: str) -> str:
    """The key the schemas of a catalog are stored under. Raises `NotFound`.

    The catalog `default` answers before its row exists, once the workspace has any commit (catalog.md 4.4).
    """
    if name == DEFAULT_CATALOG and snapshot is not None and snapshot.snapshot_version > 0:
        return DEFAULT_CATALOG
    row = await get_catalog(snapshot, name)
    return DEFAULT_CATALOG if name == DEFAULT_CATALOG else row.id


async def get_schema(snapshot: Snapshot | None, catalog: str, name: str) -> NamespaceRow:
    """The schema `catalog.name`. Raises `NotFound`."""
    key = await catalog_key(snapshot, catalog)
    row = None if snapshot is None else await snapshot.get(NAMESPACES, (key, name))
    if row is None:
        raise NotFound(f"schema not found: {name}")
    return row


async def get_table(snapshot: Snapshot | None, catalog: str, schema: str, name: str) -> TableRow:
    """The table `catalog.schema.name`. Raises `NotFound`."""
    parent = await get_schema(snapshot, catalog, schema)
    row = None if snapshot is None else await snapshot.get(TABLES, (parent.id, name))
    if row is None:
        raise NotFound(f"Table not found: {catalog}.{schema}.{name}")
    return row


async def default_namespace(snapshot: Snapshot | None, name: str) -> NamespaceRow:
    """The namespace two-level writes mean: the one in the catalog `default`. Raises `NotFound`."""
    row = None if snapshot is None else await snapshot.get(NAMESPACES, (DEFAULT_CATALOG, name))
    if row is None:
        raise NotFound(f"Namespace not found: {name}")
    return row


async def any_namespace(snapshot: Snapshot | None, name: str) -> NamespaceRow:
    """The namespace two-level reads mean: the one in `default`, else the oldest of that name. Raises `NotFound`."""
    if snapshot is None:
        raise NotFound(f"Namespace not found: {name}")
    row = await snapshot.get(NAMESPACES, (DEFAULT_CATALOG, name))
    if row is not None:
        return row
    for found in await snapshot.scan(NAMESPACES_BY_NAME, prefix=(name,), limit=1):
        row = await snapshot.get(NAMESPACES, (found.catalog_key, found.name))
    if row is None:
        raise NotFound(f"Namespace not found: {name}")
    return row


async def table_in(snapshot: Snapshot, namespace: NamespaceRow, name: str) -> TableRow:
    """The table with this name in a namespace. Raises `NotFound` with the two-level name."""
    row = await snapshot.get(TABLES, (namespace.id, name))
    if row is None:
        raise NotFound(f"Table not found: {namespace.name}.{name}")
    return row


async def catalog_by_id(snapshot: Snapshot, catalog_id: str) -> CatalogRow | None:
    """The catalog with this id, or None."""
    found = await snapshot.get(CATALOGS_BY_ID, (catalog_id,))
    return None if found is None else await snapshot.get(CATALOGS, (found.name,))


async def namespace_by_id(snapshot: Snapshot, namespace_id: str) -> NamespaceRow | None:
    """The schema with this id, or None."""
    found = await snapshot.get(NAMESPACES_BY_ID, (namespace_id,))
    return None if found is None else await snapshot.get(NAMESPACES, (found.catalog_key, found.name))


async def table_by_id(snapshot: Snapshot, table_id: str) -> TableRow | None:
    """The table with this id, or None."""
    found = await snapshot.get(TABLES_BY_ID, (table_id,))
    return None if found is None else await snapshot.get(TABLES, (found.namespace_id, found.name))


# --- lists ------------------------------------------------------------------------------------------------------------


async def list_catalogs(snapshot: Snapshot, *, limit: int, after: str | None) -> Page[CatalogRow]:
    """Catalogs by name, those beyond the name `after`."""
    return await _page(snapshot, CATALOGS, (), (limit, after))


async def list_schemas(snapshot: Snapshot, key: str, *, limit: int, after: str | None) -> Page[NamespaceRow]:
    """Schemas of the catalog with this key by name, those beyond the name `after`."""
    return await _page(snapshot, NAMESPACES, (key,), (limit, after))


async def list_tables(snapshot: Snapshot, namespace_id: str, *, limit: int, after: str | None) -> Page[TableRow]:
    """Tables of a schema by name, those beyond the name `after`."""
    return await _page(snapshot, TABLES, (namespace_id,), (limit, after))


async def listed_tables(
    snapshot: Snapshot, namespace_id: str, *, limit: int, after: str | None, columns: bool = False
) -> Listed:
    """Tables of a schema by name, those beyond the name `after`: their `LISTED` fields, and `columns_json` if asked."""
    fields = (*LISTED, "columns_json") if columns else LISTED
    start = None if after is None else (namespace_id, after)
    rows = await snapshot.pick(TABLES, fields, prefix=(namespace_id,), after=start, limit=limit + 1)
    if len(rows) <= limit:
        return Listed(rows)
    del rows[limit:]
    return Listed(rows, str(rows[-1][0]))


async def list_namespaces(snapshot: Snapshot, *, limit: int, after: str | None) -> Page[NamespaceRow]:
    """Schemas of all catalogs by name; `after` is a name, or a name and an id where several share it."""
    start: RowKey | None = None
    if after is not None:
        name, _, namespace_id = after.partition(_SEPARATOR)
        start = (name, namespace_id or _LAST)
    found = await snapshot.scan(NAMESPACES_BY_NAME, after=start, limit=limit + 1)
    more = None
    if len(found) > limit:
        last, following = found[limit - 1], found[limit]
        more = last.name if following.name != last.name else f"{last.name}{_SEPARATOR}{last.id}"
        del found[limit:]
    rows = await asyncio.gather(*(snapshot.get(NAMESPACES, (row.catalog_key, row.name)) for row in found))
    return Page([row for row in rows if row is not None], more)


async def object_history(
    snapshot: Snapshot, object_id: str, *, limit: int, after: str | None
) -> Page[ObjectHistoryRow]:
    """What happened to one object, newest first; it may be gone. `after` is a snapshot version."""
    return await _history(snapshot, OBJECT_HISTORY, (object_id,), (limit, after))


async def workspace_history(snapshot: Snapshot, *, limit: int, after: str | None) -> Page[CommitRow]:
    """What happened in the workspace, newest first. `after` is a snapshot version."""
    return await _history(snapshot, COMMITS, (), (limit, after))


# --- the snapshot itself ----------------------------------------------------------------------------------------------


def inventory(snapshot: Snapshot) -> Counts:
    """How many objects there are, from the manifest alone."""
    return Counts(
        catalogs=snapshot.count(CATALOGS),
        schemas=snapshot.count(NAMESPACES),
        tables=snapshot.count(TABLES),
        columns=snapshot.count(COLUMNS),
    )


async def get_outcome(snapshot: Snapshot | None, event_id: str) -> OutcomeRow:
    """What became of the unit whose first event has this id. Raises `NotFound`: undecided, expired or never seen."""
    row = None if snapshot is None else await snapshot.get(OUTCOMES, (event_id,))
    if row is None:
        raise NotFound(f"outcome not found: {event_id}")
    return row


async def _page(snapshot: Snapshot, table: TableSpec[R], prefix: RowKey, window: tuple[int, str | None]) -> Page[R]:
    limit, after = window
    start = None if after is None else (*prefix, after)
    rows = await snapshot.scan(table, prefix=prefix, after=start, limit=limit + 1)
    if len(rows) <= limit:
        return Page(rows)
    del rows[limit:]
    return Page(rows, str(table.key_of(rows[-1])[-1]))


async def _history(snapshot: Snapshot, table: TableSpec[R], prefix: RowKey, window: tuple[int, str | None]) -> Page[R]:
    limit, after = window
    start = None if after is None else (*prefix, _version(after))
    rows = await snapshot.scan(table, prefix=prefix, after=start, limit=limit + 1, descending=True)
    if len(rows) <= limit:
        return Page(rows)
    del rows[limit:]
    return Page(rows, str(table.key_of(rows[-1])[-1]))


def _version(after: str) -> int:
    if not (after.isascii() and after.isdigit()) or len(after) > len(str(2**62)):
        raise InvalidInput("invalid cursor")
    return int(after)
