"""A port of its own for `/metrics` (`ARCO_METRICS_PORT`): scrapers come to it, the internet does not."""

from arco.config.settings import Settings
from arco.config.variables import METRICS
from arco.edge.app import AppParts, build_app
from arco.edge.auth import Identity
from arco.edge.hygiene import Headers
from arco.edge.lifecycle import Lifecycle
from arco.edge.probes import metrics_endpoint
from arco.edge.refusals import Forbidden
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
        authenticator=_Nobody(),
    )
    endpoint = metrics_endpoint(process.registry, secret=settings.value("ARCO_METRICS_SECRET"))
    app = build_app([("", endpoint)], None, parts)
    return ServedRole(role=METRICS, app=app, lifecycle=lifecycle, health=front.health)


class _Nobody:
    """There is nothing on this port that a caller could be let in to."""

    audited = False

    def identify(self, headers: Headers) -> Identity:
        """Nobody. Raises `Forbidden`."""
        raise Forbidden("Nobody is let in on the port of the metrics")
