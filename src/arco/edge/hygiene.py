"""Refuses requests that two readers could read differently (abuse cases A-31, A-32, A-34).

Relied on: the server in front parses HTTP; it may still pass repeated headers on, and then whoever reads the first and
whoever reads the last would disagree about who is asking.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from starlette.types import Message, Receive

from arco.core.errors import InvalidInput
from arco.edge.refusals import AmbiguousRequest, BodyTooLarge, BodyTooSlow

SINGLE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"x-arco-read-token",
        b"if-match",
        b"origin",
        b"transfer-encoding",
        b"x-governance-approval-id",
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

BODY_SECONDS_MAX: Final = 30.0
"""How long a whole body may take to arrive."""

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


def limited(receive: Receive, headers: Headers, limit: int, *, seconds: float = BODY_SECONDS_MAX) -> "LimitedBody":
    """`receive`, never handing out more than `limit` bytes of body, and waiting for them so many seconds in all.

    Raises `BodyTooLarge`, at once when the length is announced; its result raises `BodyTooLarge` and `BodyTooSlow`.
    """
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise BodyTooLarge(limit)
    return LimitedBody(receive, limit, seconds)


class LimitedBody:
    """Receives one body; what comes after it (that the caller went away) may take as long as it likes."""

    __slots__ = ("deadline", "left", "limit", "receive", "seconds")

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self.receive = receive
        self.limit = limit
        self.left = limit
        self.seconds = seconds
        self.deadline: float | None = asyncio.get_running_loop().time() + seconds

    async def __call__(self) -> Message:
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.receive()
        except TimeoutError:
            raise BodyTooSlow(self.seconds) from None
        self.left -= len(message.get("body") or b"")
        if self.left < 0:
            raise BodyTooLarge(self.limit)
        if not message.get("more_body"):
            self.deadline = None
        return message
