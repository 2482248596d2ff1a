"""What the catalog's routes read and write: the wire structs, and how rows become them.

Optional fields are left out when null; times are RFC 3339 with `+00:00` (catalog.md 4.1). Columns and properties are
stored as the JSON they are shown as, and go out without being parsed.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from arco.core.instant import http_text
from arco.domains.catalog.rows import CatalogRow, NamespaceRow, TableRow
from arco.domains.catalog.rules import LEGACY_FORMAT
from arco.kernel.records import CommitRow, ObjectHistoryRow

_PROPERTIES_SCHEMA: Final[dict[str, Any]] = {"type": "object", "additionalProperties": {"type": "string"}}
_COLUMNS_SCHEMA: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "name": {"type": "string"},
            "data_type": {"type": "string"},
            "nullable": {"type": "boolean"},
            "position": {"type": "integer"},
            "description": {"type": "string"},
        },
        "required": ["id", "name", "data_type", "nullable", "position"],
    },
}

PropertiesJson = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema=_PROPERTIES_SCHEMA)]
ColumnsJson = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema=_COLUMNS_SCHEMA)]


class CreateCatalogRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A catalog, or a two-level namespace, to create."""

    name: str
    description: str | None = None
    properties: dict[str, str] | None = None


class CreateSchemaRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A schema to create."""

    name: str
    description: str | None = None
    properties: dict[str, str] | None = None


class CreateNamespaceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace to create: a schema of the catalog `default`."""

    name: str
    description: str | None = None
    properties: dict[str, str] | None = None


class UpdateCatalogRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a catalog: fields left out stay. `name` renames; in `properties`, null removes a key."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    properties: dict[str, str | None] | UnsetType | None = UNSET


class UpdateSchemaRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a schema: fields left out stay. `name` renames; in `properties`, null removes a key."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    properties: dict[str, str | None] | UnsetType | None = UNSET


class ColumnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a new table. `data_type` is free text, kept as it is."""

    name: str
    data_type: str
    nullable: bool = True
    description: str | None = None


class ColumnChangeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a changed table. `id` keeps an existing column under a new name; without it the name decides."""

    name: str
    data_type: str
    nullable: bool = True
    description: str | None = None
    id: str | None = None


class RegisterTableInSchemaRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A table to register. `format` is `delta` (when left out), `iceberg` or `parquet`."""

    name: str
    description: str | None = None
    location: str | None = None
    format: str | None = None
    columns: list[ColumnRequest]
    properties: dict[str, str] | None = None


class RegisterTableRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A table to register in a two-level namespace, which gives it no location."""

    name: str
    description: str | None = None
    format: str | None = None
    columns: list[ColumnRequest]
    properties: dict[str, str] | None = None


class UpdateTableInSchemaRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a table: fields left out stay, null clears.

    `name` renames within the schema; `columns` is the whole new list; in `properties`, null removes a key.
    """

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    location: str | UnsetType | None = UNSET
    format: str | UnsetType = UNSET
    columns: list[ColumnChangeRequest] | UnsetType = UNSET
    properties: dict[str, str | None] | UnsetType | None = UNSET


class UpdateTableRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a table by its two-level name: a description that is null or left out stays."""

    description: str | None = None


class CatalogView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A catalog."""

    id: str
    name: str
    description: str | None = None
    properties: PropertiesJson | UnsetType = UNSET
    created_at: str
    updated_at: str


class SchemaView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schema of a catalog."""

    id: str
    catalog: str
    name: str
    description: str | None = None
    properties: PropertiesJson | UnsetType = UNSET
    created_at: str
    updated_at: str


class NamespaceView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schema under its two-level name."""

    id: str
    name: str
    description: str | None = None
    properties: PropertiesJson | UnsetType = UNSET
    created_at: str
    updated_at: str


class SchemaTableView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A table of a schema. `columns` is there when `include=columns` asked for it."""

    id: str
    catalog: str
    schema: str
    name: str
    description: str | None = None
    location: str | None = None
    format: str
    columns: ColumnsJson | UnsetType = UNSET
    properties: PropertiesJson | UnsetType = UNSET
    created_at: str
    updated_at: str


class TableView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A table under its two-level name, with its columns."""

    id: str
    namespace: str
    name: str
    description: str | None = None
    format: str
    columns: ColumnsJson
    properties: PropertiesJson | UnsetType = UNSET
    created_at: str
    updated_at: str


class CatalogListView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of catalogs, by name."""

    catalogs: list[CatalogView]
    next_cursor: str | None = None


class SchemaListView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of schemas, by name."""

    schemas: list[SchemaView]
    next_cursor: str | None = None


class NamespaceListView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of namespaces, by name."""

    namespaces: list[NamespaceView]
    next_cursor: str | None = None


class SchemaTableListView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of tables, by name."""

    tables: list[SchemaTableView]
    next_cursor: str | None = None


class TableListView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of tables with their columns, by name."""

    tables: list[TableView]
    next_cursor: str | None = None


class HistoryEntryView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change: what was done to which object, by whom, visible from which manifest on."""

    snapshot_version: int
    commit_id: str
    published_at: str
    operation: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    object_name: str | None = None
    manifest_id: str | None = None
    actor: str | None = None


class HistoryView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of changes, newest first."""

    history: list[HistoryEntryView]
    next_cursor: str | None = None


def catalog_view(row: CatalogRow) -> CatalogView:
    """The catalog as the API shows it."""
    created, updated = _times(row)
    return CatalogView(
        id=row.id,
        name=row.name,
        description=row.description,
        properties=_properties(row.properties_json),
        created_at=created,
        updated_at=updated,
    )


def schema_view(row: NamespaceRow, catalog: str) -> SchemaView:
    """The schema as the API shows it."""
    created, updated = _times(row)
    return SchemaView(
        id=row.id,
        catalog=catalog,
        name=row.name,
        description=row.description,
        properties=_properties(row.properties_json),
        created_at=created,
        updated_at=updated,
    )


def namespace_view(row: NamespaceRow) -> NamespaceView:
    """The schema under its two-level name."""
    created, updated = _times(row)
    return NamespaceView(
        id=row.id,
        name=row.name,
        description=row.description,
        properties=_properties(row.properties_json),
        created_at=created,
        updated_at=updated,
    )


def schema_table_view(row: TableRow, catalog: str, schema: str, *, columns: bool) -> SchemaTableView:
    """The table as the API shows it, with its columns if they were asked for."""
    created, updated = _times(row)
    return SchemaTableView(
        id=row.id,
        catalog=catalog,
        schema=schema,
        name=row.name,
        description=row.description,
        location=row.location,
        format=row.format or LEGACY_FORMAT,
        columns=msgspec.Raw(row.columns_json) if columns else UNSET,
        properties=_properties(row.properties_json),
        created_at=created,
        updated_at=updated,
    )


def listed_tables_view(rows: Sequence[tuple[Any, ...]], catalog: str, schema: str) -> list[SchemaTableView]:
    """Tables of a schema as the API shows them, of the values of `LISTED` fields, and of the columns if they are there.

    A page has hundreds: structs of whole rows would be made only to be taken apart.
    """
    views: list[SchemaTableView] = []
    for name, table_id, description, location, kind, properties, created_at, updated_at, _, *columns in rows:
        created = http_text(created_at)
        views.append(
            SchemaTableView(
                id=table_id,
                catalog=catalog,
                schema=schema,
                name=name,
                description=description,
                location=location,
                format=kind or LEGACY_FORMAT,
                columns=msgspec.Raw(columns[0]) if columns else UNSET,
                properties=UNSET if properties is None else msgspec.Raw(properties),
                created_at=created,
                updated_at=created if updated_at == created_at else http_text(updated_at),
            )
        )
    return views


def table_view(row: TableRow, namespace: str) -> TableView:
    """The table under its two-level name."""
    created, updated = _times(row)
    return TableView(
        id=row.id,
        namespace=namespace,
        name=row.name,
        description=row.description,
        format=row.format or LEGACY_FORMAT,
        columns=msgspec.Raw(row.columns_json),
        properties=_properties(row.properties_json),
        created_at=created,
        updated_at=updated,
    )


def history_entry(row: ObjectHistoryRow | CommitRow) -> HistoryEntryView:
    """The change as the API shows it."""
    return HistoryEntryView(
        snapshot_version=row.snapshot_version,
        commit_id=row.commit_ulid,
        published_at=http_text(row.published_at),
        operation=row.operation,
        object_type=row.object_type,
        object_id=row.object_id,
        object_name=row.object_name,
        manifest_id=row.manifest_id,
        actor=row.actor,
    )


def _times(row: CatalogRow | NamespaceRow | TableRow) -> tuple[str, str]:
    created = http_text(row.created_at)
    return created, created if row.updated_at == row.created_at else http_text(row.updated_at)


def _properties(text: str | None) -> msgspec.Raw | UnsetType:
    return UNSET if text is None else msgspec.Raw(text)
