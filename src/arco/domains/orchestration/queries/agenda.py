"""What controllers ask: who is ready, what is due, which slots are free (ADR 0020). Reads the beginning of a lane."""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from arco.domains.orchestration.agenda import READY
from arco.domains.orchestration.fold.board import WORKSPACE_SLOTS
from arco.domains.orchestration.rows import (
    AGENDA,
    LINEAGE_DUE,
    OUTBOX,
    RUNS,
    SLOTS,
    TASKS,
    WORKSPACE,
    AgendaRow,
    LineageDueRow,
    OutboxRow,
    RunRow,
    SlotsRow,
    TaskRow,
    WorkspaceRow,
)
from arco.kernel.reading import Snapshot
from arco.kernel.spec import RowKey

_GROUPS_MAX: Final = 64
_BEYOND: Final = 1 << 62
"""More than any rank: what follows it is another group."""


class Ready(msgspec.Struct, frozen=True):
    """Tasks that may be sent, in the order in which they should be, and the slots of what they name.

    `last` is the place of the last of them when there are more behind it.
    """

    tasks: list[TaskRow]
    slots: dict[str, SlotsRow]
    last: RowKey | None


async def settings_of(snapshot: Snapshot) -> WorkspaceRow | None:
    """What operators set for the workspace."""
    return await snapshot.get(WORKSPACE, ("",))


async def ready_tasks(snapshot: Snapshot, *, limit: int, after: RowKey | None = None) -> Ready:
    """Up to `limit` tasks that are ready and whose slots are not all taken; a group that is full is stepped over.

    With `after` those beyond this place.
    """
    slots = await _slots(snapshot, (WORKSPACE_SLOTS,))
    found: list[AgendaRow] = []
    for _ in range(_GROUPS_MAX):
        rows = await snapshot.scan(AGENDA, prefix=(READY,), after=after, limit=limit - len(found) + 1)
        slots |= await _slots(snapshot, {row.group for row in rows if row.group} - slots.keys())
        full = next((row.group for row in rows if row.group and _full(slots.get(row.group))), None)
        found += rows if full is None else [row for row in rows if row.group < full]
        if full is None or len(found) > limit:
            break
        after = (READY, full, _BEYOND)
    last = AGENDA.key_of(found[limit - 1]) if len(found) > limit else None
    return Ready(await tasks_of(snapshot, found[:limit]), slots, last)


async def due(
    snapshot: Snapshot, lane: str, now_ms: int, *, limit: int, after: RowKey | None = None
) -> tuple[list[AgendaRow], int | None]:
    """Up to `limit` places of a lane that are due, beyond `after`, and when the first one that is not yet will be."""
    rows = await snapshot.scan(AGENDA, prefix=(lane, ""), after=after, limit=limit + 1)
    over = [row for row in rows if row.due <= now_ms]
    following = next((row.due for row in rows if row.due > now_ms), None)
    return over[:limit], now_ms if len(over) > limit else following


async def tasks_of(snapshot: Snapshot, places: Iterable[AgendaRow]) -> list[TaskRow]:
    """The tasks at these places, in their order."""
    found = await asyncio.gather(*(snapshot.get(TASKS, (place.born, place.task_key)) for place in places))
    return [task for task in found if task is not None]


async def run_at(snapshot: Snapshot, place: AgendaRow) -> RunRow | None:
    """The run at a place."""
    return await snapshot.get(RUNS, (place.born,))


async def lineage_due(snapshot: Snapshot, *, limit: int) -> list[tuple[LineageDueRow, TaskRow]]:
    """Tasks whose inputs lineage has not heard of, oldest runs first."""
    rows = await snapshot.scan(LINEAGE_DUE, limit=limit)
    tasks = await asyncio.gather(*(snapshot.get(TASKS, (row.born, row.task_key)) for row in rows))
    return [(row, task) for row, task in zip(rows, tasks, strict=True) if task is not None]


async def outbox_of(snapshot: Snapshot, task: TaskRow) -> OutboxRow | None:
    """The current attempt of a task on its way, if it is."""
    return await snapshot.get(OUTBOX, (task.run_id, task.task_key, task.attempt))


async def slots_of(snapshot: Snapshot, tasks: Iterable[TaskRow]) -> dict[str, SlotsRow]:
    """The slots of the workspace and of the keys that tasks name, where there are any."""
    return await _slots(snapshot, {WORKSPACE_SLOTS, *(task.concurrency_key for task in tasks if task.concurrency_key)})


async def _slots(snapshot: Snapshot, names: Iterable[str]) -> dict[str, SlotsRow]:
    rows = await asyncio.gather(*(snapshot.get(SLOTS, (name,)) for name in sorted(names)))
    return {row.concurrency_key: row for row in rows if row is not None}


def _full(slots: SlotsRow | None) -> bool:
    return slots is not None and slots.slots is not None and slots.in_use >= slots.slots
