"""The cases: each answers rows of (what, figure, unit, target or None)."""

import asyncio
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from arco.core.clock import SystemClock
from arco.core.paths import Key
from arco.storage.local import LocalStore
from arco.storage.port import Absent
from benchmarks.loading import table_name, table_names
from benchmarks.remote import spread
from benchmarks.search import searched
from benchmarks.server import Server
from benchmarks.wire import Connection, Latencies, alone, together

Row = tuple[str, float, str, str]
"""What was measured, the figure, its unit, and the target as text (empty: a floor or for information)."""

_COLUMN = [{"name": "id", "data_type": "BIGINT", "nullable": False}, {"name": "note", "data_type": "STRING"}]
_ROUNDS = 5
_LASTING = 12_800
"""Creates in a row: enough for a merge that rewrites what waited, on a large catalog."""

_DEADLINE_S = 2
_STOPS = 20
_TIMED_OUT = 400
_API = "/api/v1/catalogs/bench/schemas"


def floors(folder: Path) -> list[Row]:
    """What one durable put costs on this disk, now."""
    store = LocalStore(folder / "floor")
    body = os.urandom(4096)

    async def puts() -> Latencies:
        samples = []
        for index in range(300):
            began = time.perf_counter()
            await store.put(Key(f"ledger/{index}"), body, when=Absent())
            samples.append((time.perf_counter() - began) * 1000)
        return Latencies(samples)

    found = asyncio.run(puts())
    shutil.rmtree(folder / "floor")
    return [("floor: one durable put of 4 KiB, p50", found.p50, "ms", "")]


class Measured:
    """All cases on one catalog size."""

    def __init__(self, storage: Path, size: int) -> None:
        self._storage = storage
        self._size = size
        self._names = table_names(size)
        self._rng = random.Random(99)
        self._made = 0

    async def run(self) -> list[Row]:
        """Every row, on a fresh server over a copy-free working folder."""
        rows: list[Row] = []
        with Server(self._storage, environ={"ARCO_QUERY_TIMEOUT_SECS": str(_DEADLINE_S)}) as server:
            rows += [("process start to ready, all roles", server.ready_s, "s", "<= 0.6")]
            rows += [("memory, idle after start", server.rss_mb, "MB", "<= 180")]
            rows += await self._first(server)
            rows += await self._reads(server)
            rows += await self._lists(server)
            if self._size >= 100_000:
                rows += await searched(server.port, self._names)
            rows += await self._writes(server)
            # SQL is measured on a quiet catalog: while segments are being merged both want the same two processors.
            await Connection("127.0.0.1", server.compactor_port).call("POST", "/compact", {})
            rows += await self._sql(server)
            rows += await self._lineage(server)
            rows += await self._memory(server)
            rows += await self._idle(server)
        return rows

    def _path(self, index: int) -> str:
        schema, name = self._names[index % len(self._names)]
        return f"{_API}/{schema}/tables/{name}"

    async def _first(self, server: Server) -> list[Row]:
        if not self._names:
            connection = Connection("127.0.0.1", server.port)
            for path, name in (("/api/v1/catalogs", "bench"), (_API, "s000")):
                await connection.call("POST", path, {"name": name})
            for number in range(1, 100):
                await connection.call("POST", _API, {"name": f"s{number:03d}"})
            return []
        connection = Connection("127.0.0.1", server.port)
        began = time.perf_counter()
        await connection.call("GET", self._path(0))
        return [("cold process: first look-up after ready", (time.perf_counter() - began) * 1000, "ms", "<= 200")]

    async def _reads(self, server: Server) -> list[Row]:
        fixed_rate, _ = await together(server.port, lambda _n: ("GET", "/health", None), clients=16, each=150)
        rows: list[Row] = [("floor: fixed JSON, 16 connections", fixed_rate, "req/s", "")]
        fixed = await alone(server.port, lambda _n: ("GET", "/health", None), 300)
        rows += [("floor: fixed JSON, p50 alone", fixed.p50, "ms", "")]
        if not self._names:
            return rows
        picks = [self._rng.randrange(self._size) for _ in range(3_000)]
        hot = [self._path(pick) for pick in picks[:200]]
        await alone(server.port, lambda n: ("GET", hot[n % 200], None), 200)
        warm = await alone(server.port, lambda n: ("GET", hot[n % 200], None), 600)
        rate, _ = await together(server.port, lambda n: ("GET", hot[n % 200], None), clients=16, each=150)
        spread = await alone(server.port, lambda n: ("GET", self._path(picks[n]), None), 600)
        return [
            *rows,
            ("look-up, warm, p50", warm.p50, "ms", "<= 0.5"),
            ("look-up, warm, p95", warm.p95, "ms", "<= 1"),
            ("look-up, warm, 16 connections / fixed JSON", rate / fixed_rate * 100, "%", ">= 70"),
            ("look-up, names over the whole range, p50", spread.p50, "ms", ""),
            ("look-up, names over the whole range, p95", spread.p95, "ms", ""),
        ]

    async def _lists(self, server: Server) -> list[Row]:
        if self._size < 100_000:
            return []

        async def thousand(schema: str) -> float:
            connection = Connection("127.0.0.1", server.port)
            began = time.perf_counter()
            path = f"{_API}/{schema}/tables?limit=500&include=columns"
            _, body = await connection.call("GET", path)
            cursor = body.rsplit(b'"next_cursor":"', 1)
            if len(cursor) == 2:
                text = cursor[1].split(b'"')[0].decode()
                await connection.call("GET", f"{path}&cursor={text}")
            connection.close()
            return (time.perf_counter() - began) * 1000

        cold = Latencies([await thousand(f"s{number:03d}") for number in range(20, 40)])
        warm = Latencies([await thousand("s007") for _ in range(40)])
        rate = await self._streamed(server)
        return [
            ("list 1,000 tables with columns, warm, p95", warm.p95, "ms", "<= 6"),
            ("list 1,000 tables with columns, cold, p95", cold.p95, "ms", "<= 20"),
            ("list every table, page by page", rate, "rows/s", ">= 150000"),
        ]

    async def _streamed(self, server: Server) -> float:
        """Rows a second of every table of every schema, in pages of 500 on one connection."""
        connection = Connection("127.0.0.1", server.port)
        began = time.perf_counter()
        for number in range(100):
            path = f"{_API}/s{number:03d}/tables?limit=500"
            cursor = ""
            while True:
                _, body = await connection.call("GET", path + cursor)
                rest = body.rsplit(b'"next_cursor":"', 1)
                if len(rest) == 1:
                    break
                cursor = "&cursor=" + rest[1].split(b'"')[0].decode()
        connection.close()
        return self._size / (time.perf_counter() - began)

    def _create(self, _index: int) -> tuple[str, str, Any]:
        self._made += 1
        schema = f"s{self._rng.randrange(100):03d}"
        name = f"{table_name(self._rng)}_{self._made}"
        return ("POST", f"{_API}/{schema}/tables", {"name": name, "format": "parquet", "columns": _COLUMN})

    async def _writes(self, server: Server) -> list[Row]:
        before = _tree_bytes(self._storage)
        single = await alone(server.port, self._create, 200, expect=201)
        per_create = (_tree_bytes(self._storage) - before) / 220 / 1000
        rates = []
        crowd = Latencies([0.0])
        for _ in range(_ROUNDS):
            rate, crowd = await together(server.port, self._create, clients=64, each=20, expect=201)
            rates.append(rate)
        lasting, _ = await together(server.port, self._create, clients=64, each=_LASTING // 64, expect=201)
        return [
            ("create, p50", single.p50, "ms", "<= 10"),
            ("create, p95", single.p95, "ms", ""),
            ("create, stored per create while busy", per_create, "kB", "<= 250"),
            *spread("create, 64 clients", rates, "req/s", ">= 1000"),
            ("create, 64 clients, p95", crowd.p95, "ms", ""),
            (f"create, 64 clients, {_LASTING:,} in a row", lasting, "req/s", ""),
        ]

    async def _sql(self, server: Server) -> list[Row]:
        if self._size != 100_000:
            return []
        name = self._names[5][1]
        statement = {"sql": f"SELECT id, name, format FROM catalog.tables WHERE name = '{name}'"}
        request = ("POST", "/api/v1/query?format=json", statement)
        connection = Connection("127.0.0.1", server.port)
        for _ in range(5):  # the first one starts the helper and reads the table
            if (await connection.call(*request))[0] == 200:
                break
        point = await alone(server.port, lambda _n: request, 100)
        join = {
            "sql": "SELECT c.name, n.name, t.name, count(*) AS columns FROM system.catalog.tables t "
            "JOIN system.catalog.namespaces n ON n.id = t.namespace_id "
            "JOIN system.catalog.catalogs c ON c.id = n.catalog_id "
            "JOIN system.catalog.columns k ON k.table_id = t.id "
            f"JOIN system.catalog.commits h ON h.object_id = t.id WHERE t.name = '{name}' GROUP BY 1, 2, 3"
        }
        joined = await alone(server.port, lambda _n: ("POST", "/api/v1/query?format=json", join), 60)
        endless = {"sql": "SELECT count(*) FROM catalog.tables a, catalog.tables b, catalog.tables c WHERE a.id < b.id"}
        stopped = await alone(
            server.port, lambda _n: ("POST", "/api/v1/query", endless), _STOPS, warm_up=1, expect=_TIMED_OUT
        )
        return [
            ("SQL: point query on 100k tables, p95", point.p95, "ms", "<= 8"),
            ("SQL: 5-way join on 100k tables, p95", joined.p95, "ms", "<= 15"),
            ("SQL: answered after its deadline, p50", stopped.p50 - _DEADLINE_S * 1000, "ms", ""),
            ("SQL: answered after its deadline, p95", stopped.p95 - _DEADLINE_S * 1000, "ms", "<= 50"),
        ]

    async def _lineage(self, server: Server) -> list[Row]:
        if self._size != 100_000:
            return []
        connection = Connection("127.0.0.1", server.port)
        nodes = 6_000
        for _ in range(20):
            edges = [
                {"source_id": f"n{self._rng.randrange(nodes)}", "target_id": f"n{self._rng.randrange(nodes)}"}
                for _ in range(1_000)
            ]
            await connection.call("POST", "/api/v1/lineage/edges", {"edges": edges})

        def walk(index: int) -> tuple[str, str, Any]:
            return ("GET", f"/api/v1/lineage/n{index % nodes}?depth=5&direction=downstream&limit=500", None)

        found = await alone(server.port, walk, 100)
        return [
            ("lineage over HTTP: 5 hops, 20k edges, p50", found.p50, "ms", ""),
            ("lineage over HTTP: 5 hops, 20k edges, p95", found.p95, "ms", ""),
        ]

    async def _memory(self, server: Server) -> list[Row]:
        if not self._names:
            return []
        picks = [self._rng.randrange(self._size) for _ in range(10_000)]
        await together(server.port, lambda n: ("GET", self._path(picks[n]), None), clients=8, each=1_250)
        return [("memory, all roles, after 10,000 look-ups and the writes", server.rss_mb, "MB", "<= 600")]

    async def _idle(self, server: Server) -> list[Row]:
        await SystemClock().sleep_ms(12_000)
        before, bytes_before = server.cpu_s(), _tree_bytes(self._storage)
        await SystemClock().sleep_ms(5_000)
        return [
            ("idle: processor", (server.cpu_s() - before) / 5 * 100, "%", "<= 0.3"),
            ("idle: bytes written", float(_tree_bytes(self._storage) - bytes_before), "B", "= 0"),
        ]


def _tree_bytes(folder: Path) -> int:
    total = 0
    for entry in os.scandir(folder):
        total += _tree_bytes(Path(entry.path)) if entry.is_dir() else entry.stat().st_size
    return total


def working_copy(source: Path) -> Path:
    """A copy of a loaded catalog to write into; immutable files are linked, so it takes no space and little time."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=source.parent))
    shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=_linked)
    return folder


def _linked(source: str, target: str) -> str:
    if source.endswith("pointer.json"):
        return str(shutil.copy2(source, target))
    os.link(source, target)
    return target
