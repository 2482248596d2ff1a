"""What the S3 adapter makes of connections that break or stand still in the middle of a request."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from arco.core.paths import Key
from arco.storage.port import Absent, Matches, StorageUnavailable, Unsure, WriteRefused
from arco.storage.retries import Patience
from arco.storage.s3 import S3Store

KEY = Key("object")
HASTY = Patience(
    operation_ms=300,
    attempt_ms=200,
    transfer_ms=200,
    first_pause_ms=2,
    pause_ms_max=4,
    slowest_bytes_per_ms=1 << 30,
)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _listening(talk: Talk) -> tuple[asyncio.Server, S3Store]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, S3Store("lake", endpoint=f"http://127.0.0.1:{port}", patience=HASTY)


async def _reset_after_the_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    # An end without farewell: the other side gets a reset.
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_a_reset_after_the_request_left_is_unsure(aws_credentials: None):
    """The store has the request: what it made of it before the connection was reset nobody knows."""
    server, store = await _listening(_reset_after_the_request)
    async with server:
        assert isinstance(await store.put(KEY, b"x", when=Absent()), Unsure)
        assert isinstance(await store.delete(KEY, when=Matches("5")), Unsure)
        with pytest.raises(StorageUnavailable):
            await store.get(KEY)
        await store.close()


async def test_a_store_that_stops_reading_does_not_hold_a_write_for_ever(aws_credentials: None):
    callers: list[asyncio.StreamWriter] = []

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        callers.append(writer)

    server, store = await _listening(deaf)
    async with server, asyncio.timeout(30):
        assert isinstance(await store.put(KEY, bytes(16 << 20), when=Absent()), Unsure)
        await store.close()
    for caller in callers:
        caller.transport.abort()


async def test_a_client_that_cannot_be_made_has_sent_nothing(
    aws_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile nobody has: the vendor's client fails before there is a request."""
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this-profile")
    store = S3Store("lake", endpoint="http://127.0.0.1:9", patience=HASTY)
    with pytest.raises(StorageUnavailable):
        await store.get(KEY)
    with pytest.raises(WriteRefused):
        await store.put(KEY, b"x", when=Absent())
    with pytest.raises(WriteRefused):
        await store.delete(KEY, when=Matches("5"))
    await store.close()
