"""Create, change, rename and drop schemas, by three-level names and by the two-level ones of the legacy routes.

A `catalog` of None is a two-level name: the schema lies in the catalog `default`, which is created when it is missing,
and messages call it a namespace.
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from arco.core.errors import AlreadyExists, NotFound
from arco.domains.catalog import queries, rules
from arco.domains.catalog.commands.catalogs import ensure_default
from arco.domains.catalog.commands.clerk import (
    Change,
    Clerk,
    Creation,
    Proposal,
    change,
    claim_of,
    create,
    draft,
    unit,
)
from arco.domains.catalog.events import (
    NamespaceCreated,
    NamespaceDeleted,
    NamespaceRenamed,
    NamespaceUpdated,
    namespace_record,
)
from arco.domains.catalog.rows import DEFAULT_CATALOG, CatalogRow, NamespaceRow
from arco.domains.catalog.tables import CATALOGS, NAMESPACES
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Claim
from arco.kernel.reading import Snapshot


class CreateSchema(msgspec.Struct, frozen=True, kw_only=True):
    """Create a schema in a catalog, or a namespace in `default`. `key` is the idempotency key."""

    catalog: str | None
    name: str
    description: str | None = None
    properties: Mapping[str, str] | None = None
    key: str | None = None


class UpdateSchema(msgspec.Struct, frozen=True, kw_only=True):
    """Change the given fields of a schema; `properties` is a merge patch; `new_name` renames."""

    catalog: str
    name: str
    new_name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    properties: Mapping[str, str | None] | UnsetType | None = UNSET
    if_match: str | None = None


class DropSchema(msgspec.Struct, frozen=True, kw_only=True):
    """Remove an empty schema."""

    catalog: str | None
    name: str
    if_match: str | None = None


async def create_schema(clerk: Clerk, command: CreateSchema) -> NamespaceRow:
    """The new schema. Raises `InvalidInput`, `NotFound` (catalog), `AlreadyExists`, `Conflict`."""
    rules.check_name("name", command.name)
    rules.check_description("description", command.description)
    rules.check_properties("properties", command.properties)
    claim = _claim(command)

    async def propose(snapshot: Snapshot | None) -> Proposal[NamespaceRow]:
        parent = await _parent(snapshot, command)
        if claim is None and parent is None and command.catalog is not None:
            raise NotFound(f"Catalog not found: {command.catalog}")
        if claim is None and await _taken(snapshot, command, parent):
            raise AlreadyExists(f"namespace already exists: {command.name}")
        if command.catalog is None:
            parent = await ensure_default(clerk, snapshot)
        return _creation(clerk, command, parent, claim)

    creation = Creation(
        entity="namespace",
        name=command.name,
        parent=f"Catalog not found: {command.catalog or DEFAULT_CATALOG}",
        claim=claim,
        propose=propose,
        find=queries.namespace_by_id,
    )
    return await create(clerk, creation)


async def update_schema(clerk: Clerk, command: UpdateSchema) -> NamespaceRow:
    """The changed schema. Raises `InvalidInput`, `NotFound`, `AlreadyExists`, `StaleBase`, `Conflict`."""
    new_name = command.name if command.new_name is UNSET else command.new_name
    if new_name != command.name:
        rules.check_name("name", new_name)
    if command.description is not UNSET:
        rules.check_description("description", command.description)
    if command.properties is not UNSET:
        rules.check_properties("properties", command.properties)

    async def find(snapshot: Snapshot | None) -> NamespaceRow:
        row = await queries.get_schema(snapshot, command.catalog, command.name)
        if new_name == row.name or snapshot is None:
            return row
        if await snapshot.get(NAMESPACES, (row.catalog_key, new_name)) is not None:
            raise AlreadyExists(f"namespace already exists: {new_name}")
        return row

    def propose(row: NamespaceRow) -> Proposal[NamespaceRow] | None:
        fresh = _changed(row, new_name, command)
        if fresh == row:
            return None
        fresh = msgspec.structs.replace(
            fresh, updated_at=rules.later(clerk.clock.now_ms(), row.updated_at), row_version=row.row_version + 1
        )
        return Proposal(fresh, _update(row, fresh))

    return await change(
        clerk, Change(entity="namespace", new_name=new_name, if_match=command.if_match, find=find, propose=propose)
    )


async def drop_schema(clerk: Clerk, command: DropSchema) -> None:
    """Remove the schema. Raises `NotFound`, `NotEmpty`, `StaleBase`, `Conflict`."""

    async def find(snapshot: Snapshot | None) -> NamespaceRow:
        if command.catalog is None:
            return await queries.default_namespace(snapshot, command.name)
        return await queries.get_schema(snapshot, command.catalog, command.name)

    def propose(row: NamespaceRow) -> Proposal[NamespaceRow]:
        base = None if command.if_match is None else row.row_version
        event = NamespaceDeleted(namespace_id=row.id, namespace_name=row.name)
        return Proposal(row, unit(draft(event, base)))

    await change(clerk, Change(entity="namespace", if_match=command.if_match, find=find, propose=propose))


async def _parent(snapshot: Snapshot | None, command: CreateSchema) -> CatalogRow | None:
    if snapshot is None:
        return None
    return await snapshot.get(CATALOGS, (command.catalog or DEFAULT_CATALOG,))


async def _taken(snapshot: Snapshot | None, command: CreateSchema, parent: CatalogRow | None) -> bool:
    if snapshot is None:
        return False
    # Schemas of `default` may be older than its row.
    key = DEFAULT_CATALOG if parent is None or parent.name == DEFAULT_CATALOG else parent.id
    return await snapshot.get(NAMESPACES, (key, command.name)) is not None


def _claim(command: CreateSchema) -> Claim | None:
    if command.catalog is None:
        request_hash = rules.catalog_request_hash(command.name, command.description, command.properties)
        return claim_of("create_namespace", command.key, request_hash)
    request_hash = rules.schema_request_hash(command.catalog, command.name, command.description, command.properties)
    return claim_of("create_schema", command.key, request_hash)


def _creation(
    clerk: Clerk, command: CreateSchema, parent: CatalogRow | None, claim: Claim | None
) -> Proposal[NamespaceRow]:
    now_ms = clerk.clock.now_ms()
    # Without a parent the event names one that nobody has: the fold refuses it, and the key keeps the refusal.
    catalog_id = clerk.ids.uuid7() if parent is None else parent.id
    row = NamespaceRow(
        id=clerk.ids.uuid7(),
        catalog_id=catalog_id,
        name=command.name,
        description=command.description,
        created_at=now_ms,
        updated_at=now_ms,
        properties_json=rules.properties_json(command.properties),
        catalog_key=DEFAULT_CATALOG if parent is not None and parent.name == DEFAULT_CATALOG else catalog_id,
    )
    return Proposal(row, unit(draft(NamespaceCreated(namespace=namespace_record(row))), claim=claim))


def _changed(row: NamespaceRow, new_name: str, command: UpdateSchema) -> NamespaceRow:
    properties = row.properties_json
    if command.properties is not UNSET:
        properties = rules.merged_properties(properties, command.properties)
    return msgspec.structs.replace(
        row,
        name=new_name,
        description=row.description if command.description is UNSET else command.description,
        properties_json=properties,
    )


def _update(row: NamespaceRow, fresh: NamespaceRow) -> UnitDraft:
    record = namespace_record(fresh)
    if fresh.name == row.name:
        return unit(draft(NamespaceUpdated(namespace=record), row.row_version))
    return unit(draft(NamespaceRenamed(namespace=record, old_name=row.name), row.row_version))
