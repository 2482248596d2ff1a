"""Behind the door: which endpoint, who is asking, and whether now. Pure ASGI.

Order: headers that can be read in two ways are refused; then the path (404) and the method (405); then identity (401,
403); then the rates of principal and tenant (429); then, for mutations, whether this process still takes them (503);
then the handler, with a body it cannot read beyond its limit (413).
"""

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from arco.core.errors import InvalidInput, Unavailable
from arco.core.scope import InvalidScopeId
from arco.domains.access.rows import QUERY_DENY
from arco.edge.addresses import ClientAddresses, client_of, rate_key
from arco.edge.audit import AuditEvent, AuditTrail
from arco.edge.auth import Authenticator, Identity
from arco.edge.context import CONTEXT_KEY, RATE_KEY, REQUEST_ID_KEY, RequestContext
from arco.edge.endpoint import TEMPLATE_KEY
from arco.edge.hygiene import BODY_SECONDS_MAX, Headers, limited, single_headers
from arco.edge.jose import KeysWanted
from arco.edge.lifecycle import Lifecycle
from arco.edge.problems import known
from arco.edge.rates import RateLimits
from arco.edge.refusals import Draining, Forbidden, MethodNotAllowed, Unauthenticated
from arco.edge.router import Router

_DENIED: Final = frozenset({"read_only", "unknown_relation"})
"""Refusals of SQL that the audit log keeps: statements that write, and relations the caller may not see."""

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
        body_seconds: float = BODY_SECONDS_MAX,
        rates: RateLimits | None = None,
        addresses: ClientAddresses | None = None,
    ) -> None:
        self._app = app
        self._router = router
        self._authenticator = authenticator
        self._audit = audit
        self._lifecycle = lifecycle
        self._body_bytes_max = body_bytes_max
        self._body_seconds = body_seconds
        self._rates = rates
        self._addresses = addresses or ClientAddresses()

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
            await self._let_in(scope, headers)
        if method not in _WITHOUT_BODY:
            if self._lifecycle.draining:
                raise Draining
            most = endpoint.body_bytes_max or self._body_bytes_max
            receive = limited(receive, headers, most, seconds=self._body_seconds)
        try:
            response = await endpoint.handler(Request(scope, receive, send))
        except InvalidInput as refusal:
            self._note_denial(scope, refusal)
            raise
        await response(scope, receive, send)

    def _note_denial(self, scope: Scope, refusal: InvalidInput) -> None:
        """Keep that a caller asked in SQL for what nobody may; a mistake in the wording is no such thing."""
        reason = known(type(refusal)).error
        context: RequestContext | None = scope.get(CONTEXT_KEY)
        if reason not in _DENIED or context is None:
            return
        event = AuditEvent(
            action=QUERY_DENY,
            actor=context.author,
            reason=reason,
            resource=scope["path"],
            resource_class=scope[TEMPLATE_KEY],
            request_id=context.request_id,
        )
        self._audit.note(context.scope, event)

    async def _let_in(self, scope: Scope, headers: Headers) -> None:
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
            until_ms=identity.until_ms,
            known=partial(self._authenticator.identify, headers),
        )
        if self._rates is not None:
            taken = self._rates.take(identity.scope.tenant, identity.principal, template=scope[TEMPLATE_KEY])
            scope[RATE_KEY] = taken.headers

    def _identified(self, scope: Scope, headers: Headers) -> Identity:
        request_id, path, template = scope[REQUEST_ID_KEY], scope["path"], scope[TEMPLATE_KEY]
        try:
            identity = self._authenticator.identify(headers)
        except Unauthenticated as refusal:
            client = self._counted_guess(scope)
            reason = "missing_token" if refusal.code == "MISSING_AUTH" else "invalid_token"
            self._audit.denied(reason, request_id=request_id, resource=path, template=template, client=client)
            raise
        except (Forbidden, InvalidScopeId):
            client = self._counted_guess(scope)
            self._audit.denied("invalid_token", request_id=request_id, resource=path, template=template, client=client)
            raise
        if self._authenticator.audited:
            principal = identity.principal
            self._audit.allowed(identity.scope, principal, request_id=request_id, resource=path, template=template)
        return identity

    def _counted_guess(self, scope: Scope) -> str:
        """The address of somebody we do not know; who fails too often is not written about. Raises `RateLimited`."""
        client = client_of(scope, self._addresses)
        if self._rates is not None:
            self._rates.guess(rate_key(client))
        return client
