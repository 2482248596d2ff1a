"""Event envelopes from protobuf to the contract's JSON (orchestration.md 2.1, 2.3): one form for whoever checks them.

Partition keys become canonical texts, unions are tagged, enums are spelled as events spell them. Errors name the index
and the field; nothing is judged here but what has no JSON at all.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date
from typing import Any, Final

from arco.core import instant
from arco.core.errors import InvalidInput
from arco.core.limits import BATCH_PARTS_MAX, TRANSACTION_MUTATIONS_MAX
from arco.core.partitions import Value, partition_key

_TAGS: Final = {
    "Trigger": "type",
    "TriggerSourceRef": "type",
    "PartitionSelector": "type",
    "TickStatus": "status",
    "SensorEvalStatus": "status",
    "TriggerSource": "source",
}
"""Unions, and the key that says which of their kinds one is."""

_CAMEL: Final = frozenset({"TaskOutput", "TaskError", "TaskMetrics"})
_SMALL: Final = frozenset({"TaskOutcome", "VisibilityState", "TimerType"})
_FIRST_YEAR: Final = 1970
_EMPTY_MEANS_ABSENT: Final = ("event_id", "source", "idempotency_key")


def envelopes_of(messages: Sequence[Any], place: str = "events") -> list[dict[str, Any]]:
    """The envelopes as the contract's JSON has them. Raises `InvalidInput`."""
    # Counted before anything is looked at: two bytes of a message may stand for one part of it.
    if len(messages) > TRANSACTION_MUTATIONS_MAX:
        raise InvalidInput(f"{place} must hold 1 to {TRANSACTION_MUTATIONS_MAX} events")
    parts = sum(_parts(message) for message in messages)
    if parts > BATCH_PARTS_MAX:
        raise InvalidInput(f"{place} hold {parts} tasks and other parts, more than the limit of {BATCH_PARTS_MAX}")
    return [_envelope(message, f"{place}[{index}]") for index, message in enumerate(messages)]


def _parts(message: Any) -> int:
    """Elements of lists, all the way down; lists that are too long already are not looked into."""
    found = 0
    for field, value in message.ListFields():
        if not field.is_repeated:
            found += _parts(value) if field.message_type is not None else 0
            continue
        found += len(value)
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if field.message_type is not None and not is_map and found <= BATCH_PARTS_MAX:
            found += sum(_parts(one) for one in value)
    return found


def _envelope(message: Any, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {"event_version": message.event_version or 1}
    for name in _EMPTY_MEANS_ABSENT:
        if text := getattr(message, name):
            found[name] = text
    for name in ("correlation_id", "causation_id"):
        if message.HasField(name):
            found[name] = getattr(message, name)
    if message.HasField("timestamp"):
        found["timestamp"] = _time(message.timestamp, f"{where}.timestamp")
    kind = message.WhichOneof("event")
    if kind is not None:
        found["data"] = {"type": kind, **_fields(getattr(message, kind), f"{where}.data")}
    return found


def _fields(message: Any, where: str) -> dict[str, Any]:
    """The fields that are set, or cannot be told from unset."""
    camel = message.DESCRIPTOR.name in _CAMEL
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        place = f"{where}.{field.name}"
        name = _camel(field.name) if camel else field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found[name] = dict(value)
        elif field.is_repeated:
            found[name] = [_value(field, one, f"{place}[{index}]") for index, one in enumerate(value)]
        else:
            found[name] = _value(field, value, place)
    return found


def _value(field: Any, value: Any, where: str) -> Any:
    if field.enum_type is not None:
        return _enum(field.enum_type, value)
    if field.message_type is None:
        return value
    make = _MESSAGES.get(field.message_type.name)
    if make is not None:
        return make(value, where)
    tag = _TAGS.get(field.message_type.name)
    return _fields(value, where) if tag is None else _tagged(value, tag, where)


def _enum(kind: Any, number: int) -> str:
    """The value as events spell it; empty, which no event takes, for none."""
    named = kind.values_by_number.get(number)
    if named is None or not number:
        return ""
    prefix = "".join(f"_{char}" if char.isupper() else char.upper() for char in kind.name).lstrip("_")
    text: str = named.name.removeprefix(f"{prefix}_")
    return text.lower() if kind.name in _SMALL else text


def _tagged(message: Any, tag: str, where: str) -> dict[str, Any]:
    kind = message.WhichOneof(tag)
    return {} if kind is None else {tag: kind, **_fields(getattr(message, kind), where)}


def _time(stamp: Any, where: str) -> str:
    try:
        return instant.stored_text(stamp.ToMilliseconds())
    except (ValueError, OverflowError):
        raise InvalidInput(f"{where} is no time from 1970 to 9999") from None


def _partition(message: Any, where: str) -> str:
    values: dict[str, Value] = {}
    for index, dimension in enumerate(message.dimensions):
        place = f"{where}.dimensions[{index}]"
        if dimension.name in values:
            raise InvalidInput(f"{place}: {dimension.name[:100]} is there twice")
        values[dimension.name] = _dimension(dimension, place)
    try:
        return partition_key(values)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}") from None


def _dimension(message: Any, where: str) -> Value:
    kind = message.WhichOneof("value")
    try:
        match kind:
            case "date_value":
                return date.fromisoformat(message.date_value)
            case "timestamp_value":
                moment = message.timestamp_value.ToDatetime(tzinfo=UTC)
                return moment if moment.year >= _FIRST_YEAR else _never(where)
            case "null_value":
                return None
            case None:
                raise InvalidInput(f"{where} has no value")
    except (ValueError, OverflowError):
        raise InvalidInput(f"{where}.{kind} is no such time") from None
    value: Value = getattr(message, kind)
    return value


def _never(where: str) -> Value:
    raise InvalidInput(f"{where}.timestamp_value is before 1970")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


_MESSAGES: Final[dict[str, Callable[[Any, str], Any]]] = {"Timestamp": _time, "PartitionKey": _partition}
