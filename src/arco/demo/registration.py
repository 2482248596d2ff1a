"""Puts the demo's tables and their lineage into the catalog over HTTP; what is there already is kept."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from arco.clients.api import ApiClient
from arco.clients.catalog import ensure
from arco.clients.columns import arrow_columns
from arco.demo.source import PACKAGE
from arco.demo.tables import CATALOG, CATALOG_DESCRIPTION, MARTS, RUN_ID, SCHEMAS, DemoTable


def prepare(client: ApiClient) -> None:
    """Create the catalog and its schemas. Raises `ApiProblem`, `ServerUnreachable`."""
    ensure(client, (CATALOG,), {"description": CATALOG_DESCRIPTION})
    for schema, description in SCHEMAS.items():
        ensure(client, (CATALOG, schema), {"description": description})


def register(client: ApiClient, table: DemoTable, schema: pa.Schema) -> str:
    """Register a table with the columns of `schema`; its id. Raises `ApiProblem`, `ServerUnreachable`."""
    found, _ = ensure(client, (CATALOG, table.schema, table.name), request_body(table, schema))
    return str(found["id"])


def record_lineage(client: ApiClient, ids: Mapping[str, str]) -> int:
    """Record what each mart was made from; the number of edges. Raises `ApiProblem`, `ServerUnreachable`."""
    edges = [
        {"source_id": ids[source], "target_id": ids[mart.name], "run_id": RUN_ID}
        for mart in MARTS
        for source in mart.sources
    ]
    return int(client.ask("/lineage/edges", {"edges": edges}).json()["added"])


def request_body(table: DemoTable, schema: pa.Schema) -> dict[str, Any]:
    """What the api is told about a table."""
    origin = {"sql": table.sql} if table.sql else {"source": PACKAGE}
    return {
        "description": table.description,
        "location": table.location,
        "format": table.format,
        "columns": arrow_columns(schema),
        "properties": {"rows": str(table.rows), **origin},
    }
