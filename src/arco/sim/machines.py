"""The roles below HTTP, as their composition roots put them together, in simulated processes.

An api machine is the ledger desk, the compactor client and the reader of each scope; a compactor machine is the
compactors and what the internal route does with a request. Stores are the production wrappers over a `SimStore`.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from arco.clients.compactor import TIMEOUT_MS, CompactorClient
from arco.core.scope import Scope
from arco.kernel.cache import ObjectCache, ScopedCache
from arco.kernel.chain import CATALOG_CHAIN, Chain, ChainSpec
from arco.kernel.compactors import Compactors
from arco.kernel.ledger import LedgerDesk
from arco.kernel.loader import Loader
from arco.kernel.reader import ChainReader, ChainSnapshot
from arco.kernel.records import OUTCOMES, OutcomeRow, all_specs
from arco.kernel.workshop import Workshop
from arco.routes.internal.compaction import CompactorServices, folded
from arco.sim.domain import LISTS, NAMES, SimDomain
from arco.sim.faults import FaultStream
from arco.sim.network import Network
from arco.sim.plain_codec import PLAIN
from arco.sim.plan import Config
from arco.sim.process import SimProcess
from arco.sim.store import SimStore
from arco.storage.capabilities import Role
from arco.storage.port import ObjectStore
from arco.storage.scoped import RoleStore, TenantStore

DOMAINS: Final = (SimDomain(),)
SPECS: Final = all_specs(DOMAINS)

_FOR_EVER_S: Final = 50_000.0
_ENCODER: Final = msgspec.json.Encoder()


class Machine:
    """A process with its way to storage and its cache."""

    role: Role = "api"
    chain: ChainSpec = CATALOG_CHAIN
    domains: Sequence[Any] = DOMAINS

    def __init__(self, process: SimProcess, store: SimStore, faults: FaultStream, config: Config) -> None:
        self.process = process
        self.store = store
        self.faults = faults
        self.config = config
        self.cache = ObjectCache(config.cache_bytes)
        self.grace_ms = int(config.grace_s * 1000)

    def scoped_store(self, scope: Scope) -> ObjectStore:
        """A scope's objects as this role may use them."""
        return RoleStore(TenantStore(self.store, scope), self.role)

    def scoped_cache(self, scope: Scope) -> ScopedCache:
        """The part of the cache that belongs to a scope."""
        return ScopedCache(self.cache, scope.prefix)

    def workshop(self, scope: Scope, store: ObjectStore | None = None) -> Workshop:
        """What a compactor of this scope works with."""
        return Workshop(
            store or self.scoped_store(scope),
            self.chain,
            self.domains,
            ports=self.process,
            cache=self.scoped_cache(scope),
            grace_ms=self.grace_ms,
            codec=PLAIN,
        )


class CompactorMachine(Machine):
    """The compactor role."""

    role: Role = "compactor"

    def __init__(self, process: SimProcess, store: SimStore, faults: FaultStream, config: Config) -> None:
        super().__init__(process, store, faults, config)
        self.compactors = Compactors(self.workshop, only=None, idle_merge_ms=config.idle_merge_ms)
        self._services = CompactorServices(self.compactors, process.clock)

    @property
    def served(self) -> list[Scope]:
        """The scopes it has folded in: one it was asked for and whose ledger it could not read is not among them."""
        return self.compactors.scopes

    async def serve(self, scope: Scope, body: bytes) -> tuple[int, bytes]:
        """The internal route, below HTTP."""
        try:
            answer, status = await folded(self._services, scope, body)
        except Exception as error:  # noqa: BLE001  # the HTTP kit answers what nobody caught
            return 500, _ENCODER.encode({"error": "internal", "message": type(error).__name__})
        return status, _ENCODER.encode(answer)


class Directory(Protocol):
    """Who is there to be called."""

    def compactor(self, caller: str) -> CompactorMachine | None:
        """A compactor a call of this caller ends up at, dead or alive."""
        ...


class SimTransport:
    """Implements `clients.compactor.Transport` for one scope over the simulated network."""

    def __init__(self, machine: Machine, scope: Scope, network: Network, directory: Directory) -> None:
        self._machine = machine
        self._scope = scope
        self._network = network
        self._directory = directory

    async def post(self, _path: str, body: bytes, _headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body. Raises `ConnectionError` or `TimeoutError`."""
        target = self._directory.compactor(self._machine.process.name)
        if target is None:
            raise ConnectionRefusedError("nobody listens")
        return await self._network.call(
            self._machine.faults,
            target.process,
            lambda: target.serve(self._scope, body),
            patience_s=_FOR_EVER_S if self._machine.config.patient else TIMEOUT_MS / 1000,
        )


class Contents(msgspec.Struct, frozen=True):
    """What a read of one list sees: the manifest (-1: no workspace yet), the list's tokens, every name."""

    number: int
    tokens: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()


class Desks:
    """Ledger desks and readers of one api process, by scope."""

    def __init__(self, machine: Machine, scopes: Sequence[Scope], network: Network, directory: Directory) -> None:
        self.machine = machine
        self.readers = {scope: self.reader(scope) for scope in scopes}
        self.desks = {
            scope: LedgerDesk(
                machine.scoped_store(scope),
                CompactorClient(SimTransport(machine, scope, network, directory), scope, machine.process.clock),
                clock=machine.process.clock,
                ids=machine.process.ids,
                on_receipt=self.readers[scope].expect,
            )
            for scope in scopes
        }

    def reader(self, scope: Scope) -> ChainReader:
        """A reader with nothing in memory but what this process holds."""
        machine = self.machine
        store = machine.scoped_store(scope)
        loader = Loader(store, machine.scoped_cache(scope), SPECS, codec=PLAIN)
        return ChainReader(Chain(store, CATALOG_CHAIN), loader, clock=machine.process.clock, grace_ms=machine.grace_ms)

    async def contents(self, scope: Scope, name: str, number: int | None = None) -> Contents | None:
        """A list and all names: now, or at a manifest (None when that was collected)."""
        reader = self.readers[scope]
        snapshot = await (reader.head() if number is None else reader.at_manifest(f"{number:020d}"))
        if snapshot is None:
            return Contents(-1) if number is None else None
        row = await snapshot.get(LISTS, (name,))
        names = frozenset(one.name for one in await snapshot.scan(NAMES))
        return Contents(int(snapshot.manifest_id), tuple(row.tokens.split()) if row else (), names)

    async def row_version(self, scope: Scope, name: str) -> tuple[int, int | None]:
        """The manifest that was read, and the version of a name's row."""
        snapshot = await self.readers[scope].head()
        row = None if snapshot is None else await snapshot.get(NAMES, (name,))
        return _number(snapshot), row.row_version if row else None

    async def outcome(self, scope: Scope, event_id: str) -> tuple[int, OutcomeRow | None]:
        """The manifest that was read, and what it says became of an event."""
        snapshot = await self.readers[scope].head()
        return _number(snapshot), None if snapshot is None else await snapshot.get(OUTCOMES, (event_id,))


def _number(snapshot: ChainSnapshot | None) -> int:
    return -1 if snapshot is None else int(snapshot.manifest_id)
