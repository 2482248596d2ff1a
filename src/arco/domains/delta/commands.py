"""Staging and committing Delta payloads (catalog.md 4.10).

A commit is three steps, and the middle one decides: reserve the next version in the fold, create the version's log file
if it is absent, record it in the fold. From the reservation on there is only forward: whoever comes later, the same
request or, once the reservation is overdue, anybody, writes the same bytes under the same name. So nothing that goes
wrong after the reservation is told as a failure: it is not known yet, and the same key tells.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, assert_never

import msgspec

from arco.core import paths
from arco.core.canonical_json import canonical_sha256, sha256_hex
from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import ArcoError, Conflict, InvalidInput, NotFound, OutcomeUnknown, Overloaded, Unavailable
from arco.core.turns import drawn
from arco.domains.delta import fold, queries, rules
from arco.domains.delta.events import (
    DELTA_COMMIT,
    DELTA_COMMIT_VERSION,
    VERSION_MAX,
    Abandoned,
    DeltaEvent,
    Overtaken,
    Recorded,
    Reserved,
)
from arco.domains.delta.log import checkpointed, newest_version
from arco.domains.delta.rows import DELTA, DeltaKeyRow, ReservationRow
from arco.kernel.desk import Desk, EventDraft, UnitDraft
from arco.kernel.fold import Outcome
from arco.kernel.reading import Reader, Snapshot
from arco.kernel.verdicts import decided
from arco.storage.create_only import Created, Taken, Undecided, create_only
from arco.storage.port import ObjectStore, StorageUnavailable

ATTEMPTS_MAX: Final = 16
"""How often a commit that met others is tried again before it is told to come back (catalog.md 4.10)."""

OVERDUE_AT_ONCE: Final = 100
"""Reservations left by others that one round of repair takes up: the next scope waits for it."""

_REUSED: Final = "Idempotency-Key already used with different request body"
_RETRY_AFTER_S: Final = 1


class Clerk(msgspec.Struct, frozen=True, kw_only=True):
    """What the commands need of the world. `store` may create staged payloads and log files."""

    desk: Desk
    reader: Reader
    store: ObjectStore
    clock: Clock
    ids: Ids
    source: str


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """Make a staged payload the version after `read_version`. `key` is the idempotency key."""

    table_id: str
    read_version: int
    staged_path: str
    staged_version: str
    key: str

    @property
    def key_hash(self) -> str:
        """The hash the key is kept under."""
        return sha256_hex(self.key.encode())


class Staged(msgspec.Struct, frozen=True):
    """Where a payload waits for its commit, and its storage version."""

    path: str
    version: str


class Committed(msgspec.Struct, frozen=True):
    """The version that was made, and its log file."""

    version: int
    delta_log_path: str


Failed = Callable[[str, Exception], None]
"""Hears of which table a commit could not be finished, and why."""

FindRoot = Callable[[Snapshot | None], Awaitable[str]]
"""The scope-relative folder of the table as of a snapshot. Raises `NotFound`, `Conflict` for a table without a log."""


async def stage(clerk: Clerk, table_id: str, payload: str) -> Staged:
    """Keep a payload for a commit. Raises `InvalidInput` naming line and field; `OutcomeUnknown` harms nobody."""
    for _ in rules.PayloadCheck(payload).parts():
        await asyncio.sleep(0)
    key = paths.delta_staged(table_id, clerk.ids.ulid())
    outcome = await create_only(clerk.store, clerk.clock, key, payload.encode())
    match outcome:
        case Created(version=version):
            return Staged(key, version)
        case Taken():
            raise Conflict("the staging name was taken; stage the payload again", retry_after_s=_RETRY_AFTER_S)
        case Undecided(cause=cause):
            raise Unavailable(f"it is not known whether the payload was staged ({cause}); stage it again")
        case _:
            assert_never(outcome)


async def commit(clerk: Clerk, command: Commit, find_root: FindRoot) -> Committed:
    """The committed version.

    Raises `InvalidInput`, `NotFound` (table, staged payload), `Conflict` (another version is current or under way, the
    staged payload is another one, the key was used for another request), and `OutcomeUnknown` whenever the version may
    have been or may still be written.
    """
    if not -1 <= command.read_version < VERSION_MAX:
        raise InvalidInput(f"read_version must be -1 to {VERSION_MAX - 1}")
    snapshot = await clerk.reader.head()
    done = await queries.committed_with(snapshot, command.table_id, command.key_hash)
    if done is not None:
        return _replayed(done, command)
    root = await find_root(snapshot)
    payload, checkpoint = await asyncio.gather(_staged_payload(clerk, command), checkpointed(clerk.store, root))
    request_hash = _request_hash(command, payload)
    request = Reserved(
        table_id=command.table_id,
        table_root=root,
        # Known to every repetition of this request, so that each can go on where another stopped.
        commit_id=request_hash,
        key_hash=command.key_hash,
        request_hash=request_hash,
        read_version=command.read_version,
        staged_path=command.staged_path,
        staged_version=command.staged_version,
        payload_sha256=sha256_hex(payload),
    )
    known = await queries.table_row(snapshot, command.table_id)
    latest = fold.NONE_YET if known is None else known.latest_version
    if latest == fold.NONE_YET or checkpoint > latest:
        # Others have written this log, before it came to us or past us: their versions are not ours to give again.
        await _adopt(clerk, command.table_id, root, known=latest)
    for _ in range(ATTEMPTS_MAX):
        outcome = await _submitted(clerk, request)
        if outcome.status == "accepted":
            return await _carried_out(clerk, request, payload)
        if outcome.code == fold.COMMITTED:
            return await _recorded_before(clerk, command)
        await _made_way(clerk, request, outcome)
    raise Conflict("delta commit already reserved; retry later", retry_after_s=_RETRY_AFTER_S)


async def finish(clerk: Clerk, table_id: str) -> None:
    """Carry out the reservation of a table, if there is one, for whoever left it.

    Raises `OutcomeUnknown`, `StorageUnavailable`, and `Conflict` when the log went on without it.
    """
    at = await queries.coordinator(await clerk.reader.head(), table_id)
    held = at.inflight
    if held is None or at.table_root is None:
        return
    found = await clerk.store.get(paths.checked_key(held.staged_path))
    if found is None:
        await _ended(clerk, at.table_root, held)
        return
    await _write(clerk, at.table_root, _Version.of(held), found.body)


async def finish_overdue(clerk: Clerk, failed: Failed) -> int:
    """Finish the reservations of a workspace that are older than they may be, a bounded number; how many there were.

    `failed` hears of those that could not be finished.
    """
    left = await queries.overdue(await clerk.reader.head(), clerk.clock.now_ms())
    # Those that can never be finished must not stand in front of the others for ever.
    held = drawn(left, OVERDUE_AT_ONCE, seed=clerk.ids.ulid(), name=lambda one: one.table_id)
    for reservation in held:
        try:
            await finish(clerk, reservation.table_id)
        except Conflict:
            continue  # it ended: the log went on without it
        except (ArcoError, StorageUnavailable) as error:
            failed(reservation.table_id, error)  # the next round tries again; the others do not wait for it
    return len(held)


class _Version(msgspec.Struct, frozen=True):
    """A reserved version, and whose it is."""

    table_id: str
    commit_id: str
    key_hash: str
    number: int

    @classmethod
    def of(cls, held: ReservationRow | Reserved) -> "_Version":
        return cls(held.table_id, held.commit_id, held.key_hash, held.read_version + 1)


async def _carried_out(clerk: Clerk, request: Reserved, payload: bytes) -> Committed:
    """Write and record what was just reserved. Whatever goes wrong here leaves the outcome unknown."""
    version = _Version.of(request)
    try:
        await _write(clerk, request.table_root, version, payload)
    except (Overloaded, Unavailable, StorageUnavailable) as error:
        raise OutcomeUnknown(f"version {version.number} is reserved, and not known to be written: {error}") from error
    return Committed(version.number, paths.delta_log(request.table_root, version.number))


async def _write(clerk: Clerk, root: str, version: _Version, payload: bytes) -> None:
    """Create the log file of a reserved version and record it. Raises `Conflict` when the log went on without it."""
    outcome = await create_only(clerk.store, clerk.clock, paths.delta_log(root, version.number), payload)
    match outcome:
        case Created():
            await _record(clerk, version)
        case Taken():
            newest = await _adopt(clerk, version.table_id, root, known=version.number, commit_id=version.commit_id)
            _stale(newest, version.number - 1)
        case Undecided(cause=cause):
            raise OutcomeUnknown(f"it is not known whether version {version.number} was written: {cause}")
        case _:
            assert_never(outcome)


async def _ended(clerk: Clerk, root: str, held: ReservationRow) -> None:
    """End a reservation whose staged payload is gone, by what the log says of its version."""
    version = _Version.of(held)
    written = await clerk.store.get(paths.delta_log(root, version.number))
    if written is not None and sha256_hex(written.body) == held.payload_sha256:
        await clerk.store.settle(paths.delta_log(root, version.number))
        await _record(clerk, version)
    elif written is not None:
        newest = await _adopt(clerk, version.table_id, root, known=version.number, commit_id=version.commit_id)
        _stale(newest, held.read_version)
    else:
        outcome = await _submitted(clerk, Abandoned(table_id=held.table_id, commit_id=held.commit_id))
        if outcome.status != "accepted":
            raise OutcomeUnknown(f"the staged payload {held.staged_path} of a reservation is gone: {outcome.message}")


async def _record(clerk: Clerk, version: _Version) -> None:
    event = Recorded(table_id=version.table_id, commit_id=version.commit_id, version=version.number)
    outcome = await _submitted(clerk, event)
    if outcome.status == "accepted":
        return
    done = await queries.committed_with(await clerk.reader.head(), version.table_id, version.key_hash)
    if done is None or done.version != version.number:
        raise OutcomeUnknown(f"version {version.number} is written, and not recorded: {outcome.message}")


async def _adopt(clerk: Clerk, table_id: str, root: str, *, known: int, commit_id: str | None = None) -> int:
    """Take over versions that others wrote; the newest one. Nothing is said of an empty log."""
    newest = await newest_version(clerk.store, root, known=known)
    if newest != fold.NONE_YET:
        event = Overtaken(table_id=table_id, table_root=root, latest_version=newest, commit_id=commit_id)
        await _submitted(clerk, event)
    return newest


async def _made_way(clerk: Clerk, request: Reserved, outcome: Outcome) -> None:
    """Do what lets a refused reservation be asked for again; raises what the refusal means when nothing does."""
    latest = int(outcome.details.get("latest_version", fold.NONE_YET))
    match outcome.code:
        case fold.RESERVED if outcome.details.get("overdue") == "yes":
            try:
                await finish(clerk, request.table_id)
            except Conflict:
                return  # that one lost its version; ours is asked for again
        case fold.STALE if request.read_version > latest:
            newest = await _adopt(clerk, request.table_id, request.table_root, known=latest)
            if newest <= latest:
                _stale(latest, request.read_version)
        case fold.STALE:
            _stale(latest, request.read_version)
        case fold.RESERVED:
            raise Conflict(outcome.message, retry_after_s=_RETRY_AFTER_S, latest_version=latest)
        case fold.KEY_REUSED:
            raise Conflict(_REUSED)
        case _:
            raise Conflict(outcome.message or outcome.code)


async def _recorded_before(clerk: Clerk, command: Commit) -> Committed:
    """What somebody recorded for this key. Raises `Conflict` when the reservation ended without a version."""
    snapshot = await clerk.reader.head()
    done = await queries.committed_with(snapshot, command.table_id, command.key_hash)
    if done is not None:
        return _replayed(done, command)
    at = await queries.coordinator(snapshot, command.table_id)
    return _stale(at.latest_version, command.read_version)


async def _staged_payload(clerk: Clerk, command: Commit) -> bytes:
    found = await clerk.store.get(paths.checked_key(command.staged_path))
    if found is None:
        raise NotFound(f"staged object not found: {command.staged_path}")
    if found.version != command.staged_version:
        raise Conflict("staged version mismatch: the staged object has another version; stage the payload again")
    if command.read_version == fold.NONE_YET and not rules.creates_a_table(found.body):
        raise InvalidInput("the first commit of a table (read_version -1) must carry protocol and metaData actions")
    return found.body


async def _submitted(clerk: Clerk, event: DeltaEvent) -> Outcome:
    """The outcome of one event. Raises what the desk raises; `Unavailable` when it expired and changed nothing."""
    draft = EventDraft(event_type=DELTA_COMMIT, event_version=DELTA_COMMIT_VERSION, payload=msgspec.to_builtins(event))
    (outcome,) = await clerk.desk.submit([UnitDraft(domain=DELTA, events=(draft,))], source=clerk.source)
    return decided(outcome, "the commit")


def _replayed(done: DeltaKeyRow, command: Commit) -> Committed:
    # A staged object never changes, so its path stands for the payload: the object itself may be gone by now.
    if (done.read_version, done.staged_path) != (command.read_version, command.staged_path):
        raise Conflict(_REUSED)
    return Committed(done.version, done.delta_log_path)


def _request_hash(command: Commit, payload: bytes) -> str:
    return canonical_sha256(
        {
            "idempotency_key": command.key,
            "read_version": command.read_version,
            "staged_path": command.staged_path,
            "staged_payload_sha256": sha256_hex(payload),
        }
    )


def _stale(latest: int, given: int) -> NoReturn:
    raise Conflict(f"stale read_version: expected {latest}, got {given}", latest_version=latest)
