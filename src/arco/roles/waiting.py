"""Roles whose work has not arrived yet: flow-compactor, dispatcher and sweeper answer health, readiness and metrics."""

from collections.abc import Mapping

import arco
from arco.config.settings import Settings
from arco.edge.app import AppParts, build_app
from arco.edge.health import Health, version_view
from arco.edge.lifecycle import Lifecycle
from arco.edge.probes import health_endpoints, metrics_endpoint
from arco.roles.credentials import internal_caller
from arco.roles.health import storage_check
from arco.roles.process import Process
from arco.roles.served import ServedRole


def build(role: str, settings: Settings, process: Process, environ: Mapping[str, str]) -> ServedRole:
    """A role that is alive and says so."""
    lifecycle = Lifecycle()
    health = Health(
        [storage_check(process.store)],
        role=role,
        version=arco.__version__,
        clock=process.clock,
        log=process.log,
        lifecycle=lifecycle,
    )
    version = version_view(environ, service=f"arco-{role}", package_version=arco.__version__)
    endpoints = [
        *health_endpoints(health, version),
        metrics_endpoint(process.registry, secret=settings.value("ARCO_METRICS_SECRET")),
    ]
    parts = AppParts(
        role=role,
        clock=process.clock,
        ids=process.ids,
        log=process.log,
        registry=process.registry,
        lifecycle=lifecycle,
        authenticator=internal_caller(settings, process),
    )
    app = build_app([("", endpoint) for endpoint in endpoints], None, parts)
    return ServedRole(role=role, app=app, lifecycle=lifecycle, health=health)
