"""What callers may do to the catalog: every command validates, reads, hands in its events, and answers a row."""

from arco.domains.catalog.commands.catalogs import (
    CreateCatalog,
    DropCatalog,
    UpdateCatalog,
    create_catalog,
    drop_catalog,
    update_catalog,
)
from arco.domains.catalog.commands.clerk import Clerk
from arco.domains.catalog.commands.schemas import (
    CreateSchema,
    DropSchema,
    UpdateSchema,
    create_schema,
    drop_schema,
    update_schema,
)
from arco.domains.catalog.commands.tables import (
    DropTable,
    RegisterTable,
    UpdateTable,
    drop_table,
    register_table,
    update_table,
)

__all__ = [
    "Clerk",
    "CreateCatalog",
    "CreateSchema",
    "DropCatalog",
    "DropSchema",
    "DropTable",
    "RegisterTable",
    "UpdateCatalog",
    "UpdateSchema",
    "UpdateTable",
    "create_catalog",
    "create_schema",
    "drop_catalog",
    "drop_schema",
    "drop_table",
    "register_table",
    "update_catalog",
    "update_schema",
    "update_table",
]
