"""A schedule as data: everything that was drawn before it began. A failing one is made smaller by taking parts away."""

from typing import Any

import msgspec


class Wish(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation of a client: `append`, `make`, `move`, `drop`, `read`, `look_back`, `other_body`, `invalid`.

    `key` asks with an idempotency key; a wish without one is given up when its outcome stays unknown.
    """

    kind: str
    name: str = ""
    other: str = ""
    pause_s: float = 0.0
    key: bool = True
    patience_s: float = 60.0
    padding: int = 0
    tries: int = 12


class ClientPlan(msgspec.Struct, frozen=True):
    """One client: its scope (0 or 1) and what it wishes, in order."""

    name: str
    scope: int
    wishes: tuple[Wish, ...]


class Trouble(msgspec.Struct, frozen=True):
    """Something that happens to a process: `crash`, `pause`, `silence`, `deploy`, `settle`, `clock`, `freeze`.

    `target` counts the processes of `role` that are alive then.
    """

    at_s: float
    kind: str
    role: str
    target: int = 0
    amount: float = 0.0


class Config(msgspec.Struct, frozen=True):
    """How the world of a schedule is configured; `limits` are bounds of the code, by `module:name`.

    `leaders` bring a lock and submit under its token. `patient` callers of a compactor wait for ever, as in one process
    that is suspended as a whole.
    `made` workspaces exist when the schedule begins; others are made by the first who writes.
    """

    made: bool = False
    compactors: int = 1
    apis: int = 1
    idle_merge_ms: int = 500
    grace_s: float = 1_200.0
    collector: bool = False
    resubmitter: bool = False
    leaders: int = 0
    cache_bytes: int = 1 << 24
    latency: tuple[float, ...] = (0.0, 0.001, 0.02)
    shuffled: float = 1.0
    skew_ms: int = 0
    drift: float = 0.0
    sticky: bool = False
    patient: bool = False
    limits: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule: seed and profile it was drawn from, and what the minimiser left of it."""

    seed: int
    profile: str
    config: Config
    clients: tuple[ClientPlan, ...]
    troubles: tuple[Trouble, ...] = ()
    rates: dict[str, float] = {}
    masked: frozenset[str] = frozenset()
    script: dict[str, str] = {}


def encode_plan(plan: Plan) -> bytes:
    """The plan as JSON, for a corpus."""
    return msgspec.json.format(msgspec.json.encode(plan, order="deterministic"), indent=1)


def decode_plan(body: bytes) -> Plan:
    """The plan of a corpus file."""
    return msgspec.json.decode(body, type=Plan)
