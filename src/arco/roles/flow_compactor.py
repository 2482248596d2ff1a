"""The flow-compactor role: sole writer of its scopes' orchestration chains (architecture.md, Roles)."""

from collections.abc import Mapping, Sequence
from typing import Final

from arco.clients.compactor import HttpTransport
from arco.clients.nudges import Nudges
from arco.config.settings import Settings
from arco.core.scope import Scope
from arco.kernel.compactors import Compactors
from arco.kernel.envelope import Unit
from arco.roles.chain_role import ChainRole, Writing, serve_chain
from arco.roles.credentials import internal_credentials
from arco.roles.flow_chain import orchestration
from arco.roles.process import Process
from arco.roles.served import ServedRole
from arco.routes.internal import flow
from arco.routes.internal.compaction import CompactorServices


def build(settings: Settings, process: Process, environ: Mapping[str, str], *, own: str | None = None) -> ServedRole:
    """The flow-compactor; `own` is the secret by which it knows callers within this process."""
    told = settings.value("ARCO_FLOW_NUDGE_URLS") or ()
    nudges = Nudges([HttpTransport(url, internal_credentials(settings, process, url)) for url in told], process.log)
    process.news.listen(nudges.tell)
    role = ChainRole(
        chain=orchestration(settings.value("ARCO_TENANT_SECRET_B64")),
        endpoints=flow.ENDPOINTS,
        services=_services,
        measure=_measure,
        close=nudges.close,
    )
    return serve_chain(role, settings, process, environ, own=own)


def _services(writing: Writing) -> CompactorServices:
    process = writing.process

    def published(scope: Scope, units: Sequence[Unit]) -> None:
        process.published.tell(scope)
        if _matters(units):
            process.news.tell(scope)

    return CompactorServices(
        writing.compactors,
        process.clock,
        writing.upkeeps,
        bucket=process.store,
        published=published,
    )


def _matters(units: Sequence[Unit]) -> bool:
    """Whether a controller may have something to do now. What only says that all goes well is not worth a round."""
    return any(event.event_type not in _QUIET for unit in units for event in unit.events)


_QUIET: Final = frozenset({"TaskStarted", "TaskHeartbeat", "DispatchRequested", "DispatchEnqueued"})


def _measure(process: Process, compactors: Compactors) -> None:
    """Publish what the compactors of this process count themselves (orchestration.md 8.6)."""
    registry = process.registry
    cycles = registry.counter("arco_flow_orch_compactions_total", "Manifests of orchestration published").series()
    waiting = registry.gauge(
        "arco_flow_orch_compactor_visibility_lag_events", "Units of orchestration that wait for a commit"
    ).series()

    def refresh() -> None:
        running = compactors.running
        cycles.value = float(sum(one.published for one in running))
        waiting.set(float(sum(one.pending_units for one in running)))

    registry.before_render(refresh)
