"""Rows of the catalog: what its tables hold.

The public fields are the contract's columns in the contract's order (catalog.md 2.11); the private ones make point
reads, renames and conditional updates cheap. All times are milliseconds since the epoch. `row_version` is 1 at creation
and grows by one with every change.
"""

from typing import Final

from arco.kernel.spec import Int32, Row

DEFAULT_CATALOG: Final = "default"
"""The one reserved catalog name, and the parent key of its schemas (catalog.md 1.5)."""


class CatalogRow(Row, frozen=True, kw_only=True):
    """A catalog."""

    id: str
    name: str
    description: str | None = None
    created_at: int
    updated_at: int
    properties_json: str | None = None
    storage_root: str | None = None
    row_version: int = 1


class CatalogById(Row, frozen=True, kw_only=True):
    """Where the catalog with this id is found."""

    id: str
    name: str


class NamespaceRow(Row, frozen=True, kw_only=True):
    """A schema; the two-level routes call it a namespace.

    `catalog_key` is the id of its catalog, or `default` for the catalog of that name, which is also the catalog of
    rows without `catalog_id` (older data).
    """

    id: str
    catalog_id: str | None = None
    name: str
    description: str | None = None
    created_at: int
    updated_at: int
    properties_json: str | None = None
    storage_root: str | None = None
    catalog_key: str
    row_version: int = 1


class NamespaceById(Row, frozen=True, kw_only=True):
    """Where the schema with this id is found."""

    id: str
    catalog_key: str
    name: str


class NamespaceByName(Row, frozen=True, kw_only=True):
    """Where the schemas with this name are found, whatever their catalog: the two-level lists."""

    name: str
    id: str
    catalog_key: str


class TableRow(Row, frozen=True, kw_only=True):
    """A table. `columns_json` repeats its columns as the API shows them, so that one row answers a look-up."""

    id: str
    namespace_id: str
    name: str
    description: str | None = None
    location: str | None = None
    format: str | None = None
    created_at: int
    updated_at: int
    table_type: str | None = None
    properties_json: str | None = None
    row_version: int = 1
    columns_json: str = "[]"


class TableById(Row, frozen=True, kw_only=True):
    """Where the table with this id is found."""

    id: str
    namespace_id: str
    name: str


class ColumnRow(Row, frozen=True, kw_only=True):
    """A column of a table; `ordinal` counts from 0."""

    id: str
    table_id: str
    name: str
    data_type: str
    is_nullable: bool
    ordinal: Int32
    description: str | None = None
