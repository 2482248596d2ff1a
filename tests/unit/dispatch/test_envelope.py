"""The dispatch envelope (orchestration.md 7.1): written in one way, read leniently, never ambiguously."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.core.errors import InvalidInput
from arco.dispatch.envelope import (
    ENVELOPE_BYTES_MAX,
    TimerDelivery,
    WorkerDispatchEnvelope,
    read_envelope,
    same_base_url,
    write_envelope,
    write_timer,
)

TASK_ID = "ct1_cnVuLTEyMwBhbmFseXRpY3MuZGFpbHlfc2FsZXM"


def an_envelope(**changes: Any) -> WorkerDispatchEnvelope:
    values: dict[str, Any] = {
        "tenant_id": "acme",
        "workspace_id": "prod",
        "task_id": TASK_ID,
        "task_key": "analytics.daily_sales",
        "run_id": "run-123",
        "attempt": 1,
        "attempt_id": "att_x",
        "dispatch_id": "dispatch:run-123:analytics.daily_sales:1",
        "partition_key": "date=d:2025-01-15",
        "heartbeat_timeout_sec": 300,
        "worker_queue": "default-queue",
        "callback_base_url": "https://api.example",
        "task_token": "eyJ",
        "token_expires_at": datetime(2025, 1, 15, 11, tzinfo=UTC),
        "payload": {},
    }
    return WorkerDispatchEnvelope(**{**values, **changes})


def a_document(**changes: Any) -> dict[str, Any]:
    return {**msgspec.json.decode(write_envelope(an_envelope())), **changes}


def read(document: Any) -> WorkerDispatchEnvelope:
    return read_envelope(msgspec.json.encode(document))


def test_the_example_of_the_contract_is_written_byte_for_byte():
    assert write_envelope(an_envelope()).decode() == (
        '{"tenantId":"acme","workspaceId":"prod","taskId":"' + TASK_ID + '","taskKey":"analytics.daily_sales",'
        '"runId":"run-123","attempt":1,"attemptId":"att_x","dispatchId":"dispatch:run-123:analytics.daily_sales:1",'
        '"partitionKey":"date=d:2025-01-15","heartbeatTimeoutSec":300,"workerQueue":"default-queue",'
        '"callbackBaseUrl":"https://api.example","taskToken":"eyJ","tokenExpiresAt":"2025-01-15T11:00:00Z","payload":{}}'
    )


def test_optional_members_are_left_out_and_times_are_utc():
    zone = timezone(timedelta(hours=2))
    written = write_envelope(
        an_envelope(
            partition_key=None, heartbeat_timeout_sec=None, token_expires_at=datetime(2025, 1, 15, 13, tzinfo=zone)
        )
    )
    document = msgspec.json.decode(written)
    assert not {"partitionKey", "heartbeatTimeoutSec", "executionLocationId", "traceparent"} & document.keys()
    assert document["tokenExpiresAt"] == "2025-01-15T11:00:00Z"
    assert document["payload"] == {}


def test_what_is_written_is_read_back():
    envelope = an_envelope(traceparent="00-ab-cd-01", execution_location_id="eu", payload={"timeoutSec": 5})
    assert read_envelope(write_envelope(envelope)) == envelope


def test_snake_case_is_read_too():
    snake = {_snake(name): value for name, value in a_document().items()}
    assert read(snake) == an_envelope()


def test_the_callback_id_has_another_name_and_a_conflict_is_refused():
    assert read({**_without("taskId"), "callbackTaskId": TASK_ID}).task_id == TASK_ID
    assert read(a_document(callbackTaskId=TASK_ID)).task_id == TASK_ID
    with pytest.raises(InvalidInput, match="taskId and callbackTaskId"):
        read(a_document(callbackTaskId="ct1_other"))


def test_any_member_said_twice_and_differently_is_refused():
    with pytest.raises(InvalidInput, match="attempt_id"):
        read(a_document(attempt_id="att_y"))
    with pytest.raises(InvalidInput, match="differently"):
        read({**a_document(), "heartbeat_timeout_sec": 300.0})
    assert read(a_document(attempt_id="att_x")) == an_envelope()


def test_without_a_callback_id_the_task_key_is_used():
    assert read(_without("taskId")).task_id == "analytics.daily_sales"


def test_null_is_as_good_as_left_out_and_unknown_members_are_left_alone():
    assert read(a_document(partitionKey=None, someday="x")).partition_key is None
    assert read(_without("payload")).payload == {}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("attempt", 0),
        ("attempt", True),
        ("attempt", "1"),
        ("attempt", 1 << 32),
        ("attempt", 1.5),
        ("tenantId", ""),
        ("taskToken", 5),
        ("tokenExpiresAt", "2025-01-15T11:00:00"),
        ("tokenExpiresAt", "soon"),
        ("heartbeatTimeoutSec", -1),
        ("payload", []),
        ("runId", None),
    ],
)
def test_a_wrong_member_is_refused_by_name(member: str, value: Any):
    with pytest.raises(InvalidInput, match=member):
        read(a_document(**{member: value}))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(msgspec.json.encode))
def test_no_bytes_give_anything_but_an_envelope_or_a_refusal(body: bytes):
    with pytest.raises(InvalidInput):
        read_envelope(body)


def test_an_envelope_that_no_queue_takes_is_refused_on_both_sides():
    large = {"blob": "x" * ENVELOPE_BYTES_MAX}
    with pytest.raises(InvalidInput, match="over"):
        write_envelope(an_envelope(payload=large))
    with pytest.raises(InvalidInput, match="over"):
        read(a_document(payload=large))


def test_the_token_is_not_shown():
    assert "eyJ" not in repr(an_envelope())


def test_base_urls_are_compared_by_what_they_mean():
    assert same_base_url("https://API.example:443/", " https://api.example")
    assert same_base_url("http://localhost:80", "http://LOCALHOST")
    assert not same_base_url("https://api.example", "https://api.example.evil")
    assert not same_base_url("https://api.example", "http://api.example")
    assert not same_base_url("https://api.example:8443", "https://api.example")
    assert not same_base_url("https://api.example/a", "https://api.example/A")
    assert not same_base_url("https://api.example@evil", "https://api.example")


def test_a_timer_is_written_in_snake_case():
    timer = TimerDelivery(
        timer_id="timer:retry:r:t:1:5", run_id="r", task_key="t", attempt=1, fire_at="1970-01-01T00:00:05Z"
    )
    assert msgspec.json.decode(write_timer(timer)) == {
        "timer_id": "timer:retry:r:t:1:5",
        "run_id": "r",
        "task_key": "t",
        "attempt": 1,
        "fire_at": "1970-01-01T00:00:05Z",
    }


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in a_document().items() if key != name}


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
