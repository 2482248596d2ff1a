"""Following a stream of an app in this process: what `httpx` cannot, because it waits for whole answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.applications import Starlette

from .world import PREFIX

PATIENCE_S = 20.0


class Event(msgspec.Struct, frozen=True):
    """One server-sent event."""

    name: str
    id: str
    data: Any


class Follower:
    """One stream: its answer's head, its events as they come, the comments between them."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.events: list[Event] = []
        self.comments: list[str] = []
        self.retry_ms: int | None = None
        self.over = False
        self.reading = asyncio.Event()
        self.reading.set()
        self._gone = asyncio.Event()
        self._news = asyncio.Condition()
        self._buffer = b""
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self._buffer += message.get("body", b"")
            self.over = not message.get("more_body", False)
            if self.headers.get("content-type", "").startswith("text/event-stream"):
                self._parse()
        await self.tell()

    async def tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def leave(self) -> None:
        """Go away, as a client does that closes its connection."""
        self._gone.set()

    @property
    def body(self) -> Any:
        """The answer when it is no stream."""
        return msgspec.json.decode(self._buffer)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    @property
    def last_id(self) -> str:
        return self.events[-1].id

    async def until(self, wanted: Any) -> None:
        """Wait until `wanted(self)`."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: wanted(self))

    async def has(self, count: int) -> list[Event]:
        """The events, once there are so many."""
        await self.until(lambda _: len(self.events) >= count)
        return self.events

    async def ended(self) -> list[str]:
        """The names of its events, once it has ended."""
        await self.until(lambda _: self.over)
        return self.names

    def states(self) -> list[tuple[str, str]]:
        """What was told of the run (under the empty key) and its tasks, in order."""
        return [(event.data.get("taskKey", ""), event.data["state"]) for event in self.events if event.name != "reset"]

    def _parse(self) -> None:
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        for block in blocks:
            fields: dict[str, str] = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                if name:
                    fields[name] = value.removeprefix(" ")
                else:
                    self.comments.append(value.strip())
            if "retry" in fields:
                self.retry_ms = int(fields["retry"])
            if "event" in fields:
                data = msgspec.json.decode(fields["data"].encode())
                self.events.append(Event(fields["event"], fields["id"], data))


@asynccontextmanager
async def following(
    app: Starlette, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, **query: str
) -> AsyncIterator[Follower]:
    """A follower of `path`, below `/api/v1`; it goes away with the block."""
    follower = Follower()
    sent = {"host": "localhost", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": PREFIX + path,
        "raw_path": (PREFIX + path).encode(),
        "query_string": urlencode(query).encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    running = asyncio.ensure_future(app(scope, follower.receive, follower.send))
    running.add_done_callback(lambda _: asyncio.ensure_future(follower.tell()))
    try:
        await follower.until(lambda one: one.status or running.done())
        if running.done():
            running.result()
        yield follower
    finally:
        follower.leave()
        follower.reading.set()
        async with asyncio.timeout(PATIENCE_S):
            await running
