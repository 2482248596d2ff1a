"""Facts that only the door knows: why a request was turned away before any command or query saw it."""

from typing import Final

from arco.core.errors import ArcoError, InvalidInput

_STREAM_RETRY_S: Final = 5


class Unauthenticated(ArcoError):
    """Nobody we know: `code` is MISSING_AUTH, INVALID_TOKEN or UNAUTHORIZED (catalog.md 5.1)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownService(Unauthenticated):
    """No role of this deployment; told in the shape of internal routes, `{"error": ...}` (catalog.md 5.6)."""

    def __init__(self, message: str) -> None:
        super().__init__("MISSING_AUTH" if message == "missing bearer token" else "INVALID_TOKEN", message)


class Forbidden(ArcoError):
    """Known, but not allowed."""


class ProjectionOnly(Forbidden):
    """Known and allowed to ask, but what it asks for is only read in SQL (catalog.md 6)."""

    code = "PROJECTION_ONLY_ARTIFACT"


class UnknownPath(ArcoError):
    """No endpoint has this path."""

    def __init__(self) -> None:
        super().__init__("No such path. GET /openapi.json lists every path of this server")


class MethodNotAllowed(ArcoError):
    """The path is known, the method is not; `allow` is the value of the `Allow` header."""

    def __init__(self, allow: str) -> None:
        super().__init__(f"This path answers {allow}")
        self.allow = allow


class UnsupportedMediaType(ArcoError):
    """The body is not of a type this endpoint reads."""


class NotAcceptable(ArcoError):
    """The caller accepts none of the media types this endpoint writes."""


class BodyTooLarge(ArcoError):
    """The body is longer than the limit in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body must not be larger than {limit} bytes")
        self.limit = limit


class BodyTooSlow(ArcoError):
    """The body did not arrive within the deadline in seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The request body did not arrive within {seconds:g} seconds; send it again")


class MalformedBody(InvalidInput):
    """The bytes are not one JSON document that this server reads."""


class UnprocessableBody(InvalidInput):
    """Well-formed JSON with a missing or wrongly typed field; the message names the field."""


class BeyondLimit(UnprocessableBody):
    """Well-formed JSON of the right types with a value that is too long, too many, too large or too small."""


class Draining(ArcoError):
    """The process is shutting down and takes no new mutation."""

    def __init__(self) -> None:
        super().__init__("This server is shutting down; send the request again", retry_after_s=1)


class RateLimited(ArcoError):
    """Too many requests; `limit` is how many a minute are allowed, `retry_after_s` in the details when to come back."""

    def __init__(self, message: str, *, limit: int, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.limit = limit


class TenantStreams(ArcoError):
    """The tenant has as many streams open as it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit} streams of a tenant may be open; close one", retry_after_s=_STREAM_RETRY_S)


class ServerStreams(ArcoError):
    """The process has as many streams open as it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"This server keeps {limit} streams open and no more; try again, or ask without one",
            retry_after_s=_STREAM_RETRY_S,
        )


class NotImplementedHere(ArcoError):
    """The contract knows this feature, this server does not offer it."""


class AmbiguousRequest(InvalidInput):
    """Two readers of this request could understand it differently."""
