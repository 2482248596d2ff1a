"""One schedule from its plan: the world, the story, the verdict.

`run_schedule(seed)` is the door: deterministic, a few milliseconds, everything it found in a `Verdict`. `patches`
replace attributes of production code for its duration (seeded defects, configuration).
"""

import asyncio
import contextlib
import gc
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from arco.sim.faults import Faults
from arco.sim.genesis import genesis
from arco.sim.history import History
from arco.sim.loop import SimLoop
from arco.sim.monitors import Violations
from arco.sim.plan import Plan
from arco.sim.swarm import plan_of
from arco.sim.trace import Entry, Trace
from arco.sim.tripwires import tripwires
from arco.sim.world import World


class Patch(msgspec.Struct, frozen=True):
    """`module:name` (the name may be dotted, for a method) and what stands there during a schedule."""

    target: str
    value: Any


class Lived(Protocol):
    """A world as a verdict sees it."""

    loop: SimLoop
    trace: Trace
    violations: Violations
    faults: Faults
    history: History
    undecided: int

    def run(self) -> None:
        """Live through it. Raises what ends the story early."""
        ...


class Verdict(msgspec.Struct, kw_only=True):
    """What a schedule came to. Fine when `violations` is empty."""

    seed: int
    profile: str
    violations: list[str]
    faults: list[str]
    cells: dict[tuple[str, str, str], int]
    steps: int
    virtual_s: float
    trace_hash: str
    undecided: int
    operations: int
    storage_operations: int
    trace: list[Entry]

    @property
    def fine(self) -> bool:
        """True when no invariant was broken."""
        return not self.violations


def run_schedule(seed: int, profile: str = "swarm", *, patches: Sequence[Patch] = ()) -> Verdict:
    """The verdict on the schedule a seed names."""
    return run_plan(plan_of(seed, profile), patches=patches)


def run_plan(plan: Plan, *, patches: Sequence[Patch] = (), world_of: Callable[[Plan], Lived] = World) -> Verdict:
    """The verdict on a schedule, for as often as it is run; `world_of` says in which tier's world."""
    genesis()  # made once, and by production code as it is
    limits = [Patch(name, value) for name, value in plan.config.limits.items()]
    with patched([*limits, *patches]), tripwires(), _uncollected():
        world = world_of(plan)
        try:
            world.run()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever ends a schedule is what it found
            world.violations.add("R-29", f"the schedule ended with {type(error).__name__}: {error}")
    return Verdict(
        seed=plan.seed,
        profile=plan.profile,
        violations=world.violations.found,
        faults=world.faults.struck,
        cells=dict(world.faults.cells),
        steps=world.loop.steps,
        virtual_s=world.loop.seconds,
        trace_hash=world.trace.digest(),
        undecided=world.undecided,
        operations=len(world.history.asked),
        storage_operations=len(world.trace.entries),
        trace=world.trace.entries,
    )


@contextlib.contextmanager
def patched(patches: Sequence[Patch]) -> Iterator[None]:
    """Production code with other attributes for the length of a block."""
    undo: list[tuple[Any, str, Any]] = []
    try:
        for patch in patches:
            module, _, name = patch.target.partition(":")
            owner: Any = importlib.import_module(module)
            *path, last = name.split(".")
            for part in path:
                owner = getattr(owner, part)
            undo.append((owner, last, owner.__dict__[last]))
            setattr(owner, last, patch.value)
        yield
    finally:
        for owner, last, value in reversed(undo):
            setattr(owner, last, value)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection within a schedule: it would run destructors of dead processes at moments no seed names."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
