"""What the demo remarks on while its runs go on, and the projects it and `arco init` write."""

import re
import shlex
from pathlib import Path

import pytest

from arco.cli.deploying import worth_running
from arco.cli.parser import build
from arco.cli.parser_runs import EXAMPLES as CHOICES
from arco.core.instant import parse_ms
from arco.demo.examples import EXAMPLES, write_code
from arco.demo.pipeline import FIRST, THEN, Part, remarks_of
from arco.demo.questions import LINEAGE_PAIRS
from arco.sdk.loading import AssetSet, load_assets

NOW = "2026-01-01T00:00:00Z"
FAILED = {"taskKey": "raw.weather", "state": "PENDING", "attempt": 1, "maxAttempts": 3}
FAILED |= {"retryNotBefore": "2026-01-01T00:00:01.500Z", "error": {"category": "USER_CODE"}, "errorMessage": "no"}


def told(task: dict, month: str | None = None) -> list[str]:
    return [text for _, text in remarks_of({"tasks": [task]}, Part("a part", (), month), parse_ms(NOW))]


@pytest.fixture
def flights(tmp_path: Path) -> AssetSet:
    write_code("flights", tmp_path)
    return load_assets([str(tmp_path / "assets.py")])


def test_a_failure_is_told_with_its_category_and_when_the_next_attempt_is():
    assert told(FAILED) == ["raw.weather: attempt 1 of 3 failed (USER_CODE: no); the next one begins in 1.5 s"]


def test_a_failure_that_nobody_saw_in_time_is_told_before_the_success():
    attempts = [{"task_key": "raw.weather", "attempt": 1, "category": "USER_CODE", "error_message": "no"}]
    task = {"taskKey": "raw.weather", "state": "SUCCEEDED", "attempt": 2, "maxAttempts": 3}
    part, now_ms = Part("a part", ()), parse_ms(NOW)
    found = dict(remarks_of({"tasks": [task]}, part, now_ms, attempts))
    assert list(found.values()) == [
        "raw.weather: attempt 1 of 3 failed (USER_CODE: no)",
        "raw.weather: attempt 2 of 3 succeeded",
    ]
    assert dict(remarks_of({"tasks": [FAILED]}, part, now_ms)).keys() <= found.keys()


def test_one_failure_is_one_thing_however_often_it_is_looked_at():
    later = parse_ms("2026-01-01T00:00:01Z")
    (first,) = remarks_of({"tasks": [FAILED]}, Part("a part", ()), parse_ms(NOW))
    (again,) = remarks_of({"tasks": [FAILED]}, Part("a part", ()), later)
    assert first[0] == again[0]
    assert first[1] != again[1]


def test_a_task_that_succeeded_at_once_with_good_checks_is_not_remarked_on():
    task = {"taskKey": "raw.planes", "state": "SUCCEEDED", "attempt": 1, "maxAttempts": 3}
    assert told(task | {"output": {"checks": [{"name": "rows", "passed": True}]}}) == []
    assert told(task | {"attempt": 2}) == ["raw.planes: attempt 2 of 3 succeeded"]


def test_a_check_that_warns_is_told_with_its_month():
    checks = [{"name": "few", "passed": False, "description": "5.1% never left"}]
    task = {"taskKey": "clean.flights", "state": "SUCCEEDED", "attempt": 1, "output": {"checks": checks}}
    assert told(task | {"maxAttempts": 3}, "2013-02") == ["clean.flights of 2013-02: check few warns: 5.1% never left"]


def test_the_runs_of_the_demo_make_every_asset_of_its_project(flights: AssetSet):
    asked = {key for part in (*FIRST, *THEN) for key in part.assets}
    above = {upstream for part in FIRST if part.month for key in part.assets for upstream in flights[key].upstreams}
    assert asked | above == set(flights.assets)


def test_the_demo_waits_for_as_much_lineage_as_its_project_has(flights: AssetSet):
    assert sum(len(asset.upstreams) for asset in flights) == LINEAGE_PAIRS


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_asset_of_an_example_says_how_it_is_tried_again(example: str, tmp_path: Path):
    """Unless said it is after 30 s, which is long for whoever tries a project out."""
    written = write_code(example, tmp_path)
    assert list(written) == ["assets.py", "test_assets.py", "README.md", ".gitignore"]
    assert write_code(example, tmp_path) == []
    for asset in load_assets([str(tmp_path / "assets.py")]):
        assert asset.retries is not None and (asset.retries.delay_seconds or 99) <= 2


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_command_that_an_example_names_is_one(example: str, tmp_path: Path):
    write_code(example, tmp_path)
    lines = re.findall(r"^arco (.+)$", (tmp_path / "README.md").read_text("utf-8"), re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        assert build().parse_args(shlex.split(line.partition("  ")[0])).run, line


def test_the_command_line_offers_the_examples_there_are():
    assert CHOICES == EXAMPLES


def test_what_is_worth_running_first_is_the_most_that_one_run_can_make(flights: AssetSet, tmp_path: Path):
    assert worth_running(flights) == "arco run clean.flights --upstream --partition month=2025-01"
    write_code("orders", tmp_path / "orders")
    orders = load_assets([str(tmp_path / "orders" / "assets.py")])
    assert worth_running(orders) == "arco run marts.best_customer --upstream"
