"""How lineage changes: the edge set only grows, and the first assertion of an edge is the one that is kept. Pure.

Adding is idempotent and commutes up to `created_at`, so there is nothing to reject. Ids are taken as they come: edges
older than today's scheme carry other ids (catalog.md 1.3), and only the command mints new ones.
"""

from typing import Any, Final

from arco.domains.lineage.events import LINEAGE_DDL, decoded
from arco.domains.lineage.rows import LINEAGE, LINEAGE_EDGES, LINEAGE_EDGES_BY_TARGET
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, Decision, FoldContext, Subject, View
from arco.kernel.spec import TableSpec


class LineageDomain:
    """Lineage on the kernel; implements `kernel.fold.Domain`."""

    name: Final = LINEAGE
    event_types: Final = frozenset({LINEAGE_DDL})
    tables: Final[tuple[TableSpec[Any], ...]] = (LINEAGE_EDGES, LINEAGE_EDGES_BY_TARGET)

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Add the event's edges that are not known yet (catalog.md 2.8); with none of them new, leave no trace."""
        fresh = 0
        for edge in decoded(event).edges:
            if view.get(LINEAGE_EDGES, LINEAGE_EDGES.key_of(edge)) is not None:
                continue
            view.put(LINEAGE_EDGES, edge)
            view.put(LINEAGE_EDGES_BY_TARGET, edge)
            fresh += 1
        if not fresh:
            return Accepted()
        return Accepted(
            Subject(
                operation="edges_added",
                object_type="lineage_edges",
                object_id=event.event_id,
                object_name=f"{fresh} edges",
            )
        )
