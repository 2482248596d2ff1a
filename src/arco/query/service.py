"""SQL over pinned snapshots and over registered tables: the one thing the routes know of the query room.

A query runs on a small pool of threads of its own, never on the event loop; the pool's size is how many run at once.
After `timeout_s` the caller gets `query timed out`. The thread is not killed, for no thread can be: it ends at the
engine's next yield point, and until then it keeps its place in the pool, so that runaway queries crowd out other
queries and not the rest of the server. `run` takes and returns nothing but data, so that it can move to a child
process that can be killed, without a caller noticing. Source: catalog.md 7, measurements.md 4.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from arco.core.errors import InvalidInput, Overloaded
from arco.core.offload import Threads
from arco.core.scope import Scope
from arco.kernel.reading import Reader
from arco.kernel.spec import TableSpec
from arco.query.as_of import pinned
from arco.query.data import DataRelations, Resolve
from arco.query.discovery import discover
from arco.query.files import DataFiles, Spool
from arco.query.guard import QueryTimedOut
from arco.query.relations import RowsCache, SystemRelations
from arco.query.results import Output, QueryResult, encode
from arco.query.session import Answer, QueryLimits, QueryRequest, execute
from arco.query.statement import Statement, read_statement

T = TypeVar("T")

WORKERS: Final = 2
"""Queries that run at once (`ARCO_QUERY_WORKERS`)."""

WAITING_MAX: Final = 64
"""Queries that may run or wait before more are refused: beyond it the last would time out in the queue."""


class QueryService:
    """Answers SQL. `relations` maps public names to tables, `resolve` finds registered tables of a snapshot."""

    def __init__(
        self,
        relations: Mapping[str, TableSpec[Any]],
        resolve: Resolve,
        data_files_for: Callable[[Scope], DataFiles],
        *,
        limits: QueryLimits | None = None,
        workers: int = WORKERS,
        cache: RowsCache | None = None,
    ) -> None:
        self.limits = limits or QueryLimits()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="arco-query")
        self._offload = Threads(1)
        self._system = SystemRelations(relations, self._offload, cache or RowsCache())
        self._data = DataRelations(resolve)
        self._data_files_for = data_files_for
        self._busy = 0

    async def query(self, reader: Reader, scope: Scope, sql: str, *, as_of: str | int | None = None) -> QueryResult:
        """Rows of the catalog's own relations at one snapshot: the head, or the one `as_of` (or the SQL's) names.

        Raises `InvalidInput` for everything wrong with the statement or its execution, `NotFound` for an unknown
        manifest or an empty workspace, `Overloaded` when too many queries wait (catalog.md 7.2, 7.3).
        """
        return await self._in_time(self._query(reader, scope, sql, as_of))

    async def query_data(self, reader: Reader, scope: Scope, sql: str) -> QueryResult:
        """Rows of registered Parquet and Delta tables; which files they are is read at the head snapshot.

        Raises as `query` does, and `NotFound` for unknown tables and missing files (catalog.md 7.5).
        """
        return await self._in_time(self._query_data(reader, scope, sql))

    async def encoded(self, result: QueryResult, output: Output) -> bytes:
        """The body of the response. Raises `InvalidInput` when it is too large (catalog.md 7.3, 7.4)."""
        return await self._offload.run(lambda: encode(result, output, self.limits.result_bytes_max))

    async def run(self, request: QueryRequest) -> Answer:
        """Execute a request of pure data somewhere else than here. Raises `InvalidInput`, `Overloaded`."""
        return await self._elsewhere(lambda: execute(request))

    def close(self) -> None:
        """Take no more queries; running ones end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._offload.close()

    async def _query(self, reader: Reader, scope: Scope, sql: str, as_of: str | int | None) -> QueryResult:
        statement = read_statement(sql)
        names = await self._elsewhere(lambda: discover(statement))
        snapshot = await pinned(reader, _one_moment(statement, as_of))
        relations = await self._system.load(scope, snapshot, names)
        answer = await self.run(QueryRequest(statement.sql, relations, self.limits))
        return _result(answer, None if snapshot is None else snapshot.manifest_id)

    async def _query_data(self, reader: Reader, scope: Scope, sql: str) -> QueryResult:
        statement = read_statement(sql)
        names = await self._elsewhere(lambda: discover(statement))
        if statement.as_of is not None:
            raise InvalidInput("AS OF is for POST /query; POST /query-data reads the latest version of each table")
        snapshot = await reader.head()
        with Spool() as spool:
            relations = await self._data.load(snapshot, names, scope, (self._data_files_for(scope), spool))
            answer = await self.run(QueryRequest(statement.sql, relations, self.limits))
        return _result(answer, None if snapshot is None else snapshot.manifest_id)

    async def _in_time(self, work: Any) -> QueryResult:
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                result: QueryResult = await work
                return result
        except TimeoutError:
            raise QueryTimedOut from None

    async def _elsewhere(self, work: Callable[[], T]) -> T:
        if self._busy >= WAITING_MAX:
            raise Overloaded("Too many SQL queries are waiting; send the query again in a moment", retry_after_s=1)
        self._busy += 1
        future = self._pool.submit(work)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _from_thread(loop, self._leave))
        return await asyncio.wrap_future(future)

    def _leave(self) -> None:
        self._busy -= 1


def _from_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)


def _one_moment(statement: Statement, as_of: str | int | None) -> str | int | None:
    if statement.as_of is not None and as_of is not None:
        raise InvalidInput("as_of and the AS OF clause of sql both name a moment; give one of them")
    return statement.as_of if as_of is None else as_of


def _result(answer: Answer, manifest_id: str | None) -> QueryResult:
    return QueryResult(table=answer.table, manifest_id=manifest_id, truncated=answer.truncated)
