"""Catalog transactions: any number of changes in one unit of the compactor's chain (catalog.md 4.11, 4.12).

The unit is all or nothing, and its idempotency key is folded with it. A refused transaction leaves its key free: the
same request may be tried again as a new transaction. Whoever was told "no" will not find an earlier try done later: a
refusal is on record before it is told, and bars what was tried with the same key before.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import (
    AlreadyExists,
    ArcoError,
    Conflict,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    Unavailable,
    invariant,
)
from arco.core.limits import TRANSACTION_KEY_BYTES_MAX
from arco.core.scope import Scope
from arco.domains.transactions import queries
from arco.domains.transactions.events import (
    TRANSACTION_STATE,
    TRANSACTION_STATE_VERSION,
    Applied,
    Declined,
    TransactionEvent,
)
from arco.domains.transactions.operations import Operation, request_hash
from arco.domains.transactions.plan import Plan, Tools, planned
from arco.domains.transactions.queries import Visibility
from arco.domains.transactions.rows import TRANSACTIONS_DOMAIN
from arco.kernel.decide import EVENT_INDEX
from arco.kernel.desk import Desk, EventDraft, UnitDraft
from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome
from arco.kernel.holds import HELD
from arco.kernel.reading import Reader, Snapshot

CATALOG_OPERATION: Final = "apply_catalog_ddl"
"""What an idempotency key of a catalog transaction is claimed for."""

ATTEMPTS_MAX: Final = 8
"""How often a transaction that met others is planned again; each time somebody else has won."""

KEY_REUSED: Final = "Idempotency-Key already used with different request body"


class Clerk(msgspec.Struct, frozen=True, kw_only=True):
    """What transaction commands need of the world."""

    desk: Desk
    reader: Reader
    clock: Clock
    ids: Ids
    scope: Scope
    source: str

    @property
    def tools(self) -> Tools:
        """What planning needs."""
        return Tools(self.clock, self.ids, self.scope.prefix)


async def apply_catalog_ddl(clerk: Clerk, operations: Sequence[Operation], key: str) -> Visibility:
    """Where the transaction became visible, now or at an earlier request with the same key.

    Raises `InvalidInput`, `NotFound`, `AlreadyExists`, `Conflict` (details name the `mutation`) and what the desk does.
    """
    claim = Claim(CATALOG_OPERATION, key_hash_of(key), request_hash(operations), refusals=False)
    outcome: Outcome | None = None
    for _ in range(ATTEMPTS_MAX):
        snapshot = await clerk.reader.head()
        done = await _claimed_before(snapshot, claim)
        if done is not None:
            return done
        try:
            plan = await planned(operations, snapshot, clerk.tools)
        except (AlreadyExists, Conflict, NotFound) as refusal:
            if snapshot is not None and await _done_meanwhile(clerk, claim, refusal):
                return await _visible(clerk, claim)
            raise
        outcome = await submitted(clerk, _unit(plan, len(operations), claim))
        if outcome.status == "accepted":
            return await _visible(clerk, claim)
        if outcome.code == "idempotency_mismatch":
            raise Conflict(KEY_REUSED)
        if outcome.code == HELD:
            raise held_by(outcome)
    raise _refused(outcome, plan)


def key_hash_of(key: str) -> str:
    """What an idempotency key of a transaction is kept under. Raises `InvalidInput`."""
    if not key:
        raise InvalidInput("idempotency_key is required")
    if len(key.encode("utf-8", "surrogatepass")) > TRANSACTION_KEY_BYTES_MAX:
        raise InvalidInput(f"idempotency_key must not be longer than {TRANSACTION_KEY_BYTES_MAX} bytes")
    return sha256_hex(key.encode("utf-8", "surrogatepass"))


def state_draft(event: TransactionEvent) -> EventDraft:
    """A transaction event as the desk takes it."""
    # Through JSON, because held events carry theirs as the JSON it is.
    payload = msgspec.json.decode(msgspec.json.encode(event))
    return EventDraft(event_type=TRANSACTION_STATE, event_version=TRANSACTION_STATE_VERSION, payload=payload)


async def submitted(clerk: Clerk, unit: UnitDraft) -> Outcome:
    """The outcome of a unit: accepted or rejected. Raises what the desk raises, `Unavailable`, `OutcomeUnknown`."""
    (outcome,) = await clerk.desk.submit([unit], source=clerk.source)
    if outcome.status == "expired":
        raise Unavailable("the transaction was not decided in time and changed nothing; send it again")
    if outcome.status == "quarantined":
        raise InvalidInput(f"the transaction holds what no event may hold: {outcome.message}")
    if outcome.status not in ("accepted", "rejected"):
        raise OutcomeUnknown("the transaction is in the ledger and not decided yet", event_id=outcome.unit_id)
    return outcome


def held_by(outcome: Outcome) -> Conflict:
    """What a refusal for somebody's hold means to the caller."""
    return Conflict(outcome.message, retry_after_s=1, tx_id=outcome.details.get("tx_id", ""))


def _unit(plan: Plan, mutations: int, claim: Claim) -> UnitDraft:
    applied = state_draft(Applied(request_hash=claim.request_hash, mutations=mutations))
    # History calls a unit by its last event that changed something: one change by itself, several as a transaction.
    events = (applied, *plan.events) if mutations == 1 else (*plan.events, applied)
    return UnitDraft(domain=TRANSACTIONS_DOMAIN, events=events, claim=claim)


async def _done_meanwhile(clerk: Clerk, claim: Claim, refusal: ArcoError) -> bool:
    """Put a refusal on record before it is told, for an earlier try may still be on its way; True when that was faster.

    What a workspace without a chain refuses, it refused then too. Raises what the desk does: then nothing is known.
    """
    event = Declined(request_hash=claim.request_hash, reason=refusal.message)
    unit = UnitDraft(domain=TRANSACTIONS_DOMAIN, events=(state_draft(event),), claim=claim)
    outcome = await submitted(clerk, unit)
    if outcome.code == "idempotency_mismatch":
        raise Conflict(KEY_REUSED)
    return outcome.status == "accepted"


async def _claimed_before(snapshot: Snapshot | None, claim: Claim) -> Visibility | None:
    taken = await queries.claimed(snapshot, claim.operation, claim.key_hash)
    if taken is None:
        return None
    if taken.request_hash != claim.request_hash:
        raise Conflict(KEY_REUSED)
    row = await queries.transaction(snapshot, taken.unit_id)
    return None if row is None else queries.visibility(row)


async def _visible(clerk: Clerk, claim: Claim) -> Visibility:
    done = await _claimed_before(await clerk.reader.head(), claim)
    invariant(done is not None, "an accepted transaction is visible at the head")
    assert done is not None
    return done


def _refused(outcome: Outcome | None, plan: Plan) -> Conflict:
    assert outcome is not None
    index = int(outcome.details.get(EVENT_INDEX, "0"))
    mutation = plan.origins[min(index, len(plan.origins) - 1)] if plan.origins else 0
    sentence = f"others kept changing what the transaction changes ({outcome.message or outcome.code}); send it again"
    return Conflict(sentence, mutation=mutation, tx_id=outcome.unit_id)
