"""Keeps SQL read-only and inside the relations it may see; says what is wrong with a query in public words.

Three gates, each enough on its own: the engine refuses plans with DDL, DML or statements (nested ones too); the plan's
nodes must all be on a list of relational operators; and the only tables, catalogs and table functions that exist in
a session are the ones registered for this query. URL tables are never enabled and information_schema is off, so a
file name is just the name of a relation that does not exist. Source: catalog.md 7.2, abuse-cases A-25..A-27.
"""

from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from arco.core.errors import ArcoError, InvalidInput
from arco.query.statement import NOT_A_QUERY

if TYPE_CHECKING:
    from datafusion import SessionContext, SQLOptions
    from datafusion.plan import LogicalPlan

UNSAID: Final = "\x1f"
"""The default catalog and schema: a control character, which no accepted SQL text can hold."""

WITHHELD_TABLE_FUNCTIONS: Final = ("generate_series", "range")
"""Rows without a source and without an end."""

WITHHELD_FUNCTIONS: Final = (
    *("input_file_name", "file_row_index", "version"),  # they tell of files and of the engine
    # Memory by one argument: the engine's memory pool does not count what they allocate, and the process dies.
    *("repeat", "lpad", "rpad", "array_resize", "list_resize", "array_repeat", "list_repeat"),
    *("generate_series", "range"),
)

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


class RelationName(msgspec.Struct, frozen=True, order=True):
    """A relation as the engine resolved it; parts the query does not say are `UNSAID`."""

    catalog: str
    schema: str
    table: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts the query says, in order."""
        return tuple(part for part in (self.catalog, self.schema, self.table) if part != UNSAID)

    @property
    def text(self) -> str:
        """The name as people write it."""
        return ".".join(self.parts)


class QueryTimedOut(InvalidInput):
    """The query did not finish in its time."""

    def __init__(self) -> None:
        super().__init__("query timed out")


def read_only() -> "SQLOptions":
    """The engine's own switch: no DDL, no DML, no statements, at any depth of the plan."""
    from datafusion import SQLOptions  # noqa: PLC0415  # 0.1 s to import: only when a query comes

    return SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)


def withhold(context: "SessionContext") -> None:
    """Take away the functions a query may not call."""
    for name in WITHHELD_TABLE_FUNCTIONS:
        context.deregister_udtf(name)
    for name in WITHHELD_FUNCTIONS:
        context.deregister_udf(name)


def check_plan(plan: "LogicalPlan") -> None:
    """Raises `InvalidInput` unless every node of the plan is a relational operator."""
    pending = [plan]
    while pending:
        node = pending.pop()
        if _node_name(node) not in _NODES:
            raise InvalidInput(NOT_A_QUERY)
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
    raise InvalidInput(explain(str(error))) from None


def explain(text: str) -> str:
    """The public words for an error text of the engine (catalog.md 7.2)."""
    cause = text.removeprefix("DataFusion error: ")
    if cause.startswith("SQL error:"):
        return f"failed to parse SQL: {_parser_words(cause)}"
    if "No SQL statements were provided" in cause:
        return "sql must contain a statement"
    if "only supports a single SQL statement" in cause:
        return "only single-statement queries are supported"
    if any(marker in cause for marker in _READ_ONLY):
        return NOT_A_QUERY
    if "Resources exhausted" in cause:
        return "query needs more memory than a query may use; select fewer rows or columns, or aggregate less"
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


def _trimmed(words: str) -> str:
    plain = words.partition("\n\nbacktrace")[0].partition("\nThis issue was likely caused by a bug")[0]
    plain = " ".join(plain.replace(f'"{UNSAID}".', "").replace(f"{UNSAID}.", "").split())
    return plain if len(plain) <= _MESSAGE_CHARS_MAX else plain[:_MESSAGE_CHARS_MAX] + "..."
