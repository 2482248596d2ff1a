"""The dispatcher role: hands what is ready to the queue, and writes only its ledger (orchestration.md 8.1)."""

from collections.abc import Mapping

from arco.config.settings import Settings
from arco.config.variables import DISPATCHER
from arco.loops.dispatching import Dispatcher
from arco.roles.flow_role import Controller, FlowParts, Within, serve_controller
from arco.roles.process import Process
from arco.roles.served import ServedRole
from arco.routes.internal.controllers import DISPATCHER_ENDPOINTS


def build(
    settings: Settings, process: Process, environ: Mapping[str, str], *, within: Within | None = None
) -> ServedRole:
    """The dispatcher; `within` is what it shares with other roles of the process, otherwise their URLs are called."""
    parts = FlowParts(DISPATCHER, settings, process, within)
    dispatcher = Dispatcher(parts.deliveries, parts.readers, process.log)
    controller = Controller(
        role=DISPATCHER,
        round=dispatcher.round,
        run=dispatcher.run,
        endpoints=DISPATCHER_ENDPOINTS,
        interval_s=settings.value("ARCO_FLOW_RUN_INTERVAL_SECS"),
    )
    return serve_controller(controller, parts, settings, process, environ=environ)
