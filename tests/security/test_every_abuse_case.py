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
    "A-45": "tests/contract/test_conformance_compaction_rpc.py",
    "A-46": "tests/unit/edge/test_pages.py::test_a_changed_cursor_is_forged",
    "A-47": "tests/property/test_kernel_algebra.py",
}
"""Cases whose tests are older than their ids, or live with what they test."""

LATER = {
    "A-12": "timing of secret comparisons: complete authentication (issue 2)",
    "A-14": "header scopes outside development: complete authentication (issue 2)",
    "A-23": "objects without a role for them: grants (the issue of governance)",
    "A-24": "hidden names in totals and search: search and grants (issue 2, governance)",
    "A-25": "relations by path: safe SQL (issue 2)",
    "A-26": "statements that write: safe SQL (issue 2)",
    "A-27": "other tenants' relations: safe SQL (issue 2)",
    "A-28": "statements without end: safe SQL (issue 2)",
    "A-29": "statements that eat memory: safe SQL (issue 2)",
    "A-30": "results without end: safe SQL (issue 2)",
    "A-39": "Parquet bombs: the query sandbox (issue 2)",
    "A-11": "replayed callbacks: orchestration",
    "A-13": "personal access tokens: artifacts",
    "A-18": "signed URLs of internal objects: the browser's read path",
    "A-19": "lifetimes of signed URLs: the browser's read path",
    "A-20": "signed URLs in logs: the browser's read path",
    "A-21": "table locations and vended credentials: the Iceberg façade",
    "A-22": "de-duplicated blobs of others: artifacts",
    "A-43": "the storage matrix of every role: tests/unit/storage covers the capabilities, staging the buckets",
    "A-48": "canary secrets: complete authentication (issue 2)",
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
