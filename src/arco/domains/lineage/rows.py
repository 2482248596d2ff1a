"""Lineage tables: one row for each assertion "target was made from source" (catalog.md 2.11).

The same rows are kept twice, sorted by source and sorted by target, so that both directions of a hop are one range of
neighbouring rows. The second key names the source before the id: sorting the first table by target alone, stably, then
gives the second table's order, and an index built from the first walks edges in the very order a scan would.
"""

from typing import Final

from arco.kernel.spec import Row, TableSpec

LINEAGE: Final = "lineage"
"""The domain: ledger prefix and pointer name."""


class EdgeRow(Row, frozen=True, kw_only=True, gc=False):
    """One edge. `id` is opaque (64 hex digits when arco minted it), `created_at` is ms, `run_id` a client's claim."""

    id: str
    source_id: str
    target_id: str
    edge_type: str
    run_id: str | None = None
    created_at: int


LINEAGE_EDGES: Final = TableSpec("lineage_edges", EdgeRow, key=("source_id", "id"), domain=LINEAGE)
LINEAGE_EDGES_BY_TARGET: Final = TableSpec(
    "lineage_edges_by_target", EdgeRow, key=("target_id", "source_id", "id"), domain=LINEAGE
)
