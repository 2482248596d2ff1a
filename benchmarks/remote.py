"""The cloud, as arithmetic: every storage operation takes 30 ms more, so latency counts operations in a row."""

import asyncio
import json
import time

from arco.clients.compactor import InProcessTransport
from arco.config.settings import Settings, load
from arco.core.log import SilentLog
from arco.roles import all_roles
from arco.roles.process import Process, make_process
from arco.storage.delayed import DelayedStore
from arco.storage.memory import MemoryStore
from benchmarks.cases import Row
from benchmarks.wire import Latencies

DELAY_MS = 30
_CREATES = 30
_CLIENTS = 256
_EACH = 8


class _App:
    """The api of a process with all roles, called without a socket."""

    def __init__(self, process: Process, settings: Settings) -> None:
        roles = all_roles.build(settings, process, {})
        self._call = InProcessTransport(roles[0].app)
        self._headers = {"content-type": "application/json", "host": "localhost"}

    async def create(self, path: str, name: str) -> None:
        body = f'{{"name":"{name}","columns":[{{"name":"id","data_type":"BIGINT"}}]}}'.encode()
        status, answer = await self._call.post(path, body, self._headers)
        if status != 201:
            raise RuntimeError(f"{status}: {answer!r}")

    async def published(self) -> int:
        """How many manifests there are."""
        _, answer = await self._call.send("GET", "/api/v1/catalog/inventory", b"", self._headers)
        return int(json.loads(answer)["catalog_manifest_id"])


def remote() -> list[Row]:
    """Creates on a store that adds 30 ms to each operation."""
    return asyncio.run(_remote())


async def _remote() -> list[Row]:
    process = make_process("memory://", log=SilentLog())
    process.store = DelayedStore(MemoryStore(), process.clock, DELAY_MS)
    settings = load("all", {})
    assert isinstance(settings, Settings)
    app = _App(process, settings)
    await app.create("/api/v1/catalogs", "bench")
    await app.create("/api/v1/catalogs/bench/schemas", "s")
    path = "/api/v1/catalogs/bench/schemas/s/tables"
    samples = []
    for index in range(_CREATES):
        began = time.perf_counter()
        await app.create(path, f"t{index}")
        samples.append((time.perf_counter() - began) * 1000)
    published = await app.published()
    began = time.perf_counter()

    async def client(number: int) -> None:
        for index in range(_EACH):
            await app.create(path, f"c{number}_{index}")

    await asyncio.gather(*(client(number) for number in range(_CLIENTS)))
    seconds = time.perf_counter() - began
    rate = _CLIENTS * _EACH / seconds
    published = await app.published() - published
    return [
        ("30 ms store: create, p50", Latencies(samples).p50, "ms", f"<= {4 * DELAY_MS + 15}"),
        ("30 ms store: creates, 256 clients", rate, "req/s", ">= 1000"),
        ("30 ms store: publishes meanwhile", published / seconds, "1/s", ">= 15"),
    ]
