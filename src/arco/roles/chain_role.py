"""What the roles that write a chain have in common: compactors, chores, health, an app of internal routes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import arco
from arco.config.settings import Settings
from arco.core import instant
from arco.core.scope import Scope
from arco.edge.app import AppParts, build_app
from arco.edge.codec import reply
from arco.edge.endpoint import Endpoint
from arco.edge.health import Health, version_view
from arco.edge.lifecycle import Lifecycle
from arco.edge.probes import health_endpoints, metrics_endpoint
from arco.kernel.chores import Upkeeps
from arco.kernel.compactors import Compactors
from arco.roles.chains import ServedChain
from arco.roles.chores import Chores
from arco.roles.credentials import internal_caller
from arco.roles.health import storage_check
from arco.roles.process import Process
from arco.roles.served import ServedRole, nothing
from arco.roles.shops import workshop

BODY_BYTES_MAX: Final = 64 * 1024 * 1024


class CompactorReadyView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Readiness of a compactor (catalog.md 3.7). It is ready as soon as storage answers: scale to zero is a feature."""

    ready: bool
    healthy: bool
    successful_compactions: int = 0
    failed_compactions: int = 0
    compaction_in_progress: bool = False
    last_successful_compaction: str | None = None
    message: str | None = None


class Writing(msgspec.Struct, frozen=True):
    """What the handlers of a chain's role are made from."""

    compactors: Compactors
    upkeeps: Upkeeps
    process: Process


class ChainRole(msgspec.Struct, frozen=True, kw_only=True):
    """A role that writes a chain: its routes, what its handlers are given, and what it measures."""

    chain: ServedChain
    endpoints: Sequence[Endpoint]
    services: Callable[[Writing], Any]
    measure: Callable[[Process, Compactors], None]
    close: Callable[[], Awaitable[None]] = nothing


def serve_chain(
    role: ChainRole, settings: Settings, process: Process, environ: Mapping[str, str], *, own: str | None
) -> ServedRole:
    """The role, for the configured scope, or for every scope it is asked for when none is configured.

    `own` is the secret by which it knows callers within this process.
    """
    name, lifecycle = role.chain.role, Lifecycle()
    compactors = make_compactors(
        process, role.chain, only=settings.scope, idle_merge_ms=settings.value("ARCO_IDLE_MERGE_MS")
    )
    health = Health(
        [storage_check(process.store)],
        role=name,
        version=arco.__version__,
        clock=process.clock,
        log=process.log,
        lifecycle=lifecycle,
    )
    version = version_view(environ, service=f"arco-{name}", package_version=arco.__version__)
    endpoints: Sequence[Endpoint] = [
        *health_endpoints(health, version, ready=_ready(health, compactors)),
        metrics_endpoint(process.registry, secret=settings.value("ARCO_METRICS_SECRET")),
        *role.endpoints,
    ]
    parts = AppParts(
        role=name,
        clock=process.clock,
        ids=process.ids,
        log=process.log,
        registry=process.registry,
        lifecycle=lifecycle,
        authenticator=internal_caller(settings, process, own=own),
        body_bytes_max=BODY_BYTES_MAX,
        body_seconds=settings.value("ARCO_HTTP_BODY_TIMEOUT_SECS"),
    )
    role.measure(process, compactors)
    upkeeps = Upkeeps(compactors, settings.value("ARCO_RETENTION_POLICY").horizons(), role.chain.litter)
    services = role.services(Writing(compactors, upkeeps, process))
    app = build_app([("", endpoint) for endpoint in endpoints], services, parts)
    chores = Chores(settings, process, compactors, upkeeps, domain=role.chain.spec.name)

    async def close() -> None:
        await chores.stop()
        await upkeeps.stop()
        await compactors.stop()
        await role.close()

    return ServedRole(role=name, app=app, lifecycle=lifecycle, health=health, close=close, begin=chores.start)


def make_compactors(process: Process, chain: ServedChain, *, only: Scope | None, idle_merge_ms: int) -> Compactors:
    """The compactors of a process for one kind of chain."""
    return Compactors(lambda scope: workshop(process, scope, chain), only=only, idle_merge_ms=idle_merge_ms)


def _ready(health: Health, compactors: Compactors):  # type: ignore[no-untyped-def]  # a Starlette handler
    async def ready(_request: Request) -> Response:
        found = await health.readiness()
        fine = found.status != "not_ready"
        running = compactors.running
        last = max((one.last_published_ms or 0 for one in running), default=0)
        view = CompactorReadyView(
            ready=fine,
            healthy=fine,
            successful_compactions=sum(one.published for one in running),
            failed_compactions=sum(one.failed for one in running),
            compaction_in_progress=any(one.pending_units for one in running),
            last_successful_compaction=instant.http_text(last) if last else None,
            message=None if fine else "Service starting up",
        )
        return reply(view, 200 if fine else 503)

    return ready
