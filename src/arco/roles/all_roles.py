"""Which roles a process serves: one, or all of them in one process, each on its own port with the same HTTP contract.

The only difference between the two is the transport from api to compactor: in one process it goes straight to the
ASGI app.
"""

from collections.abc import Mapping
from typing import Any

from arco.clients.compactor import InProcessTransport
from arco.config.settings import Settings
from arco.config.variables import ALL, COMPACTOR, DISPATCHER, FLOW_COMPACTOR, METRICS, SWEEPER
from arco.roles.process import Process
from arco.roles.served import ServedRole


def build(settings: Settings, process: Process, environ: Mapping[str, str]) -> list[ServedRole]:
    """The roles of this process, in the order in which they drain: who calls comes before who is called."""
    if settings.role != ALL:
        return _with_metrics([_one(settings.role, settings, process, environ)], settings, process)
    # Whoever calls from within needs no other proof than this; it is never outside the process.
    own = process.entropy.bytes(32).hex()
    writers = {role: _one(role, settings, process, environ, own=own) for role in (FLOW_COMPACTOR, COMPACTOR)}
    # Each role imports only what it needs; the api alone loads the query room.
    from arco.roles import api  # noqa: PLC0415  # each role is imported when it is built

    within = {role: InProcessTransport(served.app, token=own) for role, served in writers.items()}
    front = api.build(settings, process, environ, within=within)
    from arco.roles import flow_role, queues  # noqa: PLC0415  # only who dispatches pays for queues

    shared = flow_role.Within(within[FLOW_COMPACTOR], within[COMPACTOR], queues.dispatch_queue(settings, process))
    others = [_one(role, settings, process, environ, within=shared) for role in (DISPATCHER, SWEEPER)]
    return _with_metrics([front, *others, *writers.values()], settings, process)


def _with_metrics(served: list[ServedRole], settings: Settings, process: Process) -> list[ServedRole]:
    """The roles, and behind the api a port of its own for metrics when one is configured."""
    if METRICS not in settings.ports:
        return served
    from arco.roles import metrics  # noqa: PLC0415  # only who serves metrics needs it

    return [*served, metrics.build(settings, process, served[0])]


def _one(
    role: str,
    settings: Settings,
    process: Process,
    environ: Mapping[str, str],
    *,
    own: str | None = None,
    within: Any = None,
) -> ServedRole:
    """One role; each imports only what it needs, and pays for no other."""
    match role:
        case "api":
            from arco.roles import api  # noqa: PLC0415  # a compactor does not pay for the api's imports

            return api.build(settings, process, environ)
        case "compactor":
            from arco.roles import compactor  # noqa: PLC0415  # an api does not pay for the compactor's

            return compactor.build(settings, process, environ, own=own)
        case "flow-compactor":
            from arco.roles import flow_compactor  # noqa: PLC0415  # nobody else pays for orchestration's writer

            return flow_compactor.build(settings, process, environ, own=own)
        case "dispatcher":
            from arco.roles import dispatcher  # noqa: PLC0415  # only who dispatches pays for queues

            return dispatcher.build(settings, process, environ, within=within)
    from arco.roles import sweeper  # noqa: PLC0415  # only who dispatches pays for queues

    return sweeper.build(settings, process, environ, within=within)
