"""Whether a text is one query over given relations, by a parser that has nothing to do with the one arco uses."""

from collections.abc import Collection
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

AGREES: Final = "agrees"
CANNOT_SAY: Final = "cannot_say"

_QUERIES: Final = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
_WRITING: Final = (
    *(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable, exp.Copy),
    *(exp.Command, exp.Set, exp.Use, exp.Pragma, exp.Transaction, exp.Commit, exp.Rollback, exp.Into, exp.Describe),
    *(exp.Attach, exp.Detach, exp.Show, exp.Kill, exp.Grant, exp.LoadData),
)
_DIALECTS: Final = ("postgres", "duckdb", "")

for _dialect in _DIALECTS:
    # Loaded now: where this is asked, no file can be opened any more.
    sqlglot.parse("SELECT 1 AS a -- b", dialect=_dialect or None)


def verdict(sql: str, relations: Collection[str]) -> str:
    """`agrees`, `cannot_say` when it cannot parse the text, or what it finds in it that is no query."""
    for dialect in _DIALECTS:
        try:
            found = [one for one in sqlglot.parse(sql, dialect=dialect or None) if one is not None]
        except (SqlglotError, RecursionError, ValueError):
            continue
        return _judged(found, relations)
    return CANNOT_SAY


def _judged(found: list[exp.Expr], relations: Collection[str]) -> str:
    if len(found) != 1:
        return f"{len(found)} statements"
    root = found[0]
    if not isinstance(root, _QUERIES):
        return f"a {type(root).__name__}"
    writing = root.find(*_WRITING)
    if writing is not None:
        return f"a {type(writing).__name__} inside"
    local = {cte.alias.lower() for cte in root.find_all(exp.CTE)}
    for table in root.find_all(exp.Table):
        name = ".".join(part.name for part in table.parts).lower()
        if name not in relations and name not in local and not isinstance(table.this, exp.Func):
            return f"the relation {name}"
    return AGREES
