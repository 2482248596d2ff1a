"""Deciding one unit: de-duplication, idempotency, deadline, the domain's fold, and the records of it. Pure.

Everything is rolled back unless every event of the unit is accepted; the outcome itself is always kept, so that a "no"
never turns into a "yes" when somebody folds the unit again (architecture.md, "One kernel, many domains").
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.ids import ulid_from_int, ulid_to_int
from arco.core.limits import CLOCK_SKEW_MS
from arco.kernel.envelope import Claim, Envelope, Unit
from arco.kernel.fold import (
    Accepted,
    FoldContext,
    InvalidEvent,
    Moment,
    NotLoaded,
    Outcome,
    Rejected,
    Subject,
    UnsupportedEvent,
    Witness,
)
from arco.kernel.holds import HELD, holder_of
from arco.kernel.housekeeping import forgotten
from arco.kernel.manifest import CommitInputs
from arco.kernel.records import (
    COMMITS,
    IDEMPOTENCY,
    OBJECT_HISTORY,
    OUTCOMES,
    CommitRow,
    IdempotencyRow,
    ObjectHistoryRow,
    OutcomeRow,
)
from arco.kernel.rooms import Rooms
from arco.kernel.working import WorkingView

UNSUPPORTED: Final = "unsupported"

EVENT_INDEX: Final = "event"
"""The detail of a refusal that says which event of a unit was refused, counted from 0."""

_NAMES_EVENTS: Final = 3
"""The fold version from which on refusals of units of several events say which one it was."""

_BARS_EARLIER: Final = 5
"""The fold version from which on a refusal that leaves its key free is kept against earlier tries."""

FORGOTTEN = "forgotten"
"""The code of a unit older than what is remembered; nothing is recorded for it."""

_FORGOTTEN_TEXT = "the event is older than the outcomes that are kept; it is not folded again"


class UnitContext:
    """What deciding a unit may know besides the state: all of it is in the commit record.

    `decision_ulid` is the commit's ULID counted on by the unit's place in it: every commit leaves room for its units.
    """

    __slots__ = ("decision_ulid", "index", "inputs", "manifest_id", "snapshot_version")

    def __init__(self, inputs: CommitInputs, manifest_id: str, index: int, snapshot_version: int) -> None:
        self.inputs = inputs
        self.manifest_id = manifest_id
        self.index = index
        self.snapshot_version = snapshot_version
        self.decision_ulid = ulid_from_int(ulid_to_int(inputs.commit_ulid) + index)


def decide(
    view: WorkingView,
    unit: Unit,
    context: UnitContext,
    domains: Rooms,
    *,
    witnesses: Sequence[Witness] = (),
) -> tuple[Outcome, bool]:
    """The unit's outcome, and whether it is new (was recorded just now). Raises `NotLoaded`."""
    known = view.get(OUTCOMES, (unit.unit_id,))
    if known is not None:
        return outcome_of(known, replayed=True), False
    if forgotten(view, unit.unit_id, context.inputs.now_ms):
        # Whatever was decided, it was long ago; deciding it again could do it twice.
        return _outcome(unit, context, "expired", Rejected(FORGOTTEN, _FORGOTTEN_TEXT, final=False)), False
    savepoint = view.savepoint()
    try:
        outcome = _decided(view, unit, context, domains)
        if outcome.status == UNSUPPORTED:
            view.rollback(savepoint)
            return outcome, False
        if outcome.status != "accepted" or outcome.replayed:
            view.rollback(savepoint)
        _record(view, unit, outcome, context)
        if not outcome.replayed:
            moment = Moment(context.inputs.now_ms, context.inputs.fold_version, context.decision_ulid)
            for witness in witnesses:
                witness.witness(view, unit, outcome, moment)
    except BaseException:
        # Recording may miss rows too: nothing of the unit stays until all of it is there.
        view.rollback(savepoint)
        raise
    return outcome, True


def outcome_of(row: OutcomeRow, *, replayed: bool) -> Outcome:
    """The outcome a row tells of."""
    return Outcome(
        unit_id=row.unit_id,
        status=row.status,
        code=row.code or "",
        message=row.message or "",
        details=msgspec.json.decode(row.details_json, type=dict[str, str]) if row.details_json else {},
        subject=msgspec.json.decode(row.subject_json, type=Subject) if row.subject_json else None,
        manifest_id=row.manifest_id,
        snapshot_version=row.snapshot_version,
        replayed=replayed,
    )


def _decided(view: WorkingView, unit: Unit, context: UnitContext, domains: Rooms) -> Outcome:
    claim = unit.claim
    if claim is not None:
        claimed = view.get(IDEMPOTENCY, (claim.operation, claim.key_hash))
        original = None if claimed is None else view.get(OUTCOMES, (claimed.unit_id,))
        if claimed is not None and original is not None and _binds(unit, claim, claimed, original):
            return _replayed(unit, claim, claimed, original)
    if unit.deadline_ms is not None and context.inputs.now_ms > unit.deadline_ms + CLOCK_SKEW_MS:
        return _outcome(unit, context, "expired", Rejected("expired", "the deadline had passed", final=False))
    savepoint = view.savepoint()
    decision = _folded(view, unit, context, domains)
    if isinstance(decision, Accepted):
        decision = _derived(view, unit, savepoint, domains) or decision
    if isinstance(decision, Outcome):
        return decision
    if isinstance(decision, Accepted) and (holder := holder_of(view, savepoint)):
        sentence = "what it changes is held by a transaction that is not decided yet; try again"
        decision = Rejected(HELD, sentence, {"tx_id": holder}, final=False)
    if isinstance(decision, Rejected):
        return _outcome(unit, context, "rejected", decision)
    outcome = Outcome(
        unit_id=unit.unit_id,
        status="accepted",
        details=dict(decision.details),
        subject=decision.subject,
        manifest_id=context.manifest_id,
        snapshot_version=context.snapshot_version + (1 if decision.subject else 0),
    )
    # The unit's own subject is recorded with its outcome; here are the other things it changed.
    others = {other.object_id: other for other in decision.also}
    for object_id, other in others.items():
        if decision.subject is not None and object_id != decision.subject.object_id:
            _record_object(view, unit, other, (outcome, context))
    return outcome


def _folded(view: WorkingView, unit: Unit, context: UnitContext, domains: Rooms) -> Accepted | Rejected | Outcome:
    fold_context = FoldContext(
        context.inputs.now_ms,
        context.inputs.fold_version,
        context.manifest_id,
        context.decision_ulid,
        context.snapshot_version + 1,
    )
    subject: Subject | None = None
    also: list[Subject] = []
    details: dict[str, str] = {}
    for index, event in enumerate(unit.events):
        domain = domains.get(event.event_type)
        try:
            if domain is None:
                raise UnsupportedEvent(f"event type {event.event_type} is not known to this build")
            decision = domain.fold(view, event, fold_context)
        except UnsupportedEvent as error:
            return Outcome(unit_id=unit.unit_id, status=UNSUPPORTED, code=UNSUPPORTED, message=str(error))
        except InvalidEvent as error:
            return _outcome(unit, context, "quarantined", Rejected("invalid_event", str(error)))
        except NotLoaded:
            raise
        except Exception as error:  # noqa: BLE001  # a bug of one domain must not stop the chain
            return _failed(unit, error)
        if isinstance(decision, Rejected):
            named = len(unit.events) > 1 and fold_context.fold_version >= _NAMES_EVENTS
            return _at_event(decision, index) if named else decision
        also.extend((*decision.also, *((decision.subject,) if decision.subject else ())))
        details.update(decision.details)
        subject = decision.subject or subject
    return Accepted(subject, tuple(also), details)


def _at_event(no: Rejected, index: int) -> Rejected:
    return msgspec.structs.replace(no, details={**no.details, EVENT_INDEX: str(index)})


def _derived(view: WorkingView, unit: Unit, savepoint: int, domains: Rooms) -> Outcome | None:
    """Have what is derived follow the unit, within the unit; an outcome only when that fails."""
    for domain in domains.derived:
        try:
            changes = {spec.name: view.changed(spec, savepoint) for spec in domain.sources}
            if any(changes.values()):
                domain.derive(view, changes)
        except NotLoaded:
            raise
        except Exception as error:  # noqa: BLE001  # a bug of one domain must not stop the chain
            return _failed(unit, error)
    return None


def _failed(unit: Unit, error: Exception) -> Outcome:
    """A bug of one domain must not stop the chain: the unit stays pending, nothing of it is recorded."""
    sentence = f"folding failed: {type(error).__name__}: {error}"
    return Outcome(unit_id=unit.unit_id, status=UNSUPPORTED, code="fold_failed", message=sentence)


def _binds(unit: Unit, claim: Claim, claimed: IdempotencyRow, original: OutcomeRow) -> bool:
    """Whether what stands for the key answers this unit too.

    A refusal that leaves its key free refuses earlier tries of the same request all the same: their caller was told
    "no", and must not find them done because they arrived late.
    """
    if claim.refusals or original.status == "accepted":
        return True
    return claimed.request_hash == claim.request_hash and unit.unit_id < claimed.unit_id


def _replayed(unit: Unit, claim: Claim, claimed: IdempotencyRow, original: OutcomeRow) -> Outcome:
    if claimed.request_hash != claim.request_hash:
        return Outcome(
            unit_id=unit.unit_id,
            status="rejected",
            code="idempotency_mismatch",
            message="Idempotency-Key already used with different request body",
            manifest_id=original.manifest_id,
            snapshot_version=original.snapshot_version,
            replayed=True,
        )
    return msgspec.structs.replace(outcome_of(original, replayed=True), unit_id=unit.unit_id)


def _outcome(unit: Unit, context: UnitContext, status: str, no: Rejected) -> Outcome:
    return Outcome(
        unit_id=unit.unit_id,
        status=status,
        code=no.code,
        message=no.message,
        details=dict(no.details),
        final=no.final,
        manifest_id=context.manifest_id,
        snapshot_version=context.snapshot_version,
    )


def _record(view: WorkingView, unit: Unit, outcome: Outcome, context: UnitContext) -> None:
    now_ms = context.inputs.now_ms
    claim = unit.claim
    refused = outcome.status == "rejected" and outcome.final
    claims = claim is not None and not outcome.replayed
    if claim is not None and outcome.status != "accepted":
        bars = outcome.status == "rejected" and context.inputs.fold_version >= _BARS_EARLIER
        claims = claims and (refused if claim.refusals else bars)
    view.put(
        OUTCOMES,
        OutcomeRow(
            unit_id=unit.unit_id,
            status=outcome.status,
            code=outcome.code or None,
            message=outcome.message or None,
            details_json=_json(outcome.details) if outcome.details else None,
            subject_json=_json(outcome.subject) if outcome.subject else None,
            manifest_id=outcome.manifest_id,
            snapshot_version=outcome.snapshot_version,
            decided_at=now_ms,
            claim_key=f"{claim.operation}/{claim.key_hash}" if claim is not None and claims else None,
        ),
    )
    if claim is not None and claims:
        view.put(
            IDEMPOTENCY,
            IdempotencyRow(
                operation=claim.operation,
                key_hash=claim.key_hash,
                request_hash=claim.request_hash,
                unit_id=unit.unit_id,
                claimed_at=now_ms,
            ),
        )
    if outcome.status == "accepted" and outcome.subject is not None and not outcome.replayed:
        _record_history(view, unit, outcome, context)


def _record_history(view: WorkingView, unit: Unit, outcome: Outcome, context: UnitContext) -> None:
    subject = outcome.subject
    assert subject is not None
    actor = unit.events[0].source
    view.put(
        COMMITS,
        CommitRow(
            commit_ulid=context.decision_ulid,
            snapshot_version=outcome.snapshot_version,
            published_at=context.inputs.now_ms,
            fencing_token=context.inputs.epoch,
            watermark_event_id=unit.events[-1].event_id,
            operation=subject.operation,
            object_type=subject.object_type,
            object_id=subject.object_id,
            object_name=subject.object_name,
            manifest_id=context.manifest_id,
            event_witnesses_json=_witnesses(unit.events),
            actor=actor,
        ),
    )
    _record_object(view, unit, subject, (outcome, context))


def _record_object(view: WorkingView, unit: Unit, subject: Subject, decided: tuple[Outcome, UnitContext]) -> None:
    outcome, context = decided
    view.put(
        OBJECT_HISTORY,
        ObjectHistoryRow(
            object_id=subject.object_id,
            snapshot_version=outcome.snapshot_version,
            commit_ulid=context.decision_ulid,
            published_at=context.inputs.now_ms,
            operation=subject.operation,
            object_type=subject.object_type,
            object_name=subject.object_name,
            manifest_id=context.manifest_id,
            actor=unit.events[0].source,
        ),
    )


def _witnesses(events: Sequence[Envelope]) -> str:
    return _json(
        [
            {"eventId": event.event_id, "eventSha256": "sha256:" + sha256_hex(msgspec.json.encode(event))}
            for event in events
        ]
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
