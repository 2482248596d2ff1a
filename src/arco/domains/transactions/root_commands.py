"""Root transactions as callers ask for them: one key, one transaction, over every chain that takes part (4.12)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from arco.core.errors import AlreadyExists, ArcoError, Conflict, InvalidInput, NotFound
from arco.domains.orchestration.batches.envelopes import Batch
from arco.domains.orchestration.rows import ORCHESTRATION
from arco.domains.transactions import queries
from arco.domains.transactions.batch_commands import refusal_of
from arco.domains.transactions.chain_part import ChainPart, MakePlan
from arco.domains.transactions.commands import KEY_REUSED, Clerk, key_hash_of, state_draft, submitted
from arco.domains.transactions.events import Declined
from arco.domains.transactions.fold import ROOT_OPERATION
from arco.domains.transactions.operations import Operation, hashed_request, root_request_hash
from arco.domains.transactions.plan import Plan, planned
from arco.domains.transactions.root import Completed, Coordinator, Failed, Participant, order_of
from arco.domains.transactions.rows import TRANSACTIONS_DOMAIN
from arco.kernel.chain import CATALOG_CHAIN, ORCHESTRATION_CHAIN
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Claim
from arco.kernel.reading import Snapshot
from arco.kernel.records import IdempotencyRow
from arco.storage.port import ObjectStore

RETRY: Final = "retry_after_s"
"""The detail of a refusal that may be over in so many seconds."""

_TRIES: Final = 4

HOME: Final = TRANSACTIONS_DOMAIN
"""The chain every root transaction begins and ends in: the compactor's."""

RUNS: Final = ORCHESTRATION
"""The chain of runs: a member of transactions that hold events of it."""


class Clerks(msgspec.Struct, frozen=True, kw_only=True):
    """Who carries out transactions, in each chain. `store` may create and swap their records."""

    home: Clerk
    runs: Clerk
    store: ObjectStore


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a root transaction is to do: changes of the catalog, events of runs, or both, in the request's order.

    `place` is where the request has its events, for what refuses one.
    """

    order: tuple[str, ...]
    operations: Sequence[Operation] = ()
    batch: Batch | None = None
    place: str = "events"

    @property
    def request_hash(self) -> str:
        """What its key stands for."""
        assert self.batch is not None or RUNS not in self.order
        requests = {HOME: hashed_request(self.operations) if self.operations else {}}
        if self.batch is not None:
            requests[RUNS] = self.batch.request
        return root_request_hash([(domain, requests[domain]) for domain in self.order])

    @property
    def members(self) -> tuple[str, ...]:
        """The chains that take part. The home chain always does: its row is where the transaction is found."""
        return (HOME, *(domain for domain in self.order if domain != HOME))


def coordinator(clerks: Clerks) -> Coordinator:
    """The coordinator of a workspace's root transactions."""
    participants: dict[str, Participant] = {HOME: _part(clerks.home, HOME), RUNS: _part(clerks.runs, RUNS)}
    return Coordinator(clerks.store, clerks.home.clock, participants, HOME)


async def commit_root(clerks: Clerks, wanted: Wanted, key: str) -> Completed:
    """The committed transaction, now or at an earlier request with the same key.

    Raises `InvalidInput`, `NotFound`, `AlreadyExists`, `Conflict` (refused, held, or prepared by another request with
    this key), and `OutcomeUnknown` while it may still be committed.
    """
    key_hash, request_hash = key_hash_of(key), wanted.request_hash
    carrying = coordinator(clerks)
    snapshot = await clerks.home.reader.head()
    taken = await queries.claimed(snapshot, ROOT_OPERATION, key_hash)
    if taken is not None:
        if taken.request_hash != request_hash:
            raise Conflict(KEY_REUSED)
        earlier = await _earlier(carrying, (clerks.home, snapshot), taken)
        if earlier is not None:
            return earlier
    if wanted.batch is not None and wanted.batch.stale is not None:
        raise InvalidInput(wanted.batch.stale)
    order = order_of(request_hash, key_hash, wanted.members, clerks.home.clock.now_ms())
    try:
        return await carrying.commit(_members(clerks, wanted), order)
    except (AlreadyExists, Conflict, NotFound) as refusal:
        # Whoever may come again will hear the truth then; a plain "no" has to stay one.
        if RETRY in refusal.details or await clerks.home.reader.head() is None:
            raise
        claim = Claim(ROOT_OPERATION, key_hash, request_hash, refusals=False)
        return await _done_meanwhile(clerks, carrying, claim, refusal)


async def _done_meanwhile(clerks: Clerks, carrying: Coordinator, claim: Claim, refusal: ArcoError) -> Completed:
    """Put a refusal on record before it is told: an earlier try of the request may have been faster, or be under way.

    The committed transaction if one was; raises the refusal once it bars whatever was tried with the key before.
    """
    declined = state_draft(Declined(request_hash=claim.request_hash, reason=refusal.message))
    for _ in range(_TRIES):
        unit = UnitDraft(domain=HOME, events=(declined,), claim=claim)
        outcome = await submitted(clerks.home, unit)
        if outcome.code == "idempotency_mismatch":
            raise Conflict(KEY_REUSED)
        if outcome.status != "accepted":
            raise refusal
        snapshot = await clerks.home.reader.head()
        taken = await queries.claimed(snapshot, claim.operation, claim.key_hash)
        earlier = None if taken is None else await _earlier(carrying, (clerks.home, snapshot), taken)
        if earlier is not None:
            return earlier
    raise Conflict("others keep sending this request; send it again", **{RETRY: 1})


async def finish_overdue(clerks: Clerks, failed: Failed) -> int:
    """Resolve what coordinators left; how many transactions there were. `failed` hears of those that stay."""
    return await coordinator(clerks).repair(failed)


def _members(clerks: Clerks, wanted: Wanted) -> Mapping[str, Participant]:
    """The chains that take part, each with what it is to prepare."""

    async def catalog_plan(current: Snapshot | None) -> Plan:
        return await planned(wanted.operations, current, clerks.home.tools) if wanted.operations else Plan((), ())

    found: dict[str, Participant] = {HOME: _part(clerks.home, HOME, catalog_plan)}
    batch = wanted.batch
    if batch is not None:
        now_ms = clerks.runs.clock.now_ms()
        # Each event happens now, on trial and for good: its rows are kept by that time.
        events = [
            msgspec.structs.replace(event, at_ms=now_ms if event.at_ms is None else event.at_ms)
            for event in batch.events
        ]
        plan = Plan(tuple(events), tuple(range(len(events))))

        async def runs_plan(_current: Snapshot | None) -> Plan:
            return plan

        found[RUNS] = msgspec.structs.replace(
            _part(clerks.runs, RUNS, runs_plan), refused=partial(refusal_of, place=wanted.place)
        )
    return found


def _part(clerk: Clerk, domain: str, plan: MakePlan | None = None) -> ChainPart:
    return ChainPart(
        desk=clerk.desk,
        reader=clerk.reader,
        clock=clerk.clock,
        ids=clerk.ids,
        chain=(CATALOG_CHAIN if domain == HOME else ORCHESTRATION_CHAIN).name,
        ledger=domain,
        source=clerk.source,
        plan=plan,
    )


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
