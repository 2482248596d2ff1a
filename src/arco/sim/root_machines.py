"""The roles of a root transaction below HTTP: the writers of both chains, and apis that carry transactions out.

The commands, the coordinator, the folds and the repair are production's; catalog and runs are the real domains.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from arco.clients.compactor import CompactorClient
from arco.core.clock import Clock
from arco.core.scope import Scope
from arco.domains.catalog.fold import CatalogDomain
from arco.domains.orchestration.batches.envelopes import Batch, batch_of
from arco.domains.orchestration.batches.rights import Speaker
from arco.domains.orchestration.domain import OrchestrationDomain
from arco.domains.transactions.commands import Clerk
from arco.domains.transactions.fold import TransactionsDomain
from arco.domains.transactions.operations import CreateCatalog
from arco.domains.transactions.root_commands import HOME, RUNS, Clerks, Wanted, finish_overdue
from arco.kernel.chain import CATALOG_CHAIN, ORCHESTRATION_CHAIN, Chain, ChainSpec
from arco.kernel.ledger import LedgerDesk
from arco.kernel.loader import Loader
from arco.kernel.reader import ChainReader
from arco.kernel.records import all_specs
from arco.sim.clients import UNCLEAR
from arco.sim.machines import CompactorMachine, Directory, Machine, SimTransport
from arco.sim.network import Network
from arco.sim.plain_codec import PLAIN
from arco.sim.plan import Wish

SCOPE: Final = Scope("first", "main")
REPAIR_S: Final = 10.0
"""How often an api looks for what coordinators left."""

_CATALOG: Final = CatalogDomain()
_RUNS: Final = OrchestrationDomain(SCOPE)
CHAINS: Final[dict[str, tuple[ChainSpec, Sequence[Any]]]] = {
    HOME: (CATALOG_CHAIN, (_CATALOG, TransactionsDomain((_CATALOG,)))),
    RUNS: (ORCHESTRATION_CHAIN, (_RUNS, TransactionsDomain((_RUNS,), ledger=RUNS))),
}


class HomeMachine(CompactorMachine):
    """The compactor."""

    domains = CHAINS[HOME][1]


class RunsMachine(CompactorMachine):
    """The flow-compactor."""

    role = "flow-compactor"
    chain = ORCHESTRATION_CHAIN
    domains = CHAINS[RUNS][1]


class RootApi:
    """An api: desks and readers of both chains, and its repair loop."""

    def __init__(self, machine: Machine, network: Network, ways: dict[str, Directory]) -> None:
        self.machine = machine
        store = machine.scoped_store(SCOPE)
        clerks = {
            domain: self._clerk(domain, SimTransport(machine, SCOPE, network, ways[domain])) for domain in (HOME, RUNS)
        }
        self.clerks = Clerks(home=clerks[HOME], runs=clerks[RUNS], store=store)

    def _clerk(self, domain: str, transport: SimTransport) -> Clerk:
        machine, process = self.machine, self.machine.process
        spec, domains = CHAINS[domain]
        store = machine.scoped_store(SCOPE)
        loader = Loader(store, machine.scoped_cache(SCOPE), all_specs(domains), codec=PLAIN)
        reader = ChainReader(Chain(store, spec), loader, clock=process.clock, grace_ms=machine.grace_ms)
        desk = LedgerDesk(
            store,
            CompactorClient(transport, SCOPE, process.clock),
            clock=process.clock,
            ids=process.ids,
            on_receipt=reader.expect,
        )
        return Clerk(desk=desk, reader=reader, clock=process.clock, ids=process.ids, scope=SCOPE, source="api:sim")

    async def repair(self) -> None:
        """Finish what others left, now and then, for ever."""
        while True:
            await asyncio.sleep(REPAIR_S)
            await self.repaired()

    async def repaired(self) -> int | None:
        """One round; how many transactions were overdue, None when it is not known."""
        left: list[str] = []
        try:
            done = await finish_overdue(self.clerks, lambda tx_id, _: left.append(tx_id))
        except UNCLEAR:
            return None
        return done + len(left)


def wanted_of(wish: Wish, token: str, run_id: str, clock: Clock) -> Wanted:
    """What a wish asks for: a catalog of its name, described by the token, a run under its name, or both."""
    operations = [CreateCatalog(catalog=wish.name, description=token)] if wish.kind in ("root", "ddl") else []
    batch = a_batch(wish.name, run_id, clock) if wish.kind in ("root", "batch") else None
    order = (*((HOME,) if operations else ()), *((RUNS,) if batch else ()))
    return Wanted(order=order, operations=operations, batch=batch)


def a_batch(name: str, run_id: str, clock: Clock) -> Batch:
    """A run of two tasks under a run key."""
    begun = {"run_id": run_id, "plan_id": run_id, "trigger": {"type": "manual"}, "run_key": name}
    tasks = [{"key": "a.first"}, {"key": "a.second", "depends_on": ["a.first"]}]
    events = [
        {"data": {"type": "run_triggered", **begun}},
        {"data": {"type": "plan_created", "run_id": run_id, "plan_id": run_id, "tasks": tasks}},
    ]
    speaker = Speaker(
        tenant=SCOPE.tenant, workspace=SCOPE.workspace, principal="sim", operator=False, now_ms=clock.now_ms()
    )
    return batch_of(events, speaker)
