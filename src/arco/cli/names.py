"""Dotted names: `catalog`, `catalog.schema`, `catalog.schema.table`; a part with dots is quoted: `"a.b".c`."""

import re
from typing import Final

from arco.cli.failures import UsageProblem

KINDS: Final = ("catalog", "schema", "table")
"""What a name with one, two or three parts names."""

_PART: Final = re.compile(r'"((?:[^"]|"")*)"|([^."]+)')
_EXAMPLE: Final = "write catalog, catalog.schema or catalog.schema.table, for instance nyc.raw.flights"


def parse_name(text: str) -> tuple[str, ...]:
    """The one to three parts of a dotted name. Raises `UsageProblem`."""
    parts: list[str] = []
    position = 0
    while True:
        match = _PART.match(text, position)
        if match is None:
            raise UsageProblem(f"{text!r} is not a name: {_defect(text, position)}", _EXAMPLE)
        quoted, bare = match.groups()
        part = bare if quoted is None else quoted.replace('""', '"')
        if not part:
            raise UsageProblem(f"{text!r} is not a name: a part is empty", _EXAMPLE)
        parts.append(part)
        position = match.end()
        if position == len(text):
            break
        if text[position] != ".":
            raise UsageProblem(f"{text!r} is not a name: a quoted part must be followed by a dot", _EXAMPLE)
        position += 1
    if len(parts) > len(KINDS):
        raise UsageProblem(
            f"{text!r} has {len(parts)} parts, a name has at most three",
            "put a part that itself has dots in quotes: 'catalog.schema.\"a.b\"'",
        )
    return tuple(parts)


def parse_table(text: str) -> tuple[str, str, str]:
    """The three parts of a table's name. Raises `UsageProblem`."""
    parts = parse_name(text)
    if len(parts) != len(KINDS):
        raise UsageProblem(
            f"{text!r} names a {KINDS[len(parts) - 1]}, a table is needed",
            "write catalog.schema.table, for instance nyc.raw.flights",
        )
    return parts[0], parts[1], parts[2]


def dotted(parts: tuple[str, ...]) -> str:
    """The text that `parse_name` reads back as `parts`."""
    return ".".join(_quoted(part) for part in parts)


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"' if "." in part or '"' in part else part


def _defect(text: str, position: int) -> str:
    if text[position : position + 1] == '"':
        return "a quote is not closed"
    return "a part is empty"
