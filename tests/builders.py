"""Builders of catalog things: say what matters, the rest is filled in."""

from typing import Any

import msgspec
from tests.fakes import MemoryWorkspace, seeded_ids

from arco.core.scope import Scope
from arco.domains.catalog import commands
from arco.domains.catalog.commands import Clerk
from arco.domains.catalog.events import (
    EVENT_TYPE,
    CatalogEvent,
    CatalogRecord,
    ColumnRecord,
    NamespaceRecord,
    TableRecord,
)
from arco.domains.catalog.fold import CATALOG
from arco.domains.catalog.rows import CatalogRow, NamespaceRow, TableRow
from arco.domains.catalog.rules import ColumnSpec
from arco.kernel.envelope import Envelope

KEY = "01930a0b-1234-7abc-9def-0123456789ab"
OTHER_KEY = "01930a0b-1234-7abc-9def-0123456789ac"


def an_id(number: int) -> str:
    """A UUIDv7 that is the same in every run."""
    return f"019b7700-{number:04x}-7abc-9def-0123456789ab"


def a_catalog(name: str = "analytics", *, number: int = 1, **fields: Any) -> CatalogRecord:
    """A catalog as events carry it."""
    return CatalogRecord(**{"id": an_id(number), "name": name, "created_at": 1, "updated_at": 1, **fields})


def a_namespace(name: str = "sales", *, number: int = 2, **fields: Any) -> NamespaceRecord:
    """A schema as events carry it, in the catalog `a_catalog()`."""
    given = {"id": an_id(number), "catalog_id": an_id(1), "name": name, "created_at": 1, "updated_at": 1, **fields}
    return NamespaceRecord(**given)


def a_table(name: str = "orders", *, number: int = 3, **fields: Any) -> TableRecord:
    """A table as events carry it, in the schema `a_namespace()`."""
    given = {"id": an_id(number), "namespace_id": an_id(2), "name": name, "created_at": 1, "updated_at": 1, **fields}
    return TableRecord(**given)


def a_column(name: str = "id", *, number: int = 100, **fields: Any) -> ColumnRecord:
    """A column as events carry it, of the table `a_table()`."""
    given = {
        "id": an_id(number),
        "table_id": an_id(3),
        "name": name,
        "data_type": "BIGINT",
        "is_nullable": False,
        "ordinal": 0,
        **fields,
    }
    return ColumnRecord(**given)


def an_envelope(event: CatalogEvent, *, base: int | None = None, version: int | None = None) -> Envelope:
    """The event as the ledger holds it."""
    return Envelope(
        event_type=EVENT_TYPE,
        event_version=event.version if version is None else version,
        idempotency_key="auto:0",
        occurred_at="2026-01-01T00:00:00Z",
        source="api:acme",
        payload=msgspec.Raw(msgspec.json.encode(event)),
        event_id="01KDVH8Q3N5P7R9S1T3V5W7X9Y",
        base_row_version=base,
    )


def a_workspace() -> MemoryWorkspace:
    """An empty workspace with the catalog in it."""
    return MemoryWorkspace(CATALOG)


def a_clerk(workspace: MemoryWorkspace, *, seed: int = 7) -> Clerk:
    """Somebody who carries out commands in this workspace."""
    return Clerk(
        desk=workspace,
        reader=workspace,
        clock=workspace.clock,
        ids=seeded_ids(workspace.clock, seed),
        scope=Scope("acme", "prod"),
        source="api:acme",
    )


class Desk:
    """The commands of one clerk in few words, for tests that are about something else."""

    def __init__(self, workspace: MemoryWorkspace | None = None, *, seed: int = 7) -> None:
        self.workspace = workspace or a_workspace()
        self.clerk = a_clerk(self.workspace, seed=seed)

    async def catalog(self, name: str = "analytics", **fields: Any) -> CatalogRow:
        """Create a catalog."""
        return await commands.create_catalog(self.clerk, commands.CreateCatalog(name=name, **fields))

    async def schema(self, name: str = "sales", catalog: str | None = "analytics", **fields: Any) -> NamespaceRow:
        """Create a schema; a catalog of None is the two-level route."""
        command = commands.CreateSchema(catalog=catalog, name=name, **fields)
        return await commands.create_schema(self.clerk, command)

    async def table(self, name: str = "orders", *columns: str, **fields: Any) -> TableRow:
        """Register a table, by default in `analytics.sales`."""
        specs = [ColumnSpec(name=column, data_type="BIGINT") for column in columns]
        given = {"catalog": "analytics", "schema": "sales", **fields}
        return await commands.register_table(self.clerk, commands.RegisterTable(name=name, columns=specs, **given))

    async def stand(self) -> TableRow:
        """`analytics.sales.orders` with the columns `id` and `note`."""
        await self.catalog()
        await self.schema()
        return await self.table("orders", "id", "note")

    @property
    def versions(self) -> int:
        """The snapshot version of the head."""
        return self.workspace.snapshots[-1].snapshot_version if self.workspace.snapshots else 0
