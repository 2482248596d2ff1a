"""Tables for people: aligned columns, right-aligned numbers, cut to the width of the terminal.

Guarantees: no control character of the data reaches the terminal; a cell is cut with an ellipsis, never wrapped;
columns that cannot fit at all are left out and counted below the table.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

GAP: Final = "  "
CELL_WIDTH_MIN: Final = 10
"""Narrowest a column is squeezed to before whole columns are left out."""

_ELLIPSIS: Final = "…"


class Table:
    """Rows under named columns; `numeric` names the right-aligned ones (found from the values when not given)."""

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], numeric: frozenset[str] | None = None
    ) -> None:
        self.columns = tuple(columns)
        self.rows = rows
        self.numeric = numeric if numeric is not None else _numeric(columns, rows)

    def lines(self, width: int | None) -> list[str]:
        """The table's lines: header, rule, rows, and a note when columns were left out. None: as wide as it is."""
        header = [cell_text(name) for name in self.columns]
        cells = [[cell_text(value) for value in row] for row in self.rows]
        widths = [
            max([display_width(name), *(display_width(row[index]) for row in cells)])
            for index, name in enumerate(header)
        ]
        shown = _fit(widths, width) if width is not None else widths
        right = [name in self.numeric for name in self.columns]
        lines = [_line(header, shown, right), GAP.join("─" * column for column in shown)]
        lines += [_line(row, shown, right) for row in cells]
        left_out = len(widths) - len(shown)
        if left_out:
            lines.append(f"({counted(left_out, 'column')} left out: use a wider terminal or --json)")
        return lines


def table_of(items: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> Table:
    """A table of JSON objects: `columns` are pairs of heading and field."""
    rows = [[item.get(field) for _, field in columns] for item in items]
    return Table([heading for heading, _ in columns], rows)


def counted(count: int, noun: str) -> str:
    """`1 row`, `336,776 rows`, `2 columns named so`: the first word of the noun takes the plural."""
    word, _, rest = noun.partition(" ")
    plural = word if count == 1 else f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{count:,} {plural} {rest}".rstrip()


def cell_text(value: Any) -> str:
    """How one value is shown: nothing for null, shortest form for numbers, escapes for control characters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return visible(str(value))


def visible(text: str) -> str:
    """`text` with control and format characters escaped, so that data cannot steer a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in text)


def display_width(text: str) -> int:
    """Terminal cells that `text` takes."""
    return len(text) if text.isascii() else sum(_char_width(char) for char in text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, ending in an ellipsis when something is missing."""
    if display_width(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += _char_width(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + _ELLIPSIS


def _numeric(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> frozenset[str]:
    found = set()
    for index, name in enumerate(columns):
        values = [row[index] for row in rows if row[index] is not None]
        if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            found.add(name)
    return frozenset(found)


def _fit(widths: list[int], total: int) -> list[int]:
    shown = list(widths)
    while len(shown) > 1 and _least(shown) > total:
        shown.pop()
    room = max(total - len(GAP) * (len(shown) - 1), 1)
    while sum(shown) > room:
        widest = max(shown)
        if widest <= 1:
            break
        # All of the widest columns shrink together, down to the next wide one or to what is needed.
        group = [index for index, width in enumerate(shown) if width == widest]
        below = max((width for width in shown if width < widest), default=1)
        step = min(widest - below, -(-(sum(shown) - room) // len(group)))
        for index in group:
            shown[index] = widest - max(step, 1)
    return shown


def _least(widths: list[int]) -> int:
    return sum(min(width, CELL_WIDTH_MIN) for width in widths) + len(GAP) * (len(widths) - 1)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    shown = []
    for cell, width, to_right in zip(cells, widths, right, strict=False):  # columns left out have no width
        text = cut(cell, width)
        space = " " * (width - display_width(text))
        shown.append(space + text if to_right else text + space)
    return GAP.join(shown).rstrip()


def _escaped(char: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, f"\\u{ord(char):04x}")


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
