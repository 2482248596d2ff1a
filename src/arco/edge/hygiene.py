"""Refuses requests that two readers could read differently (abuse cases A-31, A-32, A-34).

Relied on: the server in front parses HTTP; it may still pass repeated headers on, and then whoever reads the first and
whoever reads the last would disagree about who is asking.
"""

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import Message, Receive

from arco.core.errors import InvalidInput
from arco.edge.refusals import AmbiguousRequest, BodyTooLarge

SINGLE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"if-match",
        b"transfer-encoding",
        b"x-groups",
        b"x-metrics-secret",
        b"x-request-id",
        b"x-tenant-id",
        b"x-user-id",
        b"x-workspace-id",
    }
)
"""Request headers that may be given once."""

HEADERS_MAX: Final = 100
"""Request headers in all."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}\Z")

Headers = dict[bytes, bytes]
"""The single-valued request headers that arco reads, by lower-case name."""


def single_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of `SINGLE` that are present. Raises `AmbiguousRequest` for a repeated one."""
    found: Headers = {}
    count = 0
    for name, value in raw:
        count += 1
        if name in SINGLE:
            if name in found:
                raise AmbiguousRequest(f"The header {name.decode()} must be given once")
            found[name] = value
    if count > HEADERS_MAX:
        raise InvalidInput(f"A request must not have more than {HEADERS_MAX} headers")
    if b"content-length" in found and b"transfer-encoding" in found:
        raise AmbiguousRequest("Content-Length and Transfer-Encoding must not be given together")
    return found


def accepted_request_id(raw: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The caller's `X-Request-Id` when it is 8 to 64 characters of `A-Za-z0-9_-`, else None."""
    for name, value in raw:
        if name == b"x-request-id":
            return value.decode() if _REQUEST_ID.match(value) else None
    return None


def limited(receive: Receive, headers: Headers, limit: int) -> Receive:
    """`receive`, never handing out more than `limit` bytes of body. Raises `BodyTooLarge`, at once when announced."""
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise BodyTooLarge(limit)
    total = 0

    async def receive_limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body") or b"")
        if total > limit:
            raise BodyTooLarge(limit)
        return message

    return receive_limited
