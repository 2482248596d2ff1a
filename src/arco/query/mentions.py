"""How often a SQL text names a relation: what stands after FROM and JOIN, and after commas between them.

Every mention counts, because each is planned anew: a table joined with itself is two. Like everything that is said of
the text before an engine reads it, this is a budget and no gate. Source: abuse-cases A-28.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.query.tokens import Token

_ENDS: Final = frozenset(
    {
        *("WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FETCH", "WINDOW", "QUALIFY"),
        *("UNION", "INTERSECT", "EXCEPT", "SELECT"),
    }
)
_BEGINS: Final = frozenset({"SELECT", "WITH", "VALUES", "FROM"})
_BEFORE: Final = frozenset({"FROM", "JOIN", "LATERAL", ",", "("})
"""What stands before a bracket that holds relations; others hold arguments or conditions."""


class _Frame(msgspec.Struct):
    """What is between two brackets: whether it is a query, whether its relations are being listed."""

    query: bool = False
    listing: bool = False
    empty: bool = True


def mentions(tokens: Sequence[Token]) -> int:
    """The number of relations that the statement mentions, each as often as it does."""
    frames = [_Frame()]
    count = 0
    for at, token in enumerate(tokens):
        frame = frames[-1]
        if token.kind == "open":
            # A bracket around joined relations lists them; one around a query does not.
            frame.empty = False
            before = tokens[at - 1].text.upper() if at else ""
            frames.append(_Frame(listing=frame.listing and before in _BEFORE and _is_relation(tokens, at)))
        elif token.kind == "close":
            if len(frames) > 1:
                frames.pop()
        else:
            count += _seen(tokens, at, frame)
            frame.empty = False
    return count


def _seen(tokens: Sequence[Token], at: int, frame: _Frame) -> int:
    """How many relations this token announces, 0 or 1; keeps the frame."""
    word = tokens[at].text.upper() if tokens[at].kind == "word" else tokens[at].text
    if word in _ENDS:
        frame.query = frame.query or word == "SELECT"
        frame.listing = False
    elif word == "FROM" and (frame.query or frame.empty) and not _compares(tokens, at):
        frame.listing = frame.query = True
        return _is_relation(tokens, at + 1)
    elif word == "JOIN" or (word == "," and frame.listing):
        return _is_relation(tokens, at + 1)
    return 0


def _is_relation(tokens: Sequence[Token], at: int) -> bool:
    """False when a query in brackets begins here: it is counted by what it mentions itself."""
    while at < len(tokens) and tokens[at].text.upper() in ("(", "LATERAL"):
        at += 1
    return at >= len(tokens) or tokens[at].kind != "word" or tokens[at].text.upper() not in _BEGINS


def _compares(tokens: Sequence[Token], at: int) -> bool:
    """Whether this FROM is that of `IS [NOT] DISTINCT FROM`."""
    words = [token.text.upper() for token in tokens[max(at - 3, 0) : at]]
    return words[-1:] == ["DISTINCT"] and ("IS" in words or "NOT" in words)
