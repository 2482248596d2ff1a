"""What a compactor does by itself for one scope: find what was missed, collect what is over, forget what is old.

Each part is bounded, resumable and safe from several processes at once; losing a round costs time and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec

from arco.core.retention import Horizons
from arco.core.scope import Scope
from arco.kernel.antientropy import AntiEntropy, Bounds, Submit, Sweep
from arco.kernel.compactors import Compactors
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome
from arco.kernel.notices import Notices
from arco.kernel.reconcile import Reconciler, Report
from arco.kernel.repair import Action, Repairer
from arco.kernel.retention.collector import Collection, Collector
from arco.kernel.retention.ledger import Forgetting, LedgerCollector
from arco.kernel.retention.litter import Litter, LitterWalk
from arco.kernel.retention.pins import PinBoard
from arco.kernel.retention.plan import Removal
from arco.kernel.retention.record import RecordKeeper
from arco.kernel.retention.remover import Remover
from arco.kernel.workshop import Workshop

LITTER_SHOWN: Final = 200
ROUNDS_MAX: Final = 16
"""Rounds of collection that follow each other: about a hundred commits a second, at the default interval."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What one round of collection did: chain, ledger, and what lay about beside them."""

    chain: Collection
    ledger: Forgetting
    litter: list[Removal] = []
    objects: int = 0
    bytes: int = 0

    @property
    def more(self) -> bool:
        """True when the next round finds something at once, because this one was bounded."""
        return self.chain.more or self.ledger.more


class Busy(Exception):
    """The same chore is under way in this process."""


class Upkeep:
    """The chores of one scope."""

    def __init__(
        self,
        shop: Workshop,
        submit: Submit,
        horizons: Horizons,
        *,
        litter: Sequence[Litter] = (),
        alone: bool = False,
    ) -> None:
        self.shop = shop
        self._litter = LitterWalk(shop, litter)
        self._walker = AntiEntropy(shop, submit)
        self._collector = Collector(shop, horizons)
        self._ledger = LedgerCollector(shop, submit, horizons)
        self._keeper = RecordKeeper(shop.store, shop.chain.spec.name)
        self._reconciler = Reconciler(shop)
        self._repairer = Repairer(shop, submit, alone=alone)
        self._walking: set[str] = set()
        self._walked_at: dict[str, int] = {}
        self._collecting = asyncio.Lock()
        self._repairing = asyncio.Lock()
        self.notices = Notices(shop, submit)
        self.pins = PinBoard(shop)

    async def walk(self, domain: str, bounds: Bounds) -> Sweep:
        """Anti-entropy over one ledger. Raises `Busy` while another one of this domain is under way."""
        if domain in self._walking:
            raise Busy
        self._walking.add(domain)
        try:
            return await self._walker.run(domain, bounds)
        finally:
            self._walking.discard(domain)

    async def walk_all(self, bounds: Bounds) -> Sequence[Sweep]:
        """Anti-entropy over every ledger of the scope, one after another.

        Where the chain has moved since the last time, runs follow each other up to a bound until the walk is through:
        a ledger that grows faster than one run looks would never be walked to its end, and never be collected. A quiet
        workspace gets one run, however much its ledger holds, and so does one that is seen for the first time.
        """
        sweeps: list[Sweep] = []
        for domain in sorted(self.shop.ledger_domains):
            sweep = await self.walk(domain, bounds)
            sweeps.append(sweep)
            moved = sweep.head != self._walked_at.get(domain, sweep.head)
            self._walked_at[domain] = sweep.head
            for _ in range(ROUNDS_MAX - 1 if moved else 0):
                if sweep.scan_complete:
                    break
                sweep = await self.walk(domain, bounds)
                sweeps.append(sweep)
        return sweeps

    async def collect(self, *, apply: bool, walk: bool = False) -> Collected:
        """Collect the chain, the ledger, then the litter.

        Raises `Busy`, `StorageUnavailable`, `CorruptData`, `OutcomeUnknown`.
        """
        if self._collecting.locked():
            raise Busy
        async with self._collecting:
            chain = await self._collector.run(apply=apply, walk=walk)
            remover = Remover(self.shop.store, self.shop.clock)
            now_ms = (await self._keeper.read()).written_ms
            ledger = await self._ledger.run(now_ms, remover, apply=apply)
            litter = await self._litter.due(now_ms)
            if apply:
                await remover.remove_all([one.key for one in litter])
        return Collected(
            chain=chain,
            ledger=ledger,
            litter=litter[:LITTER_SHOWN],
            objects=chain.objects + (remover.removed if apply else ledger.ledger_objects + len(litter)),
            bytes=chain.bytes + remover.removed_bytes,
        )

    async def rounds(self, *, apply: bool) -> AsyncIterator[Collected]:
        """Rounds of `collect`, one after another while there is more, up to a bound.

        One round can be broken off and is not long; a busy workspace makes more than that in an interval.
        """
        for _ in range(ROUNDS_MAX):
            done = await self.collect(apply=apply)
            yield done
            if not (apply and done.more):
                return

    async def reconcile(
        self, domain: str, scope: str, *, repair: bool, deep: bool = False
    ) -> tuple[Report, list[Action] | None]:
        """What is wrong, and, when asked to repair, what was done. Raises `Busy`, `StorageUnavailable`."""
        if self._repairing.locked():
            raise Busy
        async with self._repairing:
            report = await self._reconciler.check(domain, scope, deep=deep)
            actions = await self._repairer.run(report) if repair else None
        return report, actions


class Upkeeps:
    """The chores of every scope a process serves."""

    def __init__(
        self, compactors: Compactors, horizons: Horizons, litter: Callable[[], Sequence[Litter]] = tuple
    ) -> None:
        self._litter = litter
        self._compactors = compactors
        self._horizons = horizons
        self._made: dict[Scope, Upkeep] = {}

    def of(self, scope: Scope) -> Upkeep:
        """The chores of a scope. Raises `NotFound` for one this process does not serve."""
        found = self._made.get(scope)
        if found is None:
            compactor = self._compactors.of(scope)

            async def submit(units: Sequence[Unit], size_bytes: int) -> Sequence[Outcome]:
                return (await compactor.submit(units, size_bytes)).outcomes

            found = self._made[scope] = Upkeep(
                self._compactors.workshop(scope), submit, self._horizons, litter=self._litter()
            )
        return found

    def passing(self, scope: Scope) -> Upkeep:
        """The chores of a scope that nobody has asked for: it gets a compactor once there is something to fold."""

        async def submit(units: Sequence[Unit], size_bytes: int) -> Sequence[Outcome]:
            return (await self._compactors.of(scope).submit(units, size_bytes)).outcomes

        return Upkeep(self._compactors.passing(scope), submit, self._horizons)

    @property
    def scopes(self) -> list[Scope]:
        """The scopes looked after."""
        return list(self._made)

    async def stop(self) -> None:
        """Drop what waits; anti-entropy finds it."""
        await asyncio.gather(*(upkeep.notices.stop() for upkeep in self._made.values()))
