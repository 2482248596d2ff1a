"""The ledger envelope: immutable fact-candidates, and the units they come in (catalog.md 2.8).

A ledger object is NDJSON, one envelope a line; a pretty-printed single-event object of the contracts reads
just as well. Fields beyond the contract (`event_id`, `unit_id`, `deadline_ms`, `claim`, `base_row_version`,
`actor`) are absent in old objects: their event id is the object's name and each event is a unit of its own.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from arco.core.canonical_json import canonical_json, sha256_hex
from arco.core.ids import is_ulid


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """An idempotency key a unit claims as it is folded: same operation, key and request give one outcome.

    With `refusals` False a refused unit leaves the key free for later ones, whatever it was refused for.
    """

    operation: str
    key_hash: str
    request_hash: str
    refusals: bool = True


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One event as the ledger holds it. `payload` is kept as the JSON it arrived as."""

    event_type: str
    event_version: int
    idempotency_key: str
    occurred_at: str
    source: str
    trace_id: str | None = None
    sequence_position: int | None = None
    payload: msgspec.Raw
    event_id: str = ""
    unit_id: str | None = None
    deadline_ms: int | None = None
    claim: Claim | None = None
    base_row_version: int | None = None
    actor: str | None = None


class Unit(msgspec.Struct, frozen=True):
    """1..k events that are one fact: folded all or nothing, in event-id order, with one outcome."""

    events: tuple[Envelope, ...]

    @property
    def unit_id(self) -> str:
        """The id of the unit's first event; its outcome is found under this id."""
        return self.events[0].event_id

    @property
    def claim(self) -> Claim | None:
        """The idempotency key this unit claims, if any."""
        return self.events[0].claim

    @property
    def deadline_ms(self) -> int | None:
        """The moment after which the unit may no longer be folded."""
        return self.events[0].deadline_ms


class UnreadableLedgerObject(Exception):
    """Bytes that were read and cannot be a ledger object."""


_DECODER = msgspec.json.Decoder(Envelope)
_ENCODER = msgspec.json.Encoder()


def event_key(event_type: str, event_version: int, payload: Any) -> str:
    """The automatic event idempotency key: `auto:` + 32 hex of SHA-256 over canonical JSON."""
    body = {"event_type": event_type, "event_version": event_version, "payload": payload}
    return "auto:" + sha256_hex(canonical_json(body))[:32]


def encode_units(units: Sequence[Unit]) -> bytes:
    """The NDJSON body of a ledger object holding these units."""
    return _ENCODER.encode_lines([event for unit in units for event in unit.events])


def decode_units(body: bytes, object_event_id: str) -> list[Unit]:
    """The units of a ledger object named `object_event_id`. Raises `UnreadableLedgerObject`."""
    try:
        events = _decode_events(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableLedgerObject(str(error)) from error
    if not events:
        raise UnreadableLedgerObject("a ledger object holds at least one event")
    if len(events) == 1 and not events[0].event_id:
        events = [msgspec.structs.replace(events[0], event_id=object_event_id)]
    return _grouped(events)


def _decode_events(body: bytes) -> list[Envelope]:
    try:
        # One event on one line, or one event printed over many lines (the contracts' form).
        return [_DECODER.decode(body)]
    except msgspec.DecodeError:
        return [_DECODER.decode(line) for line in body.splitlines() if line.strip()]


def _grouped(events: list[Envelope]) -> list[Unit]:
    groups: dict[str, list[Envelope]] = {}
    for event in events:
        if not is_ulid(event.event_id):
            raise UnreadableLedgerObject("every event of a batch needs an event_id that is a ULID")
        groups.setdefault(event.unit_id or event.event_id, []).append(event)
    return [Unit(tuple(sorted(group, key=lambda e: e.event_id))) for group in groups.values()]


def payload_value(event: Envelope) -> Any:
    """The payload as plain values, for canonical hashing in tools and tests."""
    return json.loads(bytes(event.payload))
