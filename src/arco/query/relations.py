"""The relations of `POST /query`: which table each public name stands for, and its rows at one snapshot.

Rows are kept between queries by the version of their table, so that a query after a commit reloads only the tables that
commit touched. Source: catalog.md 7.1.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from arco.core.errors import InvalidInput, NotFound
from arco.core.offload import Offload
from arco.core.scope import Scope
from arco.kernel.reading import Snapshot
from arco.kernel.spec import TableSpec
from arco.query.guard import RelationName
from arco.query.session import ArrowRelation

SOURCES: Final[Mapping[str, str]] = {
    "catalog.catalogs": "catalogs",
    "catalog.namespaces": "namespaces",
    "catalog.tables": "tables",
    "catalog.columns": "columns",
    "lineage.lineage_edges": "lineage_edges",
    "system.catalog.catalogs": "catalogs",
    "system.catalog.namespaces": "namespaces",
    "system.catalog.tables": "tables",
    "system.catalog.columns": "columns",
    "system.catalog.commits": "commits",
    "system.lineage.edges": "lineage_edges",
    "system.access.audit": "audit",
}
"""Public SQL name -> name of the table in the chain."""

CACHE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Arrow bytes kept between queries: one workspace of a million tables, or many small ones."""


def public_relations(tables: Iterable[TableSpec[Any]]) -> dict[str, TableSpec[Any]]:
    """Public SQL name -> table, for those of `tables` that have one (catalog.md 7.1)."""
    by_name = {table.name: table for table in tables}
    return {public: by_name[name] for public, name in SOURCES.items() if name in by_name}


class RowsCache:
    """Whole tables as Arrow, least recently used first out; `bytes_max` bounds what is kept, not what is read."""

    def __init__(self, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._tables: OrderedDict[tuple[str, str, str], pa.Table] = OrderedDict()
        self.size_bytes = 0

    def get(self, key: tuple[str, str, str]) -> pa.Table | None:
        """The rows under (scope, table, version), or None."""
        table = self._tables.get(key)
        if table is not None:
            self._tables.move_to_end(key)
        return table

    def put(self, key: tuple[str, str, str], table: pa.Table) -> None:
        """Keep `table` unless it alone is more than half of what may be kept."""
        if key in self._tables or table.nbytes > self._bytes_max // 2:
            return
        self._tables[key] = table
        self.size_bytes += table.nbytes
        while self.size_bytes > self._bytes_max:
            _, dropped = self._tables.popitem(last=False)
            self.size_bytes -= dropped.nbytes


class SystemRelations:
    """Finds and loads what a `POST /query` statement names. Public names match whatever their case."""

    def __init__(self, tables: Mapping[str, TableSpec[Any]], offload: Offload, cache: RowsCache) -> None:
        # By parts: a quoted name may itself hold dots.
        self._tables = {tuple(public.lower().split(".")): table for public, table in tables.items()}
        self._known = ", ".join(tables)
        self._offload = offload
        self._cache = cache

    async def load(
        self, scope: Scope, snapshot: Snapshot | None, names: Sequence[RelationName]
    ) -> tuple[ArrowRelation, ...]:
        """The named relations with their rows. Raises `NotFound` without a snapshot, `InvalidInput` for others."""
        found = {name: self._tables.get(tuple(part.lower() for part in name.parts)) for name in names}
        known = {name: table for name, table in found.items() if table is not None}
        if snapshot is None and known:
            raise NotFound("No snapshot tables available for query")
        for name in names:
            if name not in known:
                raise InvalidInput(f"unknown relation: {name.text}; POST /query knows {self._known}")
        if snapshot is None:
            return ()
        return tuple([ArrowRelation(name, await self._rows(scope, snapshot, table)) for name, table in known.items()])

    async def _rows(self, scope: Scope, snapshot: Snapshot, table: TableSpec[Any]) -> pa.Table:
        key = (scope.prefix, table.name, snapshot.table_version(table))
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        loaded = await snapshot.arrow(table)
        # Hundreds of small segments would each be handed to the engine by every query: 1.7 ms against 0.08 ms.
        whole = await self._offload.run(loaded.combine_chunks)
        self._cache.put(key, whole)
        return whole
