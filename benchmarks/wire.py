"""A small HTTP/1.1 client for measuring: keep-alive sockets, no parsing beyond status and length, in this process."""

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


class Connection:
    """One keep-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of one request."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n"
        head += "content-type: application/json\r\naccept: application/json\r\n"
        # What an api that is not behind a login asks for.
        head += "x-tenant-id: local\r\nx-workspace-id: default\r\n\r\n"
        writer.write(head.encode() + content)
        header = await reader.readuntil(b"\r\n\r\n")
        lines = header.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        return int(lines[0].split()[1]), await reader.readexactly(length)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()


class Latencies:
    """Milliseconds of single requests."""

    def __init__(self, samples_ms: Sequence[float]) -> None:
        self.samples = sorted(samples_ms)

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return self.samples[min(len(self.samples) - 1, int(len(self.samples) * 0.95))]


Request = Callable[[int], tuple[str, str, Any]]
"""The method, path and body of the n-th request."""


async def alone(port: int, request: Request, count: int, warm_up: int = 20, expect: int = 200) -> Latencies:
    """Latencies of `count` requests one after another on one connection."""
    connection = Connection("127.0.0.1", port)
    samples = []
    for index in range(warm_up + count):
        method, path, body = request(index)
        began = time.perf_counter()
        status, answer = await connection.call(method, path, body)
        if index >= warm_up:
            samples.append((time.perf_counter() - began) * 1000)
        if status != expect:
            raise RuntimeError(f"{method} {path} answered {status}: {answer[:300]!r}")
    connection.close()
    return Latencies(samples)


async def together(
    port: int, request: Request, *, clients: int, each: int, expect: int = 200
) -> tuple[float, Latencies]:
    """Requests per second of several connections, and the latencies they saw."""
    samples: list[float] = []

    async def client(number: int) -> None:
        connection = Connection("127.0.0.1", port)
        for index in range(each):
            method, path, body = request(number * each + index)
            began = time.perf_counter()
            status, answer = await connection.call(method, path, body)
            samples.append((time.perf_counter() - began) * 1000)
            if status != expect:
                raise RuntimeError(f"{method} {path} answered {status}: {answer[:300]!r}")
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return clients * each / (time.perf_counter() - began), Latencies(samples)
