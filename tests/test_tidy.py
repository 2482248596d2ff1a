"""The tail of the code, which is what readers notice: long modules, long functions, deep nesting, unexplained ignores.

The numbers may only get stricter, and there is no exemption list: what does not fit is cut up or thought again.
`python tests/test_tidy.py` prints the tail as it stands.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

MODULE_LINES_MAX: Final = 500
MODULE_LINES_LONG: Final = 400
FUNCTION_LINES_MAX: Final = 60
POSITIONAL_PARAMETERS_MAX: Final = 4
NESTING_MAX: Final = 3

FORBIDDEN_MODULE_NAMES: Final = {"utils", "util", "helpers", "common", "base", "services", "models", "manager", "misc"}

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = sorted((ROOT / "src").rglob("*.py"))
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
BENCHMARKS: Final = sorted((ROOT / "benchmarks").rglob("*.py"))
EVERYTHING: Final = [*SOURCE, *TESTS, *BENCHMARKS, ROOT / "noxfile.py"]

_DIRECTIVE: Final = re.compile(
    r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?|type:\s*ignore(?:\[[^\]]*\])?|pragma:\s*no\s*\w+"
    r"|fmt:\s*\w+|mypy:[^#]*)"
)
# Spelled apart, or this file would report itself.
_UNFINISHED: Final = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")

_BLOCKS: Final = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """How far one thing goes, and where it is."""

    size: int
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {self.size}"


def test_no_module_is_longer_than_a_reader_can_hold():
    _assert_none([finding for finding in module_lines(SOURCE) if finding.size > MODULE_LINES_MAX])


def test_no_function_is_longer_than_a_screen():
    _assert_none([finding for finding in function_lines(SOURCE) if finding.size > FUNCTION_LINES_MAX])


def test_no_function_takes_more_than_four_positional_parameters():
    _assert_none([finding for finding in positional_parameters(SOURCE) if finding.size > POSITIONAL_PARAMETERS_MAX])


def test_no_function_nests_deeper_than_three_blocks():
    _assert_none([finding for finding in nesting(SOURCE) if finding.size > NESTING_MAX])


def test_no_module_has_a_name_that_says_nothing():
    names = [path for path in EVERYTHING if {path.stem, *path.relative_to(ROOT).parts} & FORBIDDEN_MODULE_NAMES]
    _assert_none([_at(path) for path in names])


def test_nothing_is_left_for_later():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "pyproject.toml"]
    _assert_none(
        [
            _at(path, number)
            for path in [*EVERYTHING, *documents]
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
            if _UNFINISHED.search(line)
        ]
    )


def test_every_ignore_gives_its_reason_on_the_same_line():
    _assert_none([_at(path, line) for path in EVERYTHING for line, comment in _comments(path) if _unexplained(comment)])


def test_no_test_sleeps():
    _assert_none([_at(path, node.lineno) for path in TESTS for node in _calls(path) if _is_time_sleep(node)])


def test_no_test_mocks_our_own_code():
    _assert_none([_at(path, line) for path in TESTS for line, module in _imported(path) if module == "unittest.mock"])


def test_every_public_name_has_a_docstring():
    documented = _documented_methods()
    _assert_none([place for path in SOURCE for place in _undocumented(path, documented)])


def test_the_measures_measure():
    sample = ast.parse(
        "def f(self, a, b, c, d):\n"
        "    for x in a:\n"
        "        if x:\n"
        "            pass\n"
        "        elif b:\n"
        "            with c:\n"
        "                pass\n"
    )
    function = sample.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert _depth(function) == 3
    assert _lines(function) == 7
    assert _parameters(function, method=True) == 4
    assert _parameters(function, method=False) == 5
    assert _unexplained("# noqa: PLC0415")
    assert not _unexplained("# noqa: PLC0415  pyarrow is slow to import")
    assert _unexplained("# type: ignore[arg-type]")
    assert not _unexplained("# type: ignore[arg-type]  # rows of many types")


def module_lines(paths: list[Path]) -> list[Finding]:
    """Lines of each module, longest first."""
    return _longest_first(Finding(len(path.read_text("utf-8").splitlines()), _at(path)) for path in paths)


def function_lines(paths: list[Path]) -> list[Finding]:
    """Lines of each function from `def` to its end, docstring included, longest first."""
    return _longest_first(
        Finding(_lines(node), _at(path, node.lineno, node.name)) for path in paths for node, _ in _functions(path)
    )


def positional_parameters(paths: list[Path]) -> list[Finding]:
    """Parameters of each function that a call may pass by position, without `self` and `cls`, most first."""
    return _longest_first(
        Finding(_parameters(node, method=method), _at(path, node.lineno, node.name))
        for path in paths
        for node, method in _functions(path)
    )


def nesting(paths: list[Path]) -> list[Finding]:
    """Blocks inside blocks in each function, deepest first; `elif` is no deeper than its `if`."""
    return _longest_first(
        Finding(_depth(node), _at(path, node.lineno, node.name)) for path in paths for node, _ in _functions(path)
    )


def _assert_none(places: list[Finding] | list[str]) -> None:
    assert not places, "\n" + "\n".join(str(place) for place in places)


def _longest_first(findings: Iterator[Finding]) -> list[Finding]:
    return sorted(findings, reverse=True)


def _at(path: Path, line: int | None = None, name: str = "") -> str:
    where = path.relative_to(ROOT).as_posix()
    return f"{where}:{line} {name}".rstrip() if line else where


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def _functions(path: Path) -> Iterator[tuple[Function, bool]]:
    """Every function of a module, and whether it is a method that gets its object first."""
    tree = _tree(path)
    methods = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for child in node.body
        if isinstance(child, _FUNCTIONS) and "staticmethod" not in map(ast.unparse, child.decorator_list)
    }
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            yield node, node in methods


def _lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _parameters(function: Function, *, method: bool) -> int:
    arguments = function.args
    return len(arguments.posonlyargs) + len(arguments.args) - (1 if method else 0)


def _depth(node: ast.AST) -> int:
    return max((_block_depth(child) for child in ast.iter_child_nodes(node)), default=0)


def _block_depth(node: ast.AST) -> int:
    if isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
        return 0  # counted on its own
    if not isinstance(node, _BLOCKS):
        return _depth(node)
    if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        inside = max((_block_depth(child) for child in node.body), default=0)
        return max(1 + inside, _block_depth(node.orelse[0]))
    return 1 + _depth(node)


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _unexplained(comment: str) -> bool:
    if not _DIRECTIVE.search(comment):
        return False
    reason = _DIRECTIVE.sub("", comment).strip(" #:-\N{EM DASH}")
    return len(reason.split()) < 2


def _calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, ast.Call))


def _is_time_sleep(call: ast.Call) -> bool:
    return ast.unparse(call.func) in {"time.sleep", "sleep"}


def _imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _documented_methods() -> set[str]:
    """Methods that a protocol words: an implementation keeps them without repeating them."""
    return {
        child.name
        for path in SOURCE
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
        for child in node.body
        if isinstance(child, _FUNCTIONS) and ast.get_docstring(child)
    }


def _undocumented(path: Path, documented: set[str]) -> Iterator[str]:
    tree = _tree(path)
    if not ast.get_docstring(tree):
        yield _at(path, 1, "(module)")
    for node in tree.body:
        yield from _undocumented_in(path, node, documented)


def _undocumented_in(path: Path, node: ast.stmt, documented: set[str]) -> Iterator[str]:
    if not isinstance(node, (ast.ClassDef, *_FUNCTIONS)) or node.name.startswith("_"):
        return
    if not ast.get_docstring(node):
        yield _at(path, node.lineno, node.name)
    if not isinstance(node, ast.ClassDef):
        return
    for child in node.body:
        if isinstance(child, _FUNCTIONS) and child.name in documented:
            continue
        yield from _undocumented_in(path, child, documented)


def _print_tail(title: str, findings: list[Finding], above: int) -> None:
    lines = [f"  {'+' if finding.size > above else ' '} {finding}" for finding in findings[:10]]
    sys.stdout.write("\n".join([f"{title}: the top ten (+ is over {above})", *lines, ""]))


if __name__ == "__main__":
    _print_tail("Module lines", module_lines(SOURCE), MODULE_LINES_LONG)
    _print_tail("Function lines", function_lines(SOURCE), FUNCTION_LINES_MAX)
    _print_tail("Positional parameters", positional_parameters(SOURCE), POSITIONAL_PARAMETERS_MAX)
    _print_tail("Nesting", nesting(SOURCE), NESTING_MAX)
