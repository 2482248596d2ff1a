"""Protobuf in and out of handlers, and the same messages in proto3's JSON mapping (catalog.md 4.11; JSON is ours).

A request says which it is by its content type, and is answered in kind. Errors are JSON either way.
"""

import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from arco.edge.codec import check_json
from arco.edge.refusals import MalformedBody, UnprocessableBody, UnsupportedMediaType
from arco.routes.wire.controlplane import ENUMS, MESSAGES, PACKAGE, message_class
from arco.routes.wire.envelopes import envelopes_of
from arco.routes.wire.orchestration import ENVELOPE, ENVELOPE_SCHEMA
from arco.routes.wire.protos import TIMESTAMP

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
MEDIA: Final = (JSON, PROTOBUF)

MUTATIONS_MAX: Final = 8
"""Mutations of a root transaction whose events are looked at: there may be one for each chain."""

_DEPTH_MAX: Final = 4
_SCALARS: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "uint64": {"type": "string", "pattern": "^[0-9]+$"},
    TIMESTAMP: {"type": "string", "format": "date-time"},
}


async def decode_message(request: Request, name: str) -> Any:
    """The body as a message. Raises `UnsupportedMediaType`, `MalformedBody`, `UnprocessableBody`, `BodyTooLarge`."""
    media = _media_of(request, name)
    message = message_class(name)()
    body = await request.body()
    if media == JSON:
        _parse_json(body, message)
        return message
    # Imported where it is used: see `controlplane.file_descriptor`.
    from google.protobuf.message import DecodeError  # noqa: PLC0415  # protobuf loads with the first transaction

    try:
        message.ParseFromString(body)
    except DecodeError:
        raise MalformedBody(f"The body must be a message of type {PACKAGE}.{name}") from None
    return message


async def decode_batch(request: Request, name: str) -> list[Any]:
    """The event envelopes of a batch, as the contract's JSON has them; in JSON that is what the body holds.

    Raises as `decode_message` does, and `InvalidInput`.
    """
    if _media_of(request, name) != JSON:
        return list(envelopes_of((await decode_message(request, name)).events))
    return _events(_parsed(await request.body()), "events")


async def decode_root(request: Request, name: str) -> tuple[Any, dict[int, list[Any]]]:
    """The message of a root transaction, and the envelopes of its mutations that have some, by index. Raises so too."""
    if _media_of(request, name) != JSON:
        message = await decode_message(request, name)
        found: dict[int, list[Any]] = {}
        for index, mutation in enumerate(message.mutations[:MUTATIONS_MAX]):
            if mutation.HasField("orchestration"):
                place = f"mutations[{index}].orchestration.events"
                found[index] = list(envelopes_of(mutation.orchestration.events, place))
        return message, found
    body = _parsed(await request.body())
    mutations = body.get("mutations")
    found = {}
    for index, mutation in enumerate(mutations[:MUTATIONS_MAX] if isinstance(mutations, list) else ()):
        part = mutation.get("orchestration") if isinstance(mutation, dict) else None
        if isinstance(part, dict):
            found[index] = _events(part, f"mutations[{index}].orchestration.events")
            part.pop("events", None)
    message = message_class(name)()
    _parse_json(json.dumps(body).encode(), message)
    return message, found


def _parsed(body: bytes) -> dict[str, Any]:
    check_json(body)
    try:
        value = json.loads(body)
    except ValueError:  # a number of more digits than anybody may send
        raise MalformedBody("The body must be one valid JSON document in UTF-8") from None
    if not isinstance(value, dict):
        raise UnprocessableBody("The body must be an object")
    return value


def _events(holder: dict[str, Any], place: str) -> list[Any]:
    events = holder.get("events")
    if events is None:
        return []
    if not isinstance(events, list):
        raise UnprocessableBody(f"{place} must be a list")
    return events


def reply_message(request: Request, message: Any) -> Response:
    """200 with a message, in the form the request came in."""
    if _plain_media(request) != JSON:
        return Response(message.SerializeToString(), media_type=PROTOBUF)
    from google.protobuf import json_format  # noqa: PLC0415  # protobuf loads with the first message

    text = json_format.MessageToJson(message, always_print_fields_with_no_presence=True, indent=None)
    return Response(text, media_type=JSON)


def message_type(name: str) -> type:
    """A type that stands for a message in the OpenAPI document."""
    return type(name, (), {"json_schema": _schema(name, _DEPTH_MAX), "__doc__": f"The message {PACKAGE}.{name}."})


def _media_of(request: Request, name: str) -> str:
    media = _plain_media(request)
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding is not supported; send the body as it is")
    if media == JSON:
        return media
    expected = f"{PACKAGE}.{name}"
    if media != PROTOBUF or _parameter(request, "proto") != expected:
        raise UnsupportedMediaType(f"Content-Type must be {PROTOBUF}; proto={expected} (or {JSON})")
    return media


def _plain_media(request: Request) -> str:
    media: str = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media


def _parameter(request: Request, wanted: str) -> str | None:
    for part in request.headers.get("content-type", "").split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == wanted:
            text: str = value.strip().strip('"')
            return text
    return None


def _parse_json(body: bytes, message: Any) -> None:
    check_json(body)
    from google.protobuf import json_format  # noqa: PLC0415  # protobuf loads with the first message

    try:
        json_format.Parse(body.decode(), message, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeError, ValueError, TypeError, AttributeError) as error:
        raise UnprocessableBody(f"The body does not fit the message: {str(error)[:300]}") from None


def _schema(name: str, depth: int) -> dict[str, Any]:
    if name == ENVELOPE:
        return ENVELOPE_SCHEMA
    if not depth:
        return {"type": "object", "description": f"Nested further: {PACKAGE}.{name}."}
    properties = {_camel(field): _field_schema(spelled, depth) for field, _, spelled in MESSAGES[name]}
    return {"type": "object", "title": name, "properties": properties}


def _field_schema(spelled: str, depth: int) -> dict[str, Any]:
    kind = spelled.rstrip("?*").partition("|")[0]
    if kind in _SCALARS:
        schema = _SCALARS[kind]
    elif kind in ENUMS:
        schema = {"type": "string", "enum": list(ENUMS[kind])}
    else:
        schema = _schema(kind, depth - 1)
    return {"type": "array", "items": schema} if spelled.endswith("*") else schema


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
