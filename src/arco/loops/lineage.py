"""Lineage from what really ran: what tasks read and made becomes edges in the catalog's chain (ADR 0023).

The two chains share no commit. A task that succeeded has a row that says that lineage has not heard of it, put by the
very event that made it succeed; whoever finds the row hands the edges in, and then says so. Edges are named by what
they are, so handing them in twice makes none twice.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from arco.core.errors import InvalidInput
from arco.core.limits import EDGES_PER_REQUEST_MAX
from arco.core.scope import Scope
from arco.domains.lineage.events import EDGES_ADDED, EDGES_ADDED_VERSION, LINEAGE_DDL, EdgesAdded
from arco.domains.lineage.rows import LINEAGE
from arco.domains.lineage.rules import NewEdge, checked_edges, minted
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import LineageHandedOn
from arco.domains.orchestration.queries import agenda
from arco.domains.orchestration.rows import TaskRow
from arco.kernel.desk import Desk, EventDraft, UnitDraft
from arco.kernel.reading import Snapshot

COLUMN_EDGE: Final = "column_derives_from"
TASKS_MAX: Final = 100
"""Tasks of one round; the next one goes on."""


class Output(msgspec.Struct, frozen=True, rename="camel"):
    """What of a task's output lineage is made from."""

    inputs: list[dict[str, Any]] = []
    column_lineage: dict[str, list[str]] = {}


class LineageTeller:
    """Hands on what tasks read and made."""

    def __init__(self, catalog_desk_for: Callable[[Scope], Desk], source: str) -> None:
        self._desk_for = catalog_desk_for
        self._source = source

    async def tell(self, scope: Scope, snapshot: Snapshot) -> list[UnitDraft]:
        """Have the catalog's chain take the edges that are due; the units that say that it has."""
        due = await agenda.lineage_due(snapshot, limit=TASKS_MAX)
        drafts = [draft for _, task in due for draft in _drafts(task)]
        if drafts:
            outcomes = await self._desk_for(scope).submit(drafts, source=self._source)
            if any(outcome.status != "accepted" for outcome in outcomes):
                return []  # a transaction under way holds some of it, or a build that is older: next time
        return [
            unit(LineageHandedOn(run_id=row.run_id, task_key=row.task_key, attempt=row.attempt), lasting=True)
            for row, _ in due
        ]


def edges_of(task: TaskRow) -> list[NewEdge]:
    """The edges of a task that succeeded: its asset from each asset it read, its columns from those handed on."""
    target = task.asset_key
    if target is None or task.output is None:
        return []
    try:
        made = msgspec.json.decode(task.output, type=Output)
    except msgspec.MsgspecError:
        return []  # a worker of another make says something else by these names
    return [edge for edge in _asserted(task, target, made) if _good(edge)]


def _asserted(task: TaskRow, target: str, made: Output) -> Iterator[NewEdge]:
    for source in made.inputs:
        if isinstance(source.get("assetKey"), str):
            yield NewEdge(source_id=source["assetKey"], target_id=target, run_id=task.run_id)
    for column, sources in made.column_lineage.items():
        for name in sources:
            yield NewEdge(source_id=name, target_id=f"{target}.{column}", edge_type=COLUMN_EDGE, run_id=task.run_id)


def _good(edge: NewEdge) -> bool:
    """Whether lineage takes it: a column may have a name that no node can have."""
    try:
        checked_edges([edge])
    except InvalidInput:
        return False
    return True


def _drafts(task: TaskRow) -> Sequence[UnitDraft]:
    rows = minted(edges_of(task), task.completed_at or 0)
    parts = [rows[at : at + EDGES_PER_REQUEST_MAX] for at in range(0, len(rows), EDGES_PER_REQUEST_MAX)]
    return [
        UnitDraft(
            domain=LINEAGE,
            events=(
                EventDraft(
                    event_type=LINEAGE_DDL,
                    event_version=EDGES_ADDED_VERSION,
                    payload=EdgesAdded(kind=EDGES_ADDED, edges=part),
                ),
            ),
            lasting=True,
        )
        for part in parts
    ]
