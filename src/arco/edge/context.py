"""What a handler may ask about the request at hand: who, in which scope, with which services."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from starlette.requests import HTTPConnection

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.scope import Scope
from arco.edge.audit import ANONYMOUS, AuditEvent, AuditTrail
from arco.edge.endpoint import TEMPLATE_KEY
from arco.edge.idempotency import checked_key
from arco.edge.pages import CursorCodec, EncodedPages
from arco.edge.refusals import Unauthenticated
from arco.kernel.chain import ORCHESTRATION_CHAIN
from arco.kernel.desk import DROPPED, Desk, FactSink, SignedDesk, UnitDraft
from arco.kernel.fold import Outcome
from arco.kernel.reading import Reader
from arco.storage.port import ObjectStore

CONTEXT_KEY = "arco.context"
"""Where the authenticated context is kept in the ASGI scope of a request."""

REQUEST_ID_KEY = "arco.request_id"
"""Where the request id is kept in the ASGI scope of a request."""

FAILURES_KEY = "arco.failures"
"""Where what failed within a request that is answered all the same is kept, for the log."""

STREAM_KEY = "arco.stream"
"""Set in the ASGI scope of a request whose answer has no length: what is measured of it is how soon it begins."""

READ_TOKEN_KEY = "arco.read_token"
"""Where the token that reads what a request has changed is kept in its ASGI scope."""

RATE_KEY = "arco.rate"
"""Where the headers that tell of the rate limit are kept in the ASGI scope of a request."""


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and for which workspace.

    `actor` is the `source` of the events the request causes; `author` is the principal as audit shows it. What goes on
    answering has to ask: `until_ms` is when the caller's token ends, `known` raises what `Authenticator.identify` does.
    """

    scope: Scope
    principal: str
    groups: tuple[str, ...] = ()
    request_id: str = ""
    actor: str = ""
    author: str = ANONYMOUS
    until_ms: int | None = None
    known: Callable[[], object] | None = None


class ChainAccess(msgspec.Struct, frozen=True, kw_only=True):
    """A further chain of a workspace: how it is read, and how it is written."""

    reader_for: Callable[[Scope], Reader]
    desk_for: Callable[[Scope], Desk]


class ApiServices(msgspec.Struct, frozen=True, kw_only=True):
    """What the api role gives its handlers.

    `store_for` gives a scope's objects with the api's rights: for what lies beside the chain (staged payloads, logs).
    `query` is the SQL service (`query.service`), `queries` what runs of it (`query.running`), `lineage` the edge
    indexes (`domains.lineage.index_cache`) or None; `facts` takes what is worth keeping and nobody waits for, `audit`
    is the audit trail, `urls` the desk of signed URLs (`edge.urls`), `index_owed` is told of a scope whose search index
    is not whole (`loops.waking`). `flow` is orchestration's chain, `definitions` what is deployed
    (`domains.orchestration.definitions`), `task_tokens` reads what workers show (`dispatch.tokens`), `heartbeats`
    hands theirs in (`domains.orchestration.commands.gathering`), `callbacks` counts what they say, `live` is what
    streams are made of (`routes.public.live`). Members of `operator_group` may say what workers and roles say; without
    one nobody may.
    Handlers that write take their desk from `desk_of` or `flow_desk_of`, which sign what they hand in.
    """

    clock: Clock
    ids: Ids
    reader_for: Callable[[Scope], Reader]
    desk_for: Callable[[Scope], Desk]
    store_for: Callable[[Scope], ObjectStore]
    cursors: CursorCodec
    query: Any = None
    queries: Any = None
    encoded: EncodedPages = msgspec.field(default_factory=EncodedPages)
    lineage: Any = None
    facts: FactSink = DROPPED
    audit: AuditTrail | None = None
    urls: Any = None
    index_owed: Any = None
    flow: ChainAccess | None = None
    definitions: Any = None
    task_tokens: Any = None
    heartbeats: Any = None
    callbacks: Any = None
    operator_group: str | None = None
    live: Any = None


def context_of(request: HTTPConnection) -> RequestContext:
    """The authenticated context of the request. Raises `Unauthenticated` where there is none."""
    context = request.scope.get(CONTEXT_KEY)
    if context is None:
        raise Unauthenticated("MISSING_AUTH", "Authorization header required")
    return cast(RequestContext, context)


def note_failure(request: HTTPConnection, fact: BaseException) -> None:
    """Have it told in log and metrics, as if it had been the answer, that a part of a request failed."""
    request.scope.setdefault(FAILURES_KEY, []).append(fact)


def services_of(request: HTTPConnection) -> ApiServices:
    """The services of the role that serves this request."""
    return cast(ApiServices, request.app.state.services)


def desk_of(request: HTTPConnection) -> Desk:
    """The desk of the request's workspace; it says of every unit who asked for it, in which request."""
    context = context_of(request)
    return SignedDesk(services_of(request).desk_for(context.scope), context.author, context.request_id or None)


def flow_of(request: HTTPConnection) -> ChainAccess:
    """Orchestration's chain."""
    found = services_of(request).flow
    assert found is not None
    return found


def flow_desk_of(request: HTTPConnection) -> Desk:
    """The desk of the request's workspace for orchestration; signed as that of `desk_of`.

    What is handed in there has its answer carry a read token: the newest state that a unit of the request made.
    """
    context = context_of(request)
    signed = SignedDesk(flow_of(request).desk_for(context.scope), context.author, context.request_id or None)
    return _NotingDesk(signed, request, ORCHESTRATION_CHAIN.name)


class _NotingDesk(msgspec.Struct, frozen=True):
    """A desk that notes, for the answer to its request, at which state the outcomes can be seen."""

    desk: Desk
    request: HTTPConnection
    chain: str

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        """Hand the units in. See `Desk.submit`."""
        outcomes = await self.desk.submit(units, source=source)
        seen_at = max((outcome.manifest_id for outcome in outcomes), default="")
        if seen_at:
            self.request.scope[READ_TOKEN_KEY] = f"{self.chain}:{seen_at}"
        return outcomes


def audit(request: HTTPConnection, action: str, reason: str, resource: str = "") -> None:
    """Keep an audit event of this request's caller: an action of `domains.access.rows`, why, and on what.

    Changes need none, they are witnessed in their own commit. `resource` is the path when left out.
    """
    trail = services_of(request).audit
    if trail is None:
        return
    context = context_of(request)
    event = AuditEvent(
        action=action,
        actor=context.author,
        reason=reason,
        resource=resource or request.scope["path"],
        resource_class=request.scope.get(TEMPLATE_KEY, ""),
        request_id=context.request_id,
    )
    trail.note(context.scope, event)


def idempotency_key_of(request: HTTPConnection) -> str | None:
    """The `Idempotency-Key` header: a canonical UUIDv7, or None when absent. Raises `InvalidInput` (catalog.md 3.6)."""
    text = _single(request, "idempotency-key")
    return None if text is None else checked_key(text)


def if_match_of(request: HTTPConnection) -> str | None:
    """The opaque text of `If-Match`, quotes kept; `*` is returned as `*`; None when absent or blank."""
    return _single(request, "if-match")


def _single(request: HTTPConnection, name: str) -> str | None:
    """The header's value, trimmed; repeated headers are refused at the door (`edge.hygiene`)."""
    text = (request.headers.get(name) or "").strip()
    return text or None
