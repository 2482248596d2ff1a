"""Schedules of root transactions: the paths whose every operation is struck, and drawn ones."""

import random
from typing import Final

import msgspec

from arco.sim.faults import FAMILIES
from arco.sim.plan import ClientPlan, Config, Plan, Trouble, Wish

_QUIET: Final = Config(grace_s=1_200.0, idle_merge_ms=60_000, latency=(0.01,), shuffled=0.0, sticky=True)
_LIMITS: Final = {
    "arco.kernel.compose:INLINE_DELTA_BYTES_MAX": (400, 2_000, 32_768),
    "arco.kernel.compose:DELTA_TIER_WIDTH": (2, 3, 8),
    "arco.kernel.compactor:BATCH_UNITS_MAX": (1, 2, 1_024),
    "arco.kernel.ledger:BATCH_UNITS_MAX": (1, 3, 1_024),
}
_KINDS: Final = ("root", "root", "root", "ddl", "batch")
_INTERRUPTIONS: Final = ("crash", "crash_after", "sleep@45", "sleep@45", "sleep@200")
_ROLES: Final = ("compactor", "flow-compactor", "flow-compactor", "api", "api")


def root_paths() -> dict[str, Plan]:
    """One transaction, one whose caller does not come back, two that want the same, one that others want a part of."""
    return {
        "root": _path([Wish("ddl", name="before"), Wish("batch", name="before"), Wish("root", name="a")]),
        "root-race": _path([Wish("root", name="a")], [Wish("root", name="a")], apis=2),
        "root-left": _path([Wish("root", name="a", key=False)], [Wish("ddl", name="a", pause_s=120.0)]),
        "root-met": _path(
            [Wish("root", name="a")],
            [Wish("batch", name="a", pause_s=0.25)],
            [Wish("ddl", name="a", pause_s=0.25)],
            apis=2,
        ),
    }


def _path(*wishes: list[Wish], apis: int = 1) -> Plan:
    clients = tuple(ClientPlan(f"client-{number}", 0, tuple(each)) for number, each in enumerate(wishes))
    return Plan(seed=0, profile="quiet", config=msgspec.structs.replace(_QUIET, apis=apis), clients=clients)


def root_plan_of(seed: int, profile: str = "swarm") -> Plan:
    """The schedule of root transactions that a seed names."""
    rng = random.Random(f"{seed}/roots/{profile}")
    level = rng.choice((0.005, 0.02, 0.05, 0.1))
    rates = {
        f"{family}.{kind}": level * rng.random()
        for family, kinds in FAMILIES.items()
        for kind in kinds
        if rng.random() < 0.5
    }
    config = Config(
        compactors=rng.choice((1, 1, 2)),
        apis=rng.choice((1, 2, 2)),
        idle_merge_ms=rng.choice((50, 500, 60_000)),
        grace_s=1_200.0,
        cache_bytes=rng.choice((2_000, 1 << 24)),
        latency=rng.choice(((0.0,), (0.0, 0.001, 0.02), (0.01, 0.05, 0.2))),
        shuffled=rng.choice((1.0, 1.0, 0.3)),
        skew_ms=rng.choice((0, 1_000, 20_000)),
        limits={name: rng.choice(values) for name, values in _LIMITS.items() if rng.random() < 0.5},
    )
    clients = tuple(_client(rng, number) for number in range(rng.choice((1, 2, 3))))
    return Plan(
        seed=seed,
        profile=profile,
        config=config,
        clients=clients,
        troubles=_troubles(rng),
        script=_script(rng, config) if profile != "quiet" else {},
        rates=rates if profile != "quiet" else {},
    )


def _script(rng: random.Random, config: Config) -> dict[str, str]:
    """A carrier that dies, or sleeps until others give its transaction up, at an operation of its path."""
    first = 2 * config.compactors + 1
    return {
        f"api-{first + rng.randrange(config.apis)}#{rng.randint(1, 40)}": rng.choice(_INTERRUPTIONS)
        for _ in range(rng.choice((0, 1, 1, 2)))
    }


def _client(rng: random.Random, number: int) -> ClientPlan:
    wishes = [
        Wish(
            kind=rng.choice(_KINDS),
            name=rng.choice(("a", "a", "b")),
            pause_s=rng.choice((0.0, 0.0, 0.05, 0.5, 5.0, 40.0)),
            key=rng.random() < 0.6,
            patience_s=rng.choice((0.05, 2.0, 60.0, 60.0)),
            tries=rng.choice((1, 4, 12)),
        )
        for _ in range(rng.randint(1, 3))
    ]
    return ClientPlan(f"client-{number}", 0, tuple(wishes))


def _troubles(rng: random.Random) -> tuple[Trouble, ...]:
    found = []
    for _ in range(rng.choice((0, 1, 2, 3))):
        kind = rng.choice(("crash", "crash", "pause", "silence"))
        at_s = rng.choice((rng.uniform(0, 0.5), rng.uniform(0, 5), rng.uniform(0, 60)))
        amount = rng.choice((1.0, 35.0, 70.0, 400.0))
        found.append(Trouble(at_s=at_s, kind=kind, role=rng.choice(_ROLES), target=rng.randrange(3), amount=amount))
    return tuple(sorted(found, key=lambda one: one.at_s))
