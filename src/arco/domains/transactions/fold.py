"""How transactions change a chain's state. Pure.

A transaction within the chain is one unit, so there is nothing to it but its row. A transaction across chains is
prepared here, and decided by a record elsewhere: between the two its events are kept, and what they read and would
write is held (`kernel.holds`), so that finalising cannot come out differently than the trial.

Guarantees: `finalised` and `aborted` may come any number of times; a `prepared` that comes after `aborted` is refused,
so that nothing is held for a transaction that is over; what was finalised is never aborted, nor the other way round.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from arco.core.errors import unreachable
from arco.core.limits import TRANSACTION_HOLDS_MAX
from arco.domains.transactions.events import (
    ROOT_COMMIT,
    TRANSACTION_STATE,
    Aborted,
    Applied,
    Completed,
    Declined,
    Finalised,
    HeldEvent,
    Prepared,
    decoded,
)
from arco.domains.transactions.rows import (
    ABORTED,
    ALL,
    PREPARED,
    PREPARED_TRANSACTIONS,
    TRANSACTIONS,
    TRANSACTIONS_DOMAIN,
    VISIBLE,
    PreparedRow,
    TransactionRow,
)
from arco.kernel.envelope import Envelope
from arco.kernel.fold import (
    Accepted,
    Decision,
    Domain,
    FoldContext,
    Rejected,
    Subject,
    UnsupportedEvent,
    View,
)
from arco.kernel.holds import HELD, Rehearsal
from arco.kernel.records import HELD_KEYS, IDEMPOTENCY
from arco.kernel.spec import TableSpec

TRANSACTION_OVER: Final = "transaction_over"
DECLINED: Final = "declined"
NOT_PREPARED: Final = "not_prepared"
TOO_LARGE: Final = "transaction_too_large"

ROOT_OPERATION: Final = "commit_root_transaction"
"""What an idempotency key of a root transaction is claimed for."""

TRIED_SINCE: Final = 4
"""The fold version from which on a prepared transaction remembers by which rules it was tried."""

_EVENTS: Final = msgspec.json.Decoder(list[HeldEvent])
_HOLDS: Final = msgspec.json.Decoder(list[tuple[str, str]])


class TransactionsDomain:
    """Transactions on the kernel, over the events of `domains`; implements `kernel.fold.Domain`.

    `ledger` is where the chain's transactions are appended: the ledger of its first domain.
    """

    event_types: Final = frozenset({TRANSACTION_STATE})
    tables: Final[tuple[TableSpec[Any], ...]] = ALL

    def __init__(self, domains: Sequence[Domain], *, ledger: str = TRANSACTIONS_DOMAIN) -> None:
        self.name = ledger
        self._domains: Mapping[str, Domain] = {kind: domain for domain in domains for kind in domain.event_types}

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Decide one event. Raises `NotLoaded`, `UnsupportedEvent`, `InvalidEvent`."""
        match decoded(event):
            case Applied() as applied:
                return _applied(view, applied, event, context, ledger=self.name)
            case Declined() as declined:
                return Rejected(DECLINED, declined.reason, final=False)
            case Prepared() as prepared:
                return self._prepared(view, prepared, event, context)
            case Finalised() as finalised:
                return self._finalised(view, finalised, event, context)
            case Aborted() as aborted:
                return _aborted(view, aborted, context)
            case Completed() as completed:
                view.delete(PREPARED_TRANSACTIONS, (completed.tx_id,))
                return Accepted()
        return unreachable("every transaction event has a fold")

    def _prepared(self, view: View, event: Prepared, envelope: Envelope, context: FoldContext) -> Decision:
        tx_id = event.tx_id or envelope.unit_id or envelope.event_id
        known = view.get(TRANSACTIONS, (tx_id,))
        if known is not None:
            if known.lifecycle == ABORTED:
                return Rejected(TRANSACTION_OVER, f"transaction {tx_id} was aborted", final=False)
            return Accepted()  # prepared before
        trial = Rehearsal(view)
        refused = self._folded(trial, event.events, envelope, context)
        if isinstance(refused, Rejected):
            return refused
        holder = trial.conflict()
        if holder is not None:
            sentence = "what it needs is held by a transaction that is not decided yet; try again"
            return Rejected(HELD, sentence, {"tx_id": holder}, final=False)
        holds = trial.holds(tx_id)
        if len(holds) > TRANSACTION_HOLDS_MAX:
            sentence = f"a transaction must not touch more than {TRANSACTION_HOLDS_MAX} keys"
            return Rejected(TOO_LARGE, sentence, final=False)
        for held in holds:
            view.put(HELD_KEYS, held)
        names = [(held.table, held.prefix_json) for held in holds]
        view.put(
            PREPARED_TRANSACTIONS,
            PreparedRow(
                tx_id=tx_id,
                events_json=msgspec.json.encode(event.events).decode(),
                holds_json=msgspec.json.encode(names).decode(),
                key_hash=None if envelope.claim is None else envelope.claim.key_hash,
                expires_at=event.expires_at,
                fold_version=context.fold_version if context.fold_version >= TRIED_SINCE else None,
            ),
        )
        view.put(
            TRANSACTIONS,
            TransactionRow(
                handle_id=tx_id,
                record_version=1,
                lifecycle=PREPARED,
                created_at=context.now_ms,
                updated_at=context.now_ms,
                expires_at=event.expires_at,
                prepared_at=context.now_ms,
                mutation_count=event.mutations,
                visible_mutation_count=0,
                kind=ROOT_COMMIT,
                request_hash=event.request_hash,
                participants=",".join(event.participants),
            ),
        )
        return Accepted()

    def _finalised(self, view: View, event: Finalised, envelope: Envelope, context: FoldContext) -> Decision:
        known = view.get(TRANSACTIONS, (event.tx_id,))
        if known is not None and known.lifecycle == VISIBLE:
            return Accepted()
        prepared = view.get(PREPARED_TRANSACTIONS, (event.tx_id,))
        if known is None or prepared is None:
            return Rejected(NOT_PREPARED, f"transaction {event.tx_id} is not prepared here", final=False)
        # The holds go first: what they kept others from is ours to change now.
        _release(view, prepared)
        tried = msgspec.structs.replace(context, fold_version=prepared.fold_version or context.fold_version)
        subjects = self._folded(view, _EVENTS.decode(prepared.events_json), envelope, tried)
        if isinstance(subjects, Rejected):
            return subjects
        if prepared.key_hash is not None:
            # The home chain remembers that the transaction is under way until its record is complete.
            view.put(PREPARED_TRANSACTIONS, msgspec.structs.replace(prepared, events_json="[]", holds_json="[]"))
        view.put(TRANSACTIONS, _visible(known, context))
        subject = Subject("transaction_committed", "transaction", event.tx_id, f"{known.mutation_count} changes")
        return Accepted(subject, tuple(subjects))

    def _folded(
        self, view: View, events: Sequence[HeldEvent], envelope: Envelope, context: FoldContext
    ) -> list[Subject] | Rejected:
        subjects: list[Subject] = []
        for index, held in enumerate(events):
            domain = self._domains.get(held.event_type)
            if domain is None:
                raise UnsupportedEvent(f"event type {held.event_type} is not known to this build")
            decision = domain.fold(view, _envelope(held, envelope), context)
            if isinstance(decision, Rejected):
                details = {**decision.details, "event": str(index)}
                return msgspec.structs.replace(decision, details=details, final=False)
            subjects.extend((*decision.also, *((decision.subject,) if decision.subject else ())))
        return subjects


def _applied(view: View, event: Applied, envelope: Envelope, context: FoldContext, *, ledger: str) -> Decision:
    tx_id = envelope.unit_id or envelope.event_id
    subject = Subject("transaction_committed", "transaction", tx_id, f"{event.mutations} changes")
    row = TransactionRow(
        handle_id=tx_id,
        record_version=1,
        lifecycle=VISIBLE,
        created_at=context.now_ms,
        updated_at=context.now_ms,
        expires_at=context.now_ms,
        mutation_count=event.mutations,
        visible_mutation_count=event.mutations,
        kind=event.transaction,
        request_hash=event.request_hash,
        participants=ledger,
    )
    view.put(TRANSACTIONS, _visible(row, context))
    return Accepted(subject)


def _aborted(view: View, event: Aborted, context: FoldContext) -> Decision:
    known = view.get(TRANSACTIONS, (event.tx_id,))
    if known is not None and known.lifecycle == VISIBLE:
        return Rejected(TRANSACTION_OVER, f"transaction {event.tx_id} is committed", final=False)
    if known is not None and known.lifecycle == ABORTED:
        return Accepted()
    prepared = view.get(PREPARED_TRANSACTIONS, (event.tx_id,))
    if prepared is not None:
        _release(view, prepared)
        if prepared.key_hash is not None:
            # The key named a transaction that did not happen: it is free for another try.
            view.delete(IDEMPOTENCY, (ROOT_OPERATION, prepared.key_hash))
    now_ms = context.now_ms
    row = known or TransactionRow(
        handle_id=event.tx_id,
        record_version=0,
        lifecycle=ABORTED,
        created_at=now_ms,
        updated_at=now_ms,
        expires_at=now_ms,
        mutation_count=0,
        visible_mutation_count=0,
        kind=ROOT_COMMIT,
        request_hash=event.request_hash,
        participants="",
    )
    view.put(
        TRANSACTIONS,
        msgspec.structs.replace(
            row, record_version=row.record_version + 1, lifecycle=ABORTED, updated_at=now_ms, terminal_at=now_ms
        ),
    )
    return Accepted()


def _visible(row: TransactionRow, context: FoldContext) -> TransactionRow:
    return msgspec.structs.replace(
        row,
        record_version=row.record_version + (1 if row.lifecycle == PREPARED else 0),
        lifecycle=VISIBLE,
        updated_at=context.now_ms,
        committing_at=context.now_ms,
        visible_at=context.now_ms,
        terminal_at=context.now_ms,
        visible_mutation_count=row.mutation_count,
        manifest_id=context.manifest_id,
        commit_id=context.commit_ulid,
        snapshot_version=context.snapshot_version,
    )


def _release(view: View, prepared: PreparedRow) -> None:
    for table, prefix_json in _HOLDS.decode(prepared.holds_json):
        view.delete(HELD_KEYS, (table, prefix_json, prepared.tx_id))
    view.delete(PREPARED_TRANSACTIONS, (prepared.tx_id,))


def _envelope(held: HeldEvent, carrier: Envelope) -> Envelope:
    return msgspec.structs.replace(
        carrier,
        event_type=held.event_type,
        event_version=held.event_version,
        payload=held.payload,
        event_id=held.event_id,
        occurred_at=held.occurred_at or carrier.occurred_at,
        base_row_version=held.base_row_version,
        claim=None,
    )
