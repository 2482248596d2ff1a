"""Draws a schedule from a seed: which faults exist and how often, how the world is configured, who wishes what.

Swarm testing: each kind of fault is absent from half of the seeds and each bound of the code is drawn from values that
make its rare paths common, so that different seeds look at different corners (reliability.md 5.2).
"""

import random
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from arco.sim.faults import FAMILIES
from arco.sim.plan import ClientPlan, Config, Plan, Trouble, Wish

PROFILES: Final = ("swarm", "storage", "lives", "collector", "brief", "quiet")
"""`swarm` draws everything; `storage`, `lives` and `collector` stress one kind of trouble; `brief` is a small world
with much trouble in a short time; `quiet` has none."""

LIMITS: Final[Mapping[str, tuple[Any, ...]]] = {
    "arco.kernel.compose:INLINE_DELTA_BYTES_MAX": (400, 2_000, 32_768),
    "arco.kernel.compose:DELTA_TIER_WIDTH": (2, 3, 8),
    "arco.kernel.compactor:DELTA_BYTES_MERGE": (1_500, 6_000, 1 << 23),
    "arco.kernel.compactor:DELTA_BYTES_MAX": (4_000, 1 << 23),
    "arco.kernel.compactor:BATCH_UNITS_MAX": (1, 2, 1_024),
    "arco.kernel.ledger:BATCH_UNITS_MAX": (1, 3, 1_024),
    "arco.kernel.merge:SEGMENT_ROWS_TARGET": (8, 512),
    "arco.kernel.merge:PAGE_FANOUT_TARGET": (3, 128),
    "arco.kernel.pointers:POINTER_LAG_MAX": (1, 4, 2_048),
    "arco.kernel.workshop:RESIDUE_ROWS_MAX": (4, 60_000),
}
_DERIVED: Final[Mapping[str, tuple[str, float]]] = {
    "arco.kernel.merge:SEGMENT_ROWS_MAX": ("arco.kernel.merge:SEGMENT_ROWS_TARGET", 2),
    "arco.kernel.merge:_UNDERFULL": ("arco.kernel.merge:SEGMENT_ROWS_TARGET", 0.25),
    "arco.kernel.merge:PAGE_FANOUT_MAX": ("arco.kernel.merge:PAGE_FANOUT_TARGET", 2),
    "arco.kernel.merge:ROOT_FANOUT_MAX": ("arco.kernel.merge:PAGE_FANOUT_TARGET", 1),
}
_LATENCIES: Final = ((0.0,), (0.0, 0.001), (0.0, 0.0, 0.02), (0.01, 0.05, 0.2), (0.0, 0.001, 0.02, 0.5))
_KINDS: Final = ("append", "append", "append", "append", "read", "read", "make", "drop", "move", "both")
_RARE: Final = ("look_back", "other_body", "invalid", "unheard_of")


def plan_of(seed: int, profile: str = "swarm") -> Plan:
    """The schedule of a seed."""
    rng = random.Random(f"{seed}/{profile}")
    troubled = profile != "quiet"
    rates = _rates(rng, profile) if troubled else {}
    config = _config(rng, profile)
    if profile not in ("brief", "quiet"):
        # Drawn apart, so that the other seeds are the schedules they were.
        leaders = random.Random(f"{seed}/{profile}/leaders").choice((0, 0, 0, 0, 0, 1, 2))
        config = msgspec.structs.replace(config, leaders=leaders)
    clients = _few(rng) if profile == "brief" else _clients(rng)
    troubles = _troubles(rng, config, profile) if troubled else ()
    return Plan(seed=seed, profile=profile, config=config, clients=tuple(clients), troubles=troubles, rates=rates)


def _rates(rng: random.Random, profile: str) -> dict[str, float]:
    level = rng.choice((0.005, 0.02, 0.04, 0.1)) * {"storage": 1.5, "brief": 3.0}.get(profile, 1.0)
    rates: dict[str, float] = {}
    for family, kinds in FAMILIES.items():
        for kind in kinds:
            if rng.random() < 0.5:
                rates[f"{family}.{kind}"] = level * rng.random()
    return rates


def _config(rng: random.Random, profile: str) -> Config:
    limits = {name: rng.choice(values) for name, values in LIMITS.items() if rng.random() < 0.5}
    for name, (source, factor) in _DERIVED.items():
        if source in limits:
            limits[name] = max(1, int(limits[source] * factor))
    config = Config(
        made=rng.random() < 0.7,
        compactors=rng.choice((1, 2, 2, 3)),
        apis=rng.choice((1, 1, 2)),
        idle_merge_ms=rng.choice((50, 500, 5_000, 5_000, 60_000)),
        grace_s=rng.choice((600.0, 1_200.0)),
        collector=profile == "collector" or rng.random() < 0.3,
        resubmitter=rng.random() < 0.2,
        cache_bytes=rng.choice((2_000, 20_000, 1 << 24)),
        latency=rng.choice(_LATENCIES),
        shuffled=rng.choice((1.0, 1.0, 1.0, 0.3)),
        skew_ms=rng.choice((0, 1_000, 60_000)),
        drift=rng.choice((0.0, 0.0, 0.01)),
        sticky=rng.random() < 0.5,
        patient=rng.random() < 0.1,
        limits=limits,
    )
    if profile != "brief":
        return config
    # Two compactors are what a race takes; a collector and who resubmits are busy all the time, wished for or not.
    return msgspec.structs.replace(
        config, compactors=min(2, config.compactors), apis=1, collector=False, resubmitter=False
    )


def _clients(rng: random.Random) -> list[ClientPlan]:
    clients = [_client(rng, number, 0) for number in range(rng.choice((1, 1, 2, 3)))]
    return [*clients, _client(rng, len(clients), 1, most=1)]


def _few(rng: random.Random) -> list[ClientPlan]:
    """One that wishes twice, or two that get into each other's way."""
    count = rng.choice((1, 2))
    return [_client(rng, number, 0, most=3 - count) for number in range(count)]


def _client(rng: random.Random, number: int, scope: int, most: int = 4) -> ClientPlan:
    wishes = [_wish(rng) for _ in range(rng.randint(1, most))]
    return ClientPlan(f"client-{number}", scope, tuple(wishes))


def _wish(rng: random.Random) -> Wish:
    kind = rng.choice(_KINDS) if rng.random() < 0.94 else rng.choice(_RARE)
    first, second = rng.sample(("a", "b", "c"), 2)
    return Wish(
        kind=kind,
        name=first,
        other=second,
        pause_s=rng.choice((0.0, 0.0, 0.05, 0.5, 5.0, 40.0)),
        key=rng.random() < 0.8,
        patience_s=rng.choice((0.05, 2.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0)),
        padding=rng.choice((0, 0, 40, 900)),
    )


def _troubles(rng: random.Random, config: Config, profile: str) -> tuple[Trouble, ...]:
    count = rng.choice((0, 1, 2, 3)) * (3 if profile == "lives" else 1)
    kinds = [
        kind for kind in ("crash", "pause", "silence", "deploy", "settle", "clock", "freeze") if rng.random() < 0.6
    ]
    roles = ("compactor", "compactor", "api", "collector") if config.collector else ("compactor", "compactor", "api")
    found = []
    for _ in range(count if kinds else 0):
        kind = rng.choice(kinds)
        found.append(
            Trouble(
                at_s=rng.choice((rng.uniform(0, 0.3), rng.uniform(0, 5), rng.uniform(0, 60))),
                kind=kind,
                role=rng.choice(roles),
                target=rng.randrange(4),
                amount=_amount(rng, kind, config),
            )
        )
    return tuple(sorted(found, key=lambda one: one.at_s))


def _amount(rng: random.Random, kind: str, config: Config) -> float:
    if kind == "pause":
        # Longer than what is known stays true, longer than what is superseded stays there.
        return rng.choice((1.0, 35.0, config.grace_s * 0.3, config.grace_s * 1.3, config.grace_s * 2))
    if kind == "clock":
        return rng.choice((-60_000.0, -5_000.0, 5_000.0, 60_000.0))
    return rng.choice((1.0, 12.0, 70.0))
