"""The processes of a soak: an api and a compactor, or all roles in one, whose retention is hurried."""

import contextlib
import json
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from tests.process import hurried
from tests.process.servers import API_ENVIRONMENT, COMPACTOR_ENVIRONMENT, Server
from tests.process.soak_client import SECRET
from tests.process.soak_watch import Family, cpu_s, family_of

from arco.core.scope import Scope

COMMAND: Final = [sys.executable, hurried.__file__, "serve"]
CLIENTS: Final = 8
COUNTED: Final = (
    *("arco_http_requests_total", "compaction_", "arco_gc_objects_deleted_total", "arco_gc_bytes_reclaimed_total"),
    *("arco_gc_run_duration_seconds_count", "arco_gc_errors_total", "arco_catalog_repair_automation_runs_total"),
    *("arco_anti_entropy_gaps_found_total", "arco_query_total", "arco_facts_total", "arco_http_closed_total"),
)
_COUNT: Final = re.compile(r"^([a-z_]+)(?:{(.*)})? ([0-9.e+]+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')

SHORT: Final = {
    "ARCO_RETENTION_POLICY": '{"keepSnapshots":5,"delayHours":1,"ledgerRetentionHours":2,"maxAgeDays":1}',
    "ARCO_REPAIR_MODE": "enforce",
    "ARCO_REPAIR_INTERVAL_SECS": "20",
    "ARCO_COMPACTOR_INTERVAL_SECS": "15",
    "ARCO_ANTI_ENTROPY_MAX_OBJECTS_PER_RUN": "5000",
    "ARCO_IDLE_MERGE_MS": "300",
}
API: Final = {
    **API_ENVIRONMENT,
    "ARCO_DEBUG": "false",
    "ARCO_JWT_SECRET": SECRET,
    "ARCO_QUERY_TIMEOUT_SECS": "1",
    "ARCO_QUERY_HISTORY_DAYS": "1",
    "ARCO_AUDIT_RETENTION_DAYS": "1",
    "ARCO_UNFINISHED_INTERVAL_SECS": "15",
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long, how much, and on what."""

    seconds: float
    warm_up_s: float
    topology: str = "split"
    clients: int = CLIENTS
    steps_a_second: float = 35.0
    tables: int = 100
    sample_s: float = 5.0
    awake_s: float = 10.0
    period_s: float = 60.0
    seed: int = 1
    variables: dict[str, str] = {}


class Party:
    """The processes of one store."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        storage = {"ARCO_STORAGE_BUCKET": f"file://{folder}", **plan.variables}
        self.servers: dict[str, Server] = {}
        if plan.topology == "all":
            ports = dict.fromkeys(("ARCO_HTTP_PORT", "ARCO_COMPACTOR_PORT", "ARCO_FLOW_COMPACTOR_PORT"), "0")
            ports |= dict.fromkeys(("ARCO_FLOW_DISPATCHER_PORT", "ARCO_FLOW_SWEEPER_PORT"), "0")
            api = {name: value for name, value in API.items() if name != "PORT"}
            self.servers["all"] = Server([], {**api, **SHORT, **ports, **storage}, command=COMMAND)
            self.port = self.servers["all"].ports["api"]
            return
        self.servers["compactor"] = Server(
            ["--role=compactor"], {**COMPACTOR_ENVIRONMENT, **SHORT, **storage}, command=COMMAND
        )
        url = f"http://127.0.0.1:{self.servers['compactor'].ports['compactor']}"
        try:
            self.servers["api"] = Server(["--role=api"], {**API, **storage, "ARCO_COMPACTOR_URL": url}, command=COMMAND)
        except BaseException:
            self.close()
            raise
        self.port = self.servers["api"].ports["api"]

    def families(self) -> dict[str, Family]:
        """What each server uses now."""
        return {name: family_of(server.process.pid) for name, server in self.servers.items()}

    def cpu_s(self) -> float:
        """Processor seconds of all servers."""
        return sum(cpu_s(server.process.pid) for server in self.servers.values())

    def complaints(self) -> Counter[str]:
        """What the servers logged as errors or warnings, by event."""
        found: Counter[str] = Counter()
        for server in self.servers.values():
            for line in list(server.lines):
                with contextlib.suppress(ValueError, AttributeError):
                    told = json.loads(line)
                    if told.get("level") in ("error", "warning"):
                        found[f"{told['level']} {told.get('event')} {told.get('error', '')}"[:120].strip()] += 1
        return found

    def counts(self) -> dict[str, float]:
        """What the servers count of requests, commits, chores, queries and facts, by family and telling labels."""
        found: dict[str, float] = {}
        for name, server in self.servers.items():
            port = next(iter(server.ports.values()))  # roles of one process count together
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                text = answer.read().decode()
            for family, labels, value in _COUNT.findall(text):
                if family.startswith(COUNTED):
                    told = ",".join(value for _, value in _LABEL.findall(labels) if not value.startswith("/"))
                    key = f"{name} {family} {told}".strip()
                    found[key] = found.get(key, 0.0) + float(value)
        return found

    def close(self) -> None:
        """End all of them."""
        for server in self.servers.values():
            server.close()


def at_rest(party: Party, patience_s: float = 60.0) -> dict[str, float]:
    """What the servers use when nobody asks: looked at until descriptors have been the same for three looks."""
    seen: list[dict[str, float]] = []
    waiting = threading.Event()
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        families = party.families()
        seen.append({f"{name} {what}": value for name, family in families.items() for what, value in family.series()})
        still = [{what: value for what, value in one.items() if what.endswith(("fds", "children"))} for one in seen]
        if len(still) >= 3 and still[-1] == still[-2] == still[-3]:
            break
        waiting.wait(0.3)
    return seen[-1]


def write_facts(folder: Path) -> None:
    """A Parquet file where the table `facts` says that it is."""
    path = folder / Scope("local", "default").prefix / "warehouse" / "facts.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": list(range(5_000)), "amount": [one / 7 for one in range(5_000)]}), path)
