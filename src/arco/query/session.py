"""Executes one checked query over given rows, in a sandbox child.

A fresh engine session is made for each query (0.1 ms), holds only the relations it may see and the functions it may
call, may use `memory_bytes`, and no temporary files. Nothing here keeps the deadline: the api kills the child, because
some operators (nested loop joins) never yield. Source: catalog.md 7.3, measurements.md 4.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa

from arco.core.errors import InvalidInput
from arco.query.functions import keep_allowed
from arco.query.guard import check_plan, plain_text, read_only
from arco.query.wire import UNSAID, QueryLimits, RelationName, Run

if TYPE_CHECKING:
    from datafusion import DataFrame, SessionConfig, SessionContext
    from datafusion.catalog import Table


_ARROW_TO_ENCODED: Final = 4
"""Null cells take Arrow bytes but no JSON bytes, so rows are only given up at a multiple of the encoded limit."""


class Answer(msgspec.Struct, frozen=True):
    """The rows of a query, and whether there were more than `rows_max`."""

    table: pa.Table
    truncated: bool


def too_large(bytes_max: int) -> InvalidInput:
    """The fact that a result is larger than it may be (catalog.md 7.3)."""
    return InvalidInput(f"query result exceeds max size ({bytes_max} bytes)")


def session_config() -> "SessionConfig":
    """The settings of every session: one partition, nothing registered by default, no information_schema."""
    from datafusion import SessionConfig  # noqa: PLC0415  # loads the engine

    config = SessionConfig().with_create_default_catalog_and_schema(False)
    config = config.with_default_catalog_and_schema(UNSAID, UNSAID).with_information_schema(False)
    return config.with_target_partitions(1)


def warm_up() -> None:
    """Start the engine and run a first query, so that the next one need not."""
    from datafusion import SessionContext  # noqa: PLC0415  # loads the engine

    context = SessionContext()
    keep_allowed(context)
    context.register_record_batches("t", [pa.table({"x": ["a", "b"]}).to_batches()])
    # Patterns too: their library looks up how many processors there are when it first meets one.
    context.sql("SELECT count(*) FROM t WHERE x = 'a' OR x LIKE '%a_%b' OR regexp_like(x, 'a.b')").collect()


def execute(request: Run, seen: Sequence[tuple[RelationName, "Table"]]) -> Answer:
    """The answer to `request`. Raises `InvalidInput` and whatever the engine does."""
    from datafusion import RuntimeEnvBuilder, SessionContext  # noqa: PLC0415  # loads the engine

    runtime = RuntimeEnvBuilder().with_disk_manager_disabled().with_greedy_memory_pool(request.limits.memory_bytes)
    context = SessionContext(session_config(), runtime)
    keep_allowed(context)
    _register(context, seen)
    frame = context.sql_with_options(request.sql, read_only())
    check_plan(frame.logical_plan())
    if request.explain is not None:
        return _explained(context, frame, request)
    return _collected(frame.limit(request.limits.rows_max + 1), request.limits)


def _collected(frame: "DataFrame", limits: QueryLimits) -> Answer:
    schema = frame.schema()
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in frame.execute_stream():
        batches.append(batch.to_pyarrow())
        rows += batches[-1].num_rows
        size += batches[-1].nbytes
        if size > limits.result_bytes_max * _ARROW_TO_ENCODED:
            raise too_large(limits.result_bytes_max)
    table = pa.Table.from_batches(batches, batches[0].schema if batches else schema)
    kept = table.slice(0, limits.rows_max)
    # Readers believe what a file says of its texts and offsets; what leaves is looked at.
    kept.validate(full=True)
    return Answer(kept, rows > limits.rows_max)


def _explained(context: "SessionContext", frame: "DataFrame", request: Run) -> Answer:
    """How the query would be executed (`plan`), or how it was, with what each step took (`analyze`)."""
    if request.explain == "analyze":
        told = context.sql(f"EXPLAIN ANALYZE {request.sql}").collect()
        text = "\n".join(str(line) for batch in told for line in batch.to_pydict()["plan"])
        kinds, plans = ["executed"], [text]
    else:
        kinds = ["logical", "optimized", "physical"]
        plans = [
            frame.logical_plan().display_indent(),
            frame.optimized_logical_plan().display_indent(),
            frame.execution_plan().display_indent(),
        ]
    return Answer(pa.table({"plan_type": kinds, "plan": [plain_text(plan) for plan in plans]}), False)


def _register(context: "SessionContext", seen: Sequence[tuple[RelationName, "Table"]]) -> None:
    from datafusion.catalog import Catalog, Schema  # noqa: PLC0415  # loads the engine

    made: set[tuple[str, ...]] = set()
    for name, rows in seen:
        if (name.catalog,) not in made:
            context.register_catalog_provider(name.catalog, Catalog.memory_catalog())
        if (name.catalog, name.schema) not in made:
            context.catalog(name.catalog).register_schema(name.schema, Schema.memory_schema())
        made |= {(name.catalog,), (name.catalog, name.schema)}
        context.catalog(name.catalog).schema(name.schema).register_table(name.table, rows)
