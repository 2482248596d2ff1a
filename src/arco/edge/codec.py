"""JSON in and out of handlers: strict about bytes and types, kind in its words, cheap.

A body is refused with 415 when it is not JSON by its content type, 413 when it is too long, 400 when it is not one
JSON document (duplicate keys and nesting beyond 32 included, because no two readers agree on those) and 422 when a
field is missing or of the wrong type. Unknown fields are ignored (catalog.md 4.1).
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.edge.refusals import BeyondLimit, MalformedBody, UnprocessableBody, UnsupportedMediaType

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

JSON_DEPTH_MAX: Final = 32

JSON_PARTS_MAX: Final = 50_000
"""Keys of a body, and lists and objects: 5,000 columns have 30,000, and each costs the event loop a microsecond."""

_JSON: Final = "application/json"
_DECODERS: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}  # one for each body type: as many as endpoints
_NOT_JSON: Final = "The body must be one valid JSON document in UTF-8"
_ENCODER: Final = msgspec.json.Encoder()
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_BYTE: Final = re.compile(r"\(byte ([0-9]+)\)")
_BRACKETS: Final = bytes.maketrans(b"[]", b"{}")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


class _DuplicateKey(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


async def decode(request: Request, type_: type[T]) -> T:
    """The JSON body as a `type_`.

    Raises `UnsupportedMediaType`, `BodyTooLarge`, `MalformedBody`, `UnprocessableBody`.
    """
    check_content_type(request)
    return decode_bytes(await request.body(), type_)


def decode_bytes(body: bytes, type_: type[T]) -> T:
    """`body` as a `type_`. Raises `MalformedBody`, `UnprocessableBody`."""
    check_json(body)
    return decode_sound(body, type_)


def decode_sound(body: bytes, type_: type[T]) -> T:
    """JSON that was checked, as a `type_`. Raises `MalformedBody`, `UnprocessableBody`."""
    decoder: msgspec.json.Decoder[T] = _decoder(type_)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        kind = BeyondLimit if _LIMIT.search(str(error)) else UnprocessableBody
        raise kind(friendly(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        place = _BYTE.search(str(error))
        raise MalformedBody(f"{_NOT_JSON}; byte {place[1]} is not" if place else _NOT_JSON) from None


def check_json(body: bytes) -> None:
    """Raises `MalformedBody` for nesting beyond 32, a duplicate key, too many parts, or bytes that are not JSON."""
    if body.count(b"{") + body.count(b"[") > JSON_DEPTH_MAX or body.count(b":") > JSON_PARTS_MAX:
        _check_shape(body)
    try:
        json.loads(body.decode(), object_pairs_hook=_unique, parse_int=_ignored, parse_float=_ignored)
        if _SURROGATE.search(body):
            # Half of a pair is no character, and no answer could repeat it; this decoder is particular about it.
            msgspec.json.decode(body)
    except _DuplicateKey as error:
        quoted = json.dumps(error.key[:100])
        raise MalformedBody(f"The key {quoted} is given twice in one object") from None
    except json.JSONDecodeError as error:
        if not body.strip():
            raise MalformedBody("The body must be a JSON object; it is empty") from None
        raise MalformedBody(f"{_NOT_JSON}; line {error.lineno}, column {error.colno} is not") from None
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise MalformedBody(_NOT_JSON) from None


def query_params(request: HTTPConnection, type_: type[S]) -> S:
    """The query parameters as a `type_` (str, int, bool, None). Raises `InvalidInput` naming the parameter."""
    given = request.query_params
    names = _field_names(type_)
    values: dict[str, Any] = {}
    for name, value in given.multi_items():
        if name not in names:
            continue
        if name in values:
            raise InvalidInput(f"{name} is given twice")
        values[name] = value
    try:
        return msgspec.convert(values, type_, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(friendly(str(error))) from None


def reply(value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response of anything msgspec encodes; `bytes` are taken as already encoded JSON."""
    content = value if isinstance(value, bytes) else _ENCODER.encode(value)
    return Response(content, status, headers=headers, media_type=_JSON)


def no_content(*, headers: Mapping[str, str] | None = None) -> Response:
    """204 without a body."""
    return Response(status_code=204, headers=headers)


def not_modified(request: HTTPConnection, etag: str) -> Response | None:
    """304 when `If-None-Match` holds `etag` (quotes included)."""
    condition = request.headers.get("if-none-match")
    if condition is not None and _matches(condition, etag):
        return Response(status_code=304, headers={"etag": etag})
    return None


async def conditional(request: HTTPConnection, etag: str, build: Callable[[], Awaitable[Response]]) -> Response:
    """304 when `If-None-Match` holds `etag` (quotes included), else what `build` makes, with the `ETag` header."""
    unchanged = not_modified(request, etag)
    if unchanged is not None:
        return unchanged
    response = await build()
    response.headers["etag"] = etag
    return response


_PATH: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_EXPECTED: Final = re.compile(r"Expected `(?P<want>[^`]+)`(?: of (?P<rule>.+?))?, got `(?P<got>[^`]+)`$")
_LIMIT: Final = re.compile(r"^Expected `[a-z]+` (?:of length )?[<>]=? [0-9-]+")
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]+)`$")
_RULE: Final = re.compile(r"Expected `(?P<want>[^`]+)` (?P<rule>.+)$")
_KINDS: Final = {
    "str": "text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def friendly(text: str) -> str:
    """A msgspec validation message as a sentence that names the field: `columns[0].name must be text, not null`."""
    parts = _PATH.match(text)
    what, path = (parts["what"], parts["path"]) if parts else (text, None)
    field = (path or "").replace("[...]", ".*").lstrip(".")
    if missing := _MISSING.match(what):
        return f"{field + '.' if field else ''}{missing['name']} is required"
    subject = field or "The body"
    if expected := _EXPECTED.match(what):
        return f"{subject} must be {_kinds(expected['want'])}, not {_kinds(expected['got'])}"
    if rule := _RULE.match(what):
        return f"{subject} must be {_kinds(rule['want'])} {rule['rule']}"
    return f"{subject}: {what[:1].lower()}{what[1:]}"


def _kinds(union: str) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in union.split(" | "))


def check_content_type(request: Request) -> None:
    """Raises `UnsupportedMediaType` unless the request says that its body is plain JSON."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != _JSON and not (given.startswith("application/") and given.endswith("+json")):
        raise UnsupportedMediaType("Content-Type must be application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding is not supported; send the body as it is")


def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    found = _DECODERS.get(type_)
    if found is None:
        found = _DECODERS.setdefault(type_, msgspec.json.Decoder(type_))
    return found


@lru_cache(maxsize=512)
def _field_names(type_: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(type_.__struct_encode_fields__)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    # The value is not needed: msgspec decodes the same bytes again, faster than this could.
    if len(pairs) > 1 and len({key for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(key)
            seen.add(key)


def _ignored(_text: str) -> None:
    return None


def _check_shape(body: bytes) -> None:
    """Count and measure what is outside strings; all work is done in C, in linear time a level."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    outside = b"".join(unescaped.split(b'"')[::2])
    if outside.count(b":") > JSON_PARTS_MAX or outside.count(b"{") + outside.count(b"[") > JSON_PARTS_MAX:
        raise MalformedBody(f"The body must not hold more than {JSON_PARTS_MAX} keys, lists and objects")
    brackets = outside.translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(JSON_DEPTH_MAX):
        # Each round removes exactly the innermost level.
        brackets = brackets.replace(b"{}", b"")
        if not brackets:
            return
    raise MalformedBody(f"The body must not nest deeper than {JSON_DEPTH_MAX} levels")


def _matches(condition: str, etag: str) -> bool:
    if condition.strip() == "*":
        return True
    # If-None-Match compares weakly (RFC 9110, 13.1.2).
    return any(tag.strip().removeprefix("W/") == etag.removeprefix("W/") for tag in condition.split(","))
