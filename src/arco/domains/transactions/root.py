"""Transactions across chains: prepare everywhere, decide by one object, finalise everywhere (architecture.md).

The decision is an object: whoever creates `transactions/root/{tx}.manifest.json` first, with `commit` or `abort` in it,
decides for ever. Only the coordinator that prepared every member may write `commit`; anybody may write `abort`
once the transaction is overdue. So a coordinator that slept finds out by losing, and nobody ever waits for it.

States and their owners, until a transaction is over:
  held in a chain, no decision   its coordinator; when overdue, whoever meets it, and the repair loop: abort
  decided, still held somewhere  whoever learns of the decision, and the repair loop: finalise or release
  visible everywhere, and the record does not say where   the same: the home chain keeps its row until it does

The home chain is prepared first and finalised last: its row says `VISIBLE` only when every member is. Once complete,
the record names the manifest of each member, and what a `root:{tx}` token reads is exactly those.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from arco.core import instant, paths
from arco.core.clock import Clock
from arco.core.errors import ArcoError, Conflict, CorruptData, NotFound, OutcomeUnknown, Overloaded, Unavailable
from arco.core.limits import TRANSACTION_HOLD_MS
from arco.domains.transactions.queries import Visibility
from arco.domains.transactions.rows import TransactionRow
from arco.kernel.manifest import encode
from arco.storage.create_only import Created, Taken, Undecided, create_only
from arco.storage.port import Lost, Matches, ObjectStore, StorageUnavailable, Stored, Unsure

COMMIT: Final = "commit"
ABORT: Final = "abort"

_TRIES: Final = 4
_BACKOFF_MS: Final = 50
_UNREACHED: Final = (OutcomeUnknown, Overloaded, Unavailable, StorageUnavailable)


Failed = Callable[[str, Exception], None]
"""Hears which transaction could not be brought to its end, and why."""


def _unheard(_tx_id: str, _error: Exception) -> None:
    """Nobody asked."""


class MemberRecord(msgspec.Struct, frozen=True, rename="camel"):
    """Where a member became visible."""

    manifest_id: str
    manifest_path: str
    commit_id: str


class RootRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The record of a root transaction (catalog.md 4.12). `domains` is empty until every member is visible."""

    tx_id: str
    fencing_token: int = 0
    published_at: str
    decision: str
    participants: tuple[str, ...] = ()
    domains: dict[str, MemberRecord] = {}
    visible_at: int = 0

    @property
    def complete(self) -> bool:
        """Whether every member is visible, and the record says where."""
        return self.decision == COMMIT and set(self.domains) == set(self.participants)


class Held(msgspec.Struct, frozen=True):
    """A transaction a chain knows of and is not done with."""

    tx_id: str
    participants: tuple[str, ...]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a participant is asked to prepare. The home chain is given no `tx_id`: it makes it, and claims the key."""

    tx_id: str | None
    request_hash: str
    participants: tuple[str, ...]
    expires_at: int
    key_hash: str | None = None


class Participant(Protocol):
    """One chain's part in transactions. Every method may be called any number of times, by anybody."""

    async def prepare(self, order: Order) -> str:
        """Check and hold this member's changes; the transaction's id.

        Raises the refusal as the fact it is; `OutcomeUnknown`, `Unavailable` and their like when it is not known.
        """
        ...

    async def finalise(self, tx_id: str) -> Visibility:
        """Make the prepared changes facts. Only after the decision to commit. Raises `OutcomeUnknown` and its like."""
        ...

    async def abort(self, tx_id: str) -> None:
        """Let go of what is held, and refuse to prepare it later. Only after the decision to abort."""
        ...

    async def completed(self, tx_id: str) -> None:
        """Note that the record is complete (home chain only)."""
        ...

    async def known(self, tx_id: str) -> TransactionRow | None:
        """What the chain knows of the transaction."""
        ...

    async def overdue(self) -> Sequence[Held]:
        """What was left longer than it may be."""
        ...


class Completed(msgspec.Struct, frozen=True):
    """A root transaction that is visible everywhere; `repair_pending` when its record does not say so yet."""

    record: RootRecord
    members: Mapping[str, Visibility]
    repair_pending: bool


class Coordinator:
    """Carries out root transactions, its own and those that others left."""

    def __init__(self, store: ObjectStore, clock: Clock, participants: Mapping[str, Participant], home: str) -> None:
        self._store = store
        self._clock = clock
        self._participants = participants
        self._home = home

    async def commit(self, members: Mapping[str, Participant], order: Order) -> Completed:
        """Prepare, decide, finalise. `members` prepare their own changes; the home chain is one of them, and first.

        Raises the refusal of a member, `Conflict` when somebody aborted it meanwhile, and `OutcomeUnknown` when it may
        be committed or aborted later.
        """
        tx_id = await members[self._home].prepare(order)
        try:
            for domain in order.participants:
                if domain != self._home:
                    await members[domain].prepare(msgspec.structs.replace(order, tx_id=tx_id, key_hash=None))
        except Exception:
            # Whatever it was: nothing is decided, so it can still be decided against.
            await self._given_up(tx_id, order.participants)
            raise
        record = await self._decided(tx_id, COMMIT, order.participants)
        if record.decision == ABORT:
            await self._released(record)
            raise Conflict("the transaction took too long and was aborted; send it again", tx_id=tx_id)
        return await self.complete(record)

    async def resolve(self, tx_id: str, participants: Sequence[str]) -> Completed | None:
        """Bring an overdue transaction to its end: what was committed, or None when it is aborted."""
        record = await self.record(tx_id)
        if record is None:
            record = await self._decided(tx_id, ABORT, participants)
        if record.decision == ABORT:
            await self._released(record)
            return None
        return await self.complete(record)

    async def repair(self, failed: Failed = _unheard) -> int:
        """Resolve what is overdue; how many transactions that was. `failed` hears of those that could not be."""
        done = 0
        for participant in self._participants.values():
            for held in await participant.overdue():
                try:
                    await self.resolve(held.tx_id, held.participants)
                except (ArcoError, StorageUnavailable) as error:
                    failed(held.tx_id, error)  # a next round tries again; the others do not wait for it
                    continue
                done += 1
        return done

    async def record(self, tx_id: str) -> RootRecord | None:
        """The record of a transaction, None while it is not decided. Raises `StorageUnavailable`, `CorruptData`."""
        return await read_record(self._store, tx_id)

    async def complete(self, record: RootRecord) -> Completed:
        """Finalise every member, the home chain last, and complete the record. Raises `OutcomeUnknown` and its like."""
        ordered = sorted(record.participants, key=lambda domain: domain == self._home)
        members: dict[str, Visibility] = {}
        for domain in ordered:
            try:
                members[domain] = await self._participant(domain).finalise(record.tx_id)
            except _UNREACHED as error:
                sentence = f"the transaction is committed and not visible everywhere yet: {error}"
                raise OutcomeUnknown(sentence, event_id=record.tx_id) from error
        full = _full(record, members)
        written = record.complete or await self._written(full)
        if written:
            try:
                await self._participant(self._home).completed(record.tx_id)
            except _UNREACHED:
                written = True  # everybody can read it; that the home chain may forget it is told it by the next round
        return Completed(full, members, not written)

    async def _decided(self, tx_id: str, wanted: str, participants: Sequence[str]) -> RootRecord:
        """The decision there is, which is ours if there was none."""
        record = RootRecord(
            tx_id=tx_id,
            published_at=instant.stored_text(self._clock.now_ms()),
            decision=wanted,
            participants=tuple(participants),
        )
        outcome = await create_only(self._store, self._clock, paths.root_transaction(tx_id), encode(record))
        match outcome:
            case Created():
                return record
            case Taken(body=body):
                return _decoded(body)
            case Undecided(cause=cause):
                raise OutcomeUnknown(f"it is not known how the transaction was decided: {cause}", event_id=tx_id)

    async def _given_up(self, tx_id: str, participants: Sequence[str]) -> None:
        try:
            await self.resolve(tx_id, participants)
        except _UNREACHED:
            return  # what is held is overdue soon, and then anybody's to resolve

    async def _released(self, record: RootRecord) -> None:
        for domain in record.participants:
            await self._participant(domain).abort(record.tx_id)

    async def _written(self, full: RootRecord) -> bool:
        """Complete the record by swapping it; all who do so write the same bytes."""
        key = paths.root_transaction(full.tx_id)
        for attempt in range(_TRIES):
            try:
                found = await self._store.get(key)
                if found is None:
                    return False
                if _decoded(found.body).complete:
                    await self._store.settle(key)
                    return True
                outcome = await self._store.put(key, encode(full), when=Matches(found.version))
            except StorageUnavailable:
                outcome = Unsure("storage does not answer")
            match outcome:
                case Stored():
                    return True
                case Lost() | Unsure():
                    await self._clock.sleep_ms(_BACKOFF_MS << attempt)
        return False

    def _participant(self, domain: str) -> Participant:
        found = self._participants.get(domain)
        if found is None:
            raise Unavailable(f"this server has no part in transactions called {domain}")
        return found


async def read_record(store: ObjectStore, tx_id: str) -> RootRecord | None:
    """The record of a transaction, None while it is not decided. Raises `StorageUnavailable`, `CorruptData`."""
    key = paths.root_transaction(tx_id)
    found = await store.get(key)
    if found is None:
        return None
    # Another process's record may be visible before its directory entry is durable.
    await store.settle(key)
    return _decoded(found.body)


def order_of(request_hash: str, key_hash: str, participants: Sequence[str], now_ms: int) -> Order:
    """What the members of a new transaction are asked for."""
    return Order(
        tx_id=None,
        request_hash=request_hash,
        participants=tuple(participants),
        expires_at=now_ms + TRANSACTION_HOLD_MS,
        key_hash=key_hash,
    )


def readable(record: RootRecord | None, tx_id: str) -> RootRecord:
    """The record of a transaction that may be read by its token. Raises `NotFound`."""
    if record is None or not record.complete:
        raise NotFound(f"root transaction is not visible: {tx_id}")
    return record


def _full(record: RootRecord, members: Mapping[str, Visibility]) -> RootRecord:
    # The same for everybody who finishes: all of it is in the chains.
    return msgspec.structs.replace(
        record,
        visible_at=max(member.visible_at for member in members.values()),
        domains={
            domain: MemberRecord(
                manifest_id=members[domain].manifest_id,
                manifest_path=paths.manifest(members[domain].chain, int(members[domain].manifest_id)),
                commit_id=members[domain].commit_id,
            )
            for domain in sorted(members)
        },
    )


def _decoded(body: bytes) -> RootRecord:
    try:
        return msgspec.json.decode(body, type=RootRecord)
    except msgspec.MsgspecError as error:
        raise CorruptData(f"a root record is not readable: {error}") from error
