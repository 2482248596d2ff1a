"""Cross-origin requests (catalog.md 5.5): off unless origins are configured; preflight needs no authentication."""

from typing import Final

import msgspec

METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS: Final = (
    b"authorization, content-type, accept, if-match, if-none-match, x-tenant-id, x-workspace-id, idempotency-key, "
    b"x-request-id, x-iceberg-access-delegation, x-arco-read-token, last-event-id"
)
EXPOSED_HEADERS: Final = (
    b"content-type, content-length, etag, x-request-id, x-arco-next-cursor, retry-after, x-arco-manifest-id, "
    b"x-arco-truncated, x-arco-query-id, x-arco-read-token"
)

HeaderList = list[tuple[bytes, bytes]]


class CorsRules(msgspec.Struct, frozen=True):
    """Which origins may read answers: exact texts, or `*` alone."""

    origins: tuple[str, ...]
    max_age_s: int = 3600

    def allows(self, origin: bytes) -> bool:
        """True when pages of this origin may read answers."""
        return self.origins == ("*",) or origin.decode("latin-1") in self.origins

    def answer_headers(self, origin: bytes) -> HeaderList:
        """The headers every answer to a page of this origin carries; none for an origin that is not allowed."""
        if not self.allows(origin):
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED_HEADERS),
            (b"vary", b"Origin"),
        ]

    def preflight_headers(self, origin: bytes) -> HeaderList:
        """The headers of the answer to a preflight request."""
        if not self.allows(origin):
            return []
        return [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", str(self.max_age_s).encode()),
        ]


def origin_of(raw: list[tuple[bytes, bytes]]) -> bytes | None:
    """The `Origin` header, or None for a request that no page of another origin made."""
    return next((value for name, value in raw if name == b"origin"), None)


def is_preflight(method: str, raw: list[tuple[bytes, bytes]]) -> bool:
    """True for the question a browser asks before it sends the real request."""
    return method == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in raw)
