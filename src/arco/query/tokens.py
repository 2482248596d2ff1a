"""The tokens of a SQL text, before any engine reads it.

The lexer knows strings, quoted names, dollar quotes and comments, so that nothing inside them is taken for a keyword.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<line>--[^\n]*)
  | (?P<block>/\*)
  | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
  | (?P<string>'(?:[^']|'')*')
  | (?P<name>"(?:[^"]|"")*"|`[^`]*`)
  | (?P<dollar>\$\w*\$)
  | (?P<number>\d[\w.]*)
  | (?P<word>[^\W\d]\w*)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<operator>[-+*/%<>=!|&^~@\#:?]+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SKIPPED: Final = frozenset({"space", "line", "block"})
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")


class Token(msgspec.Struct, frozen=True, gc=False):
    """A piece of the text that is neither space nor comment; `start` and `end` are positions in it."""

    kind: str
    text: str
    start: int
    end: int


def tokenize(sql: str) -> Iterator[Token]:
    """The tokens of `sql` in order; an unfinished comment or string ends at the end of the text."""
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:
            return
        kind, end = match.lastgroup or "other", match.end()
        if kind == "block":
            end = _comment_end(sql, end)
        elif kind == "dollar":
            end = _dollar_end(sql, match.group(), end)
        if kind not in _SKIPPED:
            yield Token(kind, sql[position:end], position, end)
        position = end


def _comment_end(sql: str, position: int) -> int:
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def _dollar_end(sql: str, tag: str, position: int) -> int:
    found = sql.find(tag, position)
    return len(sql) if found < 0 else found + len(tag)
