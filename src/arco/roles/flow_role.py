"""What dispatcher and sweeper have in common: a queue, reading and writing orchestration, rounds, an app."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

import arco
from arco.clients.compactor import CompactorClient, HttpTransport, Transport
from arco.config.settings import Settings
from arco.config.variables import ALL, API
from arco.core.scope import Scope
from arco.dispatch.port import DispatchQueue
from arco.edge.app import AppParts, build_app
from arco.edge.auth import LOCAL_TENANT, LOCAL_WORKSPACE
from arco.edge.endpoint import Endpoint
from arco.edge.health import Health, version_view
from arco.edge.lifecycle import Lifecycle
from arco.edge.probes import health_endpoints, metrics_endpoint
from arco.kernel.desk import Desk
from arco.kernel.ledger import LedgerDesk
from arco.kernel.reader import ChainReader
from arco.loops.delivering import Deliveries
from arco.loops.rounds import Round, Rounds
from arco.loops.sending import Sender, SendRules
from arco.loops.visits import Visits
from arco.roles.credentials import internal_caller, internal_credentials
from arco.roles.flow_chain import orchestration
from arco.roles.health import storage_check
from arco.roles.process import PerScope, Process
from arco.roles.queues import dispatch_queue, task_tokens, token_ttl_s
from arco.roles.served import ServedRole
from arco.routes.internal.controllers import ControllerServices
from arco.storage.capabilities import Role


class Controller(msgspec.Struct, frozen=True, kw_only=True):
    """A controller's part: its round, what `POST /run` does, its routes, and how often it looks by itself."""

    role: Role
    round: Round
    run: Callable[[Scope], Any]
    endpoints: Sequence[Endpoint]
    interval_s: int


class Within(msgspec.Struct, frozen=True):
    """What controllers of one process share with its other roles: the ways to the compactors, and the queue."""

    way: Transport
    catalog_way: Transport
    queue: DispatchQueue


class FlowParts:
    """What a controller works with."""

    def __init__(self, role: Role, settings: Settings, process: Process, within: Within | None) -> None:
        self._role = role
        self._process = process
        if within is None:
            url = settings.value("ARCO_FLOW_COMPACTOR_URL")
            self._way: Transport = HttpTransport(url, internal_credentials(settings, process, url))
        else:
            self._way = within.way
        self._catalog_way = _catalog_way(settings, process) if within is None else within.catalog_way
        self.readers = PerScope(self._reader)
        self.desks = PerScope(self._desk)
        self.catalog_desks = None if self._catalog_way is None else PerScope(self._catalog_desk)
        self.queue = dispatch_queue(settings, process) if within is None else within.queue
        rules = SendRules(
            callback_base_url=callback_url(settings, process),
            ttl_s=token_ttl_s(settings),
            timeout_s=settings.value("ARCO_FLOW_TASK_TIMEOUT_SECS"),
        )
        sender = Sender(self.queue, task_tokens(settings, process), rules, process.clock)
        self.deliveries = Deliveries(sender, self.desks, role)

    async def close(self) -> None:
        """Let go of the queue and of connections."""
        await self.queue.close()
        for way in (self._way, self._catalog_way):
            if isinstance(way, HttpTransport):
                await way.close()

    def _reader(self, scope: Scope) -> ChainReader:
        return self._process.reader(scope, self._role, orchestration())

    def _desk(self, scope: Scope) -> Desk:
        return LedgerDesk(
            self._process.scoped_store(scope, self._role),
            CompactorClient(self._way, scope, self._process.clock),
            clock=self._process.clock,
            ids=self._process.ids,
            on_receipt=lambda manifest_id: self.readers(scope).expect(manifest_id),
        )

    def _catalog_desk(self, scope: Scope) -> Desk:
        assert self._catalog_way is not None
        return LedgerDesk(
            self._process.scoped_store(scope, self._role),
            CompactorClient(self._catalog_way, scope, self._process.clock),
            clock=self._process.clock,
            ids=self._process.ids,
        )


def _catalog_way(settings: Settings, process: Process) -> Transport | None:
    """How facts of runs reach the catalog's chain; None where nobody said."""
    url = settings.value("ARCO_FLOW_CATALOG_COMPACTOR_URL")
    return None if url is None else HttpTransport(url, internal_credentials(settings, process, url))


def callback_url(settings: Settings, process: Process) -> str:
    """Where workers call back: as configured, or this process's own api."""
    given = settings.value("ARCO_FLOW_CALLBACK_BASE_URL")
    own = process.urls.get(API) or f"http://{settings.host}:{settings.ports.get(API, 0)}"
    return str(given or own)


def serve_controller(
    controller: Controller, parts: FlowParts, settings: Settings, process: Process, *, environ: Mapping[str, str]
) -> ServedRole:
    """The role of a controller."""
    lifecycle = Lifecycle()
    health = Health(
        [storage_check(process.store)],
        role=controller.role,
        version=arco.__version__,
        clock=process.clock,
        log=process.log,
        lifecycle=lifecycle,
    )
    version = version_view(environ, service=f"arco-{controller.role}", package_version=arco.__version__)
    endpoints: Sequence[Endpoint] = [
        *health_endpoints(health, version),
        metrics_endpoint(process.registry, secret=settings.value("ARCO_METRICS_SECRET")),
        *controller.endpoints,
    ]
    app_parts = AppParts(
        role=controller.role,
        clock=process.clock,
        ids=process.ids,
        log=process.log,
        registry=process.registry,
        lifecycle=lifecycle,
        authenticator=internal_caller(settings, process),
        body_seconds=settings.value("ARCO_HTTP_BODY_TIMEOUT_SECS"),
    )
    services = ControllerServices(controller.run, parts.desks, controller.role, parts.queue)
    app = build_app([("", endpoint) for endpoint in endpoints], services, app_parts)
    round_ = _measured(controller, parts, process)
    rounds = Rounds(
        round_,
        lambda: _scopes(settings, parts),
        clock=process.clock,
        log=process.log,
        interval_ms=controller.interval_s * 1000,
    )
    visits = Visits(
        process.store,
        lambda: _scopes(settings, parts),
        round_,
        clock=process.clock,
        log=process.log,
        # A role of its own serves one workspace; with all roles in one process others may be left from before.
        interval_ms=controller.interval_s * 1000 if settings.role == ALL and settings.scope is None else 0,
    )
    process.news.listen(rounds.nudge)

    def begin() -> None:
        rounds.start()
        visits.start()

    async def close() -> None:
        await visits.stop()
        await rounds.stop()
        await parts.close()

    return ServedRole(role=controller.role, app=app, lifecycle=lifecycle, health=health, close=close, begin=begin)


def _measured(controller: Controller, parts: FlowParts, process: Process) -> Round:
    """The controller's round, its time and what it did counted (orchestration.md 8.6)."""
    registry = process.registry
    seconds = registry.histogram(
        "arco_orch_controller_reconcile_seconds", "Rounds of controllers", ["controller"]
    ).series(controller.role)
    actions = registry.counter(
        "arco_orch_controller_actions_total", "What controllers handed in", ["controller"]
    ).series(controller.role)

    def refresh() -> None:
        actions.value = float(parts.deliveries.actions)

    async def measured(scope: Scope) -> int | None:
        began_ms = process.clock.steady_ms()
        try:
            return await controller.round(scope)
        finally:
            seconds.observe((process.clock.steady_ms() - began_ms) / 1000)

    registry.before_render(refresh)
    return measured


def _scopes(settings: Settings, parts: FlowParts) -> list[Scope]:
    """The workspaces looked after: the one configured, or those that were heard of, the local one first."""
    if settings.scope is not None:
        return [settings.scope]
    return list(dict.fromkeys([Scope(LOCAL_TENANT, LOCAL_WORKSPACE), *parts.readers.made]))
