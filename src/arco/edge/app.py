"""Puts an app together: endpoints behind a gate, the gate behind the door.

An app is data: a list of (prefix, endpoint) pairs and the parts it needs. `request.app.state.services` is what handlers
work with; `request.app.state.openapi` is the document of exactly these endpoints.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Lifespan, Receive, Scope, Send

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import InvalidInput
from arco.core.limits import BODY_BYTES_MAX
from arco.core.log import Log
from arco.core.metrics import Registry
from arco.edge.access import AccessMetrics
from arco.edge.addresses import ClientAddresses
from arco.edge.audit import AuditTrail
from arco.edge.auth import Authenticator
from arco.edge.cors import CorsRules
from arco.edge.door import Door
from arco.edge.endpoint import Endpoint, resources
from arco.edge.gate import Gate
from arco.edge.hygiene import BODY_SECONDS_MAX
from arco.edge.lifecycle import Lifecycle
from arco.edge.rates import RateLimits
from arco.edge.refusals import Forbidden, UnknownPath
from arco.edge.router import Router

Mounted = tuple[str, Endpoint]
"""A prefix and an endpoint below it."""


class AppParts(msgspec.Struct, kw_only=True):
    """What an app is made of besides its endpoints. `role` is a process kind: `api`, `compactor`, ..."""

    role: str
    clock: Clock
    ids: Ids
    log: Log
    registry: Registry
    lifecycle: Lifecycle
    authenticator: Authenticator
    body_bytes_max: int = BODY_BYTES_MAX
    audit: AuditTrail | None = None
    """None writes audit events to the log only."""
    body_seconds: float = BODY_SECONDS_MAX
    cors: CorsRules | None = None
    rates: RateLimits | None = None
    addresses: ClientAddresses = ClientAddresses()
    access_log: bool = False
    lifespan: Lifespan[Starlette] | None = None
    extra_routes: Sequence[BaseRoute] = ()
    """Public routes beyond the endpoints: static files, mounted apps. They are asked after the endpoints."""


def build_app(endpoints: Sequence[Mounted], services: Any, parts: AppParts) -> Starlette:
    """The app that serves `endpoints` with `services`."""
    found = resources(endpoints)
    audit = parts.audit or AuditTrail(parts.log, parts.clock, parts.ids, registry=parts.registry)
    metrics = AccessMetrics(parts.registry, contract_names=parts.role == "api")
    app = Starlette(
        routes=parts.extra_routes,
        lifespan=parts.lifespan,
        exception_handlers={HTTPException: _as_a_fact},
        middleware=[
            Middleware(
                Door,
                ids=parts.ids,
                log=parts.log,
                metrics=metrics,
                lifecycle=parts.lifecycle,
                cors=parts.cors,
                addresses=parts.addresses if parts.access_log else None,
            ),
            Middleware(
                Gate,
                router=Router(found),
                authenticator=parts.authenticator,
                audit=audit,
                lifecycle=parts.lifecycle,
                body_bytes_max=parts.body_bytes_max,
                body_seconds=parts.body_seconds,
                rates=parts.rates,
                addresses=parts.addresses,
            ),
        ],
    )
    app.router.redirect_slashes = False
    app.router.default = _unknown_path
    app.state.services = services
    app.state.endpoints = tuple(endpoints)
    return app


async def _unknown_path(scope: Scope, _receive: Receive, _send: Send) -> None:
    if scope["type"] == "http":
        raise UnknownPath


def _as_a_fact(_request: Request, error: Exception) -> Response:
    """What Starlette's own routes raise, as one of our facts: one error shape everywhere."""
    status = getattr(error, "status_code", 500)
    facts: dict[int, type[Exception]] = {404: UnknownPath}
    if status in facts:
        raise facts[status]() from error
    if status == 403:
        raise Forbidden("Forbidden") from error
    if status < 500:
        raise InvalidInput(str(getattr(error, "detail", "Bad request"))) from error
    raise error
