"""`arco gc | reconcile | repair | retention`: the compactor's chores from the command line, straight on the storage.

Collecting, looking and pinning are safe while servers run. Repair says so when it is not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from arco.core.log import SilentLog
from arco.core.retention import RetentionPolicy
from arco.core.scope import Scope
from arco.kernel.chores import Collected, Upkeep
from arco.kernel.compactor import Compactor
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome
from arco.kernel.reconcile import Report
from arco.kernel.repair import Action
from arco.kernel.retention.record import Pin
from arco.roles.chains import litter
from arco.roles.process import make_process
from arco.roles.shops import workshop

T = TypeVar("T")

_IDLE_MERGE_MS: Final = 1_000
_DOMAIN: Final = "catalog"


class Place(msgspec.Struct, frozen=True):
    """A workspace in a storage, and how long things stay in it."""

    storage: str
    scope: Scope
    policy: RetentionPolicy


def collect(place: Place, *, apply: bool, walk: bool) -> Collected:
    """Collect what is due, or say what would go. Raises what `Upkeep.collect` raises."""
    return _with_upkeep(place, lambda upkeep: upkeep.collect(apply=apply, walk=walk))


def reconcile(place: Place, *, scope: str, deep: bool) -> Report:
    """What is wrong with a workspace."""

    async def looked(upkeep: Upkeep) -> Report:
        report, _ = await upkeep.reconcile(_DOMAIN, scope, repair=False, deep=deep)
        return report

    return _with_upkeep(place, looked)


def repair(place: Place, *, deep: bool, alone: bool) -> tuple[Report, Sequence[Action]]:
    """Repair what can be repaired; `alone` says that no server runs on this storage."""

    async def repaired(upkeep: Upkeep) -> tuple[Report, Sequence[Action]]:
        report, actions = await upkeep.reconcile(_DOMAIN, "full", repair=True, deep=deep)
        return report, actions or ()

    return _with_upkeep(place, repaired, alone=alone)


def pins(place: Place) -> Sequence[Pin]:
    """The pins that hold."""
    return _with_upkeep(place, lambda upkeep: upkeep.pins.pins())


def pin(place: Place, manifest_id: str | None, *, ttl_ms: int | None, reason: str) -> Pin:
    """Pin a version, by default the newest."""
    return _with_upkeep(place, lambda upkeep: upkeep.pins.pin(manifest_id, ttl_ms=ttl_ms, reason=reason, owner="cli"))


def unpin(place: Place, pin_id: str) -> Pin:
    """Release a pin."""
    return _with_upkeep(place, lambda upkeep: upkeep.pins.unpin(pin_id))


def _with_upkeep(place: Place, work: Callable[[Upkeep], Awaitable[T]], *, alone: bool = False) -> T:
    return asyncio.run(_worked(place, work, alone=alone))


async def _worked(place: Place, work: Callable[[Upkeep], Awaitable[T]], *, alone: bool) -> T:
    process = make_process(place.storage, log=SilentLog())
    shop = workshop(process, place.scope)
    # Folding is rarely needed; correct beside any other compactor.
    compactor = Compactor(shop, idle_merge_ms=_IDLE_MERGE_MS)

    async def submit(units: Sequence[Unit], size_bytes: int) -> Sequence[Outcome]:
        compactor.start()
        return (await compactor.submit(units, size_bytes)).outcomes

    try:
        return await work(Upkeep(shop, submit, place.policy.horizons(), litter=litter(), alone=alone))
    finally:
        await compactor.stop()
