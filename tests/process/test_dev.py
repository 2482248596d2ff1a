"""`arco init` and `arco dev` as a newcomer meets them: a project, a run, its tables, and nothing left behind."""

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .servers import environment, free_port

pytestmark = [pytest.mark.process, pytest.mark.slow]


def arco(*arguments: str, folder: Path, url: str = "") -> "subprocess.CompletedProcess[str]":
    """A command in a folder."""
    variables = {"ARCO_URL": url} if url else {}
    return subprocess.run(
        [sys.executable, "-m", "arco", *arguments],
        cwd=folder,
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Dev:
    """An `arco dev` and what it has said."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "arco", "dev", "--port", str(free_port())],
            cwd=folder,
            env=environment({"PYTHONUNBUFFERED": "1"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for("next, in another terminal")

    @property
    def text(self) -> str:
        """All it has said."""
        return "".join(self.lines)

    def wait_for(self, text: str, count: int = 1) -> None:
        """Return once it has said this so many times."""
        with self._more:
            assert self._more.wait_for(lambda: self.text.count(text) >= count, timeout=120), self.text

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()

    def url(self, of: str) -> str:
        """Where the server or the worker is."""
        found = re.search(rf"^{of} +(http://\S+)", self.text, re.MULTILINE)
        assert found, self.text
        return found[1]

    def stop(self) -> int:
        """End it as a supervisor would."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def listening(url: str) -> bool:
    """Whether anybody answers there."""
    port = int(url.rpartition(":")[2])
    done = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_a_newcomers_project_runs_is_queried_and_leaves_nothing_behind(tmp_path: Path) -> None:
    told = arco("init", "etl", folder=tmp_path)
    assert (told.returncode, "arco dev" in told.stderr) == (0, True), told.stderr
    project = tmp_path / "etl"
    assert arco("init", folder=project).returncode == 1  # what is there stays
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout
    dev = Dev(project)
    try:
        server, worker = dev.url("server"), dev.url("worker")
        assert "deployed 3 assets: marts.best_customer, marts.spending, raw.orders" in dev.text, dev.text
        assert "arco run marts.best_customer --upstream" in dev.lines[-1]
        run = arco("run", "marts.best_customer", "--upstream", folder=project, url=server)
        assert run.returncode == 0, run.stdout + run.stderr
        assert "SUCCEEDED: 3 succeeded" in run.stdout
        rows = arco("query", "--data", "SELECT * FROM lake.marts.best_customer", "--json", folder=project, url=server)
        assert json.loads(rows.stdout) == [{"customer": "bob", "spent": 103.75, "orders": 2}]
        for name in ("lake.marts.best_customer", "marts.best_customer"):  # the table, and the asset that makes it
            lineage = arco("lineage", name, folder=project, url=server)
            assert "raw.orders" in lineage.stdout
        (listed,) = json.loads(arco("runs", "--json", folder=project, url=server).stdout)
        logs = arco("logs", listed["runId"], folder=project, url=server)
        assert "reading orders" in logs.stdout
    finally:
        code = dev.stop()
    assert code == 0, dev.lines
    assert not listening(server)
    assert not listening(worker)


WORKS = '''
from arco import asset


@asset(namespace="raw", retries=0)
def orders() -> dict[str, list[int]]:
    """Always there."""
    return {"id": [1, 2]}
'''


def test_code_that_is_broken_is_told_and_once_mended_runs_without_starting_anything_again(tmp_path: Path) -> None:
    """Broken at the start, mended, broken again, mended again: the terminal says so, and `arco run` follows."""
    code = tmp_path / "assets.py"
    code.write_text(f"import no_such_module\n{WORKS}", encoding="utf-8")
    dev = Dev(tmp_path)
    try:
        server = dev.url("server")
        assert "no_such_module" in dev.text
        refused = arco("run", "raw.orders", folder=tmp_path, url=server)
        assert (refused.returncode, "arco dev" in refused.stderr) == (1, True), refused.stderr
        code.write_text(WORKS, encoding="utf-8")
        dev.wait_for("deployed 1 asset: raw.orders")
        code.write_text(f"1 / 0\n{WORKS}", encoding="utf-8")
        dev.wait_for("ZeroDivisionError")
        code.write_text(WORKS.replace("[1, 2]", "[1, 2, 3]"), encoding="utf-8")
        dev.wait_for("deployed 1 asset: raw.orders", 2)
        run = arco("run", "raw.orders", folder=tmp_path, url=server)
        assert run.returncode == 0, run.stdout + run.stderr
        rows = arco(
            "query", "--data", "SELECT count(*) AS n FROM lake.raw.orders", "--json", folder=tmp_path, url=server
        )
        assert json.loads(rows.stdout) == [{"n": 3}]
    finally:
        assert dev.stop() == 0


def test_a_task_that_waits_for_its_next_attempt_has_it_when_its_code_is_mended(tmp_path: Path) -> None:
    """With the retries of whoever says nothing about them that would be half a minute."""
    code = tmp_path / "assets.py"
    code.write_text(
        WORKS.replace('return {"id": [1, 2]}', 'raise ValueError("no")').replace(", retries=0", ""), encoding="utf-8"
    )
    dev = Dev(tmp_path)
    try:
        server = dev.url("server")
        run = subprocess.Popen(
            [sys.executable, "-m", "arco", "run", "raw.orders"],
            cwd=tmp_path,
            env=environment({"ARCO_URL": server, "PYTHONUNBUFFERED": "1"}),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        assert any("tried again" in line for line in run.stdout)
        code.write_text(WORKS, encoding="utf-8")
        dev.wait_for("is tried again with it")
        told = run.communicate(timeout=60)[0]
        assert (run.returncode, "SUCCEEDED: 1 succeeded" in told) == (0, True), told
        question = "SELECT attempt, retried_by FROM system.orchestration.task_attempts"
        (failed,) = json.loads(arco("query", question, "--json", folder=tmp_path, url=server).stdout)
        assert failed["attempt"] == 1
        assert failed["retried_by"]  # somebody asked for it, and the policy's time had not come
    finally:
        assert dev.stop() == 0


BROKEN = '''
from arco import RetryPolicy, asset


@asset(namespace="raw", retries=RetryPolicy(max_retries=1, delay_seconds=1))
def orders() -> dict[str, int]:
    """Never there."""
    raise ValueError("the orders are on holiday")
'''


def test_a_failing_asset_shows_where_and_what_to_do(tmp_path: Path) -> None:
    """In the terminal at once and at the end, and over HTTP."""
    (tmp_path / "assets.py").write_text(BROKEN, encoding="utf-8")
    dev = Dev(tmp_path)
    try:
        server = dev.url("server")
        run = arco("run", "raw.orders", folder=tmp_path, url=server)
        assert run.returncode == 1, run.stdout + run.stderr
        first, _, last = run.stdout.partition("FAILED: 1 failed")
        assert re.search(r"tried again (in \d+ s, )?at \d\d:\d\d:\d\d UTC", first)
        assert first.count("Traceback") == 1  # the same one is not told again before the end
        assert "raw.orders: USER_CODE in attempt 2" in last
        assert "what to do: mend the function" in last
        for told in (first, last):
            assert 'raise ValueError("the orders are on holiday")' in told
            assert "assets.py" in told
        for command in ("arco logs", "arco retry", "arco rerun"):
            assert command in run.stderr
        left = subprocess.Popen(
            [sys.executable, "-m", "arco", "run", "raw.orders"],
            cwd=tmp_path,
            env=environment({"ARCO_URL": server, "PYTHONUNBUFFERED": "1"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert left.stdout is not None
        left.stdout.readline()
        left.send_signal(signal.SIGINT)
        assert "the run goes on" in left.communicate(timeout=30)[1]
        listed = json.loads(arco("runs", "--json", folder=tmp_path, url=server).stdout)[-1]
        shown = json.loads(arco("runs", listed["runId"], "--json", folder=tmp_path, url=server).stdout)
        (task,) = shown["tasks"]
        assert (task["state"], task["attempt"], task["error"]["category"]) == ("FAILED", 2, "USER_CODE")
        assert "on holiday" in task["error"]["stackTrace"]
    finally:
        dev.stop()
