"""An endpoint as data: the handler, and everything the OpenAPI document and the router need to know of it.

Guarantees: one path answers with one set of methods (405 names all of them in `Allow`), and a fixed segment wins over
a parameter whatever the order in which the endpoints were declared.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from arco.edge.refusals import MethodNotAllowed

Handler = Callable[[Request], Awaitable[Response]]

TEMPLATE_KEY = "arco.route"
"""Where the route template of a request is kept in its ASGI scope (a closed set, fit for metric labels)."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path, and its documentation.

    `path` is relative to the prefix the role mounts it under, with `{name}` parameters (one segment each). `request` is
    the struct of the JSON body, `query` the struct of the query parameters (all optional; str, int, bool), `responses`
    the success bodies by status. `media` are the response media types, `request_media` those of the body, `headers` the
    request headers honoured.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    description: str = ""
    tag: str
    request: Any = None
    query: type[msgspec.Struct] | None = None
    responses: Mapping[int, Any]
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    media: tuple[str, ...] = ("application/json",)
    request_media: tuple[str, ...] = ("application/json",)
    public: bool = False
    parameters: Mapping[str, str] = {}
    """Descriptions of path parameters by name."""
    body_bytes_max: int | None = None
    """A body limit of its own, in bytes; None means the server's."""


class Resource:
    """All endpoints of one path as an ASGI app: picks the handler by method. Raises `MethodNotAllowed`."""

    def __init__(self, template: str, endpoints: Sequence[Endpoint]) -> None:
        self.template = template
        self.by_method = {endpoint.method.upper(): endpoint for endpoint in endpoints}
        if len(self.by_method) != len(endpoints):
            raise ValueError(f"{template}: a method is declared twice")
        if "GET" in self.by_method and "HEAD" not in self.by_method:
            self.by_method["HEAD"] = self.by_method["GET"]
        self.allow = ", ".join(sorted(self.by_method))
        self.handlers = {method: endpoint.handler for method, endpoint in self.by_method.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[TEMPLATE_KEY] = self.template
        handler = self.handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowed(self.allow)
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)


def resources(endpoints: Sequence[tuple[str, Endpoint]]) -> list[Resource]:
    """The endpoints, each with its prefix, grouped by full path; fixed segments before parameters."""
    groups: dict[str, list[Endpoint]] = {}
    for prefix, endpoint in endpoints:
        groups.setdefault(prefix + endpoint.path, []).append(endpoint)
    return [Resource(path, groups[path]) for path in sorted(groups, key=_specificity)]


def starlette_routes(endpoints: Sequence[Endpoint], prefix: str) -> list[Route]:
    """The endpoints below `prefix` as Starlette routes, one for each path."""
    found = resources([(prefix, endpoint) for endpoint in endpoints])
    return [Route(resource.template, resource, name=resource.template) for resource in found]


def _specificity(path: str) -> tuple[tuple[bool, str], ...]:
    return tuple((segment.startswith("{"), segment) for segment in path.split("/"))
