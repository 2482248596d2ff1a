"""Every abuse case has a test with its id in its name, or a reason here why it has none yet.

The ids are those of the project's abuse cases. A case that comes with a later part of arco is listed with that part;
when its tests arrive its line here goes.
"""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
_FILE = re.compile(r"test_a([0-9]{2})_")
_TEST = re.compile(r"^(?:async )?def test_a([0-9]{2})_", re.MULTILINE)

NUMBERS = {f"A-{number:02d}" for number in range(1, 50)}

ELSEWHERE = {
    "A-47": "tests/property/test_kernel_algebra.py",
}
"""Cases whose tests are older than their ids, or live with what they test."""

LATER = {
    "A-39": "Parquet bombs: the query sandbox (issue 2)",
    "A-11": "replayed callbacks: orchestration",
    "A-13": "personal access tokens: artifacts",
    "A-21": "table locations and vended credentials: the Iceberg façade",
    "A-22": "de-duplicated blobs of others: artifacts",
    "A-49": "the supply chain: the release",
}
"""Cases that nothing built so far concerns, or whose part is being built, with the part that brings their tests."""


def _named() -> set[str]:
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        found |= {f"A-{number}" for number in _TEST.findall(path.read_text(encoding="utf-8"))}
    return found


def test_every_abuse_case_has_a_test_or_a_reason():
    assert _named() | set(ELSEWHERE) | set(LATER) >= NUMBERS, "an abuse case is neither tested nor explained"
    assert not set(ELSEWHERE) & set(LATER)


@pytest.mark.parametrize("case", sorted(ELSEWHERE))
def test_a_case_that_is_tested_elsewhere_is_tested_there(case: str):
    path, _, name = ELSEWHERE[case].partition("::")
    text = (TESTS.parent / path).read_text(encoding="utf-8")
    assert f"def {name}" in text if name else "def test_" in text


def test_tests_of_an_abuse_case_carry_an_id():
    for path in sorted((TESTS / "security").rglob("test_a*.py")):
        names = re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert names, f"{path.name} has tests"
        stray = [name for name in names if not _FILE.match(name)]
        assert not stray, f"{path.name}: {stray}"
