"""From envelopes as callers send them to events of one unit (orchestration.md 2.1). Pure.

Errors name the index and the field. The ledger gives its events ids and times of its own kind: what an envelope says of
itself (`event_id`, `correlation_id`, `causation_id`) is kept in the event's `data` under `envelope`.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arco.core import instant
from arco.core.canonical_json import canonical_json, canonical_sha256
from arco.core.errors import InvalidInput
from arco.core.ids import is_ulid, ulid_ms
from arco.core.limits import TRANSACTION_MUTATIONS_MAX
from arco.domains.orchestration.automation_events import ScheduleDefinitionUpserted
from arco.domains.orchestration.batches.rights import (
    FUTURE_MS,
    PAST_MS,
    PEOPLE,
    ROLES,
    NotAllowed,
    Speaker,
    bar,
)
from arco.domains.orchestration.batches.rules import check_data, check_together, named
from arco.domains.orchestration.drafts import key_of
from arco.domains.orchestration.events import EVENT_VERSION, PlanCreated, RunTriggered, payload_of
from arco.kernel.desk import EventDraft

_TEXT_CHARS_MAX: Final = 256
_KEY_CHARS_MAX: Final = 2_048
_SCHEDULE_KEYS: Final = ("sched_def_api", "sched_enable", "sched_disable")
"""Beginnings of the keys that routes give a schedule's definition; a deployment's is not a caller's to take."""

_TYPES: Final = {name: "".join(f"_{c.lower()}" if c.isupper() else c for c in name)[1:] for name in PEOPLE | ROLES}
_BY_TAG: Final = {tag: name for name, tag in _TYPES.items()}


class Batch(msgspec.Struct, frozen=True):
    """Events in order, and what the request is known by.

    `stale` says what of it would have been taken at its time and is too old now: an earlier try may have been taken.
    """

    events: tuple[EventDraft, ...]
    hashed: tuple[dict[str, Any], ...]
    stale: str | None = None

    @property
    def request(self) -> dict[str, Any]:
        """What is hashed of it (catalog.md 4.11)."""
        return {"events": list(self.hashed)}


def batch_of(envelopes: Sequence[Any], speaker: Speaker, place: str = "events") -> Batch:
    """The events of a batch. Raises `InvalidInput` and `NotAllowed`, which name the index and the field."""
    if not envelopes:
        raise InvalidInput(f"{place} must hold at least one event")
    if len(envelopes) > TRANSACTION_MUTATIONS_MAX:
        raise InvalidInput(f"{place} must hold 1 to {TRANSACTION_MUTATIONS_MAX} events")
    events: list[EventDraft] = []
    hashed: list[dict[str, Any]] = []
    payloads: list[Any] = []
    last_id = ""
    for index, envelope in enumerate(envelopes):
        where = f"{place}[{index}]"
        try:
            event_type, data = _typed(envelope)
            refused = bar(event_type, data, operator=speaker.operator)
            if refused is not None:
                raise NotAllowed(refused)
            last_id = _check_id(envelope, last_id, speaker)
            payload = _payload(event_type, data)
            payload = check_data(payload, speaker)
            hashed.append(_hashed(envelope, event_type, payload))
            events.append(_draft(envelope, event_type, payload, speaker))
            payloads.append(payload)
        except InvalidInput as error:
            raise type(error)(f"{where}.{error.message}", event=index) from error
    check_together(payloads, place, operator=speaker.operator)
    return Batch(tuple(events), tuple(hashed), _stale(events, payloads, speaker, place))


def request_hash(batch: Batch) -> str:
    """The hash of a transaction that is this batch."""
    return "sha256:" + canonical_sha256(batch.request)


def _typed(envelope: Any) -> tuple[str, dict[str, Any]]:
    """The event's type and its data."""
    if not isinstance(envelope, dict):
        raise InvalidInput("data is required: an event is an envelope with its data")
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise InvalidInput("data is required: one event, for instance of type run_triggered")
    tag = data.get("type")
    event_type = _BY_TAG.get(tag) if isinstance(tag, str) else None
    if event_type is None:
        raise InvalidInput("data.type is no event that may be committed in a transaction")
    version = envelope.get("event_version", EVENT_VERSION)
    if version != EVENT_VERSION or isinstance(version, bool):
        raise InvalidInput(f"event_version must be {EVENT_VERSION}")
    if envelope.get("event_type", event_type) != event_type:
        raise InvalidInput(f"event_type must be {event_type}, as data.type says")
    return event_type, data


def _check_id(envelope: dict[str, Any], last: str, speaker: Speaker) -> str:
    """Events are folded in the order of their ids: the order they are in."""
    event_id = envelope.get("event_id")
    if event_id is None:
        return last
    if not isinstance(event_id, str) or not is_ulid(event_id):
        raise InvalidInput("event_id must be a ULID of 26 characters")
    if ulid_ms(event_id) > speaker.now_ms + FUTURE_MS:
        raise InvalidInput(f"event_id is more than {FUTURE_MS // 1000} seconds ahead of this server's clock")
    if event_id <= last:
        raise InvalidInput("event_id must be greater than those before it: events are folded in the order of their ids")
    return event_id


def _payload(event_type: str, data: dict[str, Any]) -> Any:
    if event_type == "RunCancelRequested":
        data = {"requested_by": "", **data}  # who asks is filled in
    try:
        text = canonical_json(data)
    except (TypeError, RecursionError) as error:
        raise InvalidInput(f"data: {error}") from None
    except UnicodeEncodeError:
        raise InvalidInput("data holds half of a character") from None
    try:
        return payload_of(event_type, text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(named(str(error))) from None


def _hashed(envelope: dict[str, Any], event_type: str, payload: Any) -> dict[str, Any]:
    """What names the request: all that is taken of an envelope, but not which manual request it was (4.11)."""
    data = msgspec.json.decode(msgspec.json.encode(payload))
    source = data.get("trigger_source_ref")
    if isinstance(source, dict) and source.get("type") == "manual":
        data["trigger_source_ref"] = {**source, "request_id": ""}
    given = {
        name: envelope[name]
        for name in ("event_id", "timestamp", "correlation_id", "causation_id")
        if envelope.get(name)
    }
    return {**given, "event_type": event_type, "event_version": EVENT_VERSION, "data": data}


def _draft(envelope: dict[str, Any], event_type: str, payload: Any, speaker: Speaker) -> EventDraft:
    own = f"arco-flow/{speaker.tenant}/{speaker.workspace}"
    for name, expected in (("tenant_id", speaker.tenant), ("workspace_id", speaker.workspace), ("source", own)):
        if envelope.get(name) not in (None, "", expected):
            raise InvalidInput(f"{name} must be {expected}, or left out")
    key = _key(envelope, payload)
    run_id = getattr(payload, "run_id", None)
    correlation = _text(envelope, "correlation_id")
    if correlation is not None and run_id is not None and correlation != run_id:
        raise InvalidInput("correlation_id must be data.run_id, or left out")
    kept = {"event_id": envelope.get("event_id"), "correlation_id": correlation}
    kept = {**kept, "causation_id": _text(envelope, "causation_id")}
    kept = {name: value for name, value in kept.items() if value is not None}
    data = msgspec.json.decode(msgspec.json.encode(payload))
    return EventDraft(
        event_type=event_type,
        event_version=EVENT_VERSION,
        payload={**data, "envelope": kept} if kept else data,
        key=key,
        at_ms=_time(envelope, speaker),
    )


def _key(envelope: dict[str, Any], payload: Any) -> str:
    """The event's key: a key that says something else than its event would mislead who reads the ledger."""
    own = key_of(payload)
    assert own is not None
    brought = envelope.get("idempotency_key") or own
    if not isinstance(brought, str) or len(brought) > _KEY_CHARS_MAX:
        raise InvalidInput(f"idempotency_key must be a text of at most {_KEY_CHARS_MAX} characters")
    others: tuple[str, ...] = ()
    if isinstance(payload, ScheduleDefinitionUpserted):
        others = tuple(f"{kind}:{payload.schedule_id}:" for kind in _SCHEDULE_KEYS)
    if brought != own and not any(brought.startswith(other) for other in others):
        raise InvalidInput(f"idempotency_key must be {own}, or left out")
    return brought


def _time(envelope: dict[str, Any], speaker: Speaker) -> int | None:
    text = envelope.get("timestamp")
    if text is None:
        return None
    try:
        at_ms = instant.parse_ms(text)
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput("timestamp must be an RFC 3339 time with a zone") from None
    if at_ms > speaker.now_ms + FUTURE_MS:
        raise InvalidInput(f"timestamp is more than {FUTURE_MS // 1000} seconds ahead of this server's clock")
    return at_ms


def _stale(events: Sequence[EventDraft], payloads: Sequence[Any], speaker: Speaker, place: str) -> str | None:
    """What is too old, and where: news of another time would lie among runs that nobody touches any more."""
    ago = f"is more than {PAST_MS // 3_600_000} hours ago"
    for index, (event, payload) in enumerate(zip(events, payloads, strict=True)):
        if event.at_ms is not None and event.at_ms < speaker.now_ms - PAST_MS:
            return f"{place}[{index}].timestamp {ago}"
        if isinstance(payload, RunTriggered | PlanCreated) and ulid_ms(payload.run_id) < speaker.now_ms - PAST_MS:
            return f"{place}[{index}].data.run_id {ago}"
    return None


def _text(envelope: dict[str, Any], name: str) -> str | None:
    text = envelope.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not 0 < len(text) <= _TEXT_CHARS_MAX:
        raise InvalidInput(f"{name} must have 1 to {_TEXT_CHARS_MAX} characters")
    return text
