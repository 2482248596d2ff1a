"""`arco demo` as a person runs it. The totals were counted from the CSV files with nothing but `csv`."""

import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from .servers import environment

pytestmark = [pytest.mark.process, pytest.mark.slow]

AIRLINES = [
    ("United Air Lines Inc.", 58_665),
    ("JetBlue Airways", 54_635),
    ("ExpressJet Airlines Inc.", 54_173),
    ("Delta Air Lines Inc.", 48_110),
    ("American Airlines Inc.", 32_729),
]
MANUFACTURERS = [
    ("BOEING", 82_912, 1_630),
    ("EMBRAER", 66_068, 299),
    ("AIRBUS", 47_302, 336),
    ("AIRBUS INDUSTRIE", 40_891, 400),
    ("BOMBARDIER INC", 28_272, 368),
]
TASKS = {
    "clean.flights": (12, 12),
    "marts.daily_weather_delays": (1, 1),
    "marts.delays_by_carrier": (1, 1),
    "marts.worst_days": (1, 1),
    "raw.airlines": (1, 1),
    "raw.airports": (1, 1),
    "raw.flights": (12, 12),
    "raw.planes": (1, 1),
    "raw.weather": (1, 2),
}
LINEAGE = [
    ("clean.flights", "marts.daily_weather_delays"),
    ("clean.flights", "marts.delays_by_carrier"),
    ("marts.daily_weather_delays", "marts.worst_days"),
    ("raw.airlines", "marts.delays_by_carrier"),
    ("raw.airports", "marts.worst_days"),
    ("raw.flights", "clean.flights"),
    ("raw.weather", "marts.daily_weather_delays"),
]
COLUMNS = {
    "airline": "raw.airlines.name",
    "avg_arr_delay": "clean.flights.arr_delay",
    "avg_dep_delay": "clean.flights.dep_delay",
    "cancelled": "clean.flights.cancelled",
    "carrier": "clean.flights.carrier",
    "late_percent": "clean.flights.arr_delay",
}
COMMAND = [sys.executable, "-m", "arco", "demo", "--port", "0", "--storage"]


def run_demo(storage: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*COMMAND, str(storage), "--no-serve", "--json"],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env=environment({}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


class Demo:
    """A demo that serves, with what it has said so far."""

    def __init__(self, storage: Path, until: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, str(storage)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment({"PYTHONUNBUFFERED": "1"}),
        )
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for(until)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str) -> None:
        with self._more:
            assert self._more.wait_for(lambda: text in self.text, timeout=120), self.text

    def stop(self, by: signal.Signals) -> int:
        self.process.send_signal(by)
        code = self.process.wait(40)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()


def family(pid: int) -> set[int]:
    """Everything that a process has started, at any distance."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            children = {int(one) for one in task.read_text().split()}
            waiting += children - found
            found |= children
    return found


def living(pids: set[int]) -> dict[int, str]:
    """Which of these still are, once what their parents' end has ended has had a moment to."""
    found, patience = pids, threading.Event()
    for _ in range(100):
        found = {pid for pid in found if _state(pid) not in ("", "Z")}
        if not found or patience.wait(0.05):
            break
    return {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in found}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def first(storage: Path) -> dict[str, Any]:
    return run_demo(storage)


def answers_of(document: dict[str, Any]) -> dict[str, Any]:
    return {question["id"]: question["rows"] for question in document["questions"]}


def test_the_demo_answers_with_the_totals_of_the_real_data(first):
    answers = answers_of(first)
    assert answers["total_flights"] == [{"flights": 336_776}]
    assert [(row["airline"], row["flights"]) for row in answers["top_airlines"]] == AIRLINES
    assert answers["delays"] == [{"avg_dep_delay": 12.64, "avg_arr_delay": 6.9, "cancelled": 8_255}]
    months = [(row["flight_month"], row["avg_dep_delay"], row["flights"]) for row in answers["worst_months"]]
    assert months == [("2013-07-01", 21.73, 29_425), ("2013-06-01", 20.85, 28_243), ("2013-12-01", 16.58, 28_135)]
    built = [(row["manufacturer"], row["flights"], row["planes"]) for row in answers["manufacturers"]]
    assert built == MANUFACTURERS
    worst = answers["worst_days"][0]
    assert (worst["flight_date"], worst["airport"]) == ("2013-03-08", "La Guardia")


def test_its_runs_are_a_month_each_with_one_task_that_was_tried_again(first):
    assert [run["name"] for run in first["runs"]] == [
        "reference",
        *(f"2013-{month:02d}" for month in range(1, 13)),
        "marts",
    ]
    assert (first["tasks"], {run["earlier"] for run in first["runs"]}) == (31, {False})
    answers = answers_of(first)
    assert {row["task_key"]: (row["tasks"], row["attempts"]) for row in answers["tasks"]} == TASKS
    assert answers["attempts"] == [
        {
            "task_key": "raw.weather",
            "attempt": 1,
            "category": "INFRASTRUCTURE",
            "error_message": "the weather service did not answer",
        }
    ]
    ends = {"first": "month=d:2013-01-01", "last": "month=d:2013-12-01"}
    assert answers["partitions"] == [
        {"asset_key": key, "months": 12, **ends} for key in ("clean.flights", "raw.flights")
    ]


def test_it_tells_of_the_failure_of_the_retry_and_of_the_check_that_warns(first):
    told = " | ".join(first["remarks"])
    assert "raw.weather: attempt 1 of 3 failed (INFRASTRUCTURE: the weather service did not answer)" in told
    assert "raw.weather: attempt 2 of 3 succeeded" in told
    assert "clean.flights of 2013-02: check few_are_cancelled warns: 5.1% never left" in told
    assert len(first["remarks"]) == 3


def test_lineage_is_what_the_tasks_read(first):
    answers = answers_of(first)
    assert [(row["source"], row["made_from_it"]) for row in answers["lineage"]] == LINEAGE
    made = {row["made"].rpartition(".")[2]: row["of_column"] for row in answers["columns"]}
    assert made == COLUMNS


def test_the_catalog_knows_the_tables_and_their_columns(first):
    answers = answers_of(first)
    known = {f"{row['schema_name']}.{row['table_name']}": (row["format"], row["columns"]) for row in answers["catalog"]}
    assert known == {
        "raw.airlines": ("parquet", 2),
        "raw.airports": ("parquet", 8),
        "raw.planes": ("delta", 9),
        "raw.weather": ("parquet", 15),
        "raw.flights": ("parquet", 20),
        "clean.flights": ("parquet", 10),
        "marts.delays_by_carrier": ("delta", 7),
        "marts.daily_weather_delays": ("parquet", 9),
        "marts.worst_days": ("parquet", 10),
    }


def test_a_second_demo_finds_its_runs_every_command_it_lists_works_and_changed_code_is_deployed(
    first, storage, tmp_path
):
    demo = Demo(storage, "Ctrl-C stops it")
    started = family(demo.process.pid)
    try:
        assert "found 31 tasks in 14 runs" in demo.text
        assert f"arco runs {first['runs'][0]['run_id']}\n" in demo.text
        assert "the runs are those of an earlier demo" in demo.text
        for answer in ("336776", "United Air Lines Inc.", "marts.delays_by_carrier.late_percent"):
            assert answer in demo.text
        listed = demo.text.partition("try next, in a second terminal:\n")[2].partition("\n\n")[0]
        url, *commands = [line.strip() for line in listed.splitlines()]
        assert url.startswith("export ARCO_URL=http://127.0.0.1:")
        assert commands[-1] == f"{url.removeprefix('export ARCO_URL=')} in a browser"
        assert len(commands) == 14
        for command in commands[:-1]:
            done = subprocess.run(
                ["sh", "-c", f"{url}; {command.replace('curl ', 'curl -fsS ')}"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env=environment({}),
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            assert done.stdout.strip()
        assert (tmp_path / "flights" / "data" / "flights-2013-12.csv").exists()
        code = storage / "flights" / "assets.py"
        code.write_text(code.read_text("utf-8") + "\n# changed\n", "utf-8")
        demo.wait_for("deployed 9 assets")
        started |= family(demo.process.pid)
        assert len(started) > 4
    finally:
        code_of_end = demo.stop(signal.SIGINT)
    assert code_of_end == 0, demo.text
    assert "stopping" in demo.lines[-1]
    assert living(started) == {}


def test_a_demo_that_is_stopped_in_the_middle_leaves_nobody_behind_and_the_next_one_goes_on(tmp_path):
    demo = Demo(tmp_path, "server and worker are ready")
    started = family(demo.process.pid)
    assert demo.stop(signal.SIGTERM) == 130, demo.text
    assert living(started) == {}
    again = run_demo(tmp_path)
    assert again["tasks"] == 31
    assert answers_of(again)["total_flights"] == [{"flights": 336_776}]


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND[:-3], "--port", str(port), "--storage", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment({}),
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {port} is taken\nnext:  name another with --port")
