"""Batches of orchestration events as one transaction (orchestration.md 5.6): one unit of the runs' chain.

The fold decides all of them or none, and the key with them. Nothing is read before: whether the same request was made
earlier is what the fold knows best.
"""

from typing import Final

from arco.core.errors import ArcoError, Conflict, InvalidInput, NotFound, invariant
from arco.domains.orchestration.batches.envelopes import Batch, request_hash
from arco.domains.orchestration.rows import ORCHESTRATION
from arco.domains.transactions import queries
from arco.domains.transactions.commands import KEY_REUSED, Clerk, held_by, key_hash_of, state_draft, submitted
from arco.domains.transactions.events import ORCHESTRATION_BATCH, Applied
from arco.domains.transactions.rows import TransactionRow
from arco.kernel.decide import EVENT_INDEX
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome
from arco.kernel.holds import HELD

BATCH_OPERATION: Final = "commit_orchestration_batch"
"""What an idempotency key of a batch is claimed for."""

_MISSING: Final = "_not_found"


async def commit_batch(clerk: Clerk, batch: Batch, key: str) -> TransactionRow:
    """The transaction, visible now or since an earlier request with the same key; `clerk` is of the runs' chain.

    Raises `NotFound` and `Conflict` (details name the `event`), `InvalidInput`, and what the desk does.
    """
    hashed = request_hash(batch)
    claim = Claim(BATCH_OPERATION, key_hash_of(key), hashed, refusals=False)
    if batch.stale is not None:
        # What is too old now was not at an earlier try, which may have been taken: then this is a question about it.
        done = await _claimed(clerk, claim)
        if done is None:
            raise InvalidInput(batch.stale)
        return done
    # The row comes last, so that a refusal counts events as the caller does.
    applied = state_draft(Applied(request_hash=hashed, mutations=len(batch.events), transaction=ORCHESTRATION_BATCH))
    unit = UnitDraft(domain=ORCHESTRATION, events=(*batch.events, applied), claim=claim)
    outcome = await submitted(clerk, unit)
    if outcome.status != "accepted":
        raise refusal_of(outcome)
    done = await _claimed(clerk, claim)
    invariant(done is not None, "an accepted batch is visible at the head")
    assert done is not None
    return done


def refusal_of(outcome: Outcome, place: str = "events") -> ArcoError:
    """A refused batch as the fact it is."""
    if outcome.code == "idempotency_mismatch":
        return Conflict(KEY_REUSED)
    if outcome.code == HELD:
        return held_by(outcome)
    index = int(outcome.details.get(EVENT_INDEX, "0"))
    sentence = f"{place}[{index}]: {outcome.message or outcome.code}"
    kind = NotFound if outcome.code.endswith(_MISSING) else Conflict
    return kind(sentence, event=index, reason=outcome.code)


async def _claimed(clerk: Clerk, claim: Claim) -> TransactionRow | None:
    snapshot = await clerk.reader.head()
    taken = await queries.claimed(snapshot, claim.operation, claim.key_hash)
    if taken is None:
        return None
    if taken.request_hash != claim.request_hash:
        raise Conflict(KEY_REUSED)
    return await queries.transaction(snapshot, taken.unit_id)
