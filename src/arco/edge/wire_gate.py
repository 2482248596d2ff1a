"""Decides where one HTTP/1 request ends and the next begins, before any parser sees it. Pure (abuse cases A-31, A-32).

Two readers of the same bytes must agree on them, or a request can be hidden in another one. So this gate takes one
spelling of each thing and refuses every other; what it lets through it spells anew, so that the parser behind it never
sees a byte of a caller's framing.

Guarantees: CRLF line ends only, no folded lines, no space before a colon; one Host; a body is told either by one plain
decimal Content-Length or by `Transfer-Encoding: chunked` alone, without chunk extensions and trailers; a target is a
path; hop-by-hop headers end here, and cannot take a header with them that decides something; names with an underscore
are dropped, because some readers take it for a hyphen. Work is linear in the bytes received.
"""

import re
from typing import Final

import msgspec

HEAD_BYTES_MAX: Final = 32 * 1024
"""Request line and headers together."""

HEADERS_MAX: Final = 100
"""Request headers in all."""

AMBIGUOUS: Final = "ambiguous_request"
MALFORMED: Final = "malformed_request"
TOO_LARGE: Final = "headers_too_large"

_LENGTH_DIGITS_MAX: Final = 15
_CHUNK_LINE_MAX: Final = 10
_CHUNKS_FREE: Final = 1_000
_CHUNK_BYTES_MEAN_MIN: Final = 16
_PIECE_BYTES_MAX: Final = 64 * 1024

_REQUEST_LINE: Final = re.compile(rb"([A-Z][A-Z-]{0,31}) (/[!\"$-\[\]-~]*) HTTP/1\.([01])\Z")
_HEADERS: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*\r\n\Z")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_LENGTH: Final = re.compile(rb"(?:0|[1-9][0-9]*)\Z")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")
_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_METHOD_LETTERS: Final = re.compile(rb"[A-Z]")

_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"http2-settings", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"}
)
"""Headers about this one connection; none of them changes what a request means here."""

_OPTIONS: Final = _HOP_BY_HOP | {b"close", b""}
"""What `Connection` may name without naming a header of the request."""

_DECISIVE: Final = frozenset(
    {
        b"accept",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"idempotency-key",
        b"if-match",
        b"if-none-match",
        b"origin",
        b"range",
        b"transfer-encoding",
    }
)
"""Headers that `Connection` must not name, because a proxy would then take them away; those of `x-` too."""


class Refused(Exception):
    """The bytes are not a request of this server; `reason` is one of a closed set, `status` what to answer."""

    def __init__(self, reason: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.status = status


class Head(msgspec.Struct, frozen=True):
    """A request's head as it is passed on: `text` ends with the empty line; `length` is None for a chunked body."""

    text: bytes
    length: int | None = 0


def parse_head(block: bytes) -> Head:
    """The one reading of `block`, which ends with the first empty line. Raises `Refused`."""
    if _BARE.search(block):
        raise Refused(MALFORMED, "Lines must end with CRLF")
    line, _, rest = block.partition(b"\r\n")
    request = _REQUEST_LINE.match(line)
    if request is None:
        raise _request_line_refusal(line)
    if not _HEADERS.match(rest):
        raise Refused(MALFORMED, "A header must be one line of the form 'name: value', without control characters")
    kept, special = _sorted_headers(rest)
    old = request[3] == b"0"
    close = _checked_connection(special.get(b"connection", []), kept)
    _check_host(special.get(b"host", []), old=old)
    length, framing = _framing(special, old=old)
    lines = [line, *[name + b": " + value for name, value in kept], *framing]
    if close:
        lines.append(b"connection: close")
    if not old and [value.lower() for value in special.get(b"expect", [])] == [b"100-continue"]:
        lines.append(b"expect: 100-continue")
    return Head(b"\r\n".join(lines) + b"\r\n\r\n", length)


_SPECIAL: Final = frozenset({b"connection", b"content-length", b"expect", b"host", b"transfer-encoding"})

_Pairs = list[tuple[bytes, bytes]]
_Special = dict[bytes, list[bytes]]


def _sorted_headers(rest: bytes) -> tuple[_Pairs, _Special]:
    """The headers to pass on, and those that are about framing and connection, by lower-case name."""
    lines = rest[:-4].split(b"\r\n") if len(rest) > 2 else []
    if len(lines) > HEADERS_MAX:
        raise Refused(TOO_LARGE, f"A request must not have more than {HEADERS_MAX} headers", 431)
    kept: _Pairs = []
    special: _Special = {}
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in _SPECIAL:
            special.setdefault(name, []).append(value)
            if name == b"host":
                kept.append((name, value))
        elif b"_" not in name and name not in _HOP_BY_HOP:
            kept.append((name, value))
    return kept, special


def _checked_connection(values: list[bytes], kept: _Pairs) -> bool:
    """Whether the connection ends after this request; headers that `Connection` names leave `kept`."""
    if not values:
        return False
    named = {option.strip(b" \t").lower() for value in values for option in value.split(b",")}
    for option in named - _OPTIONS:
        if option in _DECISIVE or option.startswith(b"x-"):
            raise Refused(AMBIGUOUS, "Connection must not name a header that decides what the request means")
    kept[:] = [pair for pair in kept if pair[0] not in named]
    return b"close" in named


def _check_host(values: list[bytes], *, old: bool) -> None:
    if not values and old:
        return
    if len(values) != 1:
        raise Refused(AMBIGUOUS, "The header host must be given once")
    if not _HOST.match(values[0]):
        raise Refused(MALFORMED, "The header host must be a name or an address, and maybe a port")


def _framing(special: _Special, *, old: bool) -> tuple[int | None, list[bytes]]:
    """How long the body is, None when chunked, and the header that says so."""
    lengths, codings = special.get(b"content-length", []), special.get(b"transfer-encoding", [])
    if not lengths and not codings:
        return 0, []
    if lengths and codings:
        raise Refused(AMBIGUOUS, "Content-Length and Transfer-Encoding must not be given together")
    if len(lengths) + len(codings) > 1:
        raise Refused(AMBIGUOUS, "A body's length must be told once")
    if codings:
        if old or codings[0].lower() != b"chunked":
            raise Refused(MALFORMED, "Transfer-Encoding must be chunked, and HTTP/1.1")
        return None, [b"transfer-encoding: chunked"]
    text = lengths[0]
    if not _LENGTH.match(text) or len(text) > _LENGTH_DIGITS_MAX:
        raise Refused(MALFORMED, "Content-Length must be a plain decimal number")
    return int(text), [b"content-length: " + text]


def _request_line_refusal(line: bytes) -> Refused:
    parts = line.split(b" ")
    if len(parts) == 3 and parts[2] in (b"HTTP/1.1", b"HTTP/1.0") and b":" in parts[1] and parts[1][:1] != b"/":
        return Refused(AMBIGUOUS, "The request target must be a path, not a URL")
    return Refused(MALFORMED, "The request line must be 'METHOD /path HTTP/1.1'")


class WireGate:
    """Takes the bytes of one connection, gives out the bytes of one request after another.

    `next` gives pieces of the request at hand until it is `complete`; `proceed` turns to the one after it. What is
    refused stays refused: whoever drives the gate closes the connection.
    """

    __slots__ = ("_buffer", "_chunk_left", "_chunks", "_chunks_bytes", "_left", "_seen", "complete", "in_body")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._seen = 0
        self._left = 0
        self._chunk_left: int | None = None  # bytes of the chunk at hand; None when the body is not chunked
        self._chunks = 0
        self._chunks_bytes = 0
        self.complete = False
        self.in_body = False

    @property
    def buffered(self) -> int:
        """Bytes received and not yet given out."""
        return len(self._buffer)

    def receive(self, data: bytes) -> None:
        """More bytes of the connection."""
        self._buffer += data

    def proceed(self) -> None:
        """Turn to the next request."""
        self.complete = self.in_body = False
        self._seen = 0

    def next(self) -> bytes | None:
        """The next bytes of this request to pass on, or None when more must be received. Raises `Refused`."""
        if self.complete or not self._buffer:
            return None
        if not self.in_body:
            return self._head()
        return self._counted() if self._chunk_left is None else self._chunked()

    def _head(self) -> bytes | None:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(0, self._seen - 3), HEAD_BYTES_MAX)
        if end < 0:
            self._check_unfinished()
            return None
        head = parse_head(bytes(buffer[: end + 4]))
        del buffer[: end + 4]
        self.in_body = True
        self._chunks = self._chunks_bytes = 0
        self._chunk_left = 0 if head.length is None else None
        self._left = head.length or 0
        self.complete = head.length == 0
        return head.text

    def _check_unfinished(self) -> None:
        """Refuse early what cannot become a request, so that nobody waits for the rest of it."""
        buffer = self._buffer
        if len(buffer) >= HEAD_BYTES_MAX:
            raise Refused(TOO_LARGE, f"A request's head must not be larger than {HEAD_BYTES_MAX} bytes", 431)
        if not self._seen and not _METHOD_LETTERS.match(buffer):
            raise Refused(MALFORMED, "The request line must be 'METHOD /path HTTP/1.1'")
        whole = len(buffer) - (buffer[-1:] == b"\r")  # the LF of a last CR may still be on its way
        if _BARE.search(buffer, max(0, self._seen - 1), whole):
            raise Refused(MALFORMED, "Lines must end with CRLF")
        self._seen = whole

    def _counted(self) -> bytes:
        piece = bytes(self._buffer[: min(self._left, _PIECE_BYTES_MAX)])
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        self.complete = not self._left
        return piece

    def _chunked(self) -> bytes | None:
        """What is there of the chunks, joined: a caller's chunk sizes cost the parser behind nothing."""
        buffer, at, data = self._buffer, 0, bytearray()
        while at < len(buffer) and len(data) < _PIECE_BYTES_MAX:
            if self._chunk_left:
                part = buffer[at : at + self._chunk_left]
                data += part
                at += len(part)
                self._chunk_left -= len(part)
                self._chunks_bytes += len(part)
                if not self._chunk_left:
                    self._left = 2  # the CRLF after a chunk's data
                continue
            if self._left:
                if buffer[at] != (10 if self._left == 1 else 13):
                    raise Refused(MALFORMED, "A chunk must end with CRLF")
                at, self._left = at + 1, self._left - 1
                continue
            line = self._size_line(at)
            if line is None:
                break
            at += line
            if self.complete:
                break
        del buffer[:at]
        told = b"%x\r\n%b\r\n" % (len(data), bytes(data)) if data else b""
        return (told + b"0\r\n\r\n" if self.complete else told) or None

    def _size_line(self, at: int) -> int | None:
        """Take the line of a chunk's size at `at`; its length, or None while it is unfinished."""
        buffer = self._buffer
        end = buffer.find(b"\r\n", at, at + _CHUNK_LINE_MAX)
        if end < 0:
            if len(buffer) - at >= _CHUNK_LINE_MAX or not _unfinished_size(buffer[at:]):
                raise Refused(MALFORMED, "A chunk must begin with its size in hexadecimal digits, and nothing else")
            return None
        if not _CHUNK_SIZE.match(buffer[at:end]):
            raise Refused(MALFORMED, "A chunk must begin with its size in hexadecimal digits, and nothing else")
        size = int(buffer[at:end], 16)
        self._chunks += 1
        if self._chunks > _CHUNKS_FREE + self._chunks_bytes // _CHUNK_BYTES_MEAN_MIN:
            raise Refused(MALFORMED, "The chunks are too small; send the body in larger ones")
        if size:
            self._chunk_left = size
            return end + 2 - at
        if len(buffer) < end + 4:
            if bytes(buffer[end + 2 :]) not in (b"", b"\r"):
                raise Refused(MALFORMED, "A chunked body must end with an empty line; trailers are not read")
            return None
        if buffer[end + 2 : end + 4] != b"\r\n":
            raise Refused(MALFORMED, "A chunked body must end with an empty line; trailers are not read")
        self.complete = True
        return end + 4 - at


def _unfinished_size(text: bytearray) -> bool:
    """Whether `text` may become a chunk's size line."""
    digits = bytes(text).removesuffix(b"\r")
    return not digits or _CHUNK_SIZE.match(digits) is not None
