"""Holds every answer of an api against the api's own OpenAPI document."""

import json
import re
from typing import Any

import httpx
import msgspec
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # published without types
from starlette.applications import Starlette

from arco.edge.endpoint import Endpoint

_UNREAD = frozenset({"HEAD", "OPTIONS"})


class Document:
    """The document of an app, and which of its answers were seen."""

    def __init__(self, app: Starlette, document: dict[str, Any]) -> None:
        self.whole = document
        self.endpoints: list[tuple[str, Endpoint]] = list(app.state.endpoints)
        self.seen: set[tuple[str, str, int]] = set()
        # A fixed segment wins over a parameter.
        templates = sorted(document["paths"], key=lambda path: [part.startswith("{") for part in path.split("/")])
        self._patterns = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + r"\Z"), path) for path in templates]

    @classmethod
    async def of(cls, app: Starlette) -> "Document":
        """The document the app serves."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return cls(app, (await client.get("/openapi.json")).json())

    def template(self, path: str) -> str | None:
        """The documented path that a request's path is."""
        return next((template for pattern, template in self._patterns if pattern.match(path)), None)

    def operations(self) -> set[tuple[str, str]]:
        """Every documented (method, path)."""
        return {(method.upper(), path) for path, found in self.whole["paths"].items() for method in found}

    def errors_in(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Why a value is not of a schema of this document."""
        validator = Draft202012Validator({**schema, "components": self.whole["components"]})
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    async def check(self, response: httpx.Response) -> None:
        """An httpx response hook: the answer is one that the document tells of."""
        await response.aread()
        request = response.request
        assert response.headers["x-request-id"], "every answer has a request id"
        path = request.url.raw_path.decode().partition("?")[0]
        template = self.template(path)
        known = self.whole["paths"].get(template, {}).get(request.method.lower())
        if known is None:
            if request.method not in _UNREAD and path != "/openapi.json":
                assert response.status_code in (400, 404, 405)
                self._check_problem(response)
            return
        assert template is not None
        self.seen.add((request.method, template, response.status_code))
        answers = known["responses"]
        where = f"{request.method} {template} {response.status_code}"
        assert str(response.status_code) in answers, f"{where} is not documented: {response.text[:300]}"
        self._check_body(response, answers[str(response.status_code)].get("content"), where)

    def _check_problem(self, response: httpx.Response) -> None:
        assert response.headers["content-type"] == "application/json"
        assert not self.errors_in({"$ref": "#/components/schemas/ProblemView"}, response.json())

    def _check_body(self, response: httpx.Response, content: dict[str, Any] | None, where: str) -> None:
        if content is None:
            assert response.content == b"", f"{where} has no documented body"
            return
        media = response.headers["content-type"].partition(";")[0]
        assert media in content, f"{where} answers {media}"
        if media == "application/json":
            errors = self.errors_in(content[media]["schema"], json.loads(response.content))
            assert not errors, f"{where}: {errors}\n{response.text[:500]}"


def types_of(endpoints: list[tuple[str, Endpoint]]) -> set[str]:
    """The names of every struct the endpoints mention."""
    every = [each for _, one in endpoints for each in (one.request, one.query, *one.responses.values())]
    return {each.__name__ for each in every if isinstance(each, type) and issubclass(each, msgspec.Struct)}
