"""Questions about transactions, answered from one pinned snapshot. Nothing here writes."""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.domains.transactions.rows import ABORTED, PREPARED_TRANSACTIONS, TRANSACTIONS, PreparedRow, TransactionRow
from arco.kernel.chain import CATALOG_CHAIN
from arco.kernel.decide import EVENT_INDEX
from arco.kernel.reading import Snapshot
from arco.kernel.records import IDEMPOTENCY, OUTCOMES, IdempotencyRow
from arco.kernel.spec import RowKey

PAGE_ROWS: Final = 100
"""Prepared transactions, with all their events, that are held in memory at once."""


async def transaction(snapshot: Snapshot | None, tx_id: str) -> TransactionRow | None:
    """The transaction with this id: known to the chain, or refused as a unit of several events."""
    if snapshot is None:
        return None
    found = await snapshot.get(TRANSACTIONS, (tx_id,))
    if found is not None:
        return found
    outcome = await snapshot.get(OUTCOMES, (tx_id,))
    if outcome is None or outcome.status != "rejected" or EVENT_INDEX not in (outcome.details_json or ""):
        return None
    return TransactionRow(
        handle_id=tx_id,
        record_version=1,
        lifecycle=ABORTED,
        created_at=outcome.decided_at,
        updated_at=outcome.decided_at,
        expires_at=outcome.decided_at,
        terminal_at=outcome.decided_at,
        mutation_count=0,
        visible_mutation_count=0,
        kind="",
        request_hash="",
        participants="",
    )


async def claimed(snapshot: Snapshot | None, operation: str, key_hash: str) -> IdempotencyRow | None:
    """The transaction an idempotency key stands for; a refused one left it free."""
    if snapshot is None:
        return None
    taken = await snapshot.get(IDEMPOTENCY, (operation, key_hash))
    outcome = None if taken is None else await snapshot.get(OUTCOMES, (taken.unit_id,))
    return None if outcome is None or outcome.status != "accepted" else taken


async def prepared(snapshot: Snapshot | None, tx_id: str) -> PreparedRow | None:
    """The transaction that is under way with this id."""
    return None if snapshot is None else await snapshot.get(PREPARED_TRANSACTIONS, (tx_id,))


async def overdue(snapshot: Snapshot | None, now_ms: int) -> Sequence[str]:
    """Ids of transactions under way whose coordinators left them longer than they may. Without any, nothing is read.

    All of them, however many are under way: a limit here would be a limit for ever to those behind it.
    """
    if snapshot is None or not snapshot.count(PREPARED_TRANSACTIONS):
        return ()
    found: list[str] = []
    after: RowKey | None = None
    while rows := await snapshot.scan(PREPARED_TRANSACTIONS, after=after, limit=PAGE_ROWS):
        found += [row.tx_id for row in rows if now_ms >= row.expires_at]
        after = PREPARED_TRANSACTIONS.key_of(rows[-1])
    return found


class Visibility(msgspec.Struct, frozen=True):
    """Where a transaction became visible in a chain."""

    tx_id: str
    manifest_id: str
    commit_id: str
    snapshot_version: int
    visible_at: int
    chain: str


def visibility(row: TransactionRow, chain: str = CATALOG_CHAIN.name) -> Visibility | None:
    """Where the transaction became visible in the chain of this row, None before it has."""
    if row.manifest_id is None or row.commit_id is None or row.snapshot_version is None or row.visible_at is None:
        return None
    return Visibility(row.handle_id, row.manifest_id, row.commit_id, row.snapshot_version, row.visible_at, chain)
