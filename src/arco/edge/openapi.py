"""The OpenAPI 3.1 document of an app, made from its endpoints and their types; nothing is written down twice.

Every struct becomes one schema with its docstring; every parameter, header, body, answer and error of every endpoint is
in it. A test holds the document against the router.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.edge.codec import reply
from arco.edge.endpoint import Endpoint
from arco.edge.problems import CODES, ProblemView

Mounted = tuple[str, Endpoint]
_REF: Final = "#/components/schemas/{name}"
_PARAM: Final = re.compile(r"\{(\w+)\}")
_PROBLEM: Final = "ProblemView"
_ALWAYS: Final = (500, 503)
_REASONS: Final = {
    200: "Done",
    201: "Created",
    202: "Accepted",
    204: "Done; no body",
    304: "Not modified",
    400: "The request breaks a documented rule",
    401: "Nobody we know",
    403: "Not allowed",
    404: "Not found",
    405: "The path does not answer this method",
    406: "None of the accepted media types is written here",
    408: "The body did not arrive in time",
    409: "At odds with the current state",
    410: "No longer kept: its retention has ended",
    412: "The `If-Match` version is no longer current",
    413: "The body is too large",
    415: "The body is not of a type this endpoint reads",
    422: "A field is missing or of the wrong type",
    429: "Too many requests",
    500: "Our mistake",
    501: "Not offered by this server",
    503: "Not now: overloaded, shutting down, or the outcome is unknown",
}
_HEADER_DOCS: Final = {
    "Idempotency-Key": "A UUIDv7. Sending the same key and body again returns the first answer and changes nothing.",
    "If-Match": "The `ETag` the change is based on; 412 when somebody changed the object since.",
    "X-Arco-Read-Token": "The `read_token` of a receipt: answers from exactly the state that it names.",
    "Last-Event-ID": "The id of the last event you have: the stream goes on behind it.",
    "If-None-Match": "An `ETag` you already have; 304 when it is still current.",
}


class ApiInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the document says about the whole."""

    title: str
    version: str
    description: str = ""
    anonymous: bool = False
    """True when this server asks for no credentials (development scope)."""


def openapi_document(endpoints: Sequence[Mounted], info: ApiInfo) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these endpoints."""
    schemas = _Schemas(endpoints)
    names = _operation_ids(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for (prefix, endpoint), name in zip(endpoints, names, strict=True):
        operation = _operation(endpoint, prefix + endpoint.path, schemas)
        paths.setdefault(prefix + endpoint.path, {})[endpoint.method.lower()] = {"operationId": name, **operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": info.title, "version": info.version, "description": info.description},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for _, endpoint in endpoints)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"bearer": []}, {}] if info.anonymous else [{"bearer": []}],
    }


def openapi_endpoint(endpoints: Sequence[Mounted], info: ApiInfo) -> Endpoint:
    """`GET /openapi.json`; the document is made when it is first asked for."""
    made: list[bytes] = []

    async def openapi(_request: Request) -> Response:
        if not made:
            made.append(msgspec.json.encode(openapi_document(endpoints, info)))
        return reply(made[0])

    return Endpoint(
        method="GET",
        path="/openapi.json",
        handler=openapi,
        summary="This document",
        tag="operations",
        responses={200: dict[str, Any]},
        public=True,
    )


class _Schemas:
    """JSON schemas of all types the endpoints mention."""

    def __init__(self, endpoints: Sequence[Mounted]) -> None:
        types = list(dict.fromkeys(_types(endpoints)))
        found, components = msgspec.json.schema_components(types, schema_hook=_schema_of, ref_template=_REF)
        self._of = dict(zip(types, found, strict=True))
        self.components: dict[str, Any] = {name: components[name] for name in sorted(components)}

    def of(self, type_: Any) -> dict[str, Any]:
        """The schema of a type, by reference where it has a name."""
        schema: dict[str, Any] = self._of[type_]
        return schema

    def properties(self, type_: type[msgspec.Struct]) -> dict[str, Any]:
        """The schemas of a struct's fields by name."""
        name = self._of[type_]["$ref"].rpartition("/")[2]
        properties: dict[str, Any] = self.components[name].get("properties", {})
        return properties


def _schema_of(type_: type) -> dict[str, Any]:
    """The schema of a type msgspec does not know: its own `json_schema`, and `object` is any JSON."""
    own: dict[str, Any] | None = getattr(type_, "json_schema", None)
    if own is not None:
        return own
    if type_ is object:
        return {"description": "Any JSON value."}  # msgspec takes an empty schema for none
    raise NotImplementedError(type_)


def _types(endpoints: Sequence[Mounted]) -> Iterator[Any]:
    yield ProblemView
    for _, endpoint in endpoints:
        yield from (each for each in (endpoint.request, endpoint.query) if each is not None)
        yield from (each for each in endpoint.responses.values() if each is not None)


def _operation(endpoint: Endpoint, path: str, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {"tags": [endpoint.tag], "summary": endpoint.summary}
    description = endpoint.description or inspect.getdoc(endpoint.handler) or ""
    if description:
        operation["description"] = description
    parameters = [
        *_path_parameters(endpoint, path),
        *_query_parameters(endpoint, schemas),
        *_header_parameters(endpoint),
    ]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.request is not None:
        content = {
            media: {"schema": _body_schema(media, endpoint.request, schemas)} for media in endpoint.request_media
        }
        operation["requestBody"] = {"required": True, "content": content}
    operation["responses"] = {**_answers(endpoint, schemas), **_problems(endpoint)}
    if endpoint.public:
        operation["security"] = []
    return operation


def _path_parameters(endpoint: Endpoint, path: str) -> Iterator[dict[str, Any]]:
    for name in _PARAM.findall(path):
        doc = endpoint.parameters.get(name, "")
        parameter = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        yield parameter | ({"description": doc} if doc else {})


def _query_parameters(endpoint: Endpoint, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    if endpoint.query is None:
        return
    for name, schema in schemas.properties(endpoint.query).items():
        shown = dict(schema)
        doc = shown.pop("description", "")
        parameter = {"name": name, "in": "query", "required": False, "schema": _without_null(shown)}
        yield parameter | ({"description": doc} if doc else {})


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is absent rather than null."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        schema = {key: value for key, value in schema.items() if key != "anyOf"} | options[0]
    if schema.get("default", ...) is None:
        schema = {key: value for key, value in schema.items() if key != "default"}
    return schema


def _header_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in endpoint.headers:
        doc = _HEADER_DOCS.get(name, "")
        parameter = {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
        yield parameter | ({"description": doc} if doc else {})


def _answers(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, view in endpoint.responses.items():
        answer: dict[str, Any] = {"description": _REASONS.get(status, "Answer"), "headers": _REQUEST_ID_HEADER}
        if view is not None:
            answer["content"] = {media: {"schema": _body_schema(media, view, schemas)} for media in endpoint.media}
        answers[str(status)] = answer
    return answers


def _body_schema(media: str, view: Any, schemas: _Schemas) -> dict[str, Any]:
    if media.endswith("json"):
        return schemas.of(view)
    return {"type": "string"} if media.startswith("text/") else {"type": "string", "format": "binary"}


_REQUEST_ID_HEADER: Final = {
    "x-request-id": {
        "schema": {"type": "string"},
        "description": "The id of this request; quote it in reports.",
    }
}


def _problems(endpoint: Endpoint) -> dict[str, Any]:
    statuses = {*endpoint.errors, *_implied(endpoint)} - set(endpoint.responses)
    return {str(status): _problem_answer(status) for status in sorted(statuses)}


def _problem_answer(status: int) -> dict[str, Any]:
    codes = CODES.get(status, ())
    text = f"{_REASONS.get(status, 'Problem')}. `code`: {', '.join(f'`{code}`' for code in codes)}"
    schema = {"$ref": _REF.format(name=_PROBLEM)}
    return {"description": text, "content": {"application/json": {"schema": schema}}, "headers": _REQUEST_ID_HEADER}


def _implied(endpoint: Endpoint) -> Iterator[int]:
    """Errors an endpoint has by being what it is."""
    if endpoint.public:
        yield 500
        return
    yield from _ALWAYS
    # At the door: headers that contradict each other, nobody we know, not from here, too often.
    yield from (400, 401, 403, 429)
    if endpoint.request is not None:
        yield from (408, 413, 415, 422)
    if "If-Match" in endpoint.headers:
        yield 412
    if "X-Arco-Read-Token" in endpoint.headers:
        yield from (404, 410)


def _operation_ids(endpoints: Sequence[Mounted]) -> list[str]:
    """A stable unique name for every operation: module and function of its handler, longer where two share it."""
    handlers = [endpoint.handler for _, endpoint in endpoints]
    plain = [f"{handler.__module__.rpartition('.')[2]}_{handler.__name__}" for handler in handlers]
    return [
        name if plain.count(name) == 1 else f"{name}_{endpoint.method.lower()}{_slug(prefix + endpoint.path)}"
        for (prefix, endpoint), name in zip(endpoints, plain, strict=True)
    ]


def _slug(path: str) -> str:
    return re.sub(r"\W+", "_", path).rstrip("_")
