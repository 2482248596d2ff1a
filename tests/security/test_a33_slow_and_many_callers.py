"""A-33: who is slow, who sends endless heads, and who only holds connections is turned away; others notice nothing."""

import asyncio
import socket

import pytest
from starlette.responses import Response
from tests.process.servers import Server
from tests.security.wire import get, post, send
from tests.unit.edge.kit import an_endpoint, served

from arco.core.metrics import Registry
from arco.edge.codec import reply
from arco.edge.hub import WireLimits
from arco.edge.server import Wire, bind, serve

pytestmark = pytest.mark.process


def test_a33_more_than_a_hundred_headers_are_431(shipped: Server):
    assert send(shipped.ports["api"], get(b"/health", *[b"a: b"] * 2_000)).statuses == [431]


def test_a33_more_than_32_kib_of_headers_are_431(shipped: Server):
    assert send(shipped.ports["api"], get(b"/health", b"a: " + b"b" * 100_000)).statuses == [431]


def test_a33_a_head_that_does_not_come_is_408(shipped: Server):
    answers = send(shipped.ports["api"], b"GET /health HTTP/1.1\r\nHost: loc", wait_s=9)
    if answers.closed and not answers.said:  # this machine was too busy to send the first byte within the second
        answers = send(shipped.ports["api"], b"GET /health HTTP/1.1\r\nHost: loc", wait_s=9)
    assert answers.statuses == [408] and answers.closed


def test_a33_a_body_that_does_not_come_is_408(shipped: Server):
    answers = send(shipped.ports["api"], post(b"{", b"Content-Length: 10"), wait_s=20)
    assert answers.statuses == [408] and answers.closed


def test_a33_a_byte_now_and_then_moves_no_deadline(shipped: Server):
    said = b""
    with socket.create_connection(("127.0.0.1", shipped.ports["api"]), timeout=0.1) as connection:
        for byte in (get(b"/health") * 9)[:60]:
            try:
                connection.sendall(bytes([byte]))
                said = connection.recv(1_000)
            except TimeoutError:
                continue
            except OSError:
                break
            break
    assert said.startswith(b"HTTP/1.1 408")


def test_a33_a_thousand_requests_at_once_are_answered_in_order(shipped: Server):
    whole = get(b"/health", close=False) * 999 + get(b"/version")
    answers = send(shipped.ports["api"], whole, wait_s=20)
    assert answers.statuses == [200] * 1_000
    assert answers.body["service"] == "arco-api"


class Running:
    """An app on a real socket in this process, with limits of its own."""

    def __init__(self, *endpoints, **limits):
        self.registry = Registry()
        self.wire = Wire(limits=WireLimits(**limits), registry=self.registry)
        self.shutdown = asyncio.Event()
        self.app = served(*(endpoints or (an_endpoint(),))).app

    async def __aenter__(self):
        self.listener = bind("127.0.0.1", 0)
        self.task = asyncio.create_task(
            serve(self.app, self.listener, shutdown=self.shutdown, grace_s=5, wire=self.wire)
        )
        return self

    async def __aexit__(self, *_):
        self.shutdown.set()
        await self.task

    async def emptied(self):
        """Wait until no connection is left."""
        async with asyncio.timeout(5):
            while "arco_http_connections 0" not in self.registry.render():  # noqa: ASYNC110  # counted, not told
                await asyncio.sleep(0.01)

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.listener.port)


ASK = b"GET /api/v1/hello/you HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def asked(reader, writer) -> bytes:
    """One request on an open connection; its answer, or nothing when the connection is closed."""
    writer.write(ASK)
    try:
        return await reader.readuntil(b'"you"}')
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def test_a33_the_connection_that_rested_longest_leaves_for_a_new_one():
    async with Running(connections_max=3) as running:
        callers = [await running.connect() for _ in range(3)]
        for reader, writer in callers:
            assert await asked(reader, writer)
        assert await asked(*callers[0])  # so the second has rested longest
        newcomer = await running.connect()
        assert await asked(*newcomer)
        assert await callers[1][0].read() == b""
        assert await asked(*callers[0]) and await asked(*callers[2])
        for _, writer in [*callers, newcomer]:
            writer.close()
    assert 'arco_http_closed_total{reason="crowded"} 1' in running.registry.render()
    assert "arco_http_connections 0" in running.registry.render()


async def test_a33_who_leaves_for_a_new_one_leaves_at_once():
    """Connections that only linger would hold the files that the process has for its own work."""
    async with Running(connections_max=10) as running:
        callers = []
        for _ in range(60):
            caller = await running.connect()
            caller[1].write(b"GET /api/v1/hel")
            await caller[1].drain()
            await asyncio.sleep(0)
            callers.append(caller)
        async with asyncio.timeout(5):
            while 'reason="crowded"} 50' not in running.registry.render():  # noqa: ASYNC110  # counted, not told
                await asyncio.sleep(0.01)
        for _ in range(20):  # turns of the loop, far fewer than lingering takes
            await asyncio.sleep(0)
        assert "arco_http_connections 10" in running.registry.render()
        for _, writer in callers:
            writer.close()


async def test_a33_when_everybody_waits_for_an_answer_a_newcomer_is_told_to_come_back():
    entered, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow(request):
        entered.release()
        await go_on.wait()
        return reply({"hello": request.path_params["name"]})

    async with Running(an_endpoint(handler=slow), connections_max=2) as running:
        callers = [await running.connect() for _ in range(2)]
        answers = [asyncio.create_task(asked(*caller)) for caller in callers]
        for _ in callers:
            await entered.acquire()
        reader, writer = await running.connect()
        told = await reader.read()
        assert told.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in told
        writer.close()
        go_on.set()
        assert all(await asyncio.gather(*answers))
        for _, each in callers:
            each.close()


async def test_a33_heads_that_never_end_do_not_keep_others_out():
    async with Running(connections_max=10) as running:
        held = [await running.connect() for _ in range(200)]
        for _, writer in held:
            writer.write(b"GET / HTTP/1.1\r\nX: ")
        caller = await running.connect()
        assert await asked(*caller)
        for _, writer in [*held, caller]:
            writer.close()


async def test_a33_a_connection_at_rest_is_closed_in_time():
    async with Running(keep_alive_s=0.05) as running:
        reader, writer = await running.connect()
        assert await asked(reader, writer)
        assert await reader.read() == b""
        writer.close()
    assert 'arco_http_closed_total{reason="idle_timeout"} 1' in running.registry.render()


async def test_a33_a_caller_who_does_not_read_is_not_written_to_for_ever():
    async def large(_request):
        return Response(b"x" * 50_000_000)

    async with Running(an_endpoint(handler=large), write_s=0.1) as running:
        reader, writer = await running.connect()
        writer.write(ASK)
        await reader.readexactly(15)
        await running.emptied()
        writer.close()


async def test_a33_an_answer_without_reading_the_body_leaves_nothing_behind():
    async def early(_request):
        return reply({"early": True})

    async with Running(an_endpoint(handler=early)) as running:
        reader, writer = await running.connect()
        writer.write(
            b"GET /api/v1/hello/a HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 3_000_000
        )
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        assert await reader.read() == b""
        writer.close()
        await running.emptied()


async def test_a33_who_sends_no_more_still_gets_every_answer():
    async with Running() as running:
        reader, writer = await running.connect()
        writer.write(ASK * 3)
        writer.write_eof()
        assert (await reader.read()).count(b'{"hello":"you"}') == 3
        writer.close()


async def test_a33_half_a_request_and_then_nothing_is_no_request():
    async def reading(request):
        return Response(await request.body())

    async with Running(an_endpoint(handler=reading, method="POST")) as running:
        for half in (
            b"POST /api/v1/hello/a HTTP/1.1\r\nHost: a",
            ASK.replace(b"GET", b"POST")[:-2] + b"Content-Length: 9\r\n\r\n{",
        ):
            reader, writer = await running.connect()
            writer.write(half)
            writer.write_eof()
            assert b"HTTP/1.1 200" not in await reader.read()
            writer.close()
        await running.emptied()
