"""A process with both ends of the write path of one chain, of any domains, over any store."""

from collections.abc import Sequence
from typing import Any

from tests.kernel.world import QuietLog, SeededEntropy

from arco.core.entropy import MintedIds
from arco.core.errors import OutcomeUnknown
from arco.core.offload import Inline
from arco.kernel.cache import ObjectCache, ScopedCache
from arco.kernel.chain import CATALOG_CHAIN, Chain, ChainSpec
from arco.kernel.compactor import Compactor
from arco.kernel.envelope import decode_units
from arco.kernel.fold import Domain, Outcome
from arco.kernel.ledger import CompactorGone, LedgerBody, LedgerDesk
from arco.kernel.loader import Loader
from arco.kernel.reader import ChainReader
from arco.kernel.records import all_specs
from arco.kernel.verify import Verifier, VerifyReport
from arco.kernel.workshop import Workshop
from arco.storage.port import ObjectStore, StorageUnavailable

GRACE_MS = 86_400_000


class ChainProcess:
    """Desk, compactor and reader; `clock` and `store` are this process's own way to the world."""

    def __init__(
        self, store: ObjectStore, clock: Any, domains: Sequence[Domain], *, seed: int, spec: ChainSpec = CATALOG_CHAIN
    ) -> None:
        self.store = store
        self.clock = clock
        self.entropy = SeededEntropy(seed)
        self.ids = MintedIds(clock, self.entropy)
        self.offload = Inline()
        self.log = QuietLog()
        cache = ScopedCache(ObjectCache(64 << 20), "t/")
        self.shop = Workshop(store, spec, domains, ports=self, cache=cache, grace_ms=GRACE_MS)
        self.compactor = Compactor(self.shop, idle_merge_ms=5_000)
        self.compactor.start()
        self.desk = LedgerDesk(store, self, clock=clock, ids=self.ids)
        loader = Loader(store, cache, all_specs(domains))
        self.reader = ChainReader(Chain(store, spec), loader, clock=clock, grace_ms=GRACE_MS)

    async def compact(self, _domain: str, objects: Sequence[LedgerBody]) -> list[Outcome]:
        """Fold what was appended; implements `kernel.ledger.CompactorPort`."""
        units = [unit for each in objects for unit in decode_units(each.body, each.path[-31:-5])]
        try:
            compacted = await self.compactor.submit(units, sum(len(each.body) for each in objects))
        except (OutcomeUnknown, StorageUnavailable) as error:
            raise CompactorGone(str(error)) from error
        return list(compacted.outcomes)

    async def verify(self) -> VerifyReport:
        """Replay the chain."""
        return await Verifier(self.shop, lambda _done, _of: None).run()
