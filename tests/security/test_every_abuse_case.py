"""Every abuse case has a test with its id in its name, or a reason why it has none: the table in docs/security.md."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "security.md"
NUMBERS = [f"{number:02d}" for number in range(1, 50)]

_ROW = re.compile(r"^\| A-([0-9]{2}) ([^|]+) \|([^|]*)\|([^|]*)\|$", re.MULTILINE)
_FILE = re.compile(r"`([\w./]+\.py)`")
_TEST = re.compile(r"^(?:async )?def test_a([0-9]{2})_", re.MULTILINE)


def rows() -> dict[str, tuple[list[str], str]]:
    """The files and the words of each case."""
    text = TABLE.read_text(encoding="utf-8")
    return {number: (_FILE.findall(files), words.strip()) for number, _, files, words in _ROW.findall(text)}


def path_of(name: str) -> Path:
    return HERE / name if "/" not in name else HERE.parents[1] / name


def test_every_abuse_case_has_a_row_in_the_order_of_the_cases():
    assert list(rows()) == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_an_abuse_case_is_tested_where_the_table_says_or_has_a_reason(number: str):
    files, words = rows()[number]
    assert files or words, "neither tested nor explained"
    for name in files:
        assert number in _TEST.findall(path_of(name).read_text(encoding="utf-8")), f"{name} tests A-{number}"


def test_what_has_an_id_is_in_the_table():
    table = rows()
    for path in HERE.glob("test_a*.py"):
        for number in set(_TEST.findall(path.read_text(encoding="utf-8"))) - {"00"}:
            assert path.name in table[number][0], f"{path.name} tests A-{number}"


def test_tests_of_an_abuse_case_carry_an_id():
    for path in sorted(HERE.rglob("test_a*.py")):
        names = re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert names, f"{path.name} has tests"
        stray = [name for name in names if not re.match(r"test_a([0-9]{2})_", name)]
        assert not stray, f"{path.name}: {stray}"
