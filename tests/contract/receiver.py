"""A real HTTP server that takes deliveries, answers as it is told, and remembers everything."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

PATIENCE_S = 20.0


class Delivery(NamedTuple):
    """One call, in the order of arrival."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at_s: float


class Receiver:
    """`async with` it; `url` is its base."""

    def __init__(self, port: int = 0) -> None:
        self.deliveries: list[Delivery] = []
        self.answers: deque[web.Response | Callable[[], Any]] = deque()
        self.inside = 0
        self.most_inside = 0
        self._arrived = asyncio.Condition()
        self._port = port
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> "Receiver":
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def answer_next(self, *answers: int | web.Response | Callable[[], Any]) -> None:
        """Answer the next calls so: a status, a response, or what a coroutine function returns."""
        self.answers.extend(web.Response(status=one) if isinstance(one, int) else one for one in answers)

    async def arrived(self, count: int) -> list[Delivery]:
        """All deliveries, once there are so many."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: len(self.deliveries) >= count)
        return self.deliveries

    async def accept(self, path: str, headers: Mapping[str, str], body: bytes) -> web.Response:
        self.deliveries.append(Delivery(path, dict(headers), body, asyncio.get_running_loop().time()))
        async with self._arrived:
            self._arrived.notify_all()
        answer = self.answers.popleft() if self.answers else web.Response()
        return await answer() if callable(answer) else answer

    async def _take(self, request: web.Request) -> web.Response:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            return await self.accept(request.path, headers, await request.read())
        finally:
            self.inside -= 1
