"""What a worker is handed: the dispatch envelope, written in one way and read leniently (orchestration.md 7.1). Pure.

Writers use camelCase and leave out what is not there. Readers also take snake_case, `callbackTaskId` for `taskId`, and
null for an optional member; the same member said twice with different values is refused, because two readers could
otherwise run two different tasks. Unknown members are left alone: a later writer may say more.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from arco.core.errors import InvalidInput

ENVELOPE_BYTES_MAX: Final = 100 * 1024
"""The largest task that Cloud Tasks takes; no queue of ours takes more, so that moving to it changes nothing."""

SECRET_HEADER: Final = "X-Arco-Dispatch-Secret"
"""What workers recognise dispatches by (7.5)."""

SLOTS_HEADER: Final = "X-Arco-Worker-Slots"
"""What our workers say with every answer: how many tasks they run at once."""

BUSY_HEADER: Final = "X-Arco-Worker-Busy"
"""Why our workers answer 503: `full`, `draining`, or `running` (this very dispatch)."""

TIMEOUT_MEMBER: Final = "timeoutSec"
"""The member of the payload that says how long the function may run, in seconds."""

_U32_MAX: Final = (1 << 32) - 1
_Text = Annotated[str, msgspec.Meta(min_length=1)]


class WorkerDispatchEnvelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One attempt at one task, and the means to report about it. `payload` is passed to the task as it is."""

    tenant_id: _Text
    workspace_id: _Text
    task_id: _Text
    task_key: _Text
    run_id: _Text
    attempt: Annotated[int, msgspec.Meta(ge=1, le=_U32_MAX)]
    attempt_id: _Text
    dispatch_id: _Text
    execution_location_id: _Text | None = None
    partition_key: str | None = None
    heartbeat_timeout_sec: Annotated[int, msgspec.Meta(ge=0, le=_U32_MAX)] | None = None
    worker_queue: _Text
    callback_base_url: _Text
    task_token: str
    """Empty when a writer left it out; a worker may have one of its own (7.6)."""
    token_expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    traceparent: _Text | None = None
    payload: dict[str, Any]

    def __repr__(self) -> str:
        return f"WorkerDispatchEnvelope({self.dispatch_id!r})"  # the token must not end up in a log by accident


class TimerDelivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a queue brings back when a timer fires (8.1). `fire_at` is RFC 3339."""

    timer_id: _Text
    run_id: str | None = None
    task_key: str | None = None
    attempt: int | None = None
    fire_at: str


def write_envelope(envelope: WorkerDispatchEnvelope) -> bytes:
    """The envelope as workers expect it. Raises `InvalidInput` when no queue would take it."""
    moment = envelope.token_expires_at.astimezone(UTC)
    body = msgspec.json.encode(msgspec.structs.replace(envelope, token_expires_at=moment))
    if len(body) > ENVELOPE_BYTES_MAX:
        raise InvalidInput(f"the envelope of {envelope.dispatch_id} is over {ENVELOPE_BYTES_MAX} bytes: {len(body)}")
    return body


def read_envelope(body: bytes) -> WorkerDispatchEnvelope:
    """The envelope in a request's body. Raises `InvalidInput` naming the member."""
    if len(body) > ENVELOPE_BYTES_MAX:
        raise InvalidInput(f"the envelope is over {ENVELOPE_BYTES_MAX} bytes")
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the envelope is not a JSON object: {error}") from None
    members = {name: _said(given, names) for name, names in _NAMES.items()}
    found = {name: value for name, value in members.items() if value is not None}
    found.setdefault("taskId", found.get("taskKey"))  # before callback ids there was only the key
    found.setdefault("taskToken", "")
    found.setdefault("payload", {})
    try:
        return msgspec.convert(found, WorkerDispatchEnvelope)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the envelope is malformed: {error}") from None


def write_timer(timer: TimerDelivery) -> bytes:
    """A timer's body, as it comes back when it fires."""
    return msgspec.json.encode(timer)


def same_base_url(one: str, other: str) -> bool:
    """Whether two base URLs name the same place: case of scheme and host, default ports, slashes at the end aside."""
    return _normal_url(one) == _normal_url(other)


def _normal_url(text: str) -> str:
    scheme, separator, rest = text.strip().partition("://")
    authority, _, path = rest.partition("/")
    scheme, authority = scheme.lower(), authority.lower()
    default = {"http": ":80", "https": ":443"}.get(scheme, ":")
    return f"{scheme}{separator}{authority.removesuffix(default)}/{path}".rstrip("/")


def _said(given: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value that any of these names has. Raises `InvalidInput` when two of them differ."""
    values = [given[name] for name in names if given.get(name) is not None]
    if any(type(value) is not type(values[0]) or value != values[0] for value in values[1:]):
        raise InvalidInput(f"the envelope says {' and '.join(name for name in names if name in given)} differently")
    return values[0] if values else None


def _names() -> dict[str, tuple[str, ...]]:
    fields = msgspec.structs.fields(WorkerDispatchEnvelope)
    names = {field.encode_name: tuple(dict.fromkeys((field.encode_name, field.name))) for field in fields}
    return names | {"taskId": ("taskId", "task_id", "callbackTaskId", "callback_task_id")}


_NAMES: Final = _names()
