"""SQL over pinned snapshots and over registered tables: the one thing the routes know of the query room.

The api itself never parses, plans or runs a statement, and never opens a stranger's file: sandbox children do
(`query.sandbox`). A query has `timeout_s` from the moment it has a child; then the child is killed, whatever it was
doing, and the caller is told `query timed out`. Source: catalog.md 7, abuse-cases A-25 to A-30 and A-39.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from arco.core.errors import InvalidInput
from arco.core.limits import SQL_DATA_TABLES_MAX
from arco.core.offload import Threads
from arco.core.scope import Scope
from arco.kernel.reading import Reader
from arco.kernel.spec import TableSpec
from arco.query.as_of import pinned
from arco.query.data import DataRelations, Reach, Resolve
from arco.query.errors import QueryTimedOut
from arco.query.files import DataFiles, Handed
from arco.query.joint import JointReader
from arco.query.relations import SystemRelations
from arco.query.results import Output, QueryResult
from arco.query.sandbox import Sandbox, Worker, WorkerDied
from arco.query.shelf import Shelf
from arco.query.statement import Statement, read_statement
from arco.query.wire import Discover, Done, Live, Names, QueryLimits, ReadLog, RelationName, Run, Slice

_NAMES_KEPT: Final = 512
"""Statements whose relations are remembered: programs ask the same few again and again."""

_LOG_BYTES_MAX: Final = 4 * 1024 * 1024
"""Longest list of a Delta table's live files that is believed: ten thousand paths."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A question: its SQL, the moment it is asked of, how rows are wanted (None: not at all), whether to explain it."""

    sql: str
    as_of: str | int | None = None
    output: Output | None = "arrow"
    explain: str | None = None


class QueryService:
    """Answers SQL. `relations` maps public names to tables, `resolve` finds registered tables of a snapshot."""

    def __init__(
        self,
        relations: Mapping[str, TableSpec[Any]],
        resolve: Resolve,
        data_files_for: Callable[[Scope], DataFiles],
        *,
        sandbox: Sandbox,
        shelf: Shelf,
        limits: QueryLimits | None = None,
    ) -> None:
        self.limits = limits or QueryLimits()
        self.sandbox = sandbox
        self._shelf = shelf
        self._offload = Threads(1)
        self._system = SystemRelations(relations, self._offload, self._shelf)
        self._data = DataRelations(resolve)
        self._data_files_for = data_files_for
        self._names: OrderedDict[str, tuple[RelationName, ...]] = OrderedDict()

    async def query(self, reader: Reader | JointReader, scope: Scope, ask: Ask) -> QueryResult:
        """Rows of the catalog's own relations at one snapshot: the head, or the one `as_of` (or the SQL's) names.

        Raises `InvalidInput` for everything wrong with the statement or its execution, `NotFound` for an unknown
        manifest or an empty workspace, `Overloaded` when too many queries wait (catalog.md 7.2, 7.3).
        """
        statement = read_statement(ask.sql)
        async with self.sandbox.lease(scope) as worker:
            return await self._in_time(worker, self._query(worker, reader, statement, ask))

    async def query_data(self, reader: Reader, scope: Scope, ask: Ask) -> QueryResult:
        """Rows of registered Parquet and Delta tables; which files they are is read at the head snapshot.

        Raises as `query` does, and `NotFound` for unknown tables and missing files (catalog.md 7.5).
        """
        statement = read_statement(ask.sql, relations_max=SQL_DATA_TABLES_MAX)
        async with self.sandbox.lease(scope) as worker:
            return await self._in_time(worker, self._query_data(worker, reader, statement, ask))

    async def close(self) -> None:
        """Take no more queries; running ones end."""
        await self.sandbox.close()
        await self._system.settled()
        self._offload.close()
        self._shelf.clear()

    async def _query(self, worker: Worker, reader: Reader | JointReader, statement: Statement, ask: Ask) -> QueryResult:
        scope = _scope_of(worker)
        names = await self._discovered(worker, statement)
        snapshot = await pinned(reader, _one_moment(statement, ask.as_of))
        loaded = await self._system.load(scope, snapshot, names)
        bring = tuple(name for name in loaded.blocks if name not in worker.held)
        drop = tuple(name for name in worker.held if name not in loaded.blocks and not self._shelf.has(scope, name))
        run = Run(
            sql=statement.sql,
            relations=loaded.relations,
            bring=bring,
            drop=drop,
            limits=self.limits,
            output=ask.output,
            explain=ask.explain,
            manifest_id=None if snapshot is None else snapshot.manifest_id,
        )
        worker.held.difference_update(drop)
        worker.held.update(bring)
        return await self._ran(worker, run, [loaded.blocks[name].descriptor for name in bring])

    async def _query_data(self, worker: Worker, reader: Reader, statement: Statement, ask: Ask) -> QueryResult:
        scope = _scope_of(worker)
        names = await self._discovered(worker, statement)
        if statement.as_of is not None:
            raise InvalidInput("AS OF is for POST /query; POST /query-data reads the latest version of each table")
        snapshot = await reader.head()
        with Handed() as handed:

            async def read_log(location: str, log: tuple[Slice, ...]) -> Sequence[str]:
                live = await worker.ask(ReadLog(location, log), handed.descriptors, bytes_max=_LOG_BYTES_MAX)
                return live.paths if isinstance(live, Live) else ()

            reach = Reach(self._data_files_for(scope), handed, read_log)
            relations = await self._data.load(snapshot, names, scope, reach)
            run = Run(
                sql=statement.sql,
                relations=relations,
                limits=self.limits,
                output=ask.output,
                explain=ask.explain,
                manifest_id=None if snapshot is None else snapshot.manifest_id,
            )
            return await self._ran(worker, run, handed.descriptors)

    async def _discovered(self, worker: Worker, statement: Statement) -> tuple[RelationName, ...]:
        known = self._names.get(statement.sql)
        if known is not None:
            self._names.move_to_end(statement.sql)
            return known
        found = await worker.ask(Discover(statement.sql, statement.query))
        names = found.names if isinstance(found, Names) else ()
        self._names[statement.sql] = names
        if len(self._names) > _NAMES_KEPT:
            self._names.popitem(last=False)
        return names

    async def _ran(self, worker: Worker, run: Run, descriptors: Sequence[int]) -> QueryResult:
        done = await worker.ask(run, descriptors, bytes_max=self.limits.result_bytes_max)
        if not isinstance(done, Done):
            raise WorkerDied
        return QueryResult(
            body=done.body,
            rows=done.rows,
            manifest_id=run.manifest_id,
            truncated=done.truncated,
            relations=tuple(relation.name.text for relation in run.relations),
        )

    async def _in_time(self, worker: Worker, work: Any) -> QueryResult:
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                result: QueryResult = await work
                return result
        except TimeoutError:
            worker.fate = "timeout"
            raise QueryTimedOut from None


def _scope_of(worker: Worker) -> Scope:
    assert worker.scope is not None
    return worker.scope


def _one_moment(statement: Statement, as_of: str | int | None) -> str | int | None:
    if statement.as_of is not None and as_of is not None:
        raise InvalidInput("as_of and the AS OF clause of sql both name a moment; give one of them")
    return statement.as_of if as_of is None else as_of
