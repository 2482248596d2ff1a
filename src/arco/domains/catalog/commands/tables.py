"""Register, change, rename and drop tables, by three-level names and by the two-level ones of the legacy routes.

A `catalog` of None is a two-level name: the schema lies in the catalog `default`.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from arco.core.errors import AlreadyExists, NotFound
from arco.domains.catalog import queries, rules
from arco.domains.catalog.commands.catalogs import ensure_default
from arco.domains.catalog.commands.clerk import Change, Clerk, Creation, Proposal, change, claim_of, create, draft, unit
from arco.domains.catalog.commands.columns import column_records, columns_of, fresh_columns, patched_columns
from arco.domains.catalog.events import TableDropped, TableRegistered, TableRenamed, TableUpdated, table_record
from arco.domains.catalog.rows import DEFAULT_CATALOG, NamespaceRow, TableRow
from arco.domains.catalog.rules import ColumnSpec
from arco.domains.catalog.tables import TABLES
from arco.kernel.desk import EventDraft
from arco.kernel.envelope import Claim
from arco.kernel.reading import Snapshot


class RegisterTable(msgspec.Struct, frozen=True, kw_only=True):
    """Register a table with its columns. `key` is the idempotency key."""

    catalog: str | None
    schema: str
    name: str
    description: str | None = None
    location: str | None = None
    format: str | None = None
    columns: Sequence[ColumnSpec] = ()
    properties: Mapping[str, str] | None = None
    key: str | None = None


class UpdateTable(msgspec.Struct, frozen=True, kw_only=True):
    """Change the given fields of a table.

    `columns` is the whole new list: a column keeps its id when it names it, or keeps its name; the others are new.
    `properties` is a merge patch; `new_name` renames within the schema.
    """

    catalog: str | None
    schema: str
    name: str
    new_name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    location: str | UnsetType | None = UNSET
    format: str | UnsetType = UNSET
    properties: Mapping[str, str | None] | UnsetType | None = UNSET
    columns: Sequence[ColumnSpec] | UnsetType = UNSET
    if_match: str | None = None


class DropTable(msgspec.Struct, frozen=True, kw_only=True):
    """Remove a table and its columns from the catalog; its data files are not touched."""

    catalog: str | None
    schema: str
    name: str
    if_match: str | None = None


async def register_table(clerk: Clerk, command: RegisterTable) -> TableRow:
    """The new table. Raises `InvalidInput`, `NotFound` (catalog, schema), `AlreadyExists`, `Conflict`."""
    rules.check_name("name", command.name)
    rules.check_description("description", command.description)
    rules.check_properties("properties", command.properties)
    rules.check_columns(command.columns)
    format_ = rules.normal_format(command.format)
    location = rules.normal_location(command.location, format_, clerk.scope.prefix)
    command = msgspec.structs.replace(command, format=format_, location=location)
    claim = _claim(command)

    async def propose(snapshot: Snapshot | None) -> Proposal[TableRow]:
        try:
            parent = await _parent(snapshot, command.catalog, command.schema)
        except NotFound as missing:
            if claim is None:
                raise
            return _creation(clerk, command, None, claim, missing=missing.message)
        if claim is None and snapshot is not None and await snapshot.get(TABLES, (parent.id, command.name)):
            raise AlreadyExists(f"table already exists: {_full_name(command, command.name)}")
        if (command.catalog or DEFAULT_CATALOG) == DEFAULT_CATALOG:
            await ensure_default(clerk, snapshot)
        return _creation(clerk, command, parent, claim)

    missing = "Namespace not found" if command.catalog is None else "schema not found"
    creation = Creation(
        entity="table",
        name=_full_name(command, command.name),
        parent=f"{missing}: {command.schema}",
        claim=claim,
        propose=propose,
        find=queries.table_by_id,
    )
    return await create(clerk, creation)


async def update_table(clerk: Clerk, command: UpdateTable) -> TableRow:
    """The changed table. Raises `InvalidInput`, `NotFound`, `AlreadyExists`, `StaleBase`, `Conflict`."""
    new_name = command.name if command.new_name is UNSET else command.new_name
    _check_update(command, new_name)

    async def find(snapshot: Snapshot | None) -> TableRow:
        row = await _table(snapshot, command)
        if new_name == row.name or snapshot is None:
            return row
        if await snapshot.get(TABLES, (row.namespace_id, new_name)) is not None:
            raise AlreadyExists(f"table already exists: {_full_name(command, new_name)}")
        return row

    def propose(row: TableRow) -> Proposal[TableRow] | None:
        return _update(clerk, row, new_name, command)

    wanted = Change(
        entity="table",
        new_name=_full_name(command, new_name),
        if_match=command.if_match,
        find=find,
        propose=propose,
    )
    return await change(clerk, wanted)


async def drop_table(clerk: Clerk, command: DropTable) -> None:
    """Remove the table. Raises `NotFound`, `StaleBase`, `Conflict`."""

    async def find(snapshot: Snapshot | None) -> TableRow:
        return await _table(snapshot, command)

    def propose(row: TableRow) -> Proposal[TableRow]:
        base = None if command.if_match is None else row.row_version
        event = TableDropped(table_id=row.id, namespace_id=row.namespace_id, table_name=row.name)
        return Proposal(row, unit(draft(event, base)))

    await change(clerk, Change(entity="table", if_match=command.if_match, find=find, propose=propose))


async def _parent(snapshot: Snapshot | None, catalog: str | None, schema: str) -> NamespaceRow:
    if catalog is None:
        return await queries.default_namespace(snapshot, schema)
    return await queries.get_schema(snapshot, catalog, schema)


async def _table(snapshot: Snapshot | None, command: UpdateTable | DropTable) -> TableRow:
    if command.catalog is not None:
        return await queries.get_table(snapshot, command.catalog, command.schema, command.name)
    parent = await queries.default_namespace(snapshot, command.schema)
    return await queries.table_in(queries.initialised(snapshot), parent, command.name)


def _full_name(command: RegisterTable | UpdateTable, name: str) -> str:
    prefix = "" if command.catalog is None else f"{command.catalog}."
    return f"{prefix}{command.schema}.{name}"


def _claim(command: RegisterTable) -> Claim | None:
    body = {"name": command.name, "description": command.description, "format": command.format}
    if command.catalog is None:
        parent = {"namespace": command.schema}
    else:
        parent = {"catalog": command.catalog, "schema": command.schema}
        body["location"] = command.location
    request_hash = rules.table_request_hash(
        parent=parent, body=body, columns=command.columns, properties=command.properties
    )
    operation = "register_table" if command.catalog is None else "register_table_in_schema"
    return claim_of(operation, command.key, request_hash)


def _creation(
    clerk: Clerk,
    command: RegisterTable,
    parent: NamespaceRow | None,
    claim: Claim | None,
    *,
    missing: str | None = None,
) -> Proposal[TableRow]:
    now_ms = clerk.clock.now_ms()
    table_id = clerk.ids.uuid7()
    columns = fresh_columns(clerk.ids, table_id, command.columns)
    row = TableRow(
        id=table_id,
        # Without a parent the event names one that nobody has: the fold refuses it, and the key keeps the refusal.
        namespace_id=clerk.ids.uuid7() if parent is None else parent.id,
        name=command.name,
        description=command.description,
        location=command.location,
        format=command.format,
        created_at=now_ms,
        updated_at=now_ms,
        properties_json=rules.properties_json(command.properties),
        columns_json=rules.columns_json(columns),
    )
    event = TableRegistered(table=table_record(row), columns=column_records(columns))
    return Proposal(row, unit(draft(event), claim=claim), missing)


def _check_update(command: UpdateTable, new_name: str) -> None:
    if new_name != command.name:
        rules.check_name("name", new_name)
    if command.description is not UNSET:
        rules.check_description("description", command.description)
    if command.properties is not UNSET:
        rules.check_properties("properties", command.properties)
    if command.columns is not UNSET:
        rules.check_columns(command.columns)


def _update(clerk: Clerk, row: TableRow, new_name: str, command: UpdateTable) -> Proposal[TableRow] | None:
    """What the change makes of the row: a rename, an update, or both in one unit; None when nothing differs."""
    fresh = _changed(clerk, row, command)
    columns = None
    if command.columns is not UNSET:
        stored = columns_of(row)
        columns = patched_columns(clerk.ids, row.id, stored, command.columns)
        columns = None if columns == stored else columns
    events: list[EventDraft] = []
    text = row.columns_json if columns is None else rules.columns_json(columns)
    now_ms = rules.later(clerk.clock.now_ms(), row.updated_at)
    version = row.row_version
    # The rename comes last: history calls a unit by its last event, and the new name is what people look for.
    if fresh != row or columns is not None:
        fresh = msgspec.structs.replace(fresh, updated_at=now_ms, columns_json=text)
        records = None if columns is None else column_records(columns)
        events.append(draft(TableUpdated(table=table_record(fresh), columns=records), version))
        version += 1
    if new_name != row.name:
        renamed = TableRenamed(
            table_id=row.id, namespace_id=row.namespace_id, old_name=row.name, new_name=new_name, updated_at=now_ms
        )
        events.append(draft(renamed, version))
        version += 1
    if not events:
        return None
    result = msgspec.structs.replace(fresh, name=new_name, updated_at=now_ms, row_version=version)
    return Proposal(result, unit(*events))


def _changed(clerk: Clerk, row: TableRow, command: UpdateTable) -> TableRow:
    format_ = row.format if command.format is UNSET else rules.normal_format(command.format)
    location = row.location if command.location is UNSET else command.location
    if location is not None and (location != row.location or format_ != row.format):
        location = rules.normal_location(location, format_ or rules.LEGACY_FORMAT, clerk.scope.prefix)
    properties = row.properties_json
    if command.properties is not UNSET:
        properties = rules.merged_properties(properties, command.properties)
    return msgspec.structs.replace(
        row,
        description=row.description if command.description is UNSET else command.description,
        location=location,
        format=format_,
        properties_json=properties,
    )
