import asyncio
import socket

import pytest
from tests.unit.edge.kit import an_endpoint, served

from arco.edge.codec import reply
from arco.edge.server import PortTaken, allow_open_files, bind, run, serve

pytestmark = pytest.mark.process


async def _request(listener, raw):
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(raw)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    return head, reader, writer


def _get(path, *headers):
    lines = [f"GET {path} HTTP/1.1", "host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


class Running:
    """An app on a real socket, for the length of a block."""

    def __init__(self, app, grace_s=5.0):
        self.app = app
        self.grace_s = grace_s
        self.shutdown = asyncio.Event()

    async def __aenter__(self):
        self.listener = bind("127.0.0.1", 0)
        serving = serve(self.app.app, self.listener, shutdown=self.shutdown, grace_s=self.grace_s)
        self.task = asyncio.create_task(serving)
        return self

    async def __aexit__(self, *_):
        self.shutdown.set()
        await self.task


async def test_port_zero_is_a_real_port_before_serving():
    listener = bind("127.0.0.1", 0)
    assert listener.port > 0
    assert listener.url == f"http://127.0.0.1:{listener.port}"
    with pytest.raises(PortTaken, match=f"127.0.0.1:{listener.port}"):
        bind("127.0.0.1", listener.port)
    listener.socket.close()


def test_the_address_to_dial_is_not_always_the_one_to_bind():
    listener = bind("0.0.0.0", 0)
    assert listener.url == f"http://127.0.0.1:{listener.port}"
    listener.socket.close()


async def test_an_answer_does_not_name_its_server():
    async with Running(served(an_endpoint())) as running:
        head, _, writer = await _request(running.listener, _get("/api/v1/hello/you"))
        writer.close()
    assert head.startswith("http/1.1 200")
    assert "server:" not in head
    assert "x-request-id:" in head
    assert "date:" in head


async def test_a_connection_is_kept_open_for_the_next_request():
    async with Running(served(an_endpoint())) as running:
        _, reader, writer = await _request(running.listener, _get("/api/v1/hello/a") * 3)
        body = await reader.readuntil(b'"a"}')
        for _ in range(2):
            body += await reader.readuntil(b'"a"}')
        writer.close()
    assert body.count(b'{"hello":"a"}') == 3


async def test_a_request_in_flight_gets_its_answer_when_the_server_stops():
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request):
        entered.set()
        await go_on.wait()
        return reply({"done": True})

    async with Running(served(an_endpoint("/slow", slow))) as running:
        asked = asyncio.create_task(_request(running.listener, _get("/api/v1/slow")))
        await entered.wait()
        running.shutdown.set()
        await asyncio.sleep(0)
        go_on.set()
        head, _, writer = await asked
        writer.close()
    assert head.startswith("http/1.1 200")


async def test_an_idle_connection_does_not_hold_up_the_stop():
    async with Running(served(an_endpoint())) as running:
        _, reader, writer = await _request(running.listener, _get("/api/v1/hello/you"))
        await reader.readuntil(b"}")
        running.shutdown.set()
        async with asyncio.timeout(4):
            await running.task
            assert await reader.read() == b""
        writer.close()


async def test_several_apps_share_one_loop_and_the_port_is_free_afterwards():
    shutdown = asyncio.Event()
    listeners = [bind("127.0.0.1", 0) for _ in range(3)]
    apps = [served(an_endpoint(prefix_path)) for prefix_path in ("/a/{name}", "/b/{name}", "/c/{name}")]
    tasks = [
        asyncio.create_task(serve(app.app, listener, shutdown=shutdown))
        for app, listener in zip(apps, listeners, strict=True)
    ]
    for listener, letter in zip(listeners, "abc", strict=True):
        head, _, writer = await _request(listener, _get(f"/api/v1/{letter}/x"))
        writer.close()
        assert head.startswith("http/1.1 200")
    shutdown.set()
    await asyncio.gather(*tasks)
    for listener in listeners:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", listener.port))


async def test_a_header_that_is_too_large_is_refused_by_the_server():
    async with Running(served(an_endpoint())) as running:
        head, _, writer = await _request(running.listener, _get("/up", "x-filler: " + "a" * 100_000))
        writer.close()
    assert head.startswith("http/1.1 4")


async def test_an_unknown_engine_is_refused():
    listener = bind("127.0.0.1", 0)
    with pytest.raises(ValueError, match="hypercorn"):
        await serve(served().app, listener, shutdown=asyncio.Event(), engine="other")
    listener.socket.close()


def test_the_limit_of_open_files_is_never_lowered():
    before = allow_open_files(0)
    assert allow_open_files(16) == before
    assert allow_open_files(before + 1) >= before


async def test_a_request_that_never_ends_is_ended_with_the_server():
    entered = asyncio.Event()

    async def endless(_request):
        entered.set()
        await asyncio.Event().wait()

    async with Running(served(an_endpoint("/slow", endless)), grace_s=0.05) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.listener.port)
        writer.write(_get("/api/v1/slow"))
        await entered.wait()
        running.shutdown.set()
        async with asyncio.timeout(5):
            await running.task
        writer.close()


def test_main_runs_on_the_fast_loop_where_there_is_one():
    async def main():
        return type(asyncio.get_running_loop()).__module__

    assert run(main).startswith(("uvloop", "asyncio"))
