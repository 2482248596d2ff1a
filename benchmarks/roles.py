"""Memory of each role in a process of its own, at the size of the catalog it works on."""

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

from benchmarks.loading import table_name, table_names
from benchmarks.server import Server
from benchmarks.wire import alone, together

Row = tuple[str, float, str, str]

LOOK_UPS = 10_000
COMMITS = 1_000
_API = "/api/v1/catalogs/bench/schemas"
_COLUMNS = [{"name": "id", "data_type": "BIGINT", "nullable": False}, {"name": "note", "data_type": "STRING"}]
_COMPACTOR = {"ARCO_ENVIRONMENT": "dev", "ARCO_TENANT_ID": "local", "ARCO_WORKSPACE_ID": "default", "PORT": "0"}
_FRONT = {
    "ARCO_ENVIRONMENT": "dev",
    "ARCO_API_PUBLIC": "false",
    "ARCO_DEBUG": "true",
    "ARCO_ORCH_COMPACTOR_URL": "http://127.0.0.1:1",
    "ARCO_TASK_TOKEN_SECRET": "benchmarks-need-no-secret-benchmarks",
    "ARCO_TASK_TOKEN_ISSUER": "tasks",
    "ARCO_TASK_TOKEN_AUDIENCE": "tasks",
    "ARCO_TASK_TOKEN_TTL_SECS": "600",
    "ARCO_RATE_DEFAULT_PER_MIN": "10000000",
    "ARCO_RATE_PRINCIPAL_PER_MIN": "10000000",
    "ARCO_RATE_BURST": "1000000",
    "PORT": "0",
}


def apart(storage: Path, size: int) -> list[Row]:
    """What the api has after many look-ups, and the compactor after many commits, one of which is made per create."""
    names = table_names(size)
    rng = random.Random(5)
    place = {"ARCO_STORAGE_BUCKET": f"file://{storage}"}

    def look_up(_index: int) -> tuple[str, str, Any]:
        schema, name = rng.choice(names)
        return "GET", f"{_API}/{schema}/tables/{name}", None

    def create(index: int) -> tuple[str, str, Any]:
        body = {"name": f"{table_name(rng)}_{index}", "columns": _COLUMNS}
        return "POST", f"{_API}/s{rng.randrange(100):03d}/tables", body

    serve = [sys.executable, "-m", "arco", "serve"]
    with Server(role="compactor", environ={**_COMPACTOR, **place}, command=serve) as back:
        front = {**_FRONT, **place, "ARCO_COMPACTOR_URL": f"http://127.0.0.1:{back.compactor_port}"}
        with Server(role="api", environ=front, command=serve) as api:
            idle = api.rss_mb
            asyncio.run(together(api.port, look_up, clients=4, each=LOOK_UPS // 4))
            read = api.rss_mb
            single = asyncio.run(alone(api.port, create, COMMITS, warm_up=0, expect=201))
            return [
                ("memory, api alone, idle", idle, "MB", "<= 130"),
                (f"memory, api alone, after {LOOK_UPS:,} random look-ups", read, "MB", "<= 300"),
                (f"memory, compactor alone, after {COMMITS:,} commits", back.rss_mb, "MB", "<= 300"),
                ("memory, compactor alone, at most", back.peak_mb, "MB", ""),
                ("create, api and compactor apart, p50", single.p50, "ms", ""),
            ]
