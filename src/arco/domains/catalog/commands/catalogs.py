"""Create, change, rename and drop catalogs."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from arco.core.errors import AlreadyExists, unreachable
from arco.domains.catalog import queries, rules
from arco.domains.catalog.commands.clerk import (
    Change,
    Clerk,
    Creation,
    Proposal,
    change,
    claim_of,
    create,
    draft,
    submit,
    unit,
)
from arco.domains.catalog.errors import ReservedName
from arco.domains.catalog.events import (
    CatalogCreated,
    CatalogDeleted,
    CatalogRenamed,
    CatalogUpdated,
    catalog_record,
)
from arco.domains.catalog.fold import verdicts
from arco.domains.catalog.rows import DEFAULT_CATALOG, CatalogRow
from arco.domains.catalog.tables import CATALOGS
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Claim
from arco.kernel.reading import Snapshot


class CreateCatalog(msgspec.Struct, frozen=True, kw_only=True):
    """Create a catalog. `key` is the idempotency key."""

    name: str
    description: str | None = None
    properties: Mapping[str, str] | None = None
    key: str | None = None


class UpdateCatalog(msgspec.Struct, frozen=True, kw_only=True):
    """Change the given fields of a catalog; `properties` is a merge patch; `new_name` renames."""

    name: str
    new_name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    properties: Mapping[str, str | None] | UnsetType | None = UNSET
    if_match: str | None = None


class DropCatalog(msgspec.Struct, frozen=True, kw_only=True):
    """Remove an empty catalog."""

    name: str
    if_match: str | None = None


async def create_catalog(clerk: Clerk, command: CreateCatalog) -> CatalogRow:
    """The new catalog. Raises `InvalidInput`, `AlreadyExists`, `Conflict` and what the desk raises."""
    rules.check_name("name", command.name)
    rules.check_description("description", command.description)
    rules.check_properties("properties", command.properties)
    request_hash = rules.catalog_request_hash(command.name, command.description, command.properties)
    claim = claim_of("create_catalog", command.key, request_hash)

    async def propose(snapshot: Snapshot | None) -> Proposal[CatalogRow]:
        if claim is None and snapshot is not None and await snapshot.get(CATALOGS, (command.name,)) is not None:
            raise AlreadyExists(f"catalog already exists: {command.name}")
        return _creation(clerk, command, claim)

    creation = Creation(entity="catalog", name=command.name, claim=claim, propose=propose, find=queries.catalog_by_id)
    return await create(clerk, creation)


async def update_catalog(clerk: Clerk, command: UpdateCatalog) -> CatalogRow:
    """The changed catalog. Raises `InvalidInput`, `NotFound`, `AlreadyExists`, `StaleBase`, `Conflict`."""
    new_name = command.name if command.new_name is UNSET else command.new_name
    if new_name != command.name:
        rules.check_name("name", new_name)
        if DEFAULT_CATALOG in (command.name, new_name):
            raise ReservedName("name 'default' is reserved: the catalog 'default' cannot be renamed to or from")
    if command.description is not UNSET:
        rules.check_description("description", command.description)
    if command.properties is not UNSET:
        rules.check_properties("properties", command.properties)

    async def find(snapshot: Snapshot | None) -> CatalogRow:
        row = await queries.get_catalog(snapshot, command.name)
        if new_name != row.name and snapshot is not None and await snapshot.get(CATALOGS, (new_name,)) is not None:
            raise AlreadyExists(f"catalog already exists: {new_name}")
        return row

    def propose(row: CatalogRow) -> Proposal[CatalogRow] | None:
        fresh = _changed(row, new_name, command)
        if fresh == row:
            return None
        fresh = msgspec.structs.replace(
            fresh, updated_at=rules.later(clerk.clock.now_ms(), row.updated_at), row_version=row.row_version + 1
        )
        return Proposal(fresh, _update(row, fresh))

    return await change(
        clerk, Change(entity="catalog", new_name=new_name, if_match=command.if_match, find=find, propose=propose)
    )


async def drop_catalog(clerk: Clerk, command: DropCatalog) -> None:
    """Remove the catalog. Raises `NotFound`, `NotEmpty`, `StaleBase`, `Conflict`."""

    async def find(snapshot: Snapshot | None) -> CatalogRow:
        return await queries.get_catalog(snapshot, command.name)

    def propose(row: CatalogRow) -> Proposal[CatalogRow]:
        base = None if command.if_match is None else row.row_version
        event = CatalogDeleted(catalog_id=row.id, catalog_name=row.name)
        return Proposal(row, unit(draft(event, base)))

    await change(clerk, Change(entity="catalog", if_match=command.if_match, find=find, propose=propose))


async def ensure_default(clerk: Clerk, snapshot: Snapshot | None) -> CatalogRow:
    """The catalog `default`, created by a publication of its own when there is none (catalog.md 1.5).

    It is a unit of its own *before* the one that needs it: handed in together, a lost race for `default` would have the
    other unit refused, and that refusal kept with its idempotency key.
    """
    found = None if snapshot is None else await snapshot.get(CATALOGS, (DEFAULT_CATALOG,))
    if found is not None:
        return found
    proposal = _creation(clerk, CreateCatalog(name=DEFAULT_CATALOG), None)
    outcome = await submit(clerk, proposal.unit)
    if outcome.status == "accepted":
        return proposal.row
    if outcome.code != verdicts.ALREADY_EXISTS:
        unreachable(f"creating 'default' was refused: {outcome.message}")
    return await queries.get_catalog(await clerk.reader.head(), DEFAULT_CATALOG)


def _creation(clerk: Clerk, command: CreateCatalog, claim: Claim | None) -> Proposal[CatalogRow]:
    now_ms = clerk.clock.now_ms()
    row = CatalogRow(
        id=clerk.ids.uuid7(),
        name=command.name,
        description=command.description,
        created_at=now_ms,
        updated_at=now_ms,
        properties_json=rules.properties_json(command.properties),
    )
    return Proposal(row, unit(draft(CatalogCreated(catalog=catalog_record(row))), claim=claim))


def _changed(row: CatalogRow, new_name: str, command: UpdateCatalog) -> CatalogRow:
    properties = row.properties_json
    if command.properties is not UNSET:
        properties = rules.merged_properties(properties, command.properties)
    return msgspec.structs.replace(
        row,
        name=new_name,
        description=row.description if command.description is UNSET else command.description,
        properties_json=properties,
    )


def _update(row: CatalogRow, fresh: CatalogRow) -> UnitDraft:
    record = catalog_record(fresh)
    if fresh.name == row.name:
        return unit(draft(CatalogUpdated(catalog=record), row.row_version))
    return unit(draft(CatalogRenamed(catalog=record, old_name=row.name), row.row_version))
