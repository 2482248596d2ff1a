"""The list of known mistakes in docs/reliability.md names tests: each of them is there."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "reliability.md"
_TITLE: Final = "## Mistakes of such systems"
_TEST: Final = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
ROWS_MIN: Final = 30


def rows() -> list[str]:
    """The rows of the list."""
    section = PAGE.read_text("utf-8").split(_TITLE, 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| mistake")]


def test_every_mistake_has_a_test() -> None:
    assert len(rows()) >= ROWS_MIN
    assert [row for row in rows() if not _TEST.search(row)] == []


@pytest.mark.parametrize("named", sorted({match for row in rows() for match in _TEST.findall(row)}), ids="::".join)
def test_every_test_that_is_named_here_exists(named: tuple[str, str]) -> None:
    path, name = named
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not name or name in functions
