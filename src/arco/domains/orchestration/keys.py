"""Identifiers that are derived, never drawn: tasks, dispatches, attempts, queue names, timers (orchestration.md 1).

Whoever derives one of them gets the same text, so a repeated step repeats a name and is recognised. Pure.
"""

import base64
import hashlib
import hmac
import re
from typing import Final

import msgspec

TASK_ID_PREFIX: Final = "ct1_"
DEFAULT_QUEUE: Final = "default-queue"

_TIMER_TYPES: Final = {"retry": "RETRY", "heartbeat": "HEARTBEAT_CHECK", "cron": "CRON", "sla": "SLA_CHECK"}
_DIGEST_CHARS: Final = 26
_EPOCH: Final = re.compile(r"[0-9]{1,12}\Z")
_ATTEMPT: Final = re.compile(r"[1-9][0-9]{0,8}\Z")


def task_id(run_id: str, task_key: str) -> str:
    """The opaque id of a task in callbacks: `ct1_` and both names (1.3)."""
    return TASK_ID_PREFIX + _b64url(f"{run_id}\0{task_key}".encode())


def parse_task_id(text: str) -> tuple[str, str] | None:
    """Run id and task key of a callback id; None when it is none."""
    if not text.startswith(TASK_ID_PREFIX):
        return None
    encoded = text[len(TASK_ID_PREFIX) :]
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        return None
    run_id, separator, task_key = decoded.partition("\0")
    if not separator or not run_id or not task_key or "\0" in task_key or task_id(run_id, task_key) != text:
        return None
    return run_id, task_key


def dispatch_id(run_id: str, task_key: str, attempt: int) -> str:
    """The name of one attempt at a task."""
    return f"dispatch:{run_id}:{task_key}:{attempt}"


def parse_dispatch_id(text: str) -> tuple[str, str, int] | None:
    """Run id, task key and attempt of a dispatch id; None when it is none."""
    kind, _, rest = text.partition(":")
    middle, _, attempt = rest.rpartition(":")
    run_id, _, task_key = middle.partition(":")
    if kind != "dispatch" or not run_id or not task_key or not _ATTEMPT.match(attempt):
        return None
    return run_id, task_key, int(attempt)


def attempt_id(dispatch: str) -> str:
    """`att_` and 24 hexadecimal digits: what a worker must show to speak for an attempt."""
    return "att_" + hashlib.sha256(f"attempt:{dispatch}".encode()).hexdigest()[:24]


def queue_task_id(prefix: str, name: str) -> str:
    """The queue's name of a delivery: `d` for dispatch ids, `t` for timer ids."""
    return f"{prefix}_{_b32(hashlib.sha256(name.encode()).digest())[:_DIGEST_CHARS]}"


def redelivery_id(dispatch: str, row_version: str) -> str:
    """The queue's name of another delivery of the same attempt: one that a queue's memory does not swallow.

    It follows from the version of the task's row, which every recorded delivery changes: whoever did not learn whether
    the queue has taken it asks again under the same name.
    """
    return queue_task_id("d", f"{dispatch}:repair:{row_version}")


def run_id_of_key(secret: bytes, scope: tuple[str, str], run_key: str) -> str:
    """The run id of a run key in a scope (tenant, workspace): the same for everybody who holds the secret (1.4)."""
    tenant, workspace = scope
    mac = hmac.new(secret, f"{tenant}:{workspace}:{run_key}".encode(), hashlib.sha256)
    return "run_" + _b32(mac.digest()[:16])


class Timer(msgspec.Struct, frozen=True):
    """What the id of a timer says: its type, and the second it fires at."""

    timer_type: str
    fire_epoch: int


def timer_id(kind: str, subject: str, fire_epoch: int) -> str:
    """`timer:{kind}:{subject}:{epoch}`; kind is `retry`, `heartbeat`, `cron` or `sla` (1.5)."""
    return f"timer:{kind}:{subject}:{fire_epoch}"


def parse_timer_id(text: str) -> Timer | None:
    """Type and time of a timer, from its id; None when it is none."""
    parts = text.split(":")
    while parts[-1] in ("heartbeat_reschedule", "retry_reschedule"):
        parts.pop()
    if len(parts) < 4 or parts[0] != "timer" or parts[1] not in _TIMER_TYPES or not _EPOCH.match(parts[-1]):
        return None
    return Timer(_TIMER_TYPES[parts[1]], int(parts[-1]))


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _b32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
