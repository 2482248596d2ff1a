"""From operations to events: names are looked up in a snapshot, as changed by the operations before.

A plan is made from one snapshot and says so in its events: ids of what it found, and the row versions it was made from.
When the fold finds them changed, the plan is made again. Errors name the operation and the field.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import AlreadyExists, ArcoError, InvalidInput, NotFound, unreachable
from arco.core.limits import TRANSACTION_MUTATIONS_MAX, UNIT_EVENTS_MAX
from arco.domains.catalog import queries, rules
from arco.domains.catalog.commands.clerk import draft
from arco.domains.catalog.commands.columns import column_records
from arco.domains.catalog.events import (
    CatalogCreated,
    NamespaceCreated,
    TableDropped,
    TableRegistered,
    TableRenamed,
    TableUpdated,
    catalog_record,
    namespace_record,
    table_record,
)
from arco.domains.catalog.rows import DEFAULT_CATALOG, CatalogRow, ColumnRow, NamespaceRow, TableRow
from arco.domains.catalog.rules import ColumnSpec
from arco.domains.catalog.tables import CATALOGS, NAMESPACES, TABLES
from arco.domains.lineage.events import EDGES_ADDED, EDGES_ADDED_VERSION, LINEAGE_DDL, EdgesAdded
from arco.domains.lineage.rules import checked_edges, minted
from arco.domains.transactions.operations import (
    AddEdges,
    CreateCatalog,
    CreateSchema,
    DropTable,
    Operation,
    RegisterTable,
    RenameTable,
    UpdateTable,
)
from arco.kernel.desk import EventDraft
from arco.kernel.reading import Snapshot

_ORDINAL_MAX: Final = 2**31 - 1


class Plan(msgspec.Struct, frozen=True):
    """Events in order, and for each of them the operation it comes from."""

    events: tuple[EventDraft, ...]
    origins: tuple[int, ...]


async def planned(
    operations: Sequence[Operation], snapshot: Snapshot | None, tools: "Tools", *, place: str = "operations"
) -> Plan:
    """The events that carry out the operations, in order.

    Raises `InvalidInput`, `NotFound`, `AlreadyExists`, with `mutation` in the details; where there are several, the
    message begins with `{place}[{index}]`.
    """
    if not 0 < len(operations) <= TRANSACTION_MUTATIONS_MAX:
        raise InvalidInput(f"{place} must hold 1 to {TRANSACTION_MUTATIONS_MAX} operations")
    planner = _Planner(snapshot, tools)
    events: list[EventDraft] = []
    origins: list[int] = []
    for index, operation in enumerate(operations):
        try:
            made = await planner.events_of(operation)
        except ArcoError as error:
            if len(operations) == 1:
                raise
            raise type(error)(f"{place}[{index}]: {error.message}", **error.details, mutation=index) from error
        events.extend(made)
        origins.extend([index] * len(made))
    if len(events) >= UNIT_EVENTS_MAX:
        raise InvalidInput(f"{place} make more than {UNIT_EVENTS_MAX} events; split the transaction")
    return Plan(tuple(events), tuple(origins))


class Tools(msgspec.Struct, frozen=True):
    """What planning needs besides a snapshot. `prefix` is `tenant={t}/workspace={w}/`."""

    clock: Clock
    ids: Ids
    prefix: str


class _Planner:
    """Names as they are after the operations so far."""

    def __init__(self, snapshot: Snapshot | None, tools: Tools) -> None:
        self._snapshot = snapshot
        self._tools = tools
        self._catalogs: dict[str, CatalogRow] = {}
        self._schemas: dict[tuple[str, str], NamespaceRow] = {}
        self._tables: dict[tuple[str, str], TableRow | None] = {}

    async def events_of(self, operation: Operation) -> list[EventDraft]:
        """The events of one operation, which the next ones see as done."""
        makers: dict[type, Callable[..., Awaitable[list[EventDraft]]]] = {
            CreateCatalog: self._create_catalog,
            CreateSchema: self._create_schema,
            RegisterTable: self._register_table,
            UpdateTable: self._update_table,
            DropTable: self._drop_table,
            RenameTable: self._rename_table,
            AddEdges: self._add_edges,
        }
        make = makers.get(type(operation))
        if make is None:
            unreachable(f"no plan for {type(operation).__name__}")
        return await make(operation)

    async def _create_catalog(self, wanted: CreateCatalog) -> list[EventDraft]:
        _check_name("create_catalog.catalog", wanted.catalog)
        rules.check_description("create_catalog.description", wanted.description)
        if await self._catalog(wanted.catalog) is not None:
            raise AlreadyExists(f"catalog already exists: {wanted.catalog}")
        return [self._new_catalog(wanted.catalog, wanted.description)]

    async def _create_schema(self, wanted: CreateSchema) -> list[EventDraft]:
        _check_name("create_schema.catalog", wanted.catalog)
        _check_name("create_schema.schema", wanted.schema)
        rules.check_description("create_schema.description", wanted.description)
        events: list[EventDraft] = []
        parent = await self._catalog(wanted.catalog)
        if parent is None and wanted.catalog == DEFAULT_CATALOG:
            events.append(self._new_catalog(DEFAULT_CATALOG, None))
            parent = self._catalogs[DEFAULT_CATALOG]
        if parent is None:
            raise NotFound(f"Catalog not found: {wanted.catalog}")
        key = _key_of(parent)
        if await self._schema_in(key, wanted.schema) is not None:
            raise AlreadyExists(f"namespace already exists: {wanted.schema}")
        now_ms = self._tools.clock.now_ms()
        row = NamespaceRow(
            id=self._tools.ids.uuid7(),
            catalog_id=parent.id,
            name=wanted.schema,
            description=wanted.description,
            created_at=now_ms,
            updated_at=now_ms,
            catalog_key=key,
        )
        self._schemas[key, row.name] = row
        return [*events, draft(NamespaceCreated(namespace=namespace_record(row)))]

    async def _register_table(self, wanted: RegisterTable) -> list[EventDraft]:
        parent = await self._parent("register_table", wanted)
        rules.check_description("register_table.description", wanted.description)
        format_ = rules.normal_format(wanted.format)
        location = rules.normal_location(wanted.location, format_, self._tools.prefix)
        columns = self._columns(wanted)
        if await self._table_in(parent, wanted.table) is not None:
            raise AlreadyExists(f"table already exists: {wanted.catalog}.{wanted.schema}.{wanted.table}")
        now_ms = self._tools.clock.now_ms()
        table_id = self._tools.ids.uuid7()
        rows = [msgspec.structs.replace(column, table_id=table_id) for column in columns]
        row = TableRow(
            id=table_id,
            namespace_id=parent.id,
            name=wanted.table,
            description=wanted.description,
            location=location,
            format=format_,
            created_at=now_ms,
            updated_at=now_ms,
            columns_json=rules.columns_json(rows),
        )
        self._tables[parent.id, row.name] = row
        return [draft(TableRegistered(table=table_record(row), columns=column_records(rows)))]

    async def _update_table(self, wanted: UpdateTable) -> list[EventDraft]:
        parent, row = await self._table("update_table", wanted)
        format_ = row.format
        if wanted.format is not UNSET:
            format_ = None if wanted.format is None else rules.normal_format(wanted.format)
        location = row.location if wanted.location is UNSET else wanted.location
        if location != row.location or format_ != row.format:
            location = rules.normal_location(location, format_ or rules.LEGACY_FORMAT, self._tools.prefix)
        description = row.description if wanted.description is UNSET else wanted.description
        rules.check_description("update_table.description", description)
        fresh = msgspec.structs.replace(row, description=description, location=location, format=format_)
        if fresh == row:
            return []
        fresh = self._changed(fresh, row)
        self._tables[parent.id, row.name] = fresh
        return [draft(TableUpdated(table=table_record(fresh)), row.row_version)]

    async def _drop_table(self, wanted: DropTable) -> list[EventDraft]:
        parent, row = await self._table("drop_table", wanted)
        self._tables[parent.id, row.name] = None
        event = TableDropped(table_id=row.id, namespace_id=row.namespace_id, table_name=row.name)
        return [draft(event, row.row_version)]

    async def _rename_table(self, wanted: RenameTable) -> list[EventDraft]:
        _check_name("rename_table.new_table", wanted.new_table)
        parent, row = await self._table("rename_table", wanted)
        if wanted.new_table == row.name:
            return []
        if await self._table_in(parent, wanted.new_table) is not None:
            raise AlreadyExists(f"table already exists: {wanted.catalog}.{wanted.schema}.{wanted.new_table}")
        fresh = self._changed(msgspec.structs.replace(row, name=wanted.new_table), row)
        self._tables[parent.id, row.name] = None
        self._tables[parent.id, fresh.name] = fresh
        event = TableRenamed(
            table_id=row.id,
            namespace_id=row.namespace_id,
            old_name=row.name,
            new_name=fresh.name,
            updated_at=fresh.updated_at,
        )
        return [draft(event, row.row_version)]

    async def _add_edges(self, wanted: AddEdges) -> list[EventDraft]:
        checked_edges(wanted.edges)
        rows = minted(wanted.edges, self._tools.clock.now_ms())
        payload = msgspec.to_builtins(EdgesAdded(kind=EDGES_ADDED, edges=rows))
        return [EventDraft(event_type=LINEAGE_DDL, event_version=EDGES_ADDED_VERSION, payload=payload)]

    # --- what is there now --------------------------------------------------------------------------------------------

    async def _catalog(self, name: str) -> CatalogRow | None:
        if name in self._catalogs or self._snapshot is None:
            return self._catalogs.get(name)
        return await self._snapshot.get(CATALOGS, (name,))

    async def _schema_in(self, key: str, name: str) -> NamespaceRow | None:
        if (key, name) in self._schemas or self._snapshot is None:
            return self._schemas.get((key, name))
        return await self._snapshot.get(NAMESPACES, (key, name))

    async def _table_in(self, parent: NamespaceRow, name: str) -> TableRow | None:
        if (parent.id, name) in self._tables or self._snapshot is None:
            return self._tables.get((parent.id, name))
        return await self._snapshot.get(TABLES, (parent.id, name))

    async def _parent(self, what: str, wanted: RegisterTable | UpdateTable | DropTable | RenameTable) -> NamespaceRow:
        for field in ("catalog", "schema", "table"):
            _check_name(f"{what}.{field}", getattr(wanted, field))
        catalog = await self._catalog(wanted.catalog)
        if catalog is None:
            key = await queries.catalog_key(self._snapshot, wanted.catalog)  # `default` answers before its row exists
        else:
            key = _key_of(catalog)
        found = await self._schema_in(key, wanted.schema)
        if found is None:
            raise NotFound(f"schema not found: {wanted.schema}")
        return found

    async def _table(self, what: str, wanted: UpdateTable | DropTable | RenameTable) -> tuple[NamespaceRow, TableRow]:
        parent = await self._parent(what, wanted)
        row = await self._table_in(parent, wanted.table)
        if row is None:
            raise NotFound(f"Table not found: {wanted.catalog}.{wanted.schema}.{wanted.table}")
        return parent, row

    # --- what becomes of it -------------------------------------------------------------------------------------------

    def _new_catalog(self, name: str, description: str | None) -> EventDraft:
        now_ms = self._tools.clock.now_ms()
        row = CatalogRow(
            id=self._tools.ids.uuid7(), name=name, description=description, created_at=now_ms, updated_at=now_ms
        )
        self._catalogs[name] = row
        return draft(CatalogCreated(catalog=catalog_record(row)))

    def _changed(self, fresh: TableRow, row: TableRow) -> TableRow:
        now_ms = rules.later(self._tools.clock.now_ms(), row.updated_at)
        return msgspec.structs.replace(fresh, updated_at=now_ms, row_version=row.row_version + 1)

    def _columns(self, wanted: RegisterTable) -> list[ColumnRow]:
        ordinals: set[int] = set()
        for index, column in enumerate(wanted.columns):
            field = f"register_table.columns[{index}]"
            _check_name(f"{field}.name", column.name, path=False)
            if not column.data_type:
                raise InvalidInput(f"{field}.data_type is required")
            if not 0 <= column.ordinal <= _ORDINAL_MAX or column.ordinal in ordinals:
                raise InvalidInput(f"{field}.ordinal must be 0 to {_ORDINAL_MAX}, and another one for every column")
            ordinals.add(column.ordinal)
        rules.check_columns(
            [
                ColumnSpec(name=c.name, data_type=c.data_type, nullable=c.is_nullable, description=c.description)
                for c in wanted.columns
            ]
        )
        rows = [
            ColumnRow(
                id=self._tools.ids.uuid7(),
                table_id="",
                name=column.name,
                data_type=column.data_type,
                is_nullable=column.is_nullable,
                ordinal=column.ordinal,
                description=column.description,
            )
            for column in wanted.columns
        ]
        return sorted(rows, key=lambda row: row.ordinal)


def _key_of(catalog: CatalogRow) -> str:
    return DEFAULT_CATALOG if catalog.name == DEFAULT_CATALOG else catalog.id


def _check_name(field: str, text: str, *, path: bool = True) -> None:
    if not text:
        raise InvalidInput(f"{field} is required")
    if path:
        rules.check_name(field, text)
    else:
        rules.check_column_name(field, text)
