"""A port of its own for `/metrics` (`ARCO_METRICS_PORT`): scrapers come to it, the internet does not."""

from arco.config.settings import Settings
from arco.config.variables import METRICS
from arco.edge.app import AppParts, build_app
from arco.edge.auth import InternalCaller
from arco.edge.lifecycle import Lifecycle
from arco.edge.probes import metrics_endpoint
from arco.roles.process import Process
from arco.roles.served import ServedRole


def build(settings: Settings, process: Process, front: ServedRole) -> ServedRole:
    """The metrics of the process that `front` belongs to, in every posture, behind the secret when one is set."""
    lifecycle = Lifecycle()
    parts = AppParts(
        role=METRICS,
        clock=process.clock,
        ids=process.ids,
        log=process.log,
        registry=process.registry,
        lifecycle=lifecycle,
        authenticator=InternalCaller(None, only=settings.scope),
    )
    endpoint = metrics_endpoint(process.registry, secret=settings.value("ARCO_METRICS_SECRET"))
    app = build_app([("", endpoint)], None, parts)
    return ServedRole(role=METRICS, app=app, lifecycle=lifecycle, health=front.health)
