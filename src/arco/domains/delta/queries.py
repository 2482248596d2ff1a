"""Questions about coordinated Delta tables, answered from one pinned snapshot. Nothing here writes."""

from collections.abc import Sequence

import msgspec

from arco.domains.delta.fold import NONE_YET
from arco.domains.delta.rows import DELTA_KEYS, DELTA_TABLES, RESERVATIONS, DeltaKeyRow, DeltaTableRow, ReservationRow
from arco.kernel.reading import Snapshot


class Coordinator(msgspec.Struct, frozen=True):
    """Where a table's commits stand; `latest_version` is -1 before the first."""

    latest_version: int
    table_root: str | None
    inflight: ReservationRow | None


async def coordinator(snapshot: Snapshot | None, table_id: str) -> Coordinator:
    """Where the commits of a table stand."""
    if snapshot is None:
        return Coordinator(NONE_YET, None, None)
    table = await table_row(snapshot, table_id)
    held = await snapshot.get(RESERVATIONS, (table_id,))
    if table is None:
        return Coordinator(NONE_YET, None, held)
    return Coordinator(table.latest_version, table.table_root, held)


async def table_row(snapshot: Snapshot | None, table_id: str) -> DeltaTableRow | None:
    """The coordinator's row of a table, None before anybody committed to it."""
    return None if snapshot is None else await snapshot.get(DELTA_TABLES, (table_id,))


async def committed_with(snapshot: Snapshot | None, table_id: str, key_hash: str) -> DeltaKeyRow | None:
    """What was committed with an idempotency key, if anything was."""
    return None if snapshot is None else await snapshot.get(DELTA_KEYS, (table_id, key_hash))


async def overdue(snapshot: Snapshot | None, now_ms: int) -> Sequence[ReservationRow]:
    """Reservations whose writers left them longer than they may. Nothing is read where there are none.

    All of them, however many are open: a limit here would be a limit for ever to those behind it.
    """
    if snapshot is None or not snapshot.count(RESERVATIONS):
        return ()
    return [row for row in await snapshot.scan(RESERVATIONS) if now_ms >= row.expires_at]


async def reservation(snapshot: Snapshot | None, table_id: str) -> ReservationRow | None:
    """The commit of a table that is under way."""
    return None if snapshot is None else await snapshot.get(RESERVATIONS, (table_id,))
