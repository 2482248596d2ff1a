"""How every catalog command goes about its work.

A creation reads the head, answers a repeated idempotency key from the record, hands in its event, and answers with the
row it proposed. A change reads the row, hands in an event that names the row version it was made from, and starts again
when that was no longer the current one, unless the caller insisted on a version (`If-Match`).

With an idempotency key a refusal must be on record too, so a creation with a key lets the fold say "no" even where the
read model already knows it; without a key it says so at once and writes nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import (
    AlreadyExists,
    ArcoError,
    Conflict,
    NotFound,
    StaleBase,
)
from arco.core.scope import Scope
from arco.domains.catalog.errors import NotEmpty, ReservedName
from arco.domains.catalog.events import EVENT_TYPE, CatalogEvent
from arco.domains.catalog.fold import verdicts
from arco.domains.catalog.rows import CatalogRow, NamespaceRow, TableRow
from arco.domains.catalog.rules import etag, matches_etag
from arco.domains.catalog.tables import DOMAIN
from arco.kernel.desk import Desk, EventDraft, UnitDraft
from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome, Subject
from arco.kernel.reading import Reader, Snapshot
from arco.kernel.records import IDEMPOTENCY, OUTCOMES
from arco.kernel.verdicts import settled

ATTEMPTS_MAX: Final = 8
"""How often a change that lost against others is made again; each time somebody else has won."""

E = TypeVar("E", CatalogRow, NamespaceRow, TableRow)


class Clerk(msgspec.Struct, frozen=True, kw_only=True):
    """What a command needs of the world. `source` is who asks, as events record it."""

    desk: Desk
    reader: Reader
    clock: Clock
    ids: Ids
    scope: Scope
    source: str


class Proposal(msgspec.Struct, Generic[E], frozen=True):
    """A unit, and the row as it will be once the unit is accepted. `missing` says which parent does not exist."""

    row: E
    unit: UnitDraft
    missing: str | None = None


class Creation(msgspec.Struct, Generic[E], frozen=True, kw_only=True):
    """One creation. `entity` and `name` are how messages call it, `parent` how they call what it belongs in."""

    entity: str
    name: str
    parent: str = "Catalog"
    claim: Claim | None
    propose: Callable[[Snapshot | None], Awaitable[Proposal[E]]]
    find: Callable[[Snapshot, str], Awaitable[E | None]]


class Change(msgspec.Struct, Generic[E], frozen=True, kw_only=True):
    """One change or removal of a row. `propose` answers None when nothing would change."""

    entity: str
    new_name: str = ""
    if_match: str | None
    find: Callable[[Snapshot | None], Awaitable[E]]
    propose: Callable[[E], Proposal[E] | None]


def draft(event: CatalogEvent, base_row_version: int | None = None) -> EventDraft:
    """The event as the desk takes it. `base_row_version` is the row it was made from."""
    return EventDraft(
        event_type=EVENT_TYPE,
        event_version=event.version,
        payload=msgspec.to_builtins(event),
        base_row_version=base_row_version,
    )


def unit(*events: EventDraft, claim: Claim | None = None) -> UnitDraft:
    """Events that are one fact."""
    return UnitDraft(domain=DOMAIN, events=events, claim=claim)


def claim_of(operation: str, key: str | None, request_hash: str) -> Claim | None:
    """The claim of an idempotency key, None without one."""
    return None if key is None else Claim(operation, sha256_hex(key.encode()), request_hash)


async def submit(clerk: Clerk, draft_: UnitDraft) -> Outcome:
    """The outcome of one unit: accepted or rejected.

    Raises as the desk does, `Unavailable`, `OutcomeUnknown`, and `Conflict` when a transaction under way holds what the
    unit changes: it is soon decided.
    """
    (outcome,) = await clerk.desk.submit([draft_], source=clerk.source)
    return settled(outcome)


async def create(clerk: Clerk, creation: Creation[E]) -> E:
    """The created row, or the row an earlier request with the same key created, as it is now.

    Raises `AlreadyExists`, `NotFound` (parent), `Conflict` (key used for another request, or its object is gone).
    """
    snapshot = await clerk.reader.head()
    recorded = await _recorded(snapshot, creation.claim)
    if recorded is not None:
        return await _replayed(snapshot, creation, recorded)
    proposal = await creation.propose(snapshot)
    outcome = await submit(clerk, proposal.unit)
    if outcome.replayed:
        return await _replayed(await clerk.reader.head(), creation, outcome)
    if outcome.status == "accepted":
        return proposal.row
    raise _refused_creation(creation, outcome, proposal.missing)


async def change(clerk: Clerk, wanted: Change[E]) -> E:
    """The row after the change.

    Raises `NotFound`, `StaleBase` (If-Match), `AlreadyExists` (new name), `NotEmpty`, `ReservedName`, and `Conflict`
    when others kept changing the row.
    """
    for _ in range(ATTEMPTS_MAX):
        row = await wanted.find(await clerk.reader.head())
        _check_condition(wanted, row)
        proposal = wanted.propose(row)
        if proposal is None:
            return row
        outcome = await submit(clerk, proposal.unit)
        # Accepted without a subject: what was to be removed is gone already; looking again says so.
        if outcome.status == "accepted" and outcome.subject is not None:
            return proposal.row
        _check_refused_change(wanted, row, outcome)
    raise Conflict(f"{wanted.entity} was changed by others {ATTEMPTS_MAX} times meanwhile; send the request again")


async def _recorded(snapshot: Snapshot | None, claim: Claim | None) -> Outcome | None:
    """The outcome on record for this key, as the compactor would replay it."""
    if snapshot is None or claim is None:
        return None
    taken = await snapshot.get(IDEMPOTENCY, (claim.operation, claim.key_hash))
    if taken is None:
        return None
    if taken.request_hash != claim.request_hash:
        raise _key_reused()
    row = await snapshot.get(OUTCOMES, (taken.unit_id,))
    if row is None:
        return None
    subject = None if row.subject_json is None else msgspec.json.decode(row.subject_json, type=Subject)
    return Outcome(
        unit_id=row.unit_id,
        status=row.status,
        code=row.code or "",
        message=row.message or "",
        subject=subject,
        replayed=True,
    )


async def _replayed(snapshot: Snapshot | None, creation: Creation[E], outcome: Outcome) -> E:
    if outcome.status != "accepted":
        raise _refused_creation(creation, outcome, None)
    row = None
    if snapshot is not None and outcome.subject is not None:
        row = await creation.find(snapshot, outcome.subject.object_id)
    if row is None:
        raise Conflict(f"Cached {creation.entity} not found: {creation.name}")
    return row


def _refused_creation(creation: Creation[E], outcome: Outcome, missing: str | None) -> ArcoError:
    match outcome.code:
        case verdicts.ALREADY_EXISTS:
            return AlreadyExists(f"{creation.entity} already exists: {creation.name}")
        case verdicts.PARENT_NOT_FOUND:
            return NotFound(missing or creation.parent)
        case "idempotency_mismatch":
            return _key_reused()
    return Conflict(outcome.message or outcome.code)


def _check_condition(wanted: Change[E], row: E) -> None:
    if wanted.if_match is not None and not matches_etag(wanted.if_match, etag(row.id, row.row_version)):
        raise StaleBase(
            f"If-Match does not match the {wanted.entity}; read it again", etag=etag(row.id, row.row_version)
        )


def _check_refused_change(wanted: Change[E], row: E, outcome: Outcome) -> None:
    """Raises what the refusal means to the caller; returns when the change can be tried on the present row."""
    match outcome.code:
        case verdicts.ALREADY_EXISTS:
            raise AlreadyExists(f"{wanted.entity} already exists: {wanted.new_name}")
        case verdicts.NOT_EMPTY:
            raise NotEmpty(outcome.message)
        case verdicts.RESERVED_NAME:
            raise ReservedName(outcome.message)


def _key_reused() -> Conflict:
    return Conflict("Idempotency-Key already used with different request body")
