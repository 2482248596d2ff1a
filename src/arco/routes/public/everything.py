"""All routes below `/api/v1`, in the order the reference shows them."""

from typing import Final

from arco.edge.endpoint import Endpoint
from arco.routes.public import (
    audit,
    browser,
    callbacks,
    catalogs,
    delta,
    history,
    inventory,
    lineage,
    manifests,
    namespace_tables,
    namespaces,
    operating,
    outcomes,
    partitions,
    query,
    root_transactions,
    runs,
    schemas,
    search,
    tables,
    task_logs,
    transactions,
)

API_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *catalogs.routes,
    *inventory.routes,
    *schemas.routes,
    *tables.routes,
    *namespaces.routes,
    *namespace_tables.routes,
    *search.routes,
    *history.routes,
    *audit.routes,
    *lineage.routes,
    *browser.routes,
    *delta.routes,
    *transactions.routes,
    *root_transactions.routes,
    *manifests.routes,
    *runs.routes,
    *task_logs.routes,
    *operating.routes,
    *partitions.routes,
    *callbacks.routes,
    *query.ENDPOINTS,
    *outcomes.routes,
)
