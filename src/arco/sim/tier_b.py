"""Tier B: whole servers, from HTTP to Parquet, as `arco serve` composes them, under the same loop, store and monitors.

Each simulated process is an api and a compactor in one; clients speak the public API. Plans are those of tier A: names
are catalogs, and a token is a catalog of its own. What tier A checks below HTTP is checked here with the real domains.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arco.clients.compactor import InProcessTransport
from arco.config.settings import Settings, load
from arco.config.variables import COMPACTOR, FLOW_COMPACTOR
from arco.core.log import LineLog
from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.kernel.cache import ObjectCache
from arco.kernel.verify import Verifier
from arco.roles import api, compactor
from arco.roles.process import Process
from arco.roles.shops import workshop
from arco.sim.bucket import SimBucket
from arco.sim.faults import Faults, FaultStream
from arco.sim.history import Asked, History
from arco.sim.judging import judge_names
from arco.sim.loop import SimLoop
from arco.sim.monitors import ChainMonitor, Spy, Violations
from arco.sim.network import Network
from arco.sim.plan import ClientPlan, Plan, Trouble, Wish
from arco.sim.process import SimClock, SimProcess
from arco.sim.schedule import Patch, Verdict, run_plan
from arco.sim.store import InstantStore, SimStore
from arco.sim.trace import Trace
from arco.storage.capabilities import Verb, may

SCOPES: Final = (Scope("first", "main"), Scope("second", "main"))
_ENVIRON: Final = {"ARCO_STORAGE_BUCKET": "memory://"}
_CATALOGS: Final = "/api/v1/catalogs"
_STRAGGLERS_S: Final = 130.0
_PAUSES_S: Final = (0.05, 0.5, 2.0, 10.0)
_UNKNOWN: Final = frozenset({429, 502, 503, 504})
_SERVER_ERROR: Final = 500
_MADE_AND_GONE: Final = b"Cached "
"""How the answer begins to a key whose object was made and is not there any more."""


class Server:
    """One process with an api and a compactor."""

    def __init__(self, process: SimProcess, store: Any, plan: Plan) -> None:
        settings = load("all", _ENVIRON)
        assert isinstance(settings, Settings), settings
        self.process = process
        self.outside = Process(
            clock=process.clock,
            entropy=process.entropy,
            ids=process.ids,
            offload=process.offload,
            log=LineLog(lambda _line: None, process.clock, level="error", text=False),
            registry=Registry(),
            store=store,
            cache=ObjectCache(plan.config.cache_bytes),
            grace_ms=int(plan.config.grace_s * 1000),
        )
        own = process.entropy.bytes(32).hex()
        self.back = compactor.build(settings, self.outside, _ENVIRON, own=own)
        transport = InProcessTransport(self.back.app, token=own)
        # Nobody asks for runs here: the way to the flow-compactor leads nowhere it could be missed.
        within = {COMPACTOR: transport, FLOW_COMPACTOR: transport}
        self.front = api.build(settings, self.outside, _ENVIRON, within=within)
        self._call = InProcessTransport(self.front.app, timeout_ms=None)

    async def serve(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """The answer to a request."""
        return await self._call.send(method, path, body, headers)

    async def close(self) -> None:
        """End as `arco serve` does: who calls before who is called."""
        await self.front.close()
        await self.back.close()


class ServedWorld:
    """One schedule of whole servers."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = SimLoop(  # type: ignore[abstract]  # what it lacks is the machine
            random.Random(f"{plan.seed}/order"), shuffled=plan.config.shuffled, steps_max=2_000_000
        )
        self.trace = Trace()
        self.violations = Violations()
        self.history = History()
        self.bucket = SimBucket(self.loop.time)
        self.faults = Faults(plan.seed, plan.rates, masked=plan.masked, script=plan.script)
        self.network = Network(self.loop, self.trace)
        self.undecided = 0
        self.servers: list[Server] = []
        self.monitors = {
            scope.prefix: ChainMonitor(self.bucket, scope, self.violations, grace_s=plan.config.grace_s)
            for scope in SCOPES
        }
        self._troubled = True
        self._rng = random.Random(f"{plan.seed}/world")
        self.bucket.watchers.append(Spy(self.monitors, self.violations, _may))

    def run(self) -> None:
        """Live through it. Raises what ends the story early."""
        self.loop.run(self._story())

    def start(self) -> Server:
        """One more server."""
        name = f"server-{len(self.servers) + 1}"
        config = self.plan.config
        clock = SimClock(self.loop, offset_ms=int((self._rng.random() - 0.5) * config.skew_ms))
        process = SimProcess(self.loop, name, self.plan.seed, clock)
        process.on_crash = self._crashed
        store = SimStore(process, self.bucket, self.faults.stream(name), config=config, trace=self.trace)
        server = Server(process, store, self.plan)
        self.servers.append(server)
        return server

    def server(self) -> Server:
        """The one a request ends up at."""
        return self._rng.choice([one for one in self.servers if one.process.alive])

    def _crashed(self) -> None:
        if self._troubled:
            self.start()

    async def _story(self) -> None:
        for _ in range(min(2, self.plan.config.compactors)):
            self.start()
        clients = [ServedClient(one, self, self.faults.stream(one.name)) for one in self.plan.clients]
        await asyncio.gather(self._trouble(), *(client.run() for client in clients))
        self.faults.on = self._troubled = False
        for server in self.servers:
            server.process.wake()
            server.process.clock.offset_ms = 0
        self.start()
        await asyncio.sleep(_STRAGGLERS_S)
        for client in clients:
            await client.finish()
        final = {scope: await clients[0].names(scope) for scope in SCOPES}
        for server in self.servers:
            if server.process.alive:
                await asyncio.wait({server.process.spawn(server.close())}, timeout=120)
        for scope in SCOPES:
            await self._judge(scope, final[scope])

    async def _trouble(self) -> None:
        for trouble in self.plan.troubles:
            await asyncio.sleep(max(0.0, trouble.at_s - self.loop.seconds))
            self._strike(trouble, self.server().process)

    def _strike(self, trouble: Trouble, process: SimProcess) -> None:
        self.faults.note(trouble.kind, "process", "server")
        self.faults.struck.append(f"{process.name}@{trouble.at_s:.3f}:{trouble.kind}")
        self.trace.add((self.loop.seconds, process.name, trouble.kind, "", str(trouble.amount)))
        match trouble.kind:
            case "crash" | "deploy":
                process.crash()
            case "clock":
                process.clock.offset_ms += int(trouble.amount / 2)
            case _:
                process.pause(trouble.amount)

    async def _judge(self, scope: Scope, names: frozenset[str]) -> None:
        asked = [one for one in self.history.asked if one.scope == scope]
        for one in asked:
            if one.kind == "append" and one.result == "accepted" and one.token not in names:
                self.violations.add("R-01", f"{one.token} was acknowledged and is lost")
        if not judge_names([one for one in asked if one.kind != "append"], self.violations):
            self.undecided += 1
        process = SimProcess(self.loop, "judge", 0, SimClock(self.loop))
        instant: Any = InstantStore(self.bucket, "")
        outside = Server(process, instant, self.plan).outside
        shop = workshop(outside, scope)
        report = await Verifier(shop, lambda _done, _of: None).run()
        for sentence in report.differences:
            self.violations.add("R-12", sentence)


class ServedClient:
    """A client of the public API."""

    def __init__(self, plan: ClientPlan, world: ServedWorld, faults: FaultStream) -> None:
        self.plan = plan
        self._world = world
        self._faults = faults
        self._ids = SimProcess(world.loop, plan.name, world.plan.seed, SimClock(world.loop)).ids
        self._pending: list[tuple[Asked, str]] = []

    async def run(self) -> None:
        """Wish everything."""
        for step, wish in enumerate(self.plan.wishes):
            await asyncio.sleep(wish.pause_s)
            asked = Asked(
                client=self.plan.name,
                scope=SCOPES[self.plan.scope],
                kind={"both": "append"}.get(wish.kind, wish.kind),
                name=wish.name,
                argument=wish.other if wish.kind == "move" else "",
                token=f"{self.plan.name}-{step}",
                invoked_s=self._world.loop.seconds,
            )
            await self._granted(asked, wish)

    async def finish(self) -> None:
        """Ask once more for what is not known, under the same key."""
        for asked, key in self._pending:
            await self._asked(asked, key, tries=6, patience_s=60.0)
            if asked.returned_s is None:
                self._world.violations.add("R-29", f"{asked.kind} {asked.token or asked.name} stays undecided")

    async def _granted(self, asked: Asked, wish: Wish) -> None:
        if asked.kind == "read":
            found = await self._names_or_none(asked.scope, wish.patience_s)
            if found is not None:
                asked.returned_s, asked.result = self._world.loop.seconds, ((), found & {"a", "b", "c"})
                self._world.history.ask(asked)
            return
        if asked.kind not in ("append", "make", "drop", "move"):
            return
        self._world.history.ask(asked)
        keyed = asked.kind in ("append", "make")
        key = self._ids.uuid7()
        await self._asked(asked, key, tries=8 if keyed else 1, patience_s=wish.patience_s)
        if keyed and asked.returned_s is None:
            self._pending.append((asked, key))

    async def _asked(self, asked: Asked, key: str, *, tries: int, patience_s: float) -> None:
        for attempt in range(tries):
            method, path, body = _request(asked)
            try:
                status, answer = await self._called(asked.scope, method, path, body, key=key, patience_s=patience_s)
            except (ConnectionError, TimeoutError):
                status, answer = 503, b""
            if status not in _UNKNOWN:
                asked.returned_s = self._world.loop.seconds
                asked.result = self._result(status, answer, f"{method} {path}")
                return
            await asyncio.sleep(_PAUSES_S[min(attempt, 3)])

    def _result(self, status: int, answer: bytes, request: str) -> str:
        if status < 300:  # the end of the successes
            return "accepted"
        if status >= _SERVER_ERROR:
            self._world.violations.add("R-29", f"{request} was answered {status}: {answer[:200]!r}")
        if status == 409 and _MADE_AND_GONE in answer:  # the key says it was made; somebody has dropped it since
            return "accepted"
        return {404: "not_found", 409: "already_exists"}.get(status, str(status))

    async def _called(
        self, scope: Scope, method: str, path: str, body: bytes, *, key: str = "", patience_s: float
    ) -> tuple[int, bytes]:
        headers = {
            "host": "localhost",
            "content-type": "application/json",
            "x-tenant-id": scope.tenant,
            "x-workspace-id": scope.workspace,
        }
        if key and method == "POST":
            headers["idempotency-key"] = key
        server = self._world.server()
        return await self._world.network.call(
            self._faults,
            server.process,
            lambda: server.serve(method, path, body, headers),
            patience_s=patience_s,
            repeatable=method != "PATCH" and method != "DELETE",
        )

    async def names(self, scope: Scope) -> frozenset[str]:
        """Every catalog of a scope."""
        found = await self._names_or_none(scope, 60.0)
        if found is None:
            self._world.violations.add("R-29", "a read gets no answer although nothing goes wrong")
        return found or frozenset()

    async def _names_or_none(self, scope: Scope, patience_s: float) -> frozenset[str] | None:
        try:
            status, answer = await self._called(scope, "GET", _CATALOGS, b"", patience_s=patience_s)
        except (ConnectionError, TimeoutError):
            return None
        if status == 404:  # nobody has written to this workspace
            return frozenset()
        if status != 200:  # anything else is no list
            self._result(status if status not in _UNKNOWN else 200, answer, "GET catalogs")
            return None
        return frozenset(one["name"] for one in msgspec.json.decode(answer)["catalogs"])


def _request(asked: Asked) -> tuple[str, str, bytes]:
    match asked.kind:
        case "append":
            return "POST", _CATALOGS, msgspec.json.encode({"name": asked.token})
        case "make":
            return "POST", _CATALOGS, msgspec.json.encode({"name": asked.name})
        case "drop":
            return "DELETE", f"{_CATALOGS}/{asked.name}", b""
        case _:
            return "PATCH", f"{_CATALOGS}/{asked.name}", msgspec.json.encode({"name": asked.argument})


def _may(actor: str, verb: str, key: str) -> bool:
    """A server holds two roles."""
    return actor.startswith("server") and (may("api", Verb(verb), key) or may("compactor", Verb(verb), key))


def run_served(plan: Plan, *, patches: Sequence[Patch] = ()) -> Verdict:
    """The verdict on a schedule, lived by whole servers."""
    return run_plan(plan, patches=patches, world_of=ServedWorld)
