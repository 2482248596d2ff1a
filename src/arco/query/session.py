"""Executes one checked query over given relations: a function from data to data, fit to run in another process.

`QueryRequest` holds everything a query may see: Arrow tables and paths of local files. A fresh engine session is made
for each (0.3 ms), holds only these relations, may use `memory_bytes`, and no temporary files. The deadline is kept by
cancelling the engine's stream; the engine stops at its next yield point. Some operators (nested loop joins) have none:
such a query goes on using a core after its caller has got `query timed out`, until the process ends. Only a process
of its own can be stopped for certain; the request is shaped for it. Source: catalog.md 7.3, measurements.md 4.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa

from arco.core.errors import InvalidInput
from arco.core.limits import SQL_RESULT_BYTES_MAX, SQL_ROWS_MAX, SQL_TIMEOUT_S
from arco.query.discovery import session_config
from arco.query.guard import QueryTimedOut, RelationName, check_plan, read_only, refuse, withhold

if TYPE_CHECKING:
    from datafusion import DataFrame, SessionContext

RESULT_TOO_LARGE: Final = f"query result exceeds max size ({SQL_RESULT_BYTES_MAX} bytes)"
_ARROW_TO_ENCODED: Final = 4
"""Null cells take Arrow bytes but no JSON bytes, so rows are only given up at a multiple of the encoded limit."""


class ArrowRelation(msgspec.Struct, frozen=True, tag="arrow"):
    """Rows that are in memory."""

    name: RelationName
    table: pa.Table


class ParquetRelation(msgspec.Struct, frozen=True, tag="parquet"):
    """Parquet files on this machine; `base` is the folder below which `key=value` folders are columns, or None."""

    name: RelationName
    paths: tuple[str, ...]
    base: str | None


class DeltaRelation(msgspec.Struct, frozen=True, tag="delta"):
    """One version of a Delta table in a folder of this machine."""

    name: RelationName
    path: str
    version: int


Relation = ArrowRelation | ParquetRelation | DeltaRelation


class QueryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one query may use: seconds, bytes of working memory, rows and encoded bytes of its result."""

    timeout_s: float = SQL_TIMEOUT_S
    memory_bytes: int = 512 * 1024 * 1024
    rows_max: int = SQL_ROWS_MAX
    result_bytes_max: int = SQL_RESULT_BYTES_MAX


class QueryRequest(msgspec.Struct, frozen=True):
    """A query and all that it can see."""

    sql: str
    relations: tuple[Relation, ...]
    limits: QueryLimits


class Answer(msgspec.Struct, frozen=True):
    """The rows of a query, and whether there were more than `rows_max`."""

    table: pa.Table
    truncated: bool


def execute(request: QueryRequest) -> Answer:
    """The answer to `request`. Raises `InvalidInput` for every way a query can fail, `QueryTimedOut` among them."""
    try:
        frame = _planned(request)
        return asyncio.run(_collected(frame, request.limits))
    except TimeoutError:
        raise QueryTimedOut from None
    except BaseException as error:  # noqa: BLE001  # a panic of the engine is not an Exception; `refuse` lets exits pass
        refuse(error)


def _planned(request: QueryRequest) -> "DataFrame":
    from datafusion import RuntimeEnvBuilder, SessionContext  # noqa: PLC0415  # 0.1 s to import

    runtime = RuntimeEnvBuilder().with_disk_manager_disabled().with_greedy_memory_pool(request.limits.memory_bytes)
    context = SessionContext(session_config(), runtime)
    withhold(context)
    _register(context, request.relations)
    frame = context.sql_with_options(request.sql, read_only())
    check_plan(frame.logical_plan())
    return frame.limit(request.limits.rows_max + 1)


async def _collected(frame: "DataFrame", limits: QueryLimits) -> Answer:
    schema = frame.schema()
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    async with asyncio.timeout(limits.timeout_s):
        async for batch in frame.execute_stream():
            batches.append(batch.to_pyarrow())
            rows += batches[-1].num_rows
            size += batches[-1].nbytes
            if size > limits.result_bytes_max * _ARROW_TO_ENCODED:
                raise InvalidInput(RESULT_TOO_LARGE)
    table = pa.Table.from_batches(batches, batches[0].schema if batches else schema)
    return Answer(table.slice(0, limits.rows_max), rows > limits.rows_max)


def _register(context: "SessionContext", relations: Sequence[Relation]) -> None:
    from datafusion.catalog import Catalog, Schema  # noqa: PLC0415  # 0.1 s to import

    made: set[tuple[str, ...]] = set()
    for relation in relations:
        name = relation.name
        if (name.catalog,) not in made:
            context.register_catalog_provider(name.catalog, Catalog.memory_catalog())
        if (name.catalog, name.schema) not in made:
            context.catalog(name.catalog).register_schema(name.schema, Schema.memory_schema())
        made |= {(name.catalog,), (name.catalog, name.schema)}
        if isinstance(relation, ArrowRelation):
            context.register_record_batches(_quoted(name), [_batches(relation.table)])
        else:
            context.catalog(name.catalog).schema(name.schema).register_table(name.table, _dataset(relation))


def _quoted(name: RelationName) -> str:
    parts = (name.catalog, name.schema, name.table)
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _batches(table: pa.Table) -> list[pa.RecordBatch]:
    # The engine learns the schema from the first batch, so an empty table needs one too.
    return table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]


def _dataset(relation: ParquetRelation | DeltaRelation) -> Any:
    """A lazy dataset: the engine hands it the columns and filters a query needs, and it reads no more."""
    import pyarrow.dataset as ds  # noqa: PLC0415  # only for user data
    from datafusion.catalog import Table  # noqa: PLC0415  # comes with the engine

    if isinstance(relation, DeltaRelation):
        from deltalake import DeltaTable  # noqa: PLC0415  # only for Delta tables

        return Table(DeltaTable(relation.path, version=relation.version).to_pyarrow_dataset())
    options = ds.FileSystemFactoryOptions()
    if relation.base is not None:
        options.partition_base_dir = relation.base
        options.partitioning_factory = ds.HivePartitioning.discover()
    factory = ds.FileSystemDatasetFactory(_local(), list(relation.paths), ds.ParquetFileFormat(), options)
    return Table(factory.finish(factory.inspect(promote_options="permissive")))


def _local() -> Any:
    from pyarrow.fs import LocalFileSystem  # noqa: PLC0415  # comes with the engine

    return LocalFileSystem()
