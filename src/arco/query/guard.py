"""Keeps SQL read-only and inside the relations it may see; says what is wrong with a query in public words.

Three gates, each enough on its own: the engine refuses plans with DDL, DML or statements (nested ones too); the plan's
nodes must all be on a list of relational operators; and the only tables, catalogs and table functions that exist in
a session are the ones registered for this query. URL tables are never enabled and information_schema is off, so a
file name is just the name of a relation that does not exist. Source: catalog.md 7.2, abuse-cases A-25..A-27.
"""

from typing import TYPE_CHECKING, Any, Final, NoReturn

from arco.core.errors import ArcoError, InvalidInput
from arco.query.errors import NotReadOnly, QueryExhausted
from arco.query.statement import NOT_A_QUERY, SEVERAL
from arco.query.wire import UNSAID

if TYPE_CHECKING:
    from datafusion import SQLOptions
    from datafusion.plan import LogicalPlan

_NODES: Final = frozenset(
    {
        *("Aggregate", "Distinct", "EmptyRelation", "Filter", "Join", "Limit", "Projection", "Repartition", "Sort"),
        *("Subquery", "SubqueryAlias", "TableScan", "Union", "Unnest", "Values", "WindowExpr"),
    }
)
_READ_ONLY: Final = (
    "DDL not supported",
    "DML not supported",
    "Statement not supported",
    "This feature is not implemented: Query INSERT",
    "This feature is not implemented: Query UPDATE",
    "This feature is not implemented: Query DELETE",
    "This feature is not implemented: Query MERGE",
)
_SPEAKABLE: Final = (
    "Error during planning:",
    "Schema error:",
    "This feature is not implemented:",
    "Execution error: Placeholder",
    "Arrow error: Divide by zero",
    "Arrow error: Cast error",
    "Arrow error: Arithmetic overflow",
    "Arrow error: Parser error",
)
_MESSAGE_CHARS_MAX: Final = 600


def read_only() -> "SQLOptions":
    """The engine's own switch: no DDL, no DML, no statements, at any depth of the plan."""
    from datafusion import SQLOptions  # noqa: PLC0415  # 0.1 s to import: only when a query comes

    return SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)


def check_plan(plan: "LogicalPlan") -> None:
    """Raises `InvalidInput` unless every node of the plan is a relational operator."""
    pending = [plan]
    while pending:
        node = pending.pop()
        if _node_name(node) not in _NODES:
            raise NotReadOnly(NOT_A_QUERY)
        pending.extend(node.inputs())


def _node_name(node: "LogicalPlan") -> str:
    try:
        variant: Any = node.to_variant()
    except Exception:  # noqa: BLE001  # whatever the engine raises, a node it cannot name is not on the list
        return "?"
    return type(variant).__name__


def refuse(error: BaseException) -> NoReturn:
    """Raise the public fact that an exception of the engine stands for; its own text may name files and internals."""
    if isinstance(error, ArcoError | KeyboardInterrupt | SystemExit):
        raise error
    if "Resources exhausted" in str(error):
        raise QueryExhausted from None
    words = explain(str(error))
    raise (NotReadOnly if words in (NOT_A_QUERY, SEVERAL) else InvalidInput)(words) from None


def explain(text: str) -> str:
    """The public words for an error text of the engine (catalog.md 7.2)."""
    cause = text.removeprefix("DataFusion error: ")
    if cause.startswith("SQL error:"):
        return f"failed to parse SQL: {_parser_words(cause)}"
    if "No SQL statements were provided" in cause:
        return "sql must contain a statement"
    if "only supports a single SQL statement" in cause:
        return SEVERAL
    if any(marker in cause for marker in _READ_ONLY):
        return NOT_A_QUERY
    if cause.startswith("Optimizer rule") and "caused by" in cause:
        cause = cause.rpartition("caused by")[2].strip()
    if cause.startswith(_SPEAKABLE):
        return _trimmed(cause)
    return "query failed while it was executed; a file of a queried table may be damaged or of a type SQL cannot read"


def _parser_words(cause: str) -> str:
    words = cause.removeprefix("SQL error:").strip()
    for shell in ("ParserError(", "TokenizerError("):
        if words.startswith(shell):
            words = words.removeprefix(shell).removesuffix(")").strip('"')
    return _trimmed(words)


def plain_text(text: str) -> str:
    """An engine's text without the name of the unsaid catalog."""
    return text.replace(f'"{UNSAID}".', "").replace(f"{UNSAID}.", "")


def _trimmed(words: str) -> str:
    plain = words.partition("\n\nbacktrace")[0].partition("\nThis issue was likely caused by a bug")[0]
    plain = " ".join(plain_text(plain).split())
    return plain if len(plain) <= _MESSAGE_CHARS_MAX else plain[:_MESSAGE_CHARS_MAX] + "..."
