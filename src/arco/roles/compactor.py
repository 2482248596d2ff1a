"""The compactor role: sole writer of its scopes' chains, served on its own port (architecture.md, Roles)."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import arco
from arco.config.settings import Settings
from arco.core import instant
from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.edge.app import AppParts, build_app
from arco.edge.codec import reply
from arco.edge.endpoint import Endpoint
from arco.edge.health import Health, version_view
from arco.edge.lifecycle import Lifecycle
from arco.edge.probes import health_endpoints, metrics_endpoint
from arco.kernel.chain import CATALOG_CHAIN
from arco.kernel.chores import Upkeeps
from arco.kernel.compactors import Compactors
from arco.kernel.workshop import Workshop
from arco.roles.chores import Chores
from arco.roles.credentials import internal_caller
from arco.roles.health import storage_check
from arco.roles.process import Process, domains, litter
from arco.roles.served import ServedRole
from arco.routes.internal import compaction, upkeep

ROLE: Final = "compactor"
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


def build(settings: Settings, process: Process, environ: Mapping[str, str], *, own: str | None = None) -> ServedRole:
    """The compactor of the configured scope, or of every scope it is asked for when none is configured.

    `own` is the secret by which it knows callers within this process.
    """
    lifecycle = Lifecycle()
    compactors = make_compactors(process, only=settings.scope, idle_merge_ms=settings.value("ARCO_IDLE_MERGE_MS"))
    health = Health(
        [storage_check(process.store)],
        role=ROLE,
        version=arco.__version__,
        clock=process.clock,
        log=process.log,
        lifecycle=lifecycle,
    )
    version = version_view(environ, service="arco-compactor", package_version=arco.__version__)
    endpoints: Sequence[Endpoint] = [
        *health_endpoints(health, version, ready=_ready(health, compactors)),
        metrics_endpoint(process.registry, secret=settings.value("ARCO_METRICS_SECRET")),
        *compaction.ENDPOINTS,
        *upkeep.ENDPOINTS,
    ]
    parts = AppParts(
        role=ROLE,
        clock=process.clock,
        ids=process.ids,
        log=process.log,
        registry=process.registry,
        lifecycle=lifecycle,
        authenticator=internal_caller(settings, process, own=own),
        body_bytes_max=BODY_BYTES_MAX,
        body_seconds=settings.value("ARCO_HTTP_BODY_TIMEOUT_SECS"),
    )
    _measure(process.registry, compactors)
    upkeeps = Upkeeps(compactors, settings.value("ARCO_RETENTION_POLICY").horizons(), litter)
    services = compaction.CompactorServices(compactors, process.clock, upkeeps)
    app = build_app([("", endpoint) for endpoint in endpoints], services, parts)
    chores = Chores(settings, process, compactors, upkeeps)

    async def close() -> None:
        await chores.stop()
        await upkeeps.stop()
        await compactors.stop()

    return ServedRole(role=ROLE, app=app, lifecycle=lifecycle, health=health, close=close, begin=chores.start)


def make_compactors(process: Process, *, only: Scope | None, idle_merge_ms: int) -> Compactors:
    """The compactors of a process."""

    def workshop_for(scope: Scope) -> Workshop:
        return Workshop(
            process.scoped_store(scope, ROLE),
            CATALOG_CHAIN,
            domains(),
            ports=process,
            cache=process.scoped_cache(scope),
            grace_ms=process.grace_ms,
        )

    return Compactors(workshop_for, only=only, idle_merge_ms=idle_merge_ms)


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


def _measure(registry: Registry, compactors: Compactors) -> None:
    """Publish what the compactors of this process count themselves (catalog.md 10, operations.md 4)."""
    cycles = registry.counter("compaction_cycles_total", "Manifests published").series()
    errors = registry.counter("compaction_errors_total", "Commits that failed").series()
    waiting = registry.gauge("arco_visibility_lag_events", "Units that wait for a commit").series()

    def refresh() -> None:
        running = compactors.running
        cycles.value = float(sum(one.published for one in running))
        errors.value = float(sum(one.failed for one in running))
        waiting.set(float(sum(one.pending_units for one in running)))

    registry.before_render(refresh)
