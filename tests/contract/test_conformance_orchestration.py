"""Every item of the contract's list, and each of its vectors, is in a test (orchestration.md 1, 5.1, 10).

A test that shows an item bears its number: `test_17_...`, or `test_08_09_...` for two of them, in a module whose
docstring names orchestration.md. Other contracts have numbers of their own.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from arco.routes.public.everything import API_ENDPOINTS

TESTS: Final = Path(__file__).resolve().parent.parent
ITEMS: Final = 72
_NUMBERS: Final = re.compile(r"test_((?:[0-9]{2}_)+)")

WAITING: Final = {
    33: "when the next poll is made",
    35: "which ticks are due, how many of them, and which first",
    39: "which partitions of a backfill failed",
    40: "that a run that was asked for is made at all",
    60: "what a body of the route must be",
}
"""Of these items the fold's share is shown; the clauses named here wait for the loop and the routes of automation,
which are no part of this version (docs/compatibility.md). With the first of their routes this list has to go."""

VECTORS: Final = (
    "ct1_cnVuLTEyMwBhbmFseXRpY3MuZGFpbHlfc2FsZXM",
    "att_af5c419a69061299a227e6a9",
    "d_cxtoltqhbncw6nevn7hy53kqn6",
    "t_hlljqq57362d4n3x2kett7jrqf",
    "run_ba6mduulcrdaksbnw2imp3eiwq",
    "run_wtvfx6ydvrke4qoyxbrgd2frbm",
    "date=d:2025-01-15,region=s:dXMtZWFzdA",
    "count=i:42",
    "active=b:true",
    "empty=s:",
    "hostile=s:YS9iXGM_ZD1lJmYjZyVoOmlAaiFrJGw",
    "e=s:8J-OiQ",
    "hour=t:2025-01-15T10:00:00.000000Z",
    "part_d6abb069bae7cb7af28672bf7a40f2e5",
    "195d9d79741c48619b74e37ebb567cd9c90a3fb6dd4c591d81652e948e745b10",
    "ffc698aafbca36f0220e211f8ea0e6ed",
    "d1fde1a771e08681b13434e4d5220433d4f6f38fa2f0a251f63bf43198c4c2af",
)
NOT_HERE: Final = {
    "run_keys/e8a1600e00f163438872a247a4eadd3373e13896.json": "run keys are rows, folded with the run they begin",
    "org-822b33ad87c148a0a20a5ba7cd5ebcaa": "tables lie in segments, not in a file for each organisation",
}
"""Names of objects that nobody writes here (docs/compatibility.md)."""


def shown() -> dict[int, list[str]]:
    """The tests that show each item."""
    found: dict[int, list[str]] = {}
    for path, tree in _modules():
        if "orchestration.md" not in (ast.get_docstring(tree) or ""):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (match := _NUMBERS.match(node.name)):
                for number in match[1].split("_")[:-1]:
                    found.setdefault(int(number), []).append(f"{path.name}::{node.name}")
    return found


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(TESTS.rglob("test_*.py")):
        yield path, ast.parse(path.read_text("utf-8"))


def test_every_item_of_the_list_has_a_test_with_its_number() -> None:
    found = shown()
    assert sorted(found) == list(range(1, ITEMS + 1))
    assert set(WAITING) <= set(found)


def test_what_waits_for_automation_waits_no_longer_than_it() -> None:
    routes = {endpoint.path for endpoint in API_ENDPOINTS}
    assert not any(part in path for path in routes for part in ("/backfills", "/sensors", "/schedules"))


@pytest.mark.parametrize("vector", VECTORS)
def test_every_vector_of_the_contract_is_in_a_test(vector: str) -> None:
    own = Path(__file__).name
    assert any(vector in path.read_text("utf-8") for path in TESTS.rglob("test_*.py") if path.name != own)
