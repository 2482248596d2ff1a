"""List pages: the limit rule of catalog.md 4.1, and cursors that are bound to scope, route and snapshot.

A cursor is unpadded base64url of `{"key","m","s"}`: the last key of the page, the manifest the list is pinned to, and
a signature over scope, path, key and manifest. The contract's own cursors, `{"key"}` alone, are accepted; they continue
on the newest snapshot. Anything else, a forged signature included, is `invalid cursor`.
"""

import binascii
import hmac
from base64 import b64decode, urlsafe_b64encode
from collections import OrderedDict
from typing import Annotated, Final, Protocol

import msgspec
from starlette.requests import HTTPConnection

from arco.core.canonical_json import canonical_json
from arco.core.errors import InvalidInput
from arco.core.limits import PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX
from arco.core.scope import Scope

ENCODED_BYTES_MAX: Final = 8 * 1024 * 1024
"""Encoded answers kept by one process."""

_ENTRY_BYTES: Final = 600

_SIGNATURE_BYTES: Final = 16
_CURSOR_CHARS_MAX: Final = 4096


class PageRequest(msgspec.Struct, frozen=True):
    """At most `limit` items strictly beyond `after`, of the snapshot `manifest_id` when one is named."""

    limit: int
    after: str | None = None
    manifest_id: str | None = None


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Query parameters of every list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_ROWS_MAX, description="Items of a page.")] = PAGE_ROWS_DEFAULT
    cursor: Annotated[str | None, msgspec.Meta(description="Where the last page ended: its `next_cursor`.")] = None


class _Cursor(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    key: str
    m: str | None = None
    s: str | None = None


class EncodedPage(msgspec.Struct, frozen=True):
    """The JSON of an answer, and its ETag when it has one of its own."""

    body: bytes
    etag: str


class EncodedPages:
    """Encoded answers of pinned snapshots by (scope, URL, manifest), the least recently used leaving first."""

    def __init__(self, bytes_max: int = ENCODED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._pages: OrderedDict[tuple[Scope, bytes, str], EncodedPage] = OrderedDict()

    def get(self, key: tuple[Scope, bytes, str]) -> EncodedPage | None:
        """The encoded page, or None."""
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, key: tuple[Scope, bytes, str], page: EncodedPage) -> None:
        """Keep an encoded page; older ones may leave for it."""
        if len(page.body) > self._bytes_max // 4 or key in self._pages:
            return
        self._pages[key] = page
        self._bytes += len(page.body) + _ENTRY_BYTES
        while self._bytes > self._bytes_max:
            _, gone = self._pages.popitem(last=False)
            self._bytes -= len(gone.body) + _ENTRY_BYTES


class HasCursors(Protocol):
    """Services that hold the cursor codec."""

    @property
    def cursors(self) -> "CursorCodec":
        """The codec of this process."""
        ...


class CursorCodec:
    """Writes and reads cursors with one secret; cursors of another secret are refused."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._decoder = msgspec.json.Decoder(_Cursor)

    def encode(self, scope: Scope, route: str, key: str, manifest_id: str) -> str:
        """The cursor that continues after `key` in the list at path `route` of this snapshot."""
        cursor = _Cursor(key, manifest_id, self._signature(scope, route, key, manifest_id))
        return urlsafe_b64encode(msgspec.json.encode(cursor)).rstrip(b"=").decode()

    def decode(self, scope: Scope, route: str, text: str) -> tuple[str, str | None]:
        """Last key and manifest id of a cursor. Raises `InvalidInput` (`invalid cursor`)."""
        cursor = self._parsed(text)
        if cursor.m is None and cursor.s is None:
            return cursor.key, None
        if cursor.m is None or cursor.s is None:
            raise InvalidInput("invalid cursor")
        genuine = self._signature(scope, route, cursor.key, cursor.m)
        if not hmac.compare_digest(genuine.encode(), cursor.s.encode()):
            raise InvalidInput("invalid cursor")
        return cursor.key, cursor.m

    def _parsed(self, text: str) -> _Cursor:
        if len(text) > _CURSOR_CHARS_MAX:
            raise InvalidInput("invalid cursor")
        try:
            padded = text + "=" * (-len(text) % 4)
            return self._decoder.decode(b64decode(padded, altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            raise InvalidInput("invalid cursor") from None

    def _signature(self, scope: Scope, route: str, key: str, manifest_id: str) -> str:
        signed = canonical_json([scope.tenant, scope.workspace, route, key, manifest_id])
        digest = hmac.digest(self._secret, signed, "sha256")[:_SIGNATURE_BYTES]
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def page_request(request: HTTPConnection, services: HasCursors, scope: Scope) -> PageRequest:
    """The page the query parameters `limit` and `cursor` ask for. Raises `InvalidInput` (catalog.md 4.1)."""
    limit = _limit(_single(request, "limit"))
    cursor = _single(request, "cursor")
    if cursor is None:
        return PageRequest(limit)
    after, manifest_id = services.cursors.decode(scope, request.scope["path"], cursor)
    return PageRequest(limit, after, manifest_id)


def next_cursor(request: HTTPConnection, services: HasCursors, scope: Scope, last: tuple[str, str]) -> str:
    """The cursor after `last` = (key of the last item, manifest id) for the list this request asked for."""
    return services.cursors.encode(scope, request.scope["path"], *last)


def _single(request: HTTPConnection, name: str) -> str | None:
    given = request.query_params.getlist(name)
    if len(given) > 1:
        raise InvalidInput(f"{name} is given twice")
    return given[0] if given else None


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE_ROWS_DEFAULT
    try:
        limit = int(text) if text.isascii() else 0
    except ValueError:
        raise InvalidInput(f"limit must be an integer from 1 to {PAGE_ROWS_MAX}") from None
    if limit < 1:
        raise InvalidInput("limit must be greater than 0")
    if limit > PAGE_ROWS_MAX:
        raise InvalidInput(f"limit must be less than or equal to {PAGE_ROWS_MAX}")
    return limit
