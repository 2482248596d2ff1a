"""Root transactions as callers ask for them: one key, one transaction, over every chain that takes part (4.12)."""

from collections.abc import Sequence
from typing import Final

from arco.core.errors import Conflict
from arco.domains.transactions import queries
from arco.domains.transactions.chain_part import ChainPart, MakePlan
from arco.domains.transactions.commands import KEY_REUSED, Clerk, key_hash_of
from arco.domains.transactions.fold import ROOT_OPERATION
from arco.domains.transactions.operations import Operation, root_request_hash
from arco.domains.transactions.plan import Plan, planned
from arco.domains.transactions.root import Completed, Coordinator, Failed, Participant, order_of
from arco.domains.transactions.rows import TRANSACTIONS_DOMAIN
from arco.kernel.chain import CATALOG_CHAIN
from arco.kernel.reading import Snapshot
from arco.kernel.records import IdempotencyRow
from arco.storage.port import ObjectStore

HOME: Final = TRANSACTIONS_DOMAIN
"""The chain every root transaction begins and ends in: the compactor's."""


def catalog_part(clerk: Clerk, plan: MakePlan | None = None) -> ChainPart:
    """The compactor's chain as a participant."""
    return ChainPart(
        desk=clerk.desk,
        reader=clerk.reader,
        clock=clerk.clock,
        ids=clerk.ids,
        chain=CATALOG_CHAIN.name,
        ledger=TRANSACTIONS_DOMAIN,
        source=clerk.source,
        plan=plan,
    )


def coordinator(clerk: Clerk, store: ObjectStore) -> Coordinator:
    """The coordinator of a workspace's root transactions; `store` may create and swap their records."""
    participants: dict[str, Participant] = {HOME: catalog_part(clerk)}
    return Coordinator(store, clerk.clock, participants, HOME)


async def commit_root(clerk: Clerk, store: ObjectStore, operations: Sequence[Operation], key: str) -> Completed:
    """The committed transaction, now or at an earlier request with the same key.

    Raises `InvalidInput`, `NotFound`, `AlreadyExists`, `Conflict` (refused, held, or prepared by another request with
    this key), and `OutcomeUnknown` while it may still be committed.
    """
    key_hash, request_hash = key_hash_of(key), root_request_hash(operations)
    carrying = coordinator(clerk, store)
    snapshot = await clerk.reader.head()
    taken = await queries.claimed(snapshot, ROOT_OPERATION, key_hash)
    if taken is not None:
        if taken.request_hash != request_hash:
            raise Conflict(KEY_REUSED)
        earlier = await _earlier(carrying, (clerk, snapshot), taken)
        if earlier is not None:
            return earlier

    async def plan(current: Snapshot | None) -> Plan:
        return await planned(operations, current, clerk.tools)

    members: dict[str, Participant] = {HOME: catalog_part(clerk, plan)}
    order = order_of(request_hash, key_hash, tuple(members), clerk.clock.now_ms())
    return await carrying.commit(members, order)


async def finish_overdue(clerk: Clerk, store: ObjectStore, failed: Failed) -> int:
    """Resolve what coordinators left; how many transactions there were. `failed` hears of those that stay."""
    return await coordinator(clerk, store).repair(failed)


async def _earlier(
    carrying: Coordinator, where: tuple[Clerk, Snapshot | None], taken: IdempotencyRow
) -> Completed | None:
    """How the transaction of an earlier request with this key ended: what it committed, None when it is aborted."""
    clerk, snapshot = where
    tx_id = taken.unit_id
    row = await queries.transaction(snapshot, tx_id)
    record = await carrying.record(tx_id)
    if record is None and row is not None and clerk.clock.now_ms() < row.expires_at:
        sentence = f"poll GetRootTransaction for tx_id '{tx_id}'"
        raise Conflict(
            f"transaction is already prepared for this idempotency key; {sentence}", retry_after_s=1, tx_id=tx_id
        )
    return await carrying.resolve(tx_id, (HOME,) if row is None else row.participants.split(","))
