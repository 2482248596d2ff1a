"""Streams over real sockets: chunks as they come, callers who do not read, callers who leave."""

import asyncio
import socket
from typing import Any

import pytest
from tests.unit.edge.kit import Served, an_endpoint
from tests.unit.edge.test_server import Running, _get

from arco.core.clock import SystemClock
from arco.core.metrics import Registry
from arco.edge.lifecycle import Lifecycle
from arco.edge.streams import MESSAGE_BYTES_MAX, EventStream, StreamLimits, Streams

pytestmark = pytest.mark.process

LINE = b"event: x\nid: 1\ndata: {}\n\n"


class Source:
    """An endpoint that streams; what it was asked for, and whether anybody still asks."""

    def __init__(self, *, flood: bool = False) -> None:
        self.lifecycle = Lifecycle()
        self.streams = Streams(StreamLimits(), clock=SystemClock(), lifecycle=self.lifecycle, registry=Registry())
        self.more: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.given = 0
        self.closed = asyncio.Event()
        self._flood = flood
        self.app = Served([("/api/v1", an_endpoint("/stream", self.answer))])

    async def answer(self, _request: Any) -> EventStream:
        return EventStream(self.streams, self._events)

    async def _events(self) -> Any:
        try:
            while self._flood or (item := await self.more.get()) is not None:
                self.given += 1
                yield b":" + b"x" * (MESSAGE_BYTES_MAX - 3) + b"\n\n" if self._flood else item
        finally:
            self.closed.set()


async def test_events_leave_at_once_and_the_connection_serves_the_next_request() -> None:
    source = Source()
    async with Running(source.app) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.listener.port)
        writer.write(_get("/api/v1/stream"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert "transfer-encoding: chunked" in head
        assert "content-length" not in head
        assert await reader.readuntil(b"retry: 1000\n\n\r\n")
        for _ in range(3):
            source.more.put_nowait(LINE)
            async with asyncio.timeout(2):
                assert LINE.strip() in await reader.readuntil(b"{}\n\n\r\n")
        source.more.put_nowait(None)
        assert await reader.readuntil(b"0\r\n\r\n")
        writer.write(_get("/api/v1/stream"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_caller_who_leaves_is_noticed_at_once() -> None:
    source = Source()
    async with Running(source.app) as running:
        for end in ("close", "reset"):
            source.closed.clear()
            reader, writer = await asyncio.open_connection("127.0.0.1", running.listener.port)
            writer.write(_get("/api/v1/stream"))
            await reader.readuntil(b"retry: 1000")
            assert source.streams.count == 1
            if end == "reset":
                writer.transport.abort()
            writer.close()
            async with asyncio.timeout(2):
                await source.closed.wait()
                while source.streams.count:
                    await SystemClock().sleep_ms(1)


async def test_a33_a_caller_who_does_not_read_holds_a_bounded_part_of_a_flood() -> None:
    source = Source(flood=True)
    async with Running(source.app) as running:
        stalled = _stalled(running.listener.port)
        given = -1
        while given != source.given or not given:
            given = source.given
            await SystemClock().sleep_ms(300)
        assert source.streams.count == 1
        assert 0 < source.given * MESSAGE_BYTES_MAX < 8 * 1024 * 1024  # the kernel's buffers, and little of ours
        stalled.close()
        async with asyncio.timeout(2):
            await source.closed.wait()


async def test_a_caller_who_does_not_read_does_not_hold_up_the_stop() -> None:
    source = Source(flood=True)
    async with Running(source.app, grace_s=30) as running:
        stalled = _stalled(running.listener.port)
        while source.given < 3:
            await SystemClock().sleep_ms(20)
        await SystemClock().sleep_ms(200)
        source.lifecycle.drain()
        running.shutdown.set()
        async with asyncio.timeout(5):
            await running.task
        stalled.close()


def _stalled(port: int) -> socket.socket:
    """A caller who asks for the stream and never reads."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.connect(("127.0.0.1", port))
    found.sendall(_get("/api/v1/stream"))
    return found
