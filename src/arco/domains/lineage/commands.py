"""Changing lineage: one command, one unit, one event."""

import msgspec

from arco.core.clock import Clock
from arco.core.errors import unreachable
from arco.domains.lineage.events import EDGES_ADDED, EDGES_ADDED_VERSION, LINEAGE_DDL, EdgesAdded
from arco.domains.lineage.rows import LINEAGE
from arco.domains.lineage.rules import NewEdge, checked_edges, minted
from arco.kernel.desk import Desk, EventDraft, UnitDraft
from arco.kernel.verdicts import settled


class Clerk(msgspec.Struct, frozen=True):
    """What the command needs of the world."""

    desk: Desk
    clock: Clock


class AddEdges(msgspec.Struct, frozen=True):
    """Record these edges. There is no key to make it idempotent: it is so by nature."""

    edges: tuple[NewEdge, ...]


async def add_edges(clerk: Clerk, command: AddEdges, *, actor: str) -> int:
    """Record the edges; the number of distinct ones in the request, known before or not (catalog.md 8.1).

    Raises `InvalidInput` for edges against the rules; `Overloaded`, `Unavailable`, `OutcomeUnknown` as the desk does.
    """
    checked_edges(command.edges)
    rows = minted(command.edges, clerk.clock.now_ms())
    draft = EventDraft(
        event_type=LINEAGE_DDL, event_version=EDGES_ADDED_VERSION, payload=EdgesAdded(kind=EDGES_ADDED, edges=rows)
    )
    (outcome,) = await clerk.desk.submit([UnitDraft(domain=LINEAGE, events=(draft,))], source=actor)
    if settled(outcome, "the lineage").status != "accepted":
        unreachable(f"the fold said {outcome.status} to edges the rules accepted: {outcome.message}")
    return len(rows)
