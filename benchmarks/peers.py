"""Arco beside PyIceberg's SQL catalog, on SQLite and on PostgreSQL: the same work in the same run.

    python -m benchmarks.peers --tables 100000

PyIceberg is a library: it talks to its database from the caller's process, where arco is asked over HTTP by another
process. A create there writes a metadata file and a row, a look-up reads both; arco's create is durable in the ledger
and visible in the catalog when it is answered. SQLite runs with its defaults (a rollback journal, synced), PostgreSQL
with its own (fsync on), each on the same disk. Rows of the preloaded size are inserted straight into PyIceberg's table,
all naming one metadata file. Rounds of all three alternate, so that a slow phase of the machine meets everybody.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType
from sqlalchemy import create_engine, text

from benchmarks.cases import working_copy
from benchmarks.loading import loaded, table_names
from benchmarks.server import Server
from benchmarks.wire import Connection

ROUNDS = 5
CREATES, LOOKUPS, LISTS, CROWD, CROWD_EACH = 40, 100, 5, 8, 15
_SCHEMA = Schema(NestedField(1, "id", LongType(), required=True), NestedField(2, "note", StringType()))
_COLUMNS = [{"name": "id", "data_type": "BIGINT", "nullable": False}, {"name": "note", "data_type": "STRING"}]
_API = "/api/v1/catalogs/bench/schemas"

Samples = dict[str, list[float]]


@contextmanager
def postgres(folder: Path) -> Iterator[str | None]:
    """The URL of a PostgreSQL of our own; None when it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    program = str(found[-1].parent) if found else os.path.dirname(shutil.which("initdb") or "")
    if not program:
        yield None
        return
    data = folder / "postgres"
    data.mkdir(parents=True)
    other: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(data, "postgres")
        for parent in (folder, *folder.parents):
            if parent.stat().st_mode & 0o001 == 0:
                raise SystemExit(f"PostgreSQL may not enter {parent}: choose another --folder, such as /tmp/peers")
    subprocess.run(
        [f"{program}/initdb", "-D", data, "-A", "trust", "-U", "bench"], check=True, capture_output=True, **other
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    control: list[Any] = [f"{program}/pg_ctl", "-D", data, "-w"]
    subprocess.run(
        [*control, "-o", options, "-l", data / "log", "start"], check=True, stdout=subprocess.DEVNULL, **other
    )
    try:
        yield f"postgresql+psycopg2://bench@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], check=True, capture_output=True, **other)


class Iceberg:
    """PyIceberg's SQL catalog on one database."""

    def __init__(self, url: str, warehouse: Path, size: int) -> None:
        self._names = table_names(size)
        self._made = 0
        self._properties = {"uri": url, "warehouse": f"file://{warehouse}"}
        self.catalog = SqlCatalog("bench", **self._properties)
        for number in range(100):
            self.catalog.create_namespace(f"s{number:03d}")
        self._load(url)

    def _load(self, url: str) -> None:
        location = self.catalog.create_table("s000.model", _SCHEMA).metadata_location
        engine = create_engine(url)
        row = "INSERT INTO iceberg_tables VALUES ('bench', :schema, :name, :place, NULL, 'TABLE')"
        with engine.begin() as connection:
            for first in range(0, len(self._names), 10_000):
                batch = self._names[first : first + 10_000]
                values = [{"schema": schema, "name": name, "place": location} for schema, name in batch]
                connection.execute(text(row), values)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))

    def create(self, rng: random.Random) -> None:
        """Create one table in a random schema."""
        self._made += 1
        name = f"t_{rng.getrandbits(48):012x}_{self._made}"
        self.catalog.create_table(f"s{rng.randrange(100):03d}.{name}", _SCHEMA)

    def look_up(self, rng: random.Random) -> None:
        """Read one table, metadata and all."""
        schema, name = rng.choice(self._names)
        self.catalog.load_table(f"{schema}.{name}")

    def list_schema(self, rng: random.Random) -> None:
        """The names of one schema."""
        assert self.catalog.list_tables(f"s{rng.randrange(100):03d}")

    def crowd(self) -> float:
        """Creates a second of several threads, each with its own catalog object."""

        def one(number: int) -> None:
            rng = random.Random(f"{number}/{self._made}")
            mine = SqlCatalog("bench", **self._properties)
            for index in range(CROWD_EACH):
                name = f"c{number}_{index}_{rng.getrandbits(40):x}_{self._made}"
                mine.create_table(f"s{rng.randrange(100):03d}.{name}", _SCHEMA)

        began = time.perf_counter()
        with ThreadPoolExecutor(CROWD) as pool:
            list(pool.map(one, range(CROWD)))
        self._made += 1
        return CROWD * CROWD_EACH / (time.perf_counter() - began)


class Arco:
    """Arco's server, asked over HTTP."""

    def __init__(self, port: int, size: int) -> None:
        self._names = table_names(size)
        self._port = port
        self._made = 0
        self._loop = asyncio.new_event_loop()
        self._connection = Connection("127.0.0.1", port)

    def _ask(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> bytes:
        status, answer = self._loop.run_until_complete(self._connection.call(method, path, body))
        if status != expect:
            raise RuntimeError(f"{method} {path} answered {status}: {answer[:200]!r}")
        return answer

    def create(self, rng: random.Random) -> None:
        """Create one table in a random schema."""
        self._made += 1
        body = {"name": f"t_{rng.getrandbits(48):012x}_{self._made}", "format": "iceberg", "columns": _COLUMNS}
        self._ask("POST", f"{_API}/s{rng.randrange(100):03d}/tables", body, expect=201)

    def look_up(self, rng: random.Random) -> None:
        """Read one table with its columns."""
        schema, name = rng.choice(self._names)
        self._ask("GET", f"{_API}/{schema}/tables/{name}")

    def list_schema(self, rng: random.Random) -> None:
        """All tables of one schema, page by page."""
        path = f"{_API}/s{rng.randrange(100):03d}/tables?limit=500"
        answer = json.loads(self._ask("GET", path))
        while "next_cursor" in answer:
            answer = json.loads(self._ask("GET", f"{path}&cursor={answer['next_cursor']}"))

    def crowd(self) -> float:
        """Creates a second of several connections."""

        async def one(number: int) -> None:
            rng = random.Random(f"{number}/{self._made}")
            connection = Connection("127.0.0.1", self._port)
            for index in range(CROWD_EACH):
                name = f"c{number}_{index}_{rng.getrandbits(40):x}_{self._made}"
                path = f"{_API}/s{rng.randrange(100):03d}/tables"
                status, answer = await connection.call("POST", path, {"name": name, "columns": _COLUMNS})
                if status != 201:
                    raise RuntimeError(f"{status}: {answer[:200]!r}")
            connection.close()

        async def all_of_them() -> None:
            await asyncio.gather(*(one(number) for number in range(CROWD)))

        began = time.perf_counter()
        self._loop.run_until_complete(all_of_them())
        self._made += 1
        return CROWD * CROWD_EACH / (time.perf_counter() - began)


def measured(system: Iceberg | Arco, rng: random.Random, size: int) -> Samples:
    """One round of every case: milliseconds each, and creates a second."""
    found: Samples = {"create, ms": _timed(system.create, rng, CREATES)}
    if size:
        found["look-up, ms"] = _timed(system.look_up, rng, LOOKUPS)
        found[f"list of {size // 100:,}, ms"] = _timed(system.list_schema, rng, LISTS)
    found[f"creates a second, {CROWD} clients"] = [system.crowd()]
    return found


def _timed(work: Callable[[random.Random], None], rng: random.Random, count: int) -> list[float]:
    samples = []
    for _ in range(count):
        began = time.perf_counter()
        work(rng)
        samples.append((time.perf_counter() - began) * 1000)
    return samples


def main() -> None:
    """Run it and print medians over the rounds, with the least and the greatest round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/arco-peers"), help="where the databases go")
    parser.add_argument("--catalogs", type=Path, help="where loaded arco catalogs are kept (default: FOLDER)")
    given = parser.parse_args()
    shutil.rmtree(given.folder / "run", ignore_errors=True)
    folder = given.folder / "run"
    folder.mkdir(parents=True)
    storage = working_copy(loaded(given.catalogs or given.folder, given.tables))
    with postgres(folder) as url, Server(storage) as server:
        systems: dict[str, Iceberg | Arco] = {"arco": Arco(server.port, given.tables)}
        systems["PyIceberg, SQLite"] = Iceberg(f"sqlite:///{folder}/catalog.db", folder / "sqlite", given.tables)
        if url is not None:
            systems["PyIceberg, PostgreSQL"] = Iceberg(url, folder / "pg", given.tables)
        rounds: dict[str, list[Samples]] = {name: [] for name in systems}
        for number in range(ROUNDS):
            for name, system in systems.items():
                rounds[name].append(measured(system, random.Random(f"{number}/{name}"), given.tables))
    report(rounds, given.tables)
    shutil.rmtree(storage, ignore_errors=True)


def report(rounds: dict[str, list[Samples]], size: int) -> None:
    """A table: the median of the rounds' medians, least and greatest, and how many times arco's."""
    print(f"\n{size:,} tables, medians of {ROUNDS} rounds (least to greatest)")
    for case in rounds["arco"][0]:
        ours = statistics.median(statistics.median(one[case]) for one in rounds["arco"])
        for name, found in rounds.items():
            medians = sorted(statistics.median(one[case]) for one in found)
            middle = statistics.median(medians)
            ratio = "" if name == "arco" else f"{middle / ours:8.2f} x arco"
            print(f"  {case:<32} {name:<24} {middle:10.2f}  ({medians[0]:.2f} to {medians[-1]:.2f}) {ratio}")


if __name__ == "__main__":
    main()
