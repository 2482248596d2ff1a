"""`arco demo` as a person runs it. The totals were counted from the CSV files with nothing but `csv`."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

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


COMMAND = [sys.executable, "-m", "arco", "demo", "--port", "0", "--storage"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}


def run_demo(storage):
    done = subprocess.run(
        [*COMMAND, str(storage), "--no-serve", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def first(storage):
    return run_demo(storage)


def answers_of(document):
    return {question["id"]: question["rows"] for question in document["questions"]}


def test_the_demo_answers_with_the_totals_of_the_real_data(first):
    answers = answers_of(first)
    assert answers["total_flights"] == [{"flights": 336_776}]
    assert [(row["airline"], row["flights"]) for row in answers["top_airlines"]] == AIRLINES
    assert answers["delays"] == [{"avg_dep_delay": 12.64, "avg_arr_delay": 6.9, "cancelled": 8_255}]
    months = [(row["month"], row["avg_dep_delay"], row["flights"]) for row in answers["worst_months"]]
    assert months == [(7, 21.73, 29_425), (6, 20.85, 28_243), (12, 16.58, 28_135)]
    built = [(row["manufacturer"], row["flights"], row["planes"]) for row in answers["manufacturers"]]
    assert built == MANUFACTURERS
    assert (answers["worst_days"][0]["flight_date"], answers["worst_days"][0]["airport"]) == (
        "2013-03-08",
        "La Guardia",
    )


def test_the_catalog_knows_the_tables_their_columns_and_their_lineage(first):
    answers = answers_of(first)
    known = {f"{row['schema_name']}.{row['table_name']}": (row["format"], row["columns"]) for row in answers["catalog"]}
    assert known == {
        "raw.airlines": ("parquet", 2),
        "raw.airports": ("parquet", 8),
        "raw.planes": ("delta", 9),
        "raw.weather": ("parquet", 15),
        "raw.flights": ("parquet", 19),
        "marts.delays_by_carrier": ("delta", 7),
        "marts.daily_weather_delays": ("parquet", 9),
        "marts.worst_days": ("parquet", 8),
    }
    assert [(row["source"], row["made_from_it"]) for row in answers["lineage"]] == [
        ("airlines", "delays_by_carrier"),
        ("airports", "worst_days"),
        ("daily_weather_delays", "worst_days"),
        ("flights", "daily_weather_delays"),
        ("flights", "delays_by_carrier"),
        ("weather", "daily_weather_delays"),
    ]


def test_the_first_answer_comes_within_fifteen_seconds(first):
    assert first["timings"]["first_sql_answer_s"] < 15


def test_a_second_demo_finds_everything_in_place_and_says_the_same(first, storage):
    again = run_demo(storage)
    assert again["written"] == []
    assert answers_of(again) == answers_of(first)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_serves_until_it_is_stopped_and_takes_its_server_with_it(first, storage, stop):
    del first  # its files are there already, so that this starts fast
    with subprocess.Popen([*COMMAND, str(storage)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as demo:
        assert demo.stdout is not None
        last = next(line for line in demo.stdout if line.startswith("serving "))
        url = last.split()[1].removesuffix(";")
        with urllib.request.urlopen(f"{url}/ready", timeout=10) as answer:
            assert answer.status == 200
        demo.send_signal(stop)
        assert demo.wait(30) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/ready", timeout=10)


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
            env=ENVIRONMENT,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {port} is taken\nnext:  name another with --port")
