"""The api's end of the write path: drafts become named units, are appended in groups, and folded by the compactor.

Zero-linger grouping: what queued while an append was in flight is the next ledger object. An append whose answer is
lost is issued again with the same name and bytes; only what is known to have been appended is handed to the compactor
with its bytes, so that nothing is read back. Source: architecture.md "Group commit"; reliability.md 9.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, assert_never

import msgspec

from arco.core import instant, paths
from arco.core.canonical_json import sha256_hex
from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import CorruptData, OutcomeUnknown, Overloaded, Unavailable
from arco.core.limits import BATCH_BYTES_MAX, BATCH_UNITS_MAX, COMMAND_DEADLINE_MS, QUEUE_UNITS_MAX
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Envelope, Unit, encode_units, event_key
from arco.kernel.fold import Outcome
from arco.storage.port import Absent, Lost, ObjectStore, StorageUnavailable, Stored, Unsure, WriteRefused

_APPENDS_IN_FLIGHT: Final = 4
_TRIES: Final = 6
_BACKOFF_MS: Final = 50
_ENVELOPE_BYTES: Final = 500


class LedgerBody(msgspec.Struct, frozen=True):
    """A ledger object that is known to have been appended: its path, its bytes and their hash."""

    path: str
    sha256: str
    body: bytes


class CompactorGone(Exception):
    """The compactor did not answer in time, or answered that it does not know."""


class CompactorPort(Protocol):
    """How the api reaches the compactor of its scope."""

    async def compact(self, domain: str, objects: Sequence[LedgerBody]) -> list[Outcome]:
        """Fold the units of these ledger objects; outcomes of all of them. Raises `CompactorGone`."""
        ...


class _Waiting(msgspec.Struct):
    units: list[Unit]
    size_bytes: int
    future: asyncio.Future[list[Outcome]]


class LedgerDesk:
    """Implements `kernel.desk.Desk` for one scope."""

    def __init__(
        self,
        store: ObjectStore,
        compactor: CompactorPort,
        *,
        clock: Clock,
        ids: Ids,
        on_receipt: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._compactor = compactor
        self._clock = clock
        self._ids = ids
        self._on_receipt = on_receipt
        self._queues: dict[str, list[_Waiting]] = {}
        self._in_flight: dict[str, int] = {}
        self._unanswered = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        """Append and fold the units, in order; one outcome each. See `Desk.submit`."""
        if self._unanswered + len(units) > QUEUE_UNITS_MAX:
            raise Overloaded("too many writes are waiting for a commit; try again shortly", retry_after_s=1)
        domain = units[0].domain
        named = [self._named(unit, source) for unit in units]
        waiting = _Waiting(named, _size_bytes(named), asyncio.get_running_loop().create_future())
        self._queues.setdefault(domain, []).append(waiting)
        self._unanswered += len(named)
        # A caller that leaves takes nothing with it: its units count until they are decided.
        waiting.future.add_done_callback(lambda _: self._answered(len(named)))
        if self._in_flight.get(domain, 0) < _APPENDS_IN_FLIGHT:
            self._begin(domain)
        return await asyncio.shield(waiting.future)

    def _answered(self, units: int) -> None:
        self._unanswered -= units

    def _named(self, draft: UnitDraft, source: str) -> Unit:
        now_ms = self._clock.now_ms()
        ids = [self._ids.ulid() for _ in draft.events]
        events = []
        for event_id, event in zip(ids, draft.events, strict=True):
            payload = event.payload if event.key else msgspec.to_builtins(event.payload)
            events.append(
                Envelope(
                    event_type=event.event_type,
                    event_version=event.event_version,
                    idempotency_key=event.key or event_key(event.event_type, event.event_version, payload),
                    occurred_at=instant.stored_text(now_ms if event.at_ms is None else event.at_ms),
                    source=source,
                    trace_id=draft.trace_id,
                    payload=msgspec.Raw(msgspec.json.encode(payload)),
                    event_id=event_id,
                    unit_id=ids[0] if len(ids) > 1 else None,
                    deadline_ms=None if draft.lasting else now_ms + COMMAND_DEADLINE_MS,
                    claim=draft.claim,
                    base_row_version=event.base_row_version,
                    actor=draft.actor,
                )
            )
        return Unit(tuple(events))

    def _begin(self, domain: str) -> None:
        self._in_flight[domain] = self._in_flight.get(domain, 0) + 1
        task = asyncio.get_running_loop().create_task(self._drain(domain))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, domain: str) -> None:
        """Append what is queued; the folding of it goes on beside the next append."""
        try:
            while batch := self._take(domain):
                try:
                    appended = await self._append(domain, batch)
                except Exception as error:  # noqa: BLE001  # the callers of this batch must hear of it
                    _fail(batch, error)
                    continue
                task = asyncio.get_running_loop().create_task(self._fold(domain, appended, batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            self._in_flight[domain] -= 1

    def _take(self, domain: str) -> list[_Waiting]:
        queue = self._queues.get(domain, [])
        count = units = size = 0
        for waiting in queue:
            units += len(waiting.units)
            size += waiting.size_bytes
            if count and (units > BATCH_UNITS_MAX or size > BATCH_BYTES_MAX):
                break
            count += 1
        batch, self._queues[domain] = queue[:count], queue[count:]
        return batch

    async def _append(self, domain: str, batch: Sequence[_Waiting]) -> LedgerBody:
        units = [unit for waiting in batch for unit in waiting.units]
        body = encode_units(units)
        key = paths.ledger_object(domain, units[0].unit_id)
        cause = ""
        for attempt in range(_TRIES):
            try:
                outcome = await self._store.put(key, body, when=Absent())
            except WriteRefused as refused:
                if not cause:
                    raise
                # This try provably failed, an earlier one may not have.
                outcome = Unsure(str(refused))
            match outcome:
                case Stored():
                    return LedgerBody(key, sha256_hex(body), body)
                case Lost():
                    if await self._is_ours(key, body):
                        return LedgerBody(key, sha256_hex(body), body)
                    cause = "the ledger could not be read back"
                case Unsure(cause=text):
                    cause = text
                case _:
                    assert_never(outcome)
            await self._clock.sleep_ms(_BACKOFF_MS << attempt)
        sentence = f"it is not known whether the event was recorded: {cause}"
        raise OutcomeUnknown(sentence)

    async def _is_ours(self, key: paths.Key, body: bytes) -> bool:
        try:
            found = await self._store.get(key)
            # What is only seen may not be durable yet.
            await self._store.settle(key)
        except StorageUnavailable:
            return False
        if found is not None and found.body != body:
            raise CorruptData(f"{key} was taken by another event with the same id")
        return found is not None

    async def _fold(self, domain: str, appended: LedgerBody, batch: Sequence[_Waiting]) -> None:
        try:
            outcomes = await self._compactor.compact(domain, [appended])
            self._answer(batch, outcomes)
        except Exception as error:  # noqa: BLE001  # whatever it was, the units may be folded
            # The units are in the ledger, so whatever went wrong, they may have been folded or may yet be.
            reason = str(error) if isinstance(error, CompactorGone) else f"the fold failed: {type(error).__name__}"
            _fail(batch, OutcomeUnknown(reason))

    def _answer(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        by_unit = {outcome.unit_id: outcome for outcome in outcomes}
        if self._on_receipt is not None and (receipt := max((one.manifest_id for one in outcomes), default="")):
            self._on_receipt(receipt)
        for waiting in batch:
            mine = [by_unit.get(unit.unit_id) for unit in waiting.units]
            pending = next((one for one in mine if one is None or one.status == "unsupported"), None)
            if None in mine or pending is not None:
                reason = pending.message if pending is not None else "the compactor gave no outcome"
                _fail([waiting], OutcomeUnknown(reason))
            elif not waiting.future.done():
                waiting.future.set_result([one for one in mine if one is not None])


def _size_bytes(units: Sequence[Unit]) -> int:
    """About what the units take in a ledger object."""
    return sum(len(bytes(event.payload)) + _ENVELOPE_BYTES for unit in units for event in unit.events)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.future.done():
            # One exception object must not be raised in several tasks.
            waiting.future.set_exception(_told(error, waiting.units[0].unit_id))


def _told(error: Exception, event_id: str) -> Exception:
    """The error for one caller: what is unknown is decided later under the caller's own event id."""
    if isinstance(error, OutcomeUnknown):
        return OutcomeUnknown(error.message, event_id=event_id)
    if isinstance(error, Overloaded | Unavailable | CorruptData):
        return type(error)(error.message, **error.details)
    if isinstance(error, StorageUnavailable):
        return type(error)(*error.args)
    return error
