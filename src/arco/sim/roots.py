"""Tier R: root transactions over both chains, with everything that may happen to their writers, carriers and storage.

Two writers, apis that coordinate and repair, clients that want the same names in one chain, the other, or both. First
everything goes wrong, then nothing, and then every transaction is over, told truly, and in both chains or in neither
(`root_judging`). Many of them: `python -m arco.sim run --tier R`; every fault: `... systematic --path root`.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

from arco.clients.compaction import SyncCompactRequest
from arco.domains.transactions.root_commands import HOME, RUNS
from arco.kernel.envelope import decode_units
from arco.kernel.manifest import encode
from arco.sim.bucket import SimBucket
from arco.sim.faults import Faults
from arco.sim.history import History
from arco.sim.loop import SimLoop
from arco.sim.machines import CompactorMachine, Directory, Machine
from arco.sim.monitors import ChainMonitor, Spy, Violations
from arco.sim.network import Network
from arco.sim.plan import Plan, Trouble
from arco.sim.process import SimClock, SimProcess
from arco.sim.root_clients import Asked, RootClient
from arco.sim.root_judging import Judge, RootMonitor
from arco.sim.root_machines import CHAINS, SCOPE, HomeMachine, RootApi, RunsMachine
from arco.sim.schedule import Patch, Verdict, run_plan
from arco.sim.store import InstantStore, SimStore
from arco.sim.trace import Trace
from arco.storage.capabilities import Verb, may

_TROUBLE_MAX_S: Final = 20_000.0
_STRAGGLERS_S: Final = 130.0
_OVERDUE_S: Final = 45.0
_ROUNDS_MAX: Final = 20
_WRITERS: Final[dict[str, type[CompactorMachine]]] = {"compactor": HomeMachine, "flow-compactor": RunsMachine}
_ROLES: Final = {HOME: "compactor", RUNS: "flow-compactor"}


class _Way:
    """Whoever writes a chain, as a caller finds it."""

    def __init__(self, world: "RootWorld", role: str) -> None:
        self._world = world
        self._role = role

    def compactor(self, caller: str) -> CompactorMachine | None:
        """One that is alive."""
        alive = [one for one in self._world.writers[self._role] if one.process.alive]
        return alive[sum(caller.encode()) % len(alive)] if alive else None


class RootWorld:
    """One schedule; implements `schedule.Lived` and `root_clients.Place`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = SimLoop(  # type: ignore[abstract]  # what it lacks is the machine
            random.Random(f"{plan.seed}/order"), shuffled=plan.config.shuffled, steps_max=1_000_000
        )
        self.trace = Trace()
        self.violations = Violations()
        self.history = History()
        self.bucket = SimBucket(self.loop.time)
        self.faults = Faults(plan.seed, plan.rates, masked=plan.masked, script=plan.script)
        self.network = Network(self.loop, self.trace)
        self.undecided = 0
        self.sites_troubled = 0
        self.asked: list[Asked] = []
        self.writers: dict[str, list[CompactorMachine]] = {role: [] for role in _WRITERS}
        self.apis: list[RootApi] = []
        self._ways: dict[str, Directory] = {domain: _Way(self, role) for domain, role in _ROLES.items()}
        self._processes: list[SimProcess] = []
        self._streams: list[Any] = []
        self._roles: dict[str, str] = {}
        self._troubled = True
        self._rng = random.Random(f"{plan.seed}/world")
        grace_s = plan.config.grace_s
        self._chains = {
            domain: ChainMonitor(self.bucket, SCOPE, self.violations, grace_s=grace_s, chain=spec.name)
            for domain, (spec, _) in CHAINS.items()
        }
        self.monitor = RootMonitor(self.bucket, self._chains, self.violations)
        self.bucket.watchers.append(Spy({SCOPE.prefix: self.monitor}, self.violations, self._may))

    def run(self) -> None:
        """Live through it. Raises what ends the story early."""
        self.loop.run(self._story())

    def api(self, caller: str) -> RootApi | None:
        """The api a request ends up at."""
        alive = [one for one in self.apis if one.machine.process.alive]
        return alive[sum(caller.encode()) % len(alive)] if alive else None

    # --- who is there -------------------------------------------------------------------------------------------------

    def _parts(self, role: str) -> tuple[SimProcess, SimStore, Any]:
        name, config, rng = f"{role}-{len(self._processes) + 1}", self.plan.config, self._rng
        clock = SimClock(
            self.loop,
            offset_ms=int((rng.random() - 0.5) * 2 * config.skew_ms),
            drift=(rng.random() - 0.5) * 2 * config.drift,
        )
        process = SimProcess(self.loop, name, self.plan.seed, clock)
        stream = self.faults.stream(name)
        process.on_crash = lambda: self._start(role) if self._troubled else None
        self._roles[name] = role
        self._processes.append(process)
        self._streams.append(stream)
        return process, SimStore(process, self.bucket, stream, config=config, trace=self.trace), stream

    def _start(self, role: str) -> None:
        if role in _WRITERS:
            self.writers[role].append(_WRITERS[role](*self._parts(role), self.plan.config))
            return
        api = RootApi(Machine(*self._parts("api"), self.plan.config), self.network, self._ways)
        self.apis.append(api)
        api.machine.process.begin(api.repair())

    def _may(self, actor: str, verb: str, key: str) -> bool:
        role: Any = self._roles[actor]
        return may(role, Verb(verb), key)

    # --- the story ----------------------------------------------------------------------------------------------------

    async def _story(self) -> None:
        config = self.plan.config
        for role in _WRITERS:
            for _ in range(config.compactors):
                self._start(role)
        for _ in range(config.apis):
            self._start("api")
        clients = [RootClient(one, self, self.faults.stream(one.name)) for one in self.plan.clients]
        work = [self.loop.create_task(client.run()) for client in clients]
        work.append(self.loop.create_task(self._trouble()))
        done, late = await asyncio.wait(work, timeout=_TROUBLE_MAX_S)
        if late:
            self.violations.add("R-29", f"{len(late)} actors are still at work after {_TROUBLE_MAX_S} s")
        for task in done:
            task.result()
        await self._calm(clients)

    async def _trouble(self) -> None:
        for trouble in self.plan.troubles:
            await asyncio.sleep(max(0.0, trouble.at_s - self.loop.seconds))
            alive = [one for one in self._processes if one.alive and self._roles[one.name] == trouble.role]
            if alive:
                self._strike(trouble, alive[trouble.target % len(alive)])

    def _strike(self, trouble: Trouble, process: SimProcess) -> None:
        self.faults.note(trouble.kind, "process", trouble.role)
        self.faults.struck.append(f"{process.name}@{trouble.at_s:.3f}:{trouble.kind}")
        if trouble.kind == "crash":
            process.crash()
        elif trouble.kind == "pause":
            process.pause(trouble.amount)
        elif trouble.kind == "silence":
            self._streams[self._processes.index(process)].silent_until = self.loop.seconds + trouble.amount

    async def _calm(self, clients: Sequence[RootClient]) -> None:
        """Nothing goes wrong any more: what was wished is decided, and what was left is finished (R-29)."""
        self.sites_troubled = len(self.faults.sites or ())
        self.faults.on = self._troubled = False
        for process in self._processes:
            process.wake()
            process.clock.offset_ms = 0
        for stream in self._streams:
            stream.silent_until = 0.0
        for role in ("compactor", "flow-compactor", "api"):
            if not any(one.alive and self._roles[one.name] == role for one in self._processes):
                self._start(role)
        for client in clients:
            await client.finish()
        await asyncio.sleep(_STRAGGLERS_S)
        for domain in CHAINS:
            await self._folded(domain)
        await self._repaired()
        self.undecided += sum(one.answer is None and not one.gone for one in self.asked)
        await Judge(self.monitor, {domain: self._shop(domain) for domain in CHAINS}, self.violations).run(self.asked)

    async def _repaired(self) -> None:
        api = self.api("")
        assert api is not None
        for _ in range(_ROUNDS_MAX):
            await asyncio.sleep(_OVERDUE_S)
            done = self.loop.spawn(api.repaired(), api.machine.process)
            if await done == 0:
                return
        self.violations.add("T5", "what was left is not finished, however often it is repaired")

    async def _folded(self, domain: str) -> None:
        """Whatever is in the ledger has an outcome once it is submitted again, as anti-entropy does (R-24)."""
        prefix = f"{SCOPE.prefix}ledger/{domain}/"
        known = self._chains[domain].units
        for key in sorted(self.bucket.objects):
            if not key.startswith(prefix):
                continue
            units = decode_units(self.bucket.objects[key].body, key[-31:-5])
            if all(unit.unit_id in known for unit in units):
                continue
            path = key[len(SCOPE.prefix) :]
            machine = self._ways[domain].compactor("")
            assert machine is not None
            body = encode(SyncCompactRequest(domain=domain, event_paths=[path]))
            await self.loop.spawn(machine.serve(SCOPE, body), machine.process)
            if any(unit.unit_id not in known for unit in units):
                self.violations.add("R-29", f"{path} is in the ledger and was not folded")

    def _shop(self, domain: str) -> Any:
        kind = _WRITERS[_ROLES[domain]]
        instant: Any = InstantStore(self.bucket, SCOPE.prefix)
        return kind(*self._parts(_ROLES[domain]), self.plan.config).workshop(SCOPE, instant)


def run_roots(plan: Plan, *, patches: Sequence[Patch] = ()) -> Verdict:
    """The verdict on a schedule of root transactions."""
    return run_plan(plan, patches=patches, world_of=RootWorld)
