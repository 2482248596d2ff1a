"""Small real parts for tests of the door: a clock to turn, ids that count, a log that keeps what it is told."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from arco.core.entropy import MintedIds
from arco.core.log import LineLog
from arco.core.metrics import Registry
from arco.edge.app import AppParts, Mounted, build_app
from arco.edge.auth import Authenticator, DevelopmentScope
from arco.edge.codec import reply
from arco.edge.endpoint import Endpoint
from arco.edge.lifecycle import Lifecycle


class TurnedClock:
    """Stands still until it is turned."""

    def __init__(self, now_ms: int = 1_767_225_600_000) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def steady_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.ms += duration_ms


class Zeros:
    """Entropy that has none."""

    def bytes(self, count: int) -> bytes:
        return bytes(count)


class KeptLines:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == name]


async def hello(request: Request) -> Response:
    """Say hello to `name`."""
    return reply({"hello": request.path_params["name"]})


def an_endpoint(path: str = "/hello/{name}", handler: Any = hello, method: str = "GET", **rest: Any) -> Endpoint:
    facts: dict[str, Any] = {"summary": "Say hello", "tag": "tests", "responses": {200: dict[str, str]}} | rest
    return Endpoint(method=method, path=path, handler=handler, **facts)


class Served:
    """An app with everything that can be looked at from outside."""

    def __init__(
        self,
        endpoints: Sequence[Mounted],
        authenticator: Authenticator | None = None,
        services: Any = None,
        **parts: Any,
    ) -> None:
        self.clock = TurnedClock()
        self.kept = KeptLines()
        self.registry = Registry()
        self.lifecycle = Lifecycle()
        self.app: Starlette = build_app(
            endpoints,
            services,
            AppParts(
                role="api",
                clock=self.clock,
                ids=MintedIds(self.clock, Zeros()),
                log=LineLog(self.kept, self.clock),
                registry=self.registry,
                lifecycle=self.lifecycle,
                authenticator=authenticator or DevelopmentScope(),
                **parts,
            ),
        )

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://testserver")

    async def ask(self, method: str, path: str, **rest: Any) -> httpx.Response:
        async with self.client() as client:
            return await client.request(method, path, **rest)


def served(*endpoints: Endpoint, prefix: str = "/api/v1", **rest: Any) -> Served:
    return Served([(prefix, endpoint) for endpoint in endpoints], **rest)
