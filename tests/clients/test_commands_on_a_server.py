"""The command line against a real server: what a person types in the first ten minutes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.process.servers import Server, environment, serving

pytestmark = pytest.mark.process


class Terminal:
    """Runs `arco` as another process, in the folder whose storage the server has."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{server.ports['api']}"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command; standard output and error apart."""
        return subprocess.run(
            [sys.executable, "-m", "arco", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.folder,
            env=environment({"ARCO_URL": self.url, "NO_COLOR": "1"}),
        )

    def good(self, *words: str) -> str:
        """What a command that succeeds prints."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def document(self, *words: str) -> Any:
        """What a command prints for programs."""
        return json.loads(self.good(*words, "--json"))

    def bad(self, *words: str) -> str:
        """What a command that fails tells on standard error: what is wrong, and what to do."""
        done = self.run(*words)
        assert done.returncode != 0
        assert done.stderr.startswith("error: ")
        assert "\nnext:  " in done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("machine")
    with serving(["--port", "0", "--storage", str(folder / ".arco")]) as server:
        yield Terminal(folder, server)


def test_a_table_is_registered_asked_renamed_dropped_and_told_of(terminal: Terminal):
    file = terminal.folder / ".arco/tenant=local/workspace=default/warehouse/orders.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": [1, 2, 3], "amount": [1.5, 2.5, 3.0]}), file)
    location = ["--location", "warehouse/orders.parquet", "--format", "parquet", "--columns", "id:BIGINT,amount:DOUBLE"]
    terminal.good("catalog", "register", "shop.raw.orders", *location, "--create-parents")
    assert "orders" in terminal.good("catalog", "ls", "shop.raw")
    assert "BIGINT" in terminal.good("catalog", "show", "shop.raw.orders")
    assert "7.0" in terminal.good("query", "--data", "SELECT sum(amount) AS total FROM shop.raw.orders")
    told = terminal.good("query", "--format", "csv", "SELECT name, format FROM system.catalog.tables")
    assert told.splitlines() == ["name,format", "orders,parquet"]
    terminal.good("catalog", "rename", "shop.raw.orders", "purchases")
    terminal.good("catalog", "drop", "shop.raw.purchases")
    history = terminal.document("catalog", "history")
    text = json.dumps(history)
    done = ("catalog_created", "namespace_created", "table_registered", "table_renamed", "table_dropped")
    for operation in done:
        assert operation in text
    audit = terminal.document("audit", "--action", "control_store_mutate", "--since", "2026-01-01")
    assert {event["operation"] for event in audit["events"]} >= set(done)
    assert "table_dropped" in terminal.good("audit", "--limit", "5")


def test_what_is_missing_taken_or_misspelt_is_told_with_the_next_step(terminal: Terminal):
    terminal.good("catalog", "create", "once")
    assert "already exists" in terminal.bad("catalog", "create", "once")
    terminal.good("catalog", "create", "once", "--if-not-exists")
    assert "not found" in terminal.bad("catalog", "show", "nowhere.s.t").lower()
    assert "name" in terminal.bad("catalog", "create", "a\x07b")
    assert "SELECT" in terminal.bad("query", "DROP TABLE catalog.tables")
    terminal.bad("catalog", "ls", "--url", "http://127.0.0.1:1")


def test_verify_and_doctor_are_content_while_the_server_runs(terminal: Terminal):
    terminal.good("catalog", "create", "checked", "--if-not-exists")
    report = terminal.document("verify", "--storage", str(terminal.folder / ".arco"))
    assert (report["ok"], report["differences"]) == (True, [])
    assert report["manifests"] > 1
    assert terminal.run("doctor", "--storage", str(terminal.folder / ".arco")).returncode == 0
