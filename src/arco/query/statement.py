"""What can be said of a SQL text before any engine reads it: its tokens, its `AS OF` clause, its size.

The lexer (`query.tokens`) is not what keeps queries read-only (that is `query.guard` and the engine's own plan check):
a text it misreads is refused or left alone, never let through further. Source: catalog.md 7.2, abuse-cases A-26, A-28.
"""

import re
from itertools import pairwise
from typing import Final

import msgspec

from arco.core.errors import InvalidInput
from arco.core.limits import SQL_BYTES_MAX, SQL_RELATIONS_MAX
from arco.query.mentions import mentions
from arco.query.tokens import Token, tokenize

NOT_A_QUERY: Final = "Only SELECT/CTE queries are supported"
SEVERAL: Final = "only single-statement queries are supported"
OPERATORS_MAX: Final = 500
"""Operators of one statement: planning a chain of them takes quadratic time (500: 25 ms, 4,000: 2 s)."""

WITH_TABLES_MAX: Final = 16
"""Tables of WITH clauses: each may name the one before twice, and so on, and the plan doubles with each."""

NESTING_MAX: Final = 50
"""Open brackets at any point: what the engine's recursive parser takes without a deep stack."""

NORMALIZED_CHARS_MAX: Final = 2_000
"""Characters of a normalized text that are kept."""

_LITERALS: Final = frozenset({"string", "escaped", "dollar", "number"})
_OPERATOR_WORDS: Final = frozenset({"AND", "OR", "NOT", "UNION", "INTERSECT", "EXCEPT", "JOIN", "WHEN", "LIKE", "IS"})
_QUERY_WORDS: Final = frozenset({"SELECT", "WITH", "VALUES", "FROM"})
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Statement(msgspec.Struct, frozen=True):
    """A checked SQL text without its `AS OF` clause, whose literal is `as_of`; `query` says whether it can be one."""

    sql: str
    as_of: str | None
    query: bool


def read_statement(text: str, *, relations_max: int = SQL_RELATIONS_MAX) -> Statement:
    """The statement that `text` holds. Raises `InvalidInput` with the contract's messages (catalog.md 7.2)."""
    sql = text.strip()
    if not sql:
        raise InvalidInput("sql cannot be empty")
    if len(sql.encode("utf-8", "surrogatepass")) > SQL_BYTES_MAX:
        raise InvalidInput(f"sql exceeds max length ({SQL_BYTES_MAX} bytes)")
    if _CONTROL.search(sql):
        raise InvalidInput("sql must not contain control characters other than tab and line breaks")
    tokens = list(tokenize(sql))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        raise InvalidInput("sql must contain a statement")
    _check_size(tokens)
    _check_no_recursion(tokens)
    _check_with_tables(tokens)
    if (count := mentions(tokens)) > relations_max:
        raise InvalidInput(f"sql mentions {count} relations, more than the limit of {relations_max}")
    sql, tokens, as_of = _without_as_of(sql, tokens)
    return Statement(sql, as_of, _may_be_query(tokens))


def normalized(sql: str) -> str:
    """The text without what its author put into it: literals are `?`, comments are gone, spaces are single."""
    parts: list[str] = []
    end = 0
    for token in tokenize(sql):
        if parts and token.start > end:
            parts.append(" ")
        parts.append("?" if token.kind in _LITERALS else token.text)
        end = token.end
    text = "".join(parts)
    return text if len(text) <= NORMALIZED_CHARS_MAX else text[:NORMALIZED_CHARS_MAX] + "..."


def _check_size(tokens: list[Token]) -> None:
    operators = depth = 0
    for token in tokens:
        if token.kind == "operator" or (token.kind == "word" and token.text.upper() in _OPERATOR_WORDS):
            operators += 1
        depth += (token.kind == "open") - (token.kind == "close")
        if depth > NESTING_MAX:
            raise InvalidInput(f"sql nests brackets deeper than {NESTING_MAX} levels")
    if operators > OPERATORS_MAX:
        raise InvalidInput(f"sql holds {operators} operators, more than the limit of {OPERATORS_MAX}")


def _check_with_tables(tokens: list[Token]) -> None:
    count = 0
    for left, right in pairwise(tokens):
        opens = right.kind == "open" and right.text == "("
        count += opens and (_is_word(left, "AS") or _is_word(left, "MATERIALIZED"))
    if count > WITH_TABLES_MAX:
        raise InvalidInput(f"sql holds {count} WITH tables, more than the limit of {WITH_TABLES_MAX}")


def _without_as_of(sql: str, tokens: list[Token]) -> tuple[str, list[Token], str | None]:
    """The text before a trailing `AS OF <manifest id | 'time'>`, its tokens, and the literal."""
    if len(tokens) < 4 or not (_is_word(tokens[-3], "AS") and _is_word(tokens[-2], "OF")):
        return sql, tokens, None
    literal = tokens[-1]
    if literal.kind not in ("number", "string"):
        return sql, tokens, None
    value = literal.text if literal.kind == "number" else literal.text[1:-1].replace("''", "'")
    return sql[: tokens[-3].start].rstrip(), tokens[:-3], value


def _may_be_query(tokens: list[Token]) -> bool:
    first = next((token for token in tokens if token.text != "("), None)
    if first is None or first.kind != "word" or first.text.upper() not in _QUERY_WORDS:
        return False
    # `SELECT ... INTO`, `WITH x AS (INSERT INTO ...)`, `FROM a INSERT SELECT *` (the engine takes it for an alias):
    # reserved words, and no part of any query.
    return not any(_is_word(token, "INTO") or _is_word(token, "INSERT") for token in tokens)


def _check_no_recursion(tokens: list[Token]) -> None:
    """Refuse `WITH RECURSIVE`: its end cannot be foreseen, and in this process it cannot be killed."""
    for left, right in pairwise(tokens):
        if _is_word(left, "WITH") and _is_word(right, "RECURSIVE"):
            raise InvalidInput("recursive queries (WITH RECURSIVE) are not supported")


def _is_word(token: Token, word: str) -> bool:
    return token.kind == "word" and token.text.upper() == word
