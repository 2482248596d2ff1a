"""The sweeper role: sees to it that nothing about runs stays undone (orchestration.md 8.2, 8.3)."""

from collections.abc import Mapping

from arco.config.settings import Settings
from arco.config.variables import SWEEPER
from arco.domains.orchestration.controllers.overdue import Patience
from arco.loops.lineage import LineageTeller
from arco.loops.sweeping import Sweeper
from arco.roles.flow_role import Controller, FlowParts, Within, serve_controller
from arco.roles.process import Process
from arco.roles.served import ServedRole
from arco.routes.internal.controllers import SWEEPER_ENDPOINTS


def build(
    settings: Settings, process: Process, environ: Mapping[str, str], *, within: Within | None = None
) -> ServedRole:
    """The sweeper; `within` is what it shares with other roles of the process, otherwise their URLs are called."""
    parts = FlowParts(SWEEPER, settings, process, within)
    sweeper = Sweeper(
        parts.deliveries,
        parts.readers,
        clock=process.clock,
        log=process.log,
        patience=Patience(sent_ms=settings.value("ARCO_SWEEPER_SENT_SECS") * 1000),
        batch=settings.value("ARCO_SWEEPER_BATCH_SIZE"),
        lineage=None if parts.catalog_desks is None else LineageTeller(parts.catalog_desks, SWEEPER),
    )
    controller = Controller(
        role=SWEEPER,
        round=sweeper.round,
        run=sweeper.run,
        endpoints=SWEEPER_ENDPOINTS,
        interval_s=settings.value("ARCO_SWEEPER_POLL_SECS"),
    )
    return serve_controller(controller, parts, settings, process, environ=environ)
