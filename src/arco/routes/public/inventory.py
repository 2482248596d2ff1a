"""`/catalog/inventory`: how much there is, from the manifest alone (catalog.md 4.3)."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.instant import http_text
from arco.domains.catalog import queries
from arco.edge.endpoint import Endpoint
from arco.routes.public.clerks import READ_HEADERS, head_of, listed


class InventoryCountsView(msgspec.Struct, frozen=True, kw_only=True):
    """How many objects the workspace holds."""

    catalogs: int
    schemas: int
    tables: int
    columns: int


class ObjectFamilyView(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of object, and the SQL table that lists it."""

    name: str
    available: bool
    row_count: int
    query_handle: str


class InventoryView(msgspec.Struct, frozen=True, kw_only=True):
    """What the workspace holds as of one manifest."""

    manifest_type: str
    version: int
    catalog_snapshot_version: int
    catalog_manifest_id: str
    published_at: str
    counts: InventoryCountsView
    object_families: list[ObjectFamilyView]


async def show(request: Request) -> Response:
    """404 until something was created in the workspace."""
    snapshot = queries.initialised(await head_of(request))

    async def build() -> InventoryView:
        counts = queries.inventory(snapshot)
        return InventoryView(
            manifest_type="catalog_inventory_snapshot",
            version=1,
            catalog_snapshot_version=snapshot.snapshot_version,
            catalog_manifest_id=snapshot.manifest_id,
            published_at=http_text(snapshot.published_ms),
            counts=InventoryCountsView(
                catalogs=counts.catalogs, schemas=counts.schemas, tables=counts.tables, columns=counts.columns
            ),
            object_families=[
                _family("catalogs", counts.catalogs, "catalogs"),
                _family("schemas", counts.schemas, "namespaces"),
                _family("tables", counts.tables, "tables"),
                _family("columns", counts.columns, "columns"),
            ],
        )

    return await listed(request, snapshot, build)


def _family(name: str, rows: int, relation: str) -> ObjectFamilyView:
    return ObjectFamilyView(name=name, available=True, row_count=rows, query_handle=f"system.catalog.{relation}")


routes = [
    Endpoint(
        method="GET",
        path="/catalog/inventory",
        handler=show,
        summary="Count the objects of the workspace",
        tag="catalogs",
        responses={200: InventoryView, 304: None},
        errors=(400, 404),
        headers=READ_HEADERS,
    )
]
