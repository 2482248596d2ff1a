"""SQL on a real server: queries without an end are killed, other routes go on, and no process outlives its server."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.process.servers import HEADERS, Caller, serving

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc"),
]

ENDLESS = "SELECT count(*) FROM catalog.columns a, catalog.columns b, catalog.columns c WHERE a.id || b.id < c.id"
DEADLINE_S = 1
HARD_STOP_S = 2.0
"""On a machine that is busy with other tests; alone it is a few milliseconds."""


@pytest.fixture
def server(tmp_path):
    with serving(["--port", "0", "--storage", str(tmp_path)], {"ARCO_QUERY_TIMEOUT_SECS": str(DEADLINE_S)}) as server:
        with Caller(server.ports["api"]) as caller:
            assert caller.ask("POST", "/catalogs", {"name": "lake"})[0] == 201
            assert caller.ask("POST", "/catalogs/lake/schemas", {"name": "raw"})[0] == 201
            columns = [{"name": f"c{number}", "data_type": "BIGINT"} for number in range(4_000)]
            body = {"name": "wide", "columns": columns}
            assert caller.ask("POST", "/catalogs/lake/schemas/raw/tables", body)[0] == 201
        yield server


def below(pid: int) -> list[int]:
    """The processes below a process, in no order."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    found += [int(folder.name), *below(int(folder.name))]
    return found


def alive(pid: int) -> bool:
    """True while the process is neither gone nor only waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def asking(port: int) -> HTTPConnection:
    """A connection on which a query without an end was asked."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/api/v1/query", json.dumps({"sql": ENDLESS}), HEADERS)
    return connection


def until(look, timeout_s: float = 20) -> None:
    """Wait until `look` is true."""
    end = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < end, "it did not happen"
        threading.Event().wait(0.01)


def test_a28_queries_are_killed_at_their_deadline_while_other_routes_go_on(server):
    port = server.ports["api"]
    counting = {"sql": "SELECT count(*) AS n FROM catalog.columns"}
    with Caller(port) as caller:
        # The very first query starts the helper and ships the table: on a busy machine that may take its whole time.
        until(lambda: caller.ask("POST", "/query?format=json", counting) == (200, [{"n": 4_000}]))
    told: list[tuple[int, str, float]] = []

    def endless() -> None:
        with Caller(port) as caller:
            began = time.monotonic()
            status, body = caller.ask("POST", "/query", {"sql": ENDLESS})
            told.append((status, body["error"], time.monotonic() - began))

    askers = [threading.Thread(target=endless) for _ in range(2)]
    for asker in askers:
        asker.start()
    waits: list[float] = []
    with Caller(port) as caller:
        while any(asker.is_alive() for asker in askers):
            began = time.monotonic()
            assert caller.ask("GET", "/catalogs/lake/schemas/raw/tables/wide")[0] == 200
            waits.append(time.monotonic() - began)
        assert [(status, error) for status, error, _ in told] == [(400, "query_timeout")] * 2
        assert max(took for _, _, took in told) < DEADLINE_S + HARD_STOP_S
        waits.sort()
        assert len(waits) > 50
        assert waits[int(len(waits) * 0.99)] < 0.5
        assert caller.ask("POST", "/query?format=json", {"sql": "SELECT 1 AS x"}) == (200, [{"x": 1}])


def test_a_client_that_goes_takes_its_query_along(server):
    connection = asking(server.ports["api"])
    with Caller(server.ports["api"]) as caller:
        until(lambda: caller.ask("GET", "/queries")[1]["queries"])
        began = time.monotonic()
        connection.close()
        until(lambda: not caller.ask("GET", "/queries")[1]["queries"])
        assert time.monotonic() - began < DEADLINE_S


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_sandbox_process_outlives_its_server(server, number):
    connection = asking(server.ports["api"])
    with Caller(server.ports["api"]) as caller:
        until(lambda: caller.ask("GET", "/queries")[1]["queries"])
    until(lambda: len(below(server.process.pid)) >= 2)
    children = below(server.process.pid)
    server.process.send_signal(number)
    server.process.wait(40)
    until(lambda: not any(alive(pid) for pid in children))
    connection.close()


def test_the_helper_and_its_children_may_be_killed_and_the_next_query_is_answered(server):
    with Caller(server.ports["api"]) as caller:
        assert caller.ask("POST", "/query?format=json", {"sql": "SELECT 1 AS x"}) == (200, [{"x": 1}])
        for pid in below(server.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not any(alive(pid) for pid in below(server.process.pid)))
        answers = [caller.ask("POST", "/query?format=json", {"sql": "SELECT 1 AS x"}) for _ in range(4)]
        assert answers[-1] == (200, [{"x": 1}])
        assert {status for status, _ in answers} <= {200, 400}
