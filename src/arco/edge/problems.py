"""The one table from a fact to what the caller is told: status, code, text (catalog.md 4.1, compatibility.md).

Every error of every route has this one JSON shape. Facts without an entry are our own mistakes: their text never
leaves the process.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from arco.core import errors
from arco.core.paths import InvalidKey
from arco.core.scope import InvalidScopeId
from arco.edge import refusals
from arco.query import errors as query_errors
from arco.storage.port import StorageUnavailable

RATE_LIMITED: Final = "RATE_LIMITED"
INTERNAL_TEXT: Final = "Internal server error"
UNDECIDED_TEXT: Final = (
    "It is not known whether the write happened; GET /api/v1/outcomes/{event_id} tells, and so does the same request "
    "with the same Idempotency-Key"
)


class ProblemView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The body of every error. `code` is stable and for programs, `message` is for people."""

    code: str
    message: str
    error: str | None = None
    request_id: str | None = None
    details: dict[str, Any] | None = None


class ServiceProblemView(msgspec.Struct, frozen=True):
    """The body of a refused internal call: one sentence, nothing else (catalog.md 5.6)."""

    error: str

    @property
    def code(self) -> str:
        """What metrics count the refusal under."""
        return "INVALID_TOKEN"

    @property
    def message(self) -> str:
        """The sentence."""
        return self.error


class Problem(msgspec.Struct, frozen=True):
    """An error as HTTP: status, body and the headers that go with it."""

    status: int
    view: ProblemView | ServiceProblemView
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Known(msgspec.Struct, frozen=True):
    """How one kind of fact is told: `text` replaces the fact's own message when the message is not public."""

    status: int
    code: str
    text: str | None = None
    error: str | None = None


CODES: Final[Mapping[int, tuple[str, ...]]] = {
    400: ("BAD_REQUEST",),
    401: ("MISSING_AUTH", "INVALID_TOKEN", "UNAUTHORIZED"),
    403: ("FORBIDDEN", "PROJECTION_ONLY_ARTIFACT"),
    404: ("NOT_FOUND",),
    405: ("METHOD_NOT_ALLOWED",),
    406: ("NOT_ACCEPTABLE",),
    408: ("REQUEST_TIMEOUT",),
    409: ("CONFLICT",),
    410: ("GONE",),
    412: ("PRECONDITION_FAILED",),
    413: ("PAYLOAD_TOO_LARGE",),
    415: ("UNSUPPORTED_MEDIA_TYPE",),
    422: ("UNPROCESSABLE_ENTITY",),
    429: (RATE_LIMITED,),
    500: ("INTERNAL",),
    501: ("NOT_IMPLEMENTED",),
    503: ("UPSTREAM_ERROR", "OVERLOADED", "OUTCOME_UNKNOWN", "DRAINING"),
}
"""Every status an error may have, and the codes it comes with: the OpenAPI document lists them."""

_TABLE: Final[dict[type[BaseException], Known]] = {
    errors.InvalidInput: Known(400, "BAD_REQUEST"),
    InvalidKey: Known(400, "BAD_REQUEST"),
    InvalidScopeId: Known(400, "BAD_REQUEST"),
    refusals.AmbiguousRequest: Known(400, "BAD_REQUEST", error="ambiguous_request"),
    query_errors.NotReadOnly: Known(400, "BAD_REQUEST", error="read_only"),
    query_errors.UnknownRelation: Known(400, "BAD_REQUEST", error="unknown_relation"),
    query_errors.QueryTimedOut: Known(400, "BAD_REQUEST", error="query_timeout"),
    query_errors.QueryExhausted: Known(400, "BAD_REQUEST", error="query_resources"),
    query_errors.QueryCancelled: Known(409, "CONFLICT", error="query_cancelled"),
    refusals.UnprocessableBody: Known(422, "UNPROCESSABLE_ENTITY", error="unprocessable_entity"),
    refusals.Unauthenticated: Known(401, "UNAUTHORIZED"),
    refusals.Forbidden: Known(403, "FORBIDDEN"),
    errors.NotFound: Known(404, "NOT_FOUND"),
    errors.Gone: Known(410, "GONE"),
    refusals.UnknownPath: Known(404, "NOT_FOUND"),
    refusals.MethodNotAllowed: Known(405, "METHOD_NOT_ALLOWED"),
    refusals.NotAcceptable: Known(406, "NOT_ACCEPTABLE"),
    refusals.BodyTooSlow: Known(408, "REQUEST_TIMEOUT"),
    errors.AlreadyExists: Known(409, "CONFLICT"),
    errors.Conflict: Known(409, "CONFLICT"),
    errors.StaleBase: Known(412, "PRECONDITION_FAILED"),
    refusals.BodyTooLarge: Known(413, "PAYLOAD_TOO_LARGE"),
    refusals.UnsupportedMediaType: Known(415, "UNSUPPORTED_MEDIA_TYPE"),
    refusals.RateLimited: Known(429, RATE_LIMITED),
    refusals.TenantStreams: Known(429, RATE_LIMITED, error="too_many_streams"),
    refusals.ServerStreams: Known(503, "OVERLOADED", error="too_many_streams"),
    refusals.NotImplementedHere: Known(501, "NOT_IMPLEMENTED"),
    errors.Overloaded: Known(503, "OVERLOADED"),
    refusals.Draining: Known(503, "DRAINING"),
    errors.Unavailable: Known(503, "UPSTREAM_ERROR"),
    StorageUnavailable: Known(503, "UPSTREAM_ERROR", "Storage does not answer; send the request again"),
    errors.OutcomeUnknown: Known(503, "OUTCOME_UNKNOWN", UNDECIDED_TEXT, "outcome_unknown"),
    errors.CorruptData: Known(500, "INTERNAL", INTERNAL_TEXT),
}
_UNKNOWN: Final = Known(500, "INTERNAL", INTERNAL_TEXT)
_RETRY_STATUSES: Final = frozenset({409, 429, 503})
_RETRY_AFTER_DEFAULT_S: Final = 1


def known(kind: type[BaseException]) -> Known:
    """How facts of this type, or of its nearest known ancestor, are told."""
    for ancestor in kind.__mro__:
        if ancestor in _TABLE:
            return _TABLE[ancestor]
    return _UNKNOWN


def problem(fact: BaseException, request_id: str | None = None) -> Problem:
    """What the caller of request `request_id` is told about `fact`."""
    entry = known(type(fact))
    if isinstance(fact, refusals.UnknownService):
        return Problem(entry.status, ServiceProblemView(fact.message), tuple(_headers(fact, entry.status, None)))
    details = dict(getattr(fact, "details", {}))
    retry_after = details.pop("retry_after_s", None)
    view = ProblemView(
        code=getattr(fact, "code", None) or entry.code,
        # What callers send is repeated to them: half a character in it must not cost them the answer.
        message=(entry.text or _message(fact)).encode("utf-8", "replace").decode(),
        error=entry.error,
        request_id=request_id or None,
        details=(details or None) if entry.status != _UNKNOWN.status else None,
    )
    return Problem(entry.status, view, tuple(_headers(fact, entry.status, retry_after)))


def _message(fact: BaseException) -> str:
    if isinstance(fact, InvalidScopeId):
        return f"{fact.field} must hold only lower-case letters, digits, '-' and '_', and must not be empty"
    if isinstance(fact, InvalidKey):
        return fact.reason
    return str(getattr(fact, "message", fact))


def _headers(fact: BaseException, status: int, retry_after: Any) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(fact, refusals.MethodNotAllowed):
        headers.append((b"allow", fact.allow.encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 503 and retry_after is None:
        retry_after = _RETRY_AFTER_DEFAULT_S
    if retry_after is not None and status in _RETRY_STATUSES:
        headers.append((b"retry-after", str(max(1, round(retry_after))).encode()))
    if isinstance(fact, refusals.RateLimited):
        headers += [(b"x-ratelimit-limit", str(fact.limit).encode()), (b"x-ratelimit-remaining", b"0")]
    if isinstance(fact, refusals.BodyTooLarge | refusals.BodyTooSlow):
        # What is left of the body is not read; the next request cannot follow on this connection.
        headers.append((b"connection", b"close"))
    return headers
