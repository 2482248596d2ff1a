"""The compactor role: sole writer of its scopes' catalog chains, served on its own port (architecture.md, Roles)."""

from collections.abc import Mapping

from arco.config.settings import Settings
from arco.kernel.compactors import Compactors
from arco.roles.chain_role import ChainRole, Writing, serve_chain
from arco.roles.chains import CATALOG
from arco.roles.process import Process
from arco.roles.served import ServedRole
from arco.routes.internal import compaction, upkeep


def build(settings: Settings, process: Process, environ: Mapping[str, str], *, own: str | None = None) -> ServedRole:
    """The compactor; `own` is the secret by which it knows callers within this process."""
    role = ChainRole(
        chain=CATALOG,
        endpoints=[*compaction.ENDPOINTS, *upkeep.ENDPOINTS],
        services=_services,
        measure=_measure,
    )
    return serve_chain(role, settings, process, environ, own=own)


def _services(writing: Writing) -> compaction.CompactorServices:
    return compaction.CompactorServices(writing.compactors, writing.process.clock, writing.upkeeps)


def _measure(process: Process, compactors: Compactors) -> None:
    """Publish what the compactors of this process count themselves (catalog.md 10, operations.md 4)."""
    registry = process.registry
    cycles = registry.counter("compaction_cycles_total", "Manifests published").series()
    errors = registry.counter("compaction_errors_total", "Commits that failed").series()
    waiting = registry.gauge("arco_visibility_lag_events", "Units that wait for a commit").series()

    def refresh() -> None:
        running = compactors.running
        cycles.value = float(sum(one.published for one in running))
        errors.value = float(sum(one.failed for one in running))
        waiting.set(float(sum(one.pending_units for one in running)))

    registry.before_render(refresh)
