"""What events that callers hand in may hold: what every route that makes such events makes sure of. Pure.

The fold takes an event's word for it, so here is the last place where a name that could leave its folder, a plan that
could never run, a time that is none, or another person's name is refused. Errors begin with the field.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arco.core import instant
from arco.core.asset_keys import asset_key
from arco.core.errors import InvalidInput
from arco.core.ids import is_ulid, ulid_ms
from arco.core.limits import BATCH_PARTS_MAX
from arco.core.partitions import parse_partition_key
from arco.domains.orchestration.batches.rights import FUTURE_MS, Speaker
from arco.domains.orchestration.events import PlanCreated, RunTriggered, TaskDef
from arco.domains.orchestration.fold.runs import check_plan
from arco.domains.orchestration.labels import RESERVED_LABELS
from arco.domains.orchestration.plan.manifest import ATTEMPTS_MAX, HEARTBEAT_MIN_S, TIMEOUT_MAX_S
from arco.kernel.fold import InvalidEvent

_NAME_CHARS_MAX: Final = 256
_TEXT_CHARS_MAX: Final = 64 * 1024
_LABELS_MAX: Final = 128
_RUN_MAX_S: Final = 31_536_000
_CRON_FIELDS: Final = (5, 6)
_REASONS: Final = (None, "root", "upstream", "downstream", "unsucceeded")
_BACKFILL_STATES: Final = ("PENDING", "RUNNING", "PAUSED", "SUCCEEDED", "FAILED", "CANCELLED")

_TASK_KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}\Z")
_PATH: Final = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?\Z", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]*)`")

_LONG: Final = frozenset(
    {"reason", "error_message", "message", "publish_error", "cursor_before", "cursor_after", "partial_progress_json"}
)
"""Texts people write; every other text is a name."""

_TIMES: Final = frozenset({"scheduled_for", "fire_at", "heartbeat_at", "published_at"})
_ASSETS: Final = frozenset({"root_assets", "asset_selection"})
_PARTITIONS: Final = frozenset({"partition_selection", "partition_keys"})
_SPEAKERS: Final = frozenset({"requested_by", "changed_by"})
"""Fields that say who asked."""

_UNIONS: Final[dict[str, tuple[str, dict[str, tuple[str, ...]]]]] = {
    "trigger": (
        "type",
        {
            "cron": ("schedule_id",),
            "manual": ("user_id",),
            "materialization": ("upstream_materialization_id",),
            "webhook": ("webhook_id",),
            "sensor": ("sensor_id", "cursor"),
        },
    ),
    "trigger_source_ref": (
        "type",
        {
            "schedule": ("schedule_id", "tick_id"),
            "sensor": ("sensor_id", "eval_id"),
            "backfill": ("backfill_id", "chunk_id"),
            "manual": ("user_id", "request_id"),
        },
    ),
    "trigger_source": ("source", {"push": ("message_id",), "poll": ()}),
    "partition_selector": ("type", {"range": ("start", "end"), "explicit": (), "filter": ()}),
}


def named(text: str) -> str:
    """A msgspec message as a sentence that begins with the field."""
    parts = _PATH.match(text)
    what, path = (parts["what"], parts["path"] or "") if parts else (text, "")
    if missing := _MISSING.match(what):
        return f"data{path}.{missing['name']} is required"
    return f"data{path}: {what[:1].lower()}{what[1:]}"


def check_data(event: Any, speaker: Speaker) -> Any:
    """The event, with who asks filled in where it is left out. Raises `InvalidInput`."""
    changes: dict[str, Any] = {}
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if field in _SPEAKERS:
            changes[field] = _speaker(f"data.{field}", value, speaker)
        elif isinstance(value, msgspec.Raw):
            changes[field] = _union(event, field, value, speaker)
        elif value is not None:
            _check_field(f"data.{field}", field, value)
    event = msgspec.structs.replace(event, **changes)
    match event:
        case RunTriggered():
            _check_run(event, speaker)
        case PlanCreated():
            _check_tasks(event, speaker)
    _check_numbers(event)
    return event


def check_together(events: Sequence[Any], place: str, *, operator: bool) -> None:
    """A run and its plan belong together: a run without tasks, or tasks without a run, would be nobody's."""
    parts = sum(1 + len(task.depends_on) for event in events if isinstance(event, PlanCreated) for task in event.tasks)
    if parts > BATCH_PARTS_MAX:
        raise InvalidInput(f"{place} plan {parts} tasks and dependencies, more than the limit of {BATCH_PARTS_MAX}")
    if operator:
        return
    runs = {event.run_id: event.plan_id for event in events if isinstance(event, RunTriggered)}
    plans = {event.run_id: event.plan_id for event in events if isinstance(event, PlanCreated)}
    for index, event in enumerate(events):
        if isinstance(event, RunTriggered) and plans.get(event.run_id) != event.plan_id:
            sentence = "begins a run; its PlanCreated with the same run_id and plan_id must be in the batch"
            raise InvalidInput(f"{place}[{index}].data {sentence}", event=index)
        if isinstance(event, PlanCreated) and runs.get(event.run_id) != event.plan_id:
            sentence = "plans a run; its RunTriggered with the same run_id and plan_id must be in the batch"
            raise InvalidInput(f"{place}[{index}].data {sentence}", event=index)


def _check_field(where: str, field: str, value: Any) -> None:
    if isinstance(value, str):
        _check_text(where, field, value)
    elif field in _ASSETS:
        for index, asset in enumerate(value):
            _check_asset(f"{where}[{index}]", asset)
    elif field in _PARTITIONS:
        for index, key in enumerate(value):
            _check_partition(f"{where}[{index}]", key)
    elif field == "labels":
        _check_labels(where, value)
    elif field == "run_requests":
        for index, request in enumerate(value):
            _check_request(f"{where}[{index}]", request)


def _check_request(where: str, request: dict[str, Any]) -> None:
    for name in ("run_key", "request_fingerprint"):
        text = request.get(name)
        if not isinstance(text, str) or not 0 < len(text) <= _NAME_CHARS_MAX:
            raise InvalidInput(f"{where}.{name} must have 1 to {_NAME_CHARS_MAX} characters")


def _check_text(where: str, field: str, value: str) -> None:
    if field in _TIMES:
        try:
            instant.parse_ms(value)
        except (ValueError, OverflowError):
            raise InvalidInput(f"{where} must be an RFC 3339 time with a zone") from None
    elif field == "partition_key":
        _check_partition(where, value)
    elif field == "asset_key":
        _check_asset(where, value)
    elif field in _LONG:
        if len(value) > _TEXT_CHARS_MAX:
            raise InvalidInput(f"{where} must have at most {_TEXT_CHARS_MAX} characters")
    else:
        _check_name(where, value)
    if field in ("from_state", "to_state") and value not in _BACKFILL_STATES:
        raise InvalidInput(f"{where} must be one of {', '.join(_BACKFILL_STATES)}")
    if field == "cron_expression" and len(value.split()) not in _CRON_FIELDS:
        raise InvalidInput(f"{where} needs 5 fields, or 6 with seconds first")
    if field == "task_key" and not _TASK_KEY.match(value):
        raise InvalidInput(f"{where} must be letters, digits, _, . and -")


def _check_name(where: str, value: str) -> None:
    if not 0 < len(value) <= _NAME_CHARS_MAX or not value.isprintable():
        raise InvalidInput(f"{where} must have 1 to {_NAME_CHARS_MAX} characters, none of them a control character")


def _check_asset(where: str, text: str) -> None:
    try:
        canonical = asset_key(text)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}") from None
    if canonical != text or len(text) > _NAME_CHARS_MAX:
        raise InvalidInput(f"{where} must be written {canonical[:_NAME_CHARS_MAX]}")


def _check_partition(where: str, key: str) -> None:
    try:
        parse_partition_key(key)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}") from None


def _check_labels(where: str, labels: dict[str, str]) -> None:
    if len(labels) > _LABELS_MAX:
        raise InvalidInput(f"{where} must hold at most {_LABELS_MAX} labels")
    for name in labels:
        if name in RESERVED_LABELS:
            raise InvalidInput(f"{where}: {name} is reserved")


def _speaker(where: str, value: str | None, speaker: Speaker) -> str:
    """Who asks is who commits; only an operator may say it was another."""
    if speaker.operator and value:
        _check_name(where, value)
        return value
    if value not in (None, "", speaker.principal):
        raise InvalidInput(f"{where} must be the caller, {speaker.principal or 'who is nobody'}, or left out")
    return speaker.principal


def _union(event: Any, field: str, raw: msgspec.Raw, speaker: Speaker) -> msgspec.Raw:
    where, value = f"data.{field}", msgspec.json.decode(raw)
    tag, kinds = _UNIONS.get(field, ("status", _statuses(event)))
    kind = value.get(tag) if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise InvalidInput(f"{where}.{tag} must be one of {', '.join(kinds)}")
    if kind == "manual":
        value["user_id"] = _speaker(f"{where}.user_id", value.get("user_id"), speaker)
    for name in kinds[kind]:
        text = value.get(name)
        if not isinstance(text, str) or len(text) > _TEXT_CHARS_MAX:
            raise InvalidInput(f"{where}.{name} must be a text")
    if kind == "poll" and type(value.get("poll_epoch")) is not int:
        raise InvalidInput(f"{where}.poll_epoch must be a number")
    for index, key in enumerate(value.get("partition_keys") or () if kind == "explicit" else ()):
        if not isinstance(key, str):
            raise InvalidInput(f"{where}.partition_keys[{index}] must be a text")
        _check_partition(f"{where}.partition_keys[{index}]", key)
    return msgspec.Raw(msgspec.json.encode(value))


def _statuses(event: Any) -> dict[str, tuple[str, ...]]:
    if type(event).__name__ == "ScheduleTicked":
        return {"triggered": (), "skipped": ("reason",), "failed": ("error",)}
    return {"triggered": (), "no_new_data": (), "error": ("message",), "skipped_stale_cursor": ()}


def _check_run(event: RunTriggered, speaker: Speaker) -> None:
    _check_run_id(event.run_id, speaker)
    if event.timeout_sec is not None and not 1 <= event.timeout_sec <= _RUN_MAX_S:
        raise InvalidInput(f"data.timeout_sec must be 1 to {_RUN_MAX_S}")


def _check_run_id(run_id: str, speaker: Speaker) -> None:
    """Runs are kept in the order of their ids: one of another time would lie among those nobody touches any more."""
    if not is_ulid(run_id):
        raise InvalidInput("data.run_id must be a ULID of 26 characters")
    if ulid_ms(run_id) > speaker.now_ms + FUTURE_MS:
        raise InvalidInput(f"data.run_id is more than {FUTURE_MS // 1000} seconds ahead of this server's clock")


def _check_tasks(event: PlanCreated, speaker: Speaker) -> None:
    _check_run_id(event.run_id, speaker)
    if not event.tasks:
        raise InvalidInput("data.tasks must hold at least one task")
    for index, task in enumerate(event.tasks):
        _check_task(f"data.tasks[{index}]", task)
    try:
        check_plan(event)
    except InvalidEvent as error:
        raise InvalidInput(f"data.tasks: {str(error).removeprefix('PlanCreated: ')}") from None


def _check_task(where: str, task: TaskDef) -> None:
    if not _TASK_KEY.match(task.key):
        raise InvalidInput(f"{where}.key must be letters, digits, _, . and -")
    for field in ("asset_key", "partition_key", "worker_queue", "concurrency_key", "planned_for"):
        value = getattr(task, field)
        if value is not None:
            _check_text(f"{where}.{field}", field, value)
    if task.planned_as not in _REASONS:
        raise InvalidInput(f"{where}.planned_as must be root, upstream, downstream or unsucceeded, or left out")
    if task.concurrency_key == "*":
        raise InvalidInput(f"{where}.concurrency_key: * stands for the whole workspace; choose another")
    for field, least, most in (
        ("max_attempts", 1, ATTEMPTS_MAX),
        ("heartbeat_timeout_sec", HEARTBEAT_MIN_S, 86_400),
        ("timeout_sec", 1, TIMEOUT_MAX_S),
        ("retry_delay_sec", 0, 86_400),
    ):
        number = getattr(task, field)
        if number is not None and not least <= number <= most:
            raise InvalidInput(f"{where}.{field} must be {least} to {most}")


def _check_numbers(event: Any) -> None:
    attempt = getattr(event, "attempt", None)
    if attempt is not None and attempt < 1:
        raise InvalidInput("data.attempt must be at least 1")
    progress = getattr(event, "progress_pct", None)
    if progress is not None and progress > 100:
        raise InvalidInput("data.progress_pct must be 0 to 100")
