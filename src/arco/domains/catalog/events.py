"""Catalog events: `catalog.ddl` payloads by kind and version (catalog.md 2.8).

The rows inside are the contract's: every key present when written, nulls explicit, times in milliseconds; keys that
older writers did not know may be absent when read. One field is ours: `table_updated` may carry `columns`, the whole
new column list of the table; absent or null leaves the columns as they are.
"""

from typing import Annotated, Any, ClassVar, Final

import msgspec

from arco.domains.catalog.rows import CatalogRow, ColumnRow, NamespaceRow, TableRow
from arco.kernel.envelope import Envelope
from arco.kernel.fold import InvalidEvent, UnsupportedEvent

EVENT_TYPE: Final = "catalog.ddl"

# What lies outside these bounds cannot be stored or shown: such an event is invalid, not a row that breaks readers.
Millis = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
Ordinal = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

_PROPERTIES: Final = msgspec.json.Decoder(dict[str, Any])


def _check_properties(text: str | None) -> None:
    # The text is shown as JSON without being parsed again. msgspec tells a ValueError as a ValidationError.
    if text is not None:
        try:
            _PROPERTIES.decode(text)
        except msgspec.DecodeError as error:
            raise ValueError("properties_json must be a JSON object") from error


class CatalogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A catalog as events carry it: the public columns of its table."""

    id: str
    name: str
    description: str | None = None
    created_at: Millis
    updated_at: Millis
    properties_json: str | None = None
    storage_root: str | None = None

    def __post_init__(self) -> None:
        _check_properties(self.properties_json)


class NamespaceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A schema as events carry it. `catalog_id` null means the catalog `default`."""

    id: str
    catalog_id: str | None = None
    name: str
    description: str | None = None
    created_at: Millis
    updated_at: Millis
    properties_json: str | None = None
    storage_root: str | None = None

    def __post_init__(self) -> None:
        _check_properties(self.properties_json)


class TableRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A table as events carry it."""

    id: str
    namespace_id: str
    name: str
    description: str | None = None
    location: str | None = None
    format: str | None = None
    created_at: Millis
    updated_at: Millis
    table_type: str | None = None
    properties_json: str | None = None

    def __post_init__(self) -> None:
        _check_properties(self.properties_json)


class ColumnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A column as events carry it."""

    id: str
    table_id: str
    name: str
    data_type: str
    is_nullable: bool
    ordinal: Ordinal
    description: str | None = None


class CatalogEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all catalog events are: a `kind` and the envelope version it is written under."""

    version: ClassVar[int] = 1


class NamespaceCreated(CatalogEvent, frozen=True, kw_only=True, tag="namespace_created"):
    """A schema came to be."""

    namespace: NamespaceRecord


class NamespaceUpdated(CatalogEvent, frozen=True, kw_only=True, tag="namespace_updated"):
    """A schema was replaced by this row; its name and catalog are as before."""

    namespace: NamespaceRecord


class NamespaceDeleted(CatalogEvent, frozen=True, kw_only=True, tag="namespace_deleted"):
    """A schema without tables is gone."""

    namespace_id: str
    namespace_name: str


class NamespaceRenamed(CatalogEvent, frozen=True, kw_only=True, tag="namespace_renamed"):
    """A schema was replaced by this row, which has another name."""

    version: ClassVar[int] = 4
    namespace: NamespaceRecord
    old_name: str


class TableRegistered(CatalogEvent, frozen=True, kw_only=True, tag="table_registered"):
    """A table came to be, with its columns."""

    table: TableRecord
    columns: list[ColumnRecord]


class TableUpdated(CatalogEvent, frozen=True, kw_only=True, tag="table_updated"):
    """A table was replaced by this row, and its columns by these if they are given."""

    table: TableRecord
    columns: list[ColumnRecord] | None = None


class TableDropped(CatalogEvent, frozen=True, kw_only=True, tag="table_dropped"):
    """A table and its columns are gone."""

    table_id: str
    namespace_id: str
    table_name: str


class TableRenamed(CatalogEvent, frozen=True, kw_only=True, tag="table_renamed"):
    """A table has another name in the same schema."""

    table_id: str
    namespace_id: str
    old_name: str
    new_name: str
    updated_at: Millis


class CatalogCreated(CatalogEvent, frozen=True, kw_only=True, tag="catalog_created"):
    """A catalog came to be."""

    version: ClassVar[int] = 2
    catalog: CatalogRecord


class CatalogUpdated(CatalogEvent, frozen=True, kw_only=True, tag="catalog_updated"):
    """A catalog was replaced by this row; its name is as before."""

    version: ClassVar[int] = 3
    catalog: CatalogRecord


class CatalogDeleted(CatalogEvent, frozen=True, kw_only=True, tag="catalog_deleted"):
    """A catalog without schemas is gone."""

    version: ClassVar[int] = 3
    catalog_id: str
    catalog_name: str


class CatalogRenamed(CatalogEvent, frozen=True, kw_only=True, tag="catalog_renamed"):
    """A catalog was replaced by this row, which has another name."""

    version: ClassVar[int] = 4
    catalog: CatalogRecord
    old_name: str


class _Kind(msgspec.Struct, frozen=True):
    kind: str


_KINDS: Final = (
    NamespaceCreated,
    NamespaceUpdated,
    NamespaceDeleted,
    NamespaceRenamed,
    TableRegistered,
    TableUpdated,
    TableDropped,
    TableRenamed,
    CatalogCreated,
    CatalogUpdated,
    CatalogDeleted,
    CatalogRenamed,
)
_KIND_DECODER: Final = msgspec.json.Decoder(_Kind)
_DECODERS: Final[dict[tuple[int, str], msgspec.json.Decoder[Any]]] = {
    (kind.version, str(kind.__struct_config__.tag)): msgspec.json.Decoder(kind) for kind in _KINDS
}


def decode_event(envelope: Envelope) -> CatalogEvent:
    """The event an envelope carries.

    Raises `UnsupportedEvent` for a kind, version or pair of them this build does not know, `InvalidEvent` for a
    payload that cannot be one.
    """
    try:
        kind = _KIND_DECODER.decode(envelope.payload).kind
        decoder = _DECODERS.get((envelope.event_version, kind))
        if envelope.event_type != EVENT_TYPE or decoder is None:
            raise UnsupportedEvent(f"{envelope.event_type} version {envelope.event_version} kind {kind}")
        event: CatalogEvent = decoder.decode(envelope.payload)
    except msgspec.DecodeError as error:
        raise InvalidEvent(str(error)) from error
    return event


_CATALOG_FIELDS: Final = CatalogRecord.__struct_fields__
_NAMESPACE_FIELDS: Final = NamespaceRecord.__struct_fields__
_TABLE_FIELDS: Final = TableRecord.__struct_fields__
_COLUMN_FIELDS: Final = ColumnRecord.__struct_fields__


def catalog_record(row: CatalogRow) -> CatalogRecord:
    """The public part of a stored catalog."""
    return CatalogRecord(**{name: getattr(row, name) for name in _CATALOG_FIELDS})


def namespace_record(row: NamespaceRow) -> NamespaceRecord:
    """The public part of a stored schema."""
    return NamespaceRecord(**{name: getattr(row, name) for name in _NAMESPACE_FIELDS})


def table_record(row: TableRow) -> TableRecord:
    """The public part of a stored table."""
    return TableRecord(**{name: getattr(row, name) for name in _TABLE_FIELDS})


def catalog_row(record: CatalogRecord, row_version: int) -> CatalogRow:
    """The row that stores this catalog."""
    return CatalogRow(**{name: getattr(record, name) for name in _CATALOG_FIELDS}, row_version=row_version)


def namespace_row(record: NamespaceRecord, catalog_key: str, row_version: int) -> NamespaceRow:
    """The row that stores this schema below the catalog with this key."""
    fields = {name: getattr(record, name) for name in _NAMESPACE_FIELDS}
    return NamespaceRow(**fields, catalog_key=catalog_key, row_version=row_version)


def table_row(record: TableRecord, columns_json: str, row_version: int) -> TableRow:
    """The row that stores this table."""
    fields = {name: getattr(record, name) for name in _TABLE_FIELDS}
    return TableRow(**fields, columns_json=columns_json, row_version=row_version)


def column_row(record: ColumnRecord) -> ColumnRow:
    """The row that stores this column."""
    return ColumnRow(**{name: getattr(record, name) for name in _COLUMN_FIELDS})
