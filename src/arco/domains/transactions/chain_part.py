"""A chain's part in transactions across chains, for any chain whose compactor folds `TransactionsDomain`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from arco.core import instant
from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import ArcoError, Conflict, InvalidInput, OutcomeUnknown, Unavailable
from arco.core.turns import drawn
from arco.domains.transactions import queries
from arco.domains.transactions.commands import ATTEMPTS_MAX, KEY_REUSED, held_by, state_draft
from arco.domains.transactions.events import Aborted, Completed, Finalised, HeldEvent, Prepared, TransactionEvent
from arco.domains.transactions.fold import ROOT_OPERATION, TOO_LARGE, TRANSACTION_OVER
from arco.domains.transactions.plan import Plan
from arco.domains.transactions.queries import Visibility
from arco.domains.transactions.root import Held, Order
from arco.domains.transactions.rows import TransactionRow
from arco.kernel.decide import EVENT_INDEX
from arco.kernel.desk import Desk, UnitDraft
from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome
from arco.kernel.holds import HELD
from arco.kernel.reading import Reader, Snapshot

MakePlan = Callable[[Snapshot | None], Awaitable[Plan]]
"""A member's changes as events, made from a snapshot of its chain. Raises what refuses them."""

OVERDUE_AT_ONCE: Final = 100
"""Transactions left by others that one round of repair takes up: the next scope waits for it."""

_MISMATCH: Final = "idempotency_mismatch"


class ChainPart(msgspec.Struct, frozen=True, kw_only=True):
    """Implements `root.Participant` for one chain of one scope. `plan` is only needed to prepare.

    `ledger` is the domain whose ledger prefix the events go to. `refused` words a refusal of a plan that is the same
    however often it is made; where it is None, a refused plan is made again from what is there now.
    """

    desk: Desk
    reader: Reader
    clock: Clock
    ids: Ids
    chain: str
    ledger: str
    source: str
    plan: MakePlan | None = None
    refused: Callable[[Outcome], ArcoError] | None = None

    async def prepare(self, order: Order) -> str:
        """Check and hold. See `Participant.prepare`."""
        refused: Outcome | None = None
        for _ in range(ATTEMPTS_MAX):
            snapshot = await self.reader.head()
            plan = Plan((), ()) if self.plan is None else await self.plan(snapshot)
            outcome = await self._submitted(self._prepared(plan, order), _claim(order))
            if outcome.status == "accepted" and not outcome.replayed:
                return order.tx_id or outcome.unit_id
            if outcome.status == "accepted":
                raise Conflict("another request with the same key was faster; send it again", retry_after_s=1)
            refused = outcome
            if self.refused is not None or outcome.code in (HELD, TRANSACTION_OVER, _MISMATCH):
                break
        raise self._refusal(refused)

    async def finalise(self, tx_id: str) -> Visibility:
        """Make it visible. See `Participant.finalise`."""
        outcome = await self._submitted(Finalised(tx_id=tx_id))
        row = await self.known(tx_id)
        done = None if row is None else queries.visibility(row, self.chain)
        if done is None:
            raise OutcomeUnknown(f"a committed transaction is not visible: {outcome.message}", event_id=tx_id)
        return done

    async def abort(self, tx_id: str) -> None:
        """Let go. See `Participant.abort`."""
        outcome = await self._submitted(Aborted(tx_id=tx_id))
        if outcome.status != "accepted":
            raise OutcomeUnknown(f"an aborted transaction is still held: {outcome.message}", event_id=tx_id)

    async def completed(self, tx_id: str) -> None:
        """Forget it. See `Participant.completed`."""
        if await queries.prepared(await self.reader.head(), tx_id) is not None:
            await self._submitted(Completed(tx_id=tx_id))

    async def known(self, tx_id: str) -> TransactionRow | None:
        """What the chain knows. See `Participant.known`."""
        return await queries.transaction(await self.reader.head(), tx_id)

    async def overdue(self) -> Sequence[Held]:
        """What was left. See `Participant.overdue`."""
        snapshot = await self.reader.head()
        left = await queries.overdue(snapshot, self.clock.now_ms())
        found: list[Held] = []
        for tx_id in drawn(left, OVERDUE_AT_ONCE, seed=self.ids.ulid(), name=str):
            row = await queries.transaction(snapshot, tx_id)
            if row is not None:
                found.append(Held(row.handle_id, tuple(row.participants.split(","))))
        return found

    def _prepared(self, plan: Plan, order: Order) -> Prepared:
        events = tuple(
            HeldEvent(
                event_id=self.ids.ulid(),
                event_type=event.event_type,
                event_version=event.event_version,
                payload=msgspec.Raw(msgspec.json.encode(event.payload)),
                base_row_version=event.base_row_version,
                occurred_at=None if event.at_ms is None else instant.stored_text(event.at_ms),
            )
            for event in plan.events
        )
        return Prepared(
            tx_id=order.tx_id,
            request_hash=order.request_hash,
            mutations=len(set(plan.origins)),
            participants=order.participants,
            expires_at=order.expires_at,
            events=events,
        )

    async def _submitted(self, event: TransactionEvent, claim: Claim | None = None) -> Outcome:
        unit = UnitDraft(domain=self.ledger, events=(state_draft(event),), claim=claim)
        (outcome,) = await self.desk.submit([unit], source=self.source)
        if outcome.status == "expired":
            raise Unavailable("the transaction was not decided in time; send it again")
        if outcome.status == "quarantined":
            raise InvalidInput(f"the transaction holds what no event may hold: {outcome.message}")
        if outcome.status not in ("accepted", "rejected"):
            raise OutcomeUnknown("the transaction is in the ledger and not decided yet", event_id=outcome.unit_id)
        return outcome

    def _refusal(self, outcome: Outcome | None) -> ArcoError:
        if outcome is None:
            return Conflict("the transaction was not prepared; send it again")
        if outcome.code == HELD:
            return held_by(outcome)
        if outcome.code == _MISMATCH:
            return Conflict(KEY_REUSED)
        if outcome.code in (TRANSACTION_OVER, TOO_LARGE) or self.refused is None:
            return _refusal_of_plan(outcome)
        return self.refused(outcome)


def _claim(order: Order) -> Claim | None:
    if order.key_hash is None:
        return None
    return Claim(ROOT_OPERATION, order.key_hash, order.request_hash, refusals=False)


def _refusal_of_plan(outcome: Outcome) -> ArcoError:
    mutation = {"mutation": int(outcome.details[EVENT_INDEX])} if EVENT_INDEX in outcome.details else {}
    return Conflict(outcome.message or outcome.code, **mutation)
