"""The catalog's routes behind the real door, over the fakes or over the real kernel on a memory store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
from tests.builders import a_workspace
from tests.fakes import FrozenClock, MemoryWorkspace, SeededEntropy, seeded_ids

from arco.core.log import SilentLog
from arco.core.metrics import Registry
from arco.core.offload import Inline
from arco.domains.catalog.fold import CATALOG
from arco.edge.app import AppParts, build_app
from arco.edge.auth import DevelopmentScope
from arco.edge.context import ApiServices
from arco.edge.lifecycle import Lifecycle
from arco.edge.pages import CursorCodec
from arco.kernel.cache import ObjectCache, ScopedCache
from arco.kernel.chain import CATALOG_CHAIN, Chain
from arco.kernel.compactor import Compactor
from arco.kernel.desk import Desk
from arco.kernel.envelope import Unit, decode_units
from arco.kernel.fold import Outcome
from arco.kernel.ledger import LedgerBody, LedgerDesk
from arco.kernel.loader import Loader
from arco.kernel.reader import ChainReader
from arco.kernel.reading import Reader
from arco.kernel.records import all_specs
from arco.kernel.workshop import Workshop
from arco.routes.public import catalogs, history, inventory, namespace_tables, namespaces, outcomes, schemas, tables
from arco.storage.memory import MemoryStore

PREFIX = "/api/v1"
ENDPOINTS = [
    (PREFIX, endpoint)
    for module in (catalogs, schemas, tables, namespaces, namespace_tables, inventory, history, outcomes)
    for endpoint in module.routes
]
FOR_EVER_MS = 60_000
GRACE_MS = 86_400_000


class PatientClock(FrozenClock):
    """A frozen clock on which long sleeps never end, so that nothing happens by itself."""

    async def sleep_ms(self, duration_ms: int) -> None:
        if duration_ms >= FOR_EVER_MS:
            await asyncio.get_running_loop().create_future()
        await super().sleep_ms(duration_ms)
        await asyncio.sleep(0)


class Kernel:
    """A compactor, a ledger and a reader on one memory store."""

    def __init__(self, clock: FrozenClock) -> None:
        self.clock = clock
        self.entropy = SeededEntropy(3)
        self.ids = seeded_ids(clock, seed=4)
        self.offload = Inline()
        self.log = SilentLog()
        store = MemoryStore()
        cache = ScopedCache(ObjectCache(64 << 20), "t/")
        shop = Workshop(store, CATALOG_CHAIN, [CATALOG], ports=self, cache=cache, grace_ms=GRACE_MS)
        self.compactor = Compactor(shop, idle_merge_ms=FOR_EVER_MS)
        self.compactor.start()
        loader = Loader(store, cache, all_specs([CATALOG]))
        self.reader = ChainReader(Chain(store, CATALOG_CHAIN), loader, clock=clock, grace_ms=GRACE_MS)
        self.desk = LedgerDesk(store, self, clock=clock, ids=self.ids)

    async def compact(self, _domain: str, objects: Sequence[LedgerBody]) -> list[Outcome]:
        """The compactor's answer, without a network in between."""
        units: list[Unit] = [unit for each in objects for unit in decode_units(each.body, "")]
        done = await self.compactor.submit(units, sum(len(each.body) for each in objects))
        return list(done.outcomes)


@asynccontextmanager
async def an_api(kind: str, workspace: MemoryWorkspace | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the catalog's routes over `fakes` or over the `kernel`."""
    clock = PatientClock()
    desk: Desk
    reader: Reader
    kernel = Kernel(clock) if kind == "kernel" else None
    if kernel is not None:
        desk, reader = kernel.desk, kernel.reader
    else:
        desk = reader = workspace or a_workspace()
    ids = seeded_ids(clock, seed=9)
    services = ApiServices(
        clock=clock,
        ids=ids,
        reader_for=lambda _scope: reader,
        desk_for=lambda _scope: desk,
        store_for=lambda _scope: MemoryStore(clock),
        cursors=CursorCodec(b"secret"),
    )
    parts = AppParts(
        role="api",
        clock=clock,
        ids=ids,
        log=SilentLog(),
        registry=Registry(),
        lifecycle=Lifecycle(),
        authenticator=DevelopmentScope(),
    )
    transport = httpx.ASGITransport(app=build_app(ENDPOINTS, services, parts))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://localhost{PREFIX}") as client:
        yield client
    if kernel is not None:
        await kernel.compactor.stop()
