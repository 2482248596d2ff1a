"""`arco serve` as operators run it: real processes, real sockets, real signals, files that outlive them."""

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from tests.process.servers import (
    API_ENVIRONMENT,
    COMMAND,
    COMPACTOR_ENVIRONMENT,
    Caller,
    Server,
    environment,
    every_name,
    serving,
)

from arco.core.limits import PAGE_ROWS_MAX
from arco.roles import verify

pytestmark = pytest.mark.process

TABLES = "/catalogs/lake/schemas/raw/tables"
CLIENTS = 16
NAMES = 200
ROUNDS = 3
SEED = 7_411


def all_roles(folder: Path) -> list[str]:
    """The arguments of a server with every role on a folder."""
    return ["--port", "0", "--storage", str(folder)]


def stand(port: int) -> None:
    """`lake.raw`, empty."""
    with Caller(port) as caller:
        assert caller.ask("POST", "/catalogs", {"name": "lake"})[0] == 201
        assert caller.ask("POST", "/catalogs/lake/schemas", {"name": "raw"})[0] == 201


def said(capsys: pytest.CaptureFixture[str], sentence: str) -> None:
    """Tell whoever runs the tests: times are measured here and asserted nowhere."""
    with capsys.disabled():
        sys.stdout.write(f"\n{sentence}\n")


def in_threads(work, count: int) -> None:
    """Run `work(number)` in so many threads at once; the first failure is raised."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  # told to the test below
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if failures:
        raise failures[0]


def verified(folder: Path) -> None:
    """Replay equals published."""
    report = verify.run(f"file://{folder}", "local", "default", lambda _done, _of: None)
    assert report.differences == []
    assert report.ok and report.manifests > 1


def test_two_apis_and_two_compactors_on_one_store_agree_on_who_won(tmp_path: Path, capsys):
    storage = {"ARCO_STORAGE_BUCKET": f"file://{tmp_path}"}
    compactor = {**COMPACTOR_ENVIRONMENT, **storage}
    with serving(["--role=compactor"], compactor) as one, serving(["--role=compactor"], compactor) as two:
        urls = [f"http://127.0.0.1:{server.ports['compactor']}" for server in (one, two)]
        apis = [{**API_ENVIRONMENT, **storage, "ARCO_COMPACTOR_URL": url} for url in urls]
        with serving(["--role=api"], apis[0]) as first, serving(["--role=api"], apis[1]) as second:
            ports = [first.ports["api"], second.ports["api"]]
            race(ports)
            codes = [server.stop() for server in (first, second, one, two)]
        ready = [f"{server.ready_s:.2f}" for server in (one, two, first, second)]
    assert codes == [0, 0, 0, 0]
    verified(tmp_path)
    said(capsys, f"seconds to ready of two compactors and two apis: {', '.join(ready)}")


def race(ports: list[int]) -> None:
    """Sixteen clients create, rename and drop the same names through both apis."""
    stand(ports[0])
    wins: dict[str, list[int]] = {"created": [0] * NAMES, "renamed": [0] * NAMES, "dropped": [0] * NAMES}
    lock = threading.Lock()

    def won(what: str, number: int) -> None:
        with lock:
            wins[what][number] += 1

    def creator(worker: int) -> None:
        with Caller(ports[worker % 2]) as caller:
            for number in shuffled(worker):
                body = {"name": f"t{number:03d}", "columns": [{"name": f"by_{worker}", "data_type": "INT"}]}
                status, told = caller.ask("POST", TABLES, body)
                assert status in (201, 409), (status, told)
                if status == 201:
                    won("created", number)

    def changer(worker: int) -> None:
        with Caller(ports[worker % 2]) as caller:
            for number in shuffled(worker):
                change(caller, number)

    def change(caller: Caller, number: int) -> None:
        path = f"{TABLES}/t{number:03d}"
        if number % 4 == 0:
            status, told = caller.ask("PATCH", path, {"name": f"r{number:03d}"})
            what, good, bad = "renamed", 200, (404, 409)
        elif number % 4 == 1:
            status, told = caller.ask("DELETE", path)
            what, good, bad = "dropped", 204, (404, 409)
        else:
            return
        assert status in (good, *bad), (status, told)
        if status == good:
            won(what, number)

    in_threads(creator, CLIENTS)
    assert wins["created"] == [1] * NAMES
    in_threads(changer, CLIENTS)
    assert wins["renamed"] == [1 if number % 4 == 0 else 0 for number in range(NAMES)]
    assert wins["dropped"] == [1 if number % 4 == 1 else 0 for number in range(NAMES)]
    wanted = [f"r{number:03d}" for number in range(NAMES) if number % 4 == 0]
    wanted += [f"t{number:03d}" for number in range(NAMES) if number % 4 > 1]
    assert every_name(ports[0], TABLES, "tables") == every_name(ports[1], TABLES, "tables") == wanted
    for port in ports:
        with Caller(port) as caller:
            assert caller.ask("GET", "/catalog/inventory")[1]["catalog_snapshot_version"] == 2 + NAMES + NAMES // 2


def shuffled(worker: int) -> list[int]:
    """The names in an order of this worker's own."""
    order = list(range(NAMES))
    random.Random(SEED + worker).shuffle(order)
    return order


class Load:
    """Clients that create tables until they are told to stop or the server is gone; `made` was acknowledged."""

    def __init__(self, server: Server, prefix: str, clients: int = 12) -> None:
        self.made: list[str] = []
        self.odd: list[tuple[int, object]] = []
        self._stop = threading.Event()
        self._enough = threading.Event()
        self._wanted = 0
        self._threads = [
            threading.Thread(target=self._create, args=(server.ports["api"], f"{prefix}{number:02d}"))
            for number in range(clients)
        ]

    def start(self, wanted: int) -> None:
        """Begin, and return once so many were acknowledged."""
        self._wanted = wanted
        for thread in self._threads:
            thread.start()
        assert self._enough.wait(60)

    def end(self) -> list[str]:
        """Stop, and return what was acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        return self.made

    def _create(self, port: int, prefix: str) -> None:
        # A server that is gone refuses or breaks the connection; one that goes answers 503.
        with Caller(port) as caller, contextlib.suppress(OSError, HTTPException):
            for count in range(100_000):
                if self._stop.is_set():
                    return
                status, told = caller.ask("POST", TABLES, {"name": f"{prefix}_{count}", "columns": []})
                if status != 201:
                    self.odd += [(status, told)] if status != 503 else []
                    return
                self.made.append(f"{prefix}_{count}")
                if len(self.made) >= self._wanted:
                    self._enough.set()


def test_sigterm_under_load_loses_no_acknowledged_write_and_exits_0(tmp_path: Path, capsys):
    with serving(all_roles(tmp_path)) as server:
        stand(server.ports["api"])
        load = Load(server, "s")
        load.start(100)
        code = server.stop(signal.SIGTERM)
        made = load.end()
    assert code == 0, server.lines[-5:]
    assert load.odd == []
    with serving(all_roles(tmp_path)) as server:
        assert set(made) <= set(every_name(server.ports["api"], TABLES, "tables"))
        assert server.stop(signal.SIGINT) == 0
    verified(tmp_path)
    said(capsys, f"{len(made)} creates acknowledged before SIGTERM; ready again after {server.ready_s:.2f} s")


def test_a_killed_server_has_every_acknowledged_create_when_it_is_started_again(tmp_path: Path, capsys):
    acknowledged: list[str] = []
    chance = random.Random(SEED)
    for turn in range(ROUNDS):
        with serving(all_roles(tmp_path)) as server:
            if turn == 0:
                stand(server.ports["api"])
            load = Load(server, f"k{turn}_")
            load.start(chance.randrange(20, 160))
            server.process.kill()
            acknowledged += load.end()
            assert load.odd == []
        verified(tmp_path)
    with serving(all_roles(tmp_path)) as server:
        found = every_name(server.ports["api"], TABLES, "tables")
        assert set(acknowledged) <= set(found), f"seed {SEED}"
        assert len(found) == len(set(found))
        with Caller(server.ports["api"]) as caller:
            assert caller.ask("POST", TABLES, {"name": "after", "columns": []})[0] == 201
        assert server.stop() == 0
    verified(tmp_path)
    assert len(acknowledged) > PAGE_ROWS_MAX // 10
    said(capsys, f"{len(acknowledged)} creates acknowledged before {ROUNDS} kills; ready after {server.ready_s:.2f} s")


def failed(arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A server that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False, env=environment(variables)
    )


def test_configuration_problems_are_all_told_at_once_and_the_exit_code_is_78(tmp_path: Path):
    done = failed(
        ["--role=api"],
        {
            "ARCO_ENVIRONMENT": "production",
            "ARCO_API_PUBLIC": "perhaps",
            "ARCO_DEBUG": "false",
            "ARCO_JWT_SECRET": "short",
            "ARCO_STORAGE_BUCKET": f"file://{tmp_path / 'store'}",
            "ARCO_HTTP_PORT": "tcp://10.0.0.1:8080",
        },
    )
    assert (done.returncode, done.stdout) == (78, "")
    header, *lines = done.stderr.rstrip("\n").split("\n")
    assert header == f"arco: configuration invalid for role=api: {len(lines)} problems"
    told = [line.strip().partition(":")[0] for line in lines]
    assert told == sorted(told)
    assert {
        *("ARCO_ENVIRONMENT", "ARCO_API_PUBLIC", "ARCO_JWT_SECRET", "ARCO_HTTP_PORT", "ARCO_COMPACTOR_URL"),
        *("ARCO_ORCH_COMPACTOR_URL", "ARCO_TASK_TOKEN_SECRET", "ARCO_TASK_TOKEN_TTL_SECS"),
    } <= set(told)
    assert "short" not in done.stderr.replace("shorter", "")
    assert "enableServiceLinks: false" in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("role", ["compactor", "flow-compactor", "dispatcher", "sweeper"])
def test_a_role_without_settings_names_what_it_needs(role):
    done = failed([f"--role={role}"], {})
    assert done.returncode == 78
    for name in ("ARCO_STORAGE_BUCKET: required", "ARCO_TENANT_ID: required", "ARCO_WORKSPACE_ID: required"):
        assert f"  {name}\n" in done.stderr


def test_a_port_that_is_taken_is_told_with_what_to_do(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = failed(["--port", str(port), "--storage", str(tmp_path / "store")], {})
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_storage_that_cannot_be_opened_is_told(tmp_path: Path):
    done = failed(["--port", "0", "--storage", "gs://some-bucket"], {"NO_GCE_CHECK": "true", "HOME": str(tmp_path)})
    assert done.returncode == 69
    assert "ARCO_STORAGE_BUCKET" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_role_of_one_process_answers_its_probes_on_its_own_port(tmp_path: Path):
    with serving(all_roles(tmp_path)) as server:
        assert set(server.ports) == {"api", "compactor", "flow-compactor", "dispatcher", "sweeper"}
        assert len(set(server.ports.values())) == 5
        for role, port in server.ports.items():
            for path in ("/health", "/ready", "/health/live", "/health/ready", "/version"):
                assert plain(port, path)[0] == 200, (role, path)
            assert plain(port, "/nothing")[0] == 404
        assert plain(server.ports["api"], "/docs")[0] == 200
        assert json.loads(plain(server.ports["api"], "/openapi.json")[1])["openapi"].startswith("3.1")
        assert server.stop() == 0


def plain(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET without a prefix."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body
