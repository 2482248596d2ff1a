"""Behind the door: which endpoint, who is asking, and whether now. Pure ASGI.

Order: headers that can be read in two ways are refused; then the path (404) and the method (405); then identity (401,
403); then the tenant's rate (429); then, for mutations, whether this process still takes them (503); then the handler,
with a body it cannot read beyond its limit (413).
"""

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arco.core.errors import Unavailable
from arco.core.scope import InvalidScopeId
from arco.edge.audit import AuditTrail
from arco.edge.auth import Authenticator, Identity
from arco.edge.context import CONTEXT_KEY, REQUEST_ID_KEY, RequestContext
from arco.edge.endpoint import TEMPLATE_KEY
from arco.edge.hygiene import Headers, limited, single_headers
from arco.edge.jose import KeysWanted
from arco.edge.lifecycle import Lifecycle
from arco.edge.rates import RateLimits
from arco.edge.refusals import Draining, Forbidden, MethodNotAllowed, Unauthenticated
from arco.edge.router import Router

_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Routes requests to endpoints; what it does not know goes on to the app inside."""

    def __init__(  # one collaborator each, all by name
        self,
        app: ASGIApp,
        *,
        router: Router,
        authenticator: Authenticator,
        audit: AuditTrail,
        lifecycle: Lifecycle,
        body_bytes_max: int,
        rates: RateLimits | None = None,
    ) -> None:
        self._app = app
        self._router = router
        self._authenticator = authenticator
        self._audit = audit
        self._lifecycle = lifecycle
        self._body_bytes_max = body_bytes_max
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = single_headers(scope["headers"])
        resource = self._router.find(scope)
        if resource is None:
            await self._app(scope, receive, send)
            return
        scope[TEMPLATE_KEY] = resource.template
        method = scope["method"]
        endpoint = resource.by_method.get(method)
        if endpoint is None:
            raise MethodNotAllowed(resource.allow)
        if not endpoint.public:
            send = await self._let_in(scope, headers, send)
        if method not in _WITHOUT_BODY:
            if self._lifecycle.draining:
                raise Draining
            receive = limited(receive, headers, endpoint.body_bytes_max or self._body_bytes_max)
        response = await endpoint.handler(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _let_in(self, scope: Scope, headers: Headers, send: Send) -> Send:
        try:
            identity = self._identified(scope, headers)
        except KeysWanted as wanted:
            await wanted.keys.refresh()
            try:
                identity = self._identified(scope, headers)
            except KeysWanted:
                raise Unavailable("The keys that tokens are signed with cannot be had; try again") from None
        scope[CONTEXT_KEY] = RequestContext(
            scope=identity.scope,
            principal=identity.principal,
            groups=identity.groups,
            request_id=scope[REQUEST_ID_KEY],
            actor=f"api:{identity.scope.tenant}",
            author=self._audit.actor(identity.principal),
        )
        if self._rates is None:
            return send
        return _with_rate_headers(send, self._rates.rate.per_minute, self._rates.take(identity.scope.tenant))

    def _identified(self, scope: Scope, headers: Headers) -> Identity:
        request_id, path, template = scope[REQUEST_ID_KEY], scope["path"], scope[TEMPLATE_KEY]
        try:
            identity = self._authenticator.identify(headers)
        except Unauthenticated as refusal:
            reason = "missing_token" if refusal.code == "MISSING_AUTH" else "invalid_token"
            self._audit.denied(reason, request_id=request_id, resource=path, template=template)
            raise
        except (Forbidden, InvalidScopeId):
            self._audit.denied("invalid_token", request_id=request_id, resource=path, template=template)
            raise
        if self._authenticator.audited:
            principal = identity.principal
            self._audit.allowed(identity.scope, principal, request_id=request_id, resource=path, template=template)
        return identity


def _with_rate_headers(send: Send, limit: int, remaining: int) -> Send:
    extra = [
        (b"x-ratelimit-limit", str(limit).encode()),
        (b"x-ratelimit-remaining", str(remaining).encode()),
    ]

    async def send_with_rate(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return send_with_rate
