"""The catalog's tables.

Physical keys are chosen for reads and renames, not by id: a table is found by `(schema id, name)`, so that renaming a
schema or a catalog rewrites one row of it and its index rows, and none of what lies inside.
"""

from typing import Any, Final

from arco.domains.catalog.rows import (
    CatalogById,
    CatalogRow,
    ColumnRow,
    NamespaceById,
    NamespaceByName,
    NamespaceRow,
    TableById,
    TableRow,
)
from arco.kernel.spec import TableSpec

DOMAIN: Final = "catalog"
"""The ledger prefix and the pointer of this domain."""

CATALOGS: Final = TableSpec("catalogs", CatalogRow, key=("name",), domain=DOMAIN, private=frozenset({"row_version"}))
CATALOGS_BY_ID: Final = TableSpec("catalogs_by_id", CatalogById, key=("id",), domain=DOMAIN)
NAMESPACES: Final = TableSpec(
    "namespaces",
    NamespaceRow,
    key=("catalog_key", "name"),
    domain=DOMAIN,
    private=frozenset({"catalog_key", "row_version"}),
)
NAMESPACES_BY_ID: Final = TableSpec("namespaces_by_id", NamespaceById, key=("id",), domain=DOMAIN)
NAMESPACES_BY_NAME: Final = TableSpec("namespaces_by_name", NamespaceByName, key=("name", "id"), domain=DOMAIN)
TABLES: Final = TableSpec(
    "tables",
    TableRow,
    key=("namespace_id", "name"),
    domain=DOMAIN,
    private=frozenset({"row_version", "columns_json"}),
    bulky=frozenset({"columns_json"}),
)
TABLES_BY_ID: Final = TableSpec("tables_by_id", TableById, key=("id",), domain=DOMAIN)
COLUMNS: Final = TableSpec("columns", ColumnRow, key=("table_id", "ordinal", "id"), domain=DOMAIN)

CATALOG_TABLES: Final[tuple[TableSpec[Any], ...]] = (
    CATALOGS,
    CATALOGS_BY_ID,
    NAMESPACES,
    NAMESPACES_BY_ID,
    NAMESPACES_BY_NAME,
    TABLES,
    TABLES_BY_ID,
    COLUMNS,
)
