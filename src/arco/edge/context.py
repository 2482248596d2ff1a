"""What a handler may ask about the request at hand: who, in which scope, with which services."""

from collections.abc import Callable
from typing import Any, cast

import msgspec
from starlette.requests import HTTPConnection

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.scope import Scope
from arco.edge.idempotency import checked_key
from arco.edge.pages import CursorCodec, EncodedPages
from arco.edge.refusals import Unauthenticated
from arco.kernel.desk import Desk
from arco.kernel.reading import Reader

CONTEXT_KEY = "arco.context"
"""Where the authenticated context is kept in the ASGI scope of a request."""

REQUEST_ID_KEY = "arco.request_id"
"""Where the request id is kept in the ASGI scope of a request."""


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and for which workspace. `actor` is the `source` of the events the request causes."""

    scope: Scope
    principal: str
    groups: tuple[str, ...] = ()
    request_id: str = ""
    actor: str = ""


class ApiServices(msgspec.Struct, frozen=True, kw_only=True):
    """What the api role gives its handlers.

    `query` is the SQL service (`query.service`), `lineage` the edge indexes (`domains.lineage.index_cache`) or None.
    """

    clock: Clock
    ids: Ids
    reader_for: Callable[[Scope], Reader]
    desk_for: Callable[[Scope], Desk]
    cursors: CursorCodec
    query: Any = None
    encoded: EncodedPages = msgspec.field(default_factory=EncodedPages)
    lineage: Any = None


def context_of(request: HTTPConnection) -> RequestContext:
    """The authenticated context of the request. Raises `Unauthenticated` where there is none."""
    context = request.scope.get(CONTEXT_KEY)
    if context is None:
        raise Unauthenticated("MISSING_AUTH", "Authorization header required")
    return cast(RequestContext, context)


def services_of(request: HTTPConnection) -> ApiServices:
    """The services of the role that serves this request."""
    return cast(ApiServices, request.app.state.services)


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
