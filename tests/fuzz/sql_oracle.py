"""Whether a text is one query over given relations, by a parser that has nothing to do with the one arco uses.

What that parser cannot read even without its comments is judged by what would be executed: the engine's plans as
text, of which every step must be one that only reads.
"""

import re
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
_COMMENT: Final = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")|/\*.*?\*/|--[^\n]*""", re.DOTALL)
_STEP: Final = re.compile(r"^[ |]*(\w+)")
_SCAN: Final = re.compile(r"\bTableScan: (\S+)")
_LOGICAL: Final = frozenset(
    {
        *("Aggregate", "Cross", "Distinct", "DistinctOn", "EmptyRelation", "Filter", "Full", "Inner", "Left", "Limit"),
        *("LeftAnti", "LeftMark", "LeftSemi", "Projection", "Right", "RightAnti", "RightSemi", "Sort", "Subquery"),
        *("SubqueryAlias", "TableScan", "Union", "Unnest", "Values", "WindowAggr"),
    }
)
_PHYSICAL: Final = frozenset(
    {
        *("AggregateExec", "BoundedWindowAggExec", "CoalesceBatchesExec", "CoalescePartitionsExec", "CooperativeExec"),
        *("CrossJoinExec", "DataSourceExec", "EmptyExec", "FilterExec", "GlobalLimitExec", "HashJoinExec"),
        *("InterleaveExec", "LocalLimitExec", "NestedLoopJoinExec", "PartialSortExec", "PlaceholderRowExec"),
        *(
            "ProjectionExec",
            "RepartitionExec",
            "ScalarSubqueryExec",
            "SortExec",
            "SortMergeJoinExec",
            "SortPreservingMergeExec",
        ),
        *("UnionExec", "UnnestExec", "WindowAggExec"),
    }
)

for _dialect in _DIALECTS:
    # Loaded now: where this is asked, no file can be opened any more.
    sqlglot.parse("SELECT 1 AS a -- b", dialect=_dialect or None)


def verdict(sql: str, relations: Collection[str]) -> str:
    """`agrees`, `cannot_say` when it cannot parse the text, or what it finds in it that is no query."""
    for text in (sql, _COMMENT.sub(lambda found: found[1] or " ", sql)):
        for dialect in _DIALECTS:
            try:
                found = [one for one in sqlglot.parse(text, dialect=dialect or None) if one is not None]
            except (SqlglotError, RecursionError, ValueError):
                continue
            return _judged(found, relations)
    return CANNOT_SAY


def plan_verdict(logical: str, physical: str, relations: Collection[str]) -> str:
    """`agrees` when every step of both plans only reads, and what is scanned is registered; else what it found."""
    for text, known in ((logical, _LOGICAL), (physical, _PHYSICAL)):
        for line in text.splitlines():
            step = _STEP.match(line)
            if step is None or step[1] not in known:
                return f"the step {line.strip()[:80]}"
    for name in _SCAN.findall(logical):
        if name.replace('"', "").lower() not in relations:
            return f"a scan of {name}"
    return AGREES


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
