"""The cloud, as arithmetic: every storage operation takes 30 ms more, so latency counts operations in a row.

The server is a process of its own, as it would be; it keeps its objects in memory, so that nothing but the delay and
its own work is measured.
"""

import asyncio
import json
import statistics
import sys
import time
from typing import Any

from benchmarks.server import Server
from benchmarks.wire import Connection, alone, together

Row = tuple[str, float, str, str]

DELAY_MS = 30
_CREATES = 30
_CROWDS = (256, 512)
_EACH = 8
_ROUNDS = 5
_TABLES = "/api/v1/catalogs/bench/schemas/s/tables"


def remote() -> list[Row]:
    """Creates on a store that adds 30 ms to each operation."""
    return asyncio.run(_remote())


async def _remote() -> list[Row]:
    with Server(command=[sys.executable, "-m", "benchmarks.far", str(DELAY_MS)]) as server:
        connection = Connection("127.0.0.1", server.port)
        for path, name in (("/api/v1/catalogs", "bench"), ("/api/v1/catalogs/bench/schemas", "s")):
            await connection.call("POST", path, {"name": name})
        made = 0

        def create(_index: int) -> tuple[str, str, Any]:
            nonlocal made
            made += 1
            return "POST", _TABLES, {"name": f"t{made}", "columns": [{"name": "id", "data_type": "BIGINT"}]}

        async def published() -> int:
            _, answer = await connection.call("GET", "/api/v1/catalog/inventory")
            return int(json.loads(answer)["catalog_manifest_id"])

        single = await alone(server.port, create, _CREATES, expect=201)
        rows: list[Row] = [("30 ms store: create, p50", single.p50, "ms", f"<= {4 * DELAY_MS + 15}")]
        for clients in _CROWDS:
            rates, publishes, processor = [], [], []
            for _ in range(_ROUNDS):
                before, cpu_s, began = await published(), server.cpu_s(), time.perf_counter()
                rate, _latencies = await together(server.port, create, clients=clients, each=_EACH, expect=201)
                seconds = time.perf_counter() - began
                rates.append(rate)
                processor.append((server.cpu_s() - cpu_s) / seconds * 100)
                publishes.append((await published() - before) / seconds)
            rows += [
                *spread(f"30 ms store: creates, {clients} clients", rates, "req/s", ">= 1000"),
                *spread(f"30 ms store: publishes, {clients} clients", publishes, "1/s", ">= 15"),
                (f"30 ms store: processor, {clients} clients", statistics.median(processor), "%", ""),
            ]
    return rows


def spread(what: str, figures: list[float], unit: str, target: str) -> list[Row]:
    """The median of several rounds, with the least and the greatest."""
    return [
        (what, statistics.median(figures), unit, target),
        (f"{what}, least of {len(figures)} rounds", min(figures), unit, ""),
        (f"{what}, greatest", max(figures), unit, ""),
    ]


if __name__ == "__main__":
    for row in remote():
        print(*row)
