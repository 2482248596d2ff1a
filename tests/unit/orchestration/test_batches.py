"""Every event of the contract's twenty in protobuf becomes the envelope the fold reads (orchestration.md 2.1, 2.3)."""

from typing import Any

import msgspec
import pytest
from google.protobuf import message_factory

from arco.core.errors import InvalidInput
from arco.core.limits import BATCH_PARTS_MAX
from arco.domains.orchestration import automation_events, events
from arco.domains.orchestration.batches.envelopes import batch_of, request_hash
from arco.domains.orchestration.batches.rights import PEOPLE, ROLES, Speaker
from arco.routes.wire import orchestration, protos
from arco.routes.wire.envelopes import envelopes_of
from arco.routes.wire.orchestration import ENVELOPE, EVENTS, ORCHESTRATION_FILE

NOW_MS = 1_767_225_600_000
ULID = "01KDVH8Q3N5P7R9S1T3V5W7X9Y"
OPERATOR = Speaker(tenant="acme", workspace="prod", principal="ops", operator=True, now_ms=NOW_MS + 86_400_000)
TEXTS = {
    "run_id": ULID,
    "asset_key": "analytics.daily",
    "root_assets": "analytics.daily",
    "asset_selection": "analytics.daily",
    "cron_expression": "0 5 * * *",
    "name": "date",
    "date_value": "2025-01-15",
    "partial_progress_json": "{}",
    "planned_as": "root",
    "key": "analytics.daily",
}
OURS = {"TaskOutput": {"inputs", "column_lineage", "checks", "schema", "metadata"}}
"""What workers tell besides, through their callbacks only."""


def full(kind: Any, name: str = "") -> Any:
    """A message with every field set; of each union its first kind."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if (field.containing_oneof is not None and not field.has_presence) or field.name == "depends_on":
            continue
        group = field.containing_oneof
        if group is not None and not group.name.startswith("_") and message.WhichOneof(group.name):
            continue
        if field.message_type is None:
            value = scalar(field)
            getattr(message, field.name).append(value) if field.is_repeated else setattr(message, field.name, value)
        elif field.message_type.GetOptions().map_entry:
            getattr(message, field.name)["a"] = "b"
        elif field.message_type.name == "Timestamp":
            getattr(message, field.name).FromMilliseconds(NOW_MS)
        else:
            made = full(message_factory.GetMessageClass(field.message_type), field.name)
            target = getattr(message, field.name)
            (target.add() if field.is_repeated else target).CopyFrom(made)
            target.SetInParent() if not field.is_repeated else None
    return message


def scalar(field: Any) -> Any:
    if field.type == field.TYPE_STRING:
        return TEXTS.get(field.name, f"some {field.name}" if field.name != "task_key" else "analytics.daily")
    if field.type == field.TYPE_BOOL:
        return True
    return {"heartbeat_timeout_sec": 300, "timeout_sec": 300}.get(field.name, 2)


def enveloped(kind: str) -> Any:
    envelope = protos.message_class(ORCHESTRATION_FILE, ENVELOPE)()
    event = getattr(envelope, kind)
    event.CopyFrom(full(type(event)))
    event.SetInParent()
    return envelope


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_with_every_field_set_is_read_with_every_field(kind):
    (envelope,) = envelopes_of([enveloped(kind)])
    assert envelope["data"]["type"] == kind
    if kind in ("run_triggered", "plan_created"):
        other = "plan_created" if kind == "run_triggered" else "run_triggered"
        (beside,) = envelopes_of([enveloped(other)])
        batch = batch_of([envelope, beside], OPERATOR)
    else:
        batch = batch_of([envelope], OPERATOR)
    event = batch.events[0]
    assert event.event_type in PEOPLE | ROLES
    read = events.payload_of(event.event_type, msgspec.json.encode(event.payload))
    written = set(event.payload) - {"type"}
    assert written == set(read.__struct_fields__), "a field of the event has no number, or was not read"
    assert request_hash(batch).startswith("sha256:")


def test_every_field_of_every_event_has_a_number_and_none_has_two():
    for name, fields in orchestration.MESSAGES.items():
        assert len({number for _, number, _ in fields}) == len(fields), name
        kind = getattr(events, name, getattr(automation_events, name, None))
        if kind is not None and issubclass(kind, msgspec.Struct):
            assert {field for field, _, _ in fields} == set(kind.__struct_fields__) - OURS.get(name, set()), name
    tags = [(name, number) for name, number, _ in orchestration.MESSAGES[ENVELOPE] if number >= 20]
    assert tags == list(zip(EVENTS, range(20, 40), strict=True))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([("date", "date_value", "2025-01-15"), ("a", "int_value", -7)], "a=i:-7,date=d:2025-01-15"),
        ([("n", "null_value", True), ("b", "bool_value", False)], "b=b:false,n=n:null"),
        ([("e", "string_value", "")], "e=s:"),
        ([], ""),
    ],
)
def test_a_partition_key_is_written_canonically(values, text):
    envelope = enveloped("task_finished")
    key = envelope.task_finished.partition_key
    key.Clear()
    for name, field, value in values:
        key.dimensions.add(**{"name": name, field: value})
    assert envelopes_of([envelope])[0]["data"]["partition_key"] == text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([{"name": "a"}], "events[0].data.partition_key.dimensions[0] has no value"),
        ([{"name": "A", "int_value": 1}], "events[0].data.partition_key: 'A' is no name of a dimension"),
        ([{"name": "a", "date_value": "x"}], "events[0].data.partition_key.dimensions[0].date_value is no such time"),
        ([{"name": "a", "int_value": 1}] * 2, "events[0].data.partition_key.dimensions[1]: a is there twice"),
    ],
)
def test_a_partition_key_that_is_none_is_refused_with_its_place(values, said):
    envelope = enveloped("task_finished")
    envelope.task_finished.partition_key.Clear()
    for value in values:
        envelope.task_finished.partition_key.dimensions.add(**value)
    with pytest.raises(InvalidInput) as refused:
        envelopes_of([envelope])
    assert refused.value.message.startswith(said)


def test_parts_are_counted_before_they_are_looked_at():
    envelope = enveloped("plan_created")
    envelope.plan_created.ParseFromString(b"\x1a\x00" * (BATCH_PARTS_MAX + 1))
    with pytest.raises(InvalidInput, match="more than the limit of"):
        envelopes_of([envelope])
