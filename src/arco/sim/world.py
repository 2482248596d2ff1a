"""The world of one schedule: processes over one bucket, the clients, and the story they live through.

First everybody works and everything goes wrong; then nothing goes wrong any more, and the world must converge: every
wish decided, every ledger event folded, no delta left, pointers at the head, replay equal to what is published (R-29,
R-12).
"""

import asyncio
import random
from collections.abc import Iterator
from typing import Any, Final

from arco.core import paths
from arco.core.scope import Scope
from arco.kernel.envelope import Unit, decode_units
from arco.kernel.reader import ChainSnapshot
from arco.kernel.verify import Verifier
from arco.kernel.workshop import Workshop
from arco.sim.bucket import SimBucket
from arco.sim.clients import Client, Seen
from arco.sim.collecting import Collecting, Resubmitter
from arco.sim.domain import LISTS, UNHEARD_OF
from arco.sim.faults import Faults
from arco.sim.genesis import SCOPES, genesis
from arco.sim.history import History
from arco.sim.judging import judge_lists, judge_names, judge_orphans, judge_reads
from arco.sim.leading import Leader
from arco.sim.loop import SimLoop
from arco.sim.machines import CompactorMachine, Desks, Machine
from arco.sim.monitors import ChainMonitor, Spy, Violations
from arco.sim.network import Network
from arco.sim.plan import Plan, Trouble
from arco.sim.process import SimClock, SimProcess
from arco.sim.store import InstantStore, SimStore
from arco.sim.trace import Trace
from arco.storage.capabilities import Verb, may
from arco.storage.port import Absent

LISTS_READ: Final = ("a", "b", "c")

_TROUBLE_MAX_S: Final = 20_000.0
_CALM_MAX_S: Final = 900.0
_MERGE_RETRY_S: Final = 150.0
_SETTLED_MAX: Final = 4
_STRAGGLERS_S: Final = 130.0
"""How long what was sent while there was trouble may still be on its way."""


class World:
    """Implements `clients.Place` and `machines.Directory`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = SimLoop(random.Random(f"{plan.seed}/order"), shuffled=plan.config.shuffled)  # type: ignore[abstract]  # what it lacks is the machine
        self.trace = Trace()
        self.violations = Violations()
        self.history = History()
        self.bucket = SimBucket(self.loop.time)
        self.faults = Faults(plan.seed, plan.rates, masked=plan.masked, script=plan.script)
        self.network = Network(self.loop, self.trace)
        self.troubled = True
        self.sites_troubled = 0
        self.undecided = 0
        self._rng = random.Random(f"{plan.seed}/world")
        self._born = 0
        self.compactors: list[CompactorMachine] = []
        self.apis: list[Desks] = []
        self.collectors: list[SimProcess] = []
        self.processes: list[SimProcess] = []
        self._resubmitting: list[SimProcess] = []
        self._roles: dict[str, str] = {"compactor-0": "compactor"}
        self._seen: dict[Scope, Seen] = {}
        monitors: dict[str, ChainMonitor] = {}
        for scope in SCOPES:
            monitor = ChainMonitor(self.bucket, scope, self.violations, grace_s=plan.config.grace_s)
            monitors[scope.prefix] = monitor
            self._seen[scope] = Seen(monitor, self.violations)
        self.bucket.watchers.append(Spy(monitors, self.violations, self._may))

    def run(self) -> None:
        """Live through it. Raises what ends the story early."""
        self.loop.run(self._story())

    # --- who is there -------------------------------------------------------------------------------------------------

    def machine_parts(self, role: str) -> tuple[SimProcess, SimStore, Any]:
        """A new process with its store and its faults."""
        self._born += 1
        name = f"{role}-{self._born}"
        config, rng = self.plan.config, self._rng
        clock = SimClock(
            self.loop,
            offset_ms=int((rng.random() - 0.5) * 2 * config.skew_ms),
            drift=(rng.random() - 0.5) * 2 * config.drift,
        )
        process = SimProcess(self.loop, name, self.plan.seed, clock)
        stream = self.faults.stream(name)
        process.on_crash = lambda: self._crashed(role)
        store = SimStore(process, self.bucket, stream, config=config, trace=self.trace)
        self._roles[name] = role
        self.processes.append(process)
        return process, store, stream

    def start_compactor(self) -> CompactorMachine:
        """One more compactor."""
        machine = CompactorMachine(*self.machine_parts("compactor"), self.plan.config)
        self.compactors.append(machine)
        return machine

    def start_api(self) -> Desks:
        """One more api."""
        desks = Desks(Machine(*self.machine_parts("api"), self.plan.config), SCOPES, self.network, self)
        self.apis.append(desks)
        return desks

    def compactor(self, caller: str) -> CompactorMachine | None:
        """The one a call ends up at: one that is alive, mostly."""
        alive = [one for one in self.compactors if one.process.alive]
        if not alive:
            return None
        if self.plan.config.sticky:
            return alive[sum(caller.encode()) % len(alive)]
        return alive[self._rng.randrange(len(alive))]

    def api(self, caller: str) -> Desks | None:
        """The one a request ends up at."""
        alive = [one for one in self.apis if one.machine.process.alive]
        if not alive:
            return None
        return alive[sum(caller.encode()) % len(alive)] if self.plan.config.sticky else self._rng.choice(alive)

    def seen(self, scope: Scope) -> Seen:
        """What everybody has seen of a scope."""
        return self._seen[scope]

    def _may(self, actor: str, verb: str, key: str) -> bool:
        role: Any = "api" if self._roles[actor] == "client" else self._roles[actor]
        return may({"collector": "compactor"}.get(role, role), Verb(verb), key)

    # --- the story ----------------------------------------------------------------------------------------------------

    async def _story(self) -> None:
        config = self.plan.config
        if config.made:
            for key, body in genesis():
                self.bucket.put("compactor-0", key, body, Absent())
        for _ in range(config.compactors):
            self.start_compactor()
        for _ in range(config.apis):
            self.start_api()
        if config.collector:
            self._start_collector()
        clients = [Client(one, SCOPES[one.scope], self, self.faults.stream(one.name)) for one in self.plan.clients]
        if config.resubmitter:
            self._resubmitter()
        for _ in range(config.leaders):
            self._leader()
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
            process = self._target(trouble)
            if process is not None:
                self.faults.note(trouble.kind, "process", trouble.role)
                self.faults.struck.append(f"{process.name}@{trouble.at_s:.3f}:{trouble.kind}")
                self.trace.add((self.loop.seconds, process.name, trouble.kind, "", str(trouble.amount)))
                await self._strike(trouble, process)

    def _target(self, trouble: Trouble) -> SimProcess | None:
        processes = {
            "compactor": [one.process for one in self.compactors],
            "api": [one.machine.process for one in self.apis],
            "collector": self.collectors,
        }[trouble.role]
        alive = [one for one in processes if one.alive]
        return alive[trouble.target % len(alive)] if alive else None

    async def _strike(self, trouble: Trouble, process: SimProcess) -> None:
        match trouble.kind:
            case "crash":
                process.crash()
            case "pause":
                process.pause(trouble.amount)
            case "silence":
                self.streams(process).silent_until = self.loop.seconds + trouble.amount
            case "clock":
                process.clock.offset_ms += int(trouble.amount)
            case "freeze":
                process.clock.stands_at_ms = process.clock.now_ms()
            case "deploy":
                # The new version is there before the old one goes.
                self._start(trouble.role)
                await self._stopped(process)
                process.on_crash = lambda: None
                process.crash()
            case _:
                await self._settled(process)

    def streams(self, process: SimProcess) -> Any:
        """The faults of a process."""
        machines: list[Machine] = [*self.compactors, *(one.machine for one in self.apis)]
        found = [one.faults for one in machines if one.process is process]
        return found[0] if found else self.faults.stream("nobody")

    def _crashed(self, role: str) -> None:
        """Whoever runs processes starts another one."""
        if self.troubled:
            self._start(role)

    def _start(self, role: str) -> None:
        if role == "compactor":
            self.start_compactor()
        elif role == "api":
            self.start_api()
        elif role == "collector":
            self._start_collector()

    async def _stopped(self, process: SimProcess) -> None:
        """A graceful end: what is queued is finished, within the patience of whoever runs the process."""
        machine = next((one for one in self.compactors if one.process is process), None)
        if machine is not None:
            stopping = process.spawn(machine.compactors.stop())
            await asyncio.wait({stopping}, timeout=60)
            if stopping.cancelled():
                self.violations.add("R-29", "the end of a compactor was broken off by itself")
            elif stopping.done() and stopping.exception() is not None:
                self.violations.add("R-29", f"a compactor could not stop: {stopping.exception()!r}")

    async def _settled(self, process: SimProcess, patience_s: float = 20.0) -> None:
        machine = next((one for one in self.compactors if one.process is process), None)
        for compactor in machine.compactors.running if machine else []:
            task = process.spawn(compactor.settle())
            await asyncio.wait({task}, timeout=patience_s)
            if task.done() and not task.cancelled():
                task.exception()

    def _start_collector(self) -> None:
        process, store, stream = self.machine_parts("collector")
        self.collectors.append(process)
        machine = Machine(process, store, stream, self.plan.config)
        machine.role = "compactor"
        process.begin(Collecting(machine, SCOPES, self.violations).run())

    def _resubmitter(self) -> None:
        process, store, stream = self.machine_parts("api")
        self._resubmitting.append(process)
        machine = Machine(process, store, stream, self.plan.config)
        process.begin(Resubmitter(machine, SCOPES, self.network, self).run())

    def _leader(self) -> None:
        process, store, stream = self.machine_parts("sweeper")
        self._resubmitting.append(process)
        machine = Machine(process, store, stream, self.plan.config)
        machine.role = "sweeper"
        process.begin(Leader(machine, SCOPES, self).run())

    # --- the liveness phase -------------------------------------------------------------------------------------------

    async def _calm(self, clients: list[Client]) -> None:
        """Nothing goes wrong any more: what was wished is decided, and the world comes to rest (R-29)."""
        self.sites_troubled = len(self.faults.sites or ())
        self.faults.on = False
        self.troubled = False
        for process in self.processes:
            process.wake()
            process.clock.stands_at_ms = None
            process.clock.offset_ms = 0
        for machine in [*self.compactors, *(one.machine for one in self.apis)]:
            machine.faults.silent_until = 0.0
        for process in self._resubmitting:
            process.crash()
        if self.compactor("") is None:
            self.start_compactor()
        if self.api("") is None:
            self.start_api()
        began_s = self.loop.seconds
        for client in clients:
            await client.finish()
            for wish, asked, _ in client.pending:
                self.violations.add("R-29", f"{wish.kind} {asked.unit_ids} of {client.plan.name} stays undecided")
        if self.loop.seconds - began_s > _CALM_MAX_S:
            self.violations.add("R-29", f"it took {self.loop.seconds - began_s:.0f} s to decide what was pending")
        await asyncio.sleep(_STRAGGLERS_S)
        for scope in SCOPES:
            await self._folded(scope)
        await self._at_rest()
        for scope in SCOPES:
            await self._judge(scope)
        judge_reads(self.trace.entries, {one.machine.process.name for one in self.apis}, self.violations)
        self.violations.found.extend(f"R-29: {text}" for text in self._lost_errors())

    async def _folded(self, scope: Scope) -> None:
        """Whatever is in the ledger has an outcome once it is submitted again, and nothing else has (R-24, P7)."""
        for unit_id in self._invented(scope):
            self.violations.add("R-24", f"{unit_id} is folded and is not in the ledger")
        lost = self._unfolded(scope)
        if not lost:
            return
        head = self.seen(scope).monitor.numbers[-1:] or [-1]
        process, store, stream = self.machine_parts("api")
        machine = Machine(process, store, stream, self.plan.config)
        await Resubmitter(machine, SCOPES, self.network, self).resubmit(scope, sorted(set(lost.values())))
        for unit_id in self._unfolded(scope):
            self.violations.add("R-29", f"{unit_id} is in the ledger and was not folded after {head}")

    def _unfolded(self, scope: Scope) -> dict[str, str]:
        """Units that are in the ledger and have no outcome, and where they lie."""
        known = self.seen(scope).monitor.units
        return {
            unit.unit_id: key[len(scope.prefix) :]
            for key, unit in self._ledger(scope)
            if unit.unit_id not in known and unit.events[0].event_type != UNHEARD_OF
        }

    def _invented(self, scope: Scope) -> list[str]:
        """Units that have an outcome and are not in the ledger."""
        recorded = {unit.unit_id for _, unit in self._ledger(scope)}
        return sorted(self.seen(scope).monitor.units.keys() - recorded)

    def _ledger(self, scope: Scope) -> Iterator[tuple[str, Unit]]:
        prefix = f"{scope.prefix}ledger/"
        for key in sorted(self.bucket.objects):
            if key.startswith(prefix):
                for unit in decode_units(self.bucket.objects[key].body, key[-31:-5]):
                    yield key, unit

    async def _at_rest(self) -> None:
        """Chains are merged and pointers at the head; compactors end when they are asked to."""
        for machine in self.compactors:
            if machine.process.alive:
                await self._merged(machine)
                await self._stopped(machine.process)
        for scope in SCOPES:
            monitor = self.seen(scope).monitor
            if monitor.head is None:
                continue
            if self._left_over(scope) and any(one.process.alive and scope in one.served for one in self.compactors):
                self.violations.add("R-29", f"{scope.tenant} is left with deltas after it was settled")
            pointer = monitor.pointers.get(scope.prefix + paths.pointer("catalog"), -1)
            alive = {one.process.name for one in self.compactors if one.process.alive}
            if pointer != monitor.head.number and monitor.head_writer in alive:
                # A hint: whoever crashes after a win leaves it behind until the next one.
                self.violations.add("R-29", f"the pointer rests at {pointer}, the head is {monitor.head.number}")

    async def _merged(self, machine: CompactorMachine) -> None:
        for _ in range(_SETTLED_MAX):
            # It may hear of a merge that began to fail while there still was trouble, or be given more to do by calls
            # that were delayed.
            await self._settled(machine.process, _MERGE_RETRY_S)
            if not any(self._left_over(scope) for scope in machine.served):
                return

    def _left_over(self, scope: Scope) -> bool:
        head = self.seen(scope).monitor.head
        return head is not None and bool(head.deltas)

    async def _judge(self, scope: Scope) -> None:
        asked = [one for one in self.history.asked if one.scope == scope]
        process, store, stream = self.machine_parts("compactor")
        instant: Any = InstantStore(self.bucket, scope.prefix)
        shop = CompactorMachine(process, store, stream, self.plan.config).workshop(scope, instant)
        head = await shop.chain.find()
        final: dict[str, tuple[str, ...]] = dict.fromkeys(LISTS_READ, ())
        if head is not None:
            snapshot = ChainSnapshot(await shop.state_of(head), shop.loader)
            final.update({row.name: tuple(row.tokens.split()) for row in await snapshot.scan(LISTS)})
        judge_lists(asked, final, self.violations)
        if not judge_names(asked, self.violations):
            self.undecided += 1
        monitor = self.seen(scope).monitor
        judge_orphans(self.bucket, monitor, scope.prefix, self.violations)
        if monitor.head is not None and len(monitor.numbers) == monitor.head.number + 1:
            await self._replayed(scope, shop)

    async def _replayed(self, scope: Scope, shop: Workshop) -> None:
        """Folding the whole log again gives what is published, row for row (R-12), also what was collected since."""
        report = await Verifier(shop, lambda _done, _of: None).run()
        for sentence in report.differences:
            self.violations.add("R-12", sentence)

    def _lost_errors(self) -> list[str]:
        """What nobody heard of, but for reads that failed after everybody who waited for them had left."""
        return [text for text in self.loop.lost_errors if "StorageUnavailable" not in text]
