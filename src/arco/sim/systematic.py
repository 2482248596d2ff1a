"""Every fault at every operation of a protocol path, alone and in pairs, and two actors that pre-empt each other.

A path is a plan without faults; its sites are recorded by running it once. Each schedule is the same plan with a script
that says what happens at one site, or two, or who sleeps where while the other goes on. Source: reliability.md 5.2.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from arco.sim.faults import DIRECTED, FAMILIES, Site
from arco.sim.genesis import genesis
from arco.sim.plan import ClientPlan, Config, Plan, Wish
from arco.sim.schedule import Lived, Patch, Verdict, patched, run_plan
from arco.sim.world import World

GRACE_S: Final = 600.0
_QUIET: Final = Config(made=True, grace_s=GRACE_S, idle_merge_ms=60_000, latency=(0.01,), shuffled=0.0, sticky=True)

_KINDS: Final = {family: (*kinds, *DIRECTED[family]) for family, kinds in FAMILIES.items()}


class Sited(Lived, Protocol):
    """A world that knows how many operations there were while anything could go wrong."""

    sites_troubled: int


def paths() -> dict[str, Plan]:
    """The protocol paths, by name."""
    spilling = {"arco.kernel.compose:INLINE_DELTA_BYTES_MAX": 400, "arco.kernel.compose:DELTA_TIER_WIDTH": 2}
    return {
        "commit": _path([[_append("a")]]),
        "genesis": _path([[_append("a")]], made=False),
        "merge": _path([[_append("a"), _append("a", 1.0)]], idle_merge_ms=200),
        "spill": _path([[_append("a"), _append("a"), _append("b")]], limits=spilling, idle_merge_ms=200),
        "race": _path([[_append("a"), _read()], [_append("a"), _read()]], compactors=2, apis=2),
        "reader": _path([[_append("a"), _read(3.0), _read(3.0)]], apis=2),
        "collector": _path([_slowly(), _waiting()], compactors=2, apis=2, collector=True, patient=True),
    }


def _path(wishes: Sequence[Sequence[Wish]], **config: object) -> Plan:
    clients = tuple(ClientPlan(f"client-{number}", 0, tuple(each)) for number, each in enumerate(wishes))
    return Plan(seed=0, profile="quiet", config=msgspec.structs.replace(_QUIET, **config), clients=clients)


def _append(name: str, pause_s: float = 0.0) -> Wish:
    return Wish("append", name=name, pause_s=pause_s)


def _read(pause_s: float = 0.0) -> Wish:
    return Wish("read", name="a", pause_s=pause_s)


def _waiting() -> list[Wish]:
    """A client that waits for its answer however long its server sleeps, and still is done when its call is lost."""
    first = Wish("append", name="b", pause_s=5.0, patience_s=15_000.0)
    return [first, _read(1.0), _append("b", GRACE_S)]


def _slowly() -> list[Wish]:
    """Commits while superseded manifests come of age."""
    return [_append("a", GRACE_S * 0.35) for _ in range(8)]


def sites_of(plan: Plan, world_of: Callable[[Plan], Sited] = World) -> list[Site]:
    """Every operation of the path until all wishes are granted, in order."""
    genesis()
    with patched([Patch(name, value) for name, value in plan.config.limits.items()]):
        world = world_of(plan)
        world.faults.sites = []
        world.run()
    return world.faults.sites[: world.sites_troubled]


def singles(sites: Sequence[Site]) -> list[tuple[str, str]]:
    """Every (site, kind) that can happen."""
    return [(site, kind) for site, family, _, _ in sites for kind in _KINDS[family]]


def with_script(plan: Plan, *happens: tuple[str, str]) -> Plan:
    """The plan with these things happening."""
    return msgspec.structs.replace(plan, script=dict(happens))


def pairs(
    plan: Plan, *, sample: int | None = None, seed: int = 0, world_of: Callable[[Plan], Sited] = World
) -> Iterator[Plan]:
    """Every pair of faults at different sites; with `sample`, that many drawn ones."""
    every = singles(sites_of(plan, world_of))
    if sample is None:
        for at, first in enumerate(every):
            yield from (with_script(plan, first, second) for second in every[at + 1 :] if second[0] != first[0])
        return
    rng = random.Random(seed)
    for _ in range(sample):
        first, second = rng.sample(every, 2)
        yield with_script(plan, first, second)


def preemptions(*, depth: int, nap_s: float, sample: int | None = None, seed: int = 0) -> Iterator[Plan]:
    """Two compactors with a commit each that take turns: up to `depth` times the one that runs sleeps, anywhere.

    Naps double, so that whoever was pre-empted first goes on while the other still sleeps. `nap_s` beyond a quarter of
    the grace makes what a sleeper knew doubtful; beyond a grace, wrong.
    """
    plan = paths()["race"]
    sites = [site for site, *_ in sites_of(plan) if site.startswith("compactor")]
    actors = sorted({site.split("#")[0] for site in sites})
    own = {actor: [site for site in sites if site.startswith(f"{actor}#")] for actor in actors}
    rng = random.Random(seed)
    made = _turns(own, actors, depth)
    drawn = made if sample is None else rng.sample(list(made), sample)
    for turns in drawn:
        naps = [(site, f"sleep@{nap_s * 2**turn:.0f}") for turn, site in enumerate(turns)]
        yield with_script(plan, *naps)


def _turns(own: dict[str, list[str]], actors: Sequence[str], depth: int) -> Iterator[tuple[str, ...]]:
    def extended(turns: tuple[str, ...], actor: int) -> Iterator[tuple[str, ...]]:
        if turns:
            yield turns
        if len(turns) == depth:
            return
        mine = own[actors[actor % len(actors)]]
        after = mine.index(turns[-2]) + 1 if len(turns) > 1 and turns[-2] in mine else 0
        for site in mine[after:]:
            yield from extended((*turns, site), actor + 1)

    for first in range(len(actors)):
        yield from extended((), first)


def sleepers(plan: Plan, *, world_of: Callable[[Plan], Sited] = World) -> Iterator[Plan]:
    """A writer or collector that sleeps past everything it knew, before each of its operations."""
    for site, family, _, _ in sites_of(plan, world_of):
        if family != "rpc":
            yield with_script(plan, (site, "sleep"))


def explore(
    plans: Iterator[Plan],
    *,
    patches: Sequence[Patch] = (),
    progress: Callable[[int], None] = lambda _: None,
    world_of: Callable[[Plan], Lived] = World,
) -> tuple[int, list[Verdict]]:
    """How many schedules were run, and those that broke something."""
    failed: list[Verdict] = []
    count = 0
    for count, plan in enumerate(plans, 1):
        verdict = run_plan(plan, patches=patches, world_of=world_of)
        if not verdict.fine:
            failed.append(msgspec.structs.replace(verdict, profile=f"{verdict.profile} {plan.script}"))
        if count % 500 == 0:
            progress(count)
    return count, failed
