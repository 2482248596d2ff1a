"""From ids to the names people know: where a schema, a table or a column lies, read from one snapshot."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import msgspec

from arco.domains.catalog.rows import DEFAULT_CATALOG, NamespaceById, TableById
from arco.domains.catalog.tables import CATALOGS_BY_ID, NAMESPACES_BY_ID, TABLES_BY_ID
from arco.kernel.reading import Snapshot

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True):
    """Where a schema lies: the catalog's key and name, and its own name."""

    catalog_key: str
    catalog: str
    schema: str


class Names:
    """Names of one snapshot; each id is looked up once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._catalogs: dict[str, str | None] = {DEFAULT_CATALOG: DEFAULT_CATALOG}
        self._schemas: dict[str, NamespaceById | None] = {}
        self._tables: dict[str, TableById | None] = {}

    async def table(self, table_id: str) -> TableById | None:
        """Where the table with this id is found; None when it is gone."""
        await self.learn_tables([table_id])
        return self._tables[table_id]

    async def learn_tables(self, ids: Iterable[str]) -> None:
        """Look up many tables at once."""
        await _learn(self._tables, ids, lambda one: self._snapshot.get(TABLES_BY_ID, (one,)))

    async def learn_schemas(self, ids: Iterable[str]) -> None:
        """Look up many schemas, and their catalogs, at once."""
        wanted = list(ids)
        await _learn(self._schemas, wanted, lambda one: self._snapshot.get(NAMESPACES_BY_ID, (one,)))
        await self.learn_catalogs(row.catalog_key for one in wanted if (row := self._schemas[one]) is not None)

    async def learn_catalogs(self, keys: Iterable[str]) -> None:
        """Look up many catalogs at once."""
        await _learn(self._catalogs, keys, self._catalog)

    async def place(self, namespace_id: str) -> Place | None:
        """Where the schema with this id lies; None when it is gone."""
        await self.learn_schemas([namespace_id])
        row = self._schemas[namespace_id]
        if row is None:
            return None
        return Place(row.catalog_key, self._catalogs.get(row.catalog_key) or row.catalog_key, row.name)

    async def catalog(self, key: str) -> str:
        """The name of the catalog with this key."""
        await self.learn_catalogs([key])
        return self._catalogs[key] or key

    async def _catalog(self, key: str) -> str | None:
        row = await self._snapshot.get(CATALOGS_BY_ID, (key,))
        return None if row is None else row.name


async def _learn(known: dict[str, T], ids: Iterable[str], ask: Callable[[str], Awaitable[T]]) -> None:
    wanted = [one for one in dict.fromkeys(ids) if one not in known]
    if not wanted:
        return
    known.update(zip(wanted, await asyncio.gather(*(ask(one) for one in wanted)), strict=True))
