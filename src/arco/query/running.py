"""The queries that run in this process: who asked, since when, and how each of them can be cancelled.

Whatever a query comes to, it is told to `note` once, with its statement and without its values.
"""

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any, Final

import msgspec

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import ArcoError, InvalidInput, NotFound, Overloaded, Unavailable
from arco.core.scope import Scope
from arco.query.errors import NotReadOnly, QueryCancelled, QueryExhausted, QueryTimedOut, UnknownRelation
from arco.query.results import QueryResult
from arco.query.statement import normalized

ANSWERED: Final = "answered"
ABANDONED: Final = "abandoned"
FAILED: Final = "failed"
_RESULTS: Final[tuple[tuple[type[ArcoError], str], ...]] = (
    (NotReadOnly, "not_read_only"),
    (UnknownRelation, "unknown_relation"),
    (QueryTimedOut, "timed_out"),
    (QueryExhausted, "out_of_resources"),
    (QueryCancelled, "cancelled"),
    (InvalidInput, "invalid"),
    (NotFound, "not_found"),
    (Overloaded, "overloaded"),
    (Unavailable, "unavailable"),
)
RESULTS: Final = (ANSWERED, ABANDONED, FAILED, *(name for _, name in _RESULTS))
"""Everything that can become of a query."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks what: `actor` as the audit log shows the caller, `endpoint` is `query` or `query-data`."""

    scope: Scope
    actor: str
    request_id: str | None
    endpoint: str
    sql: str


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A query that has no answer yet."""

    query_id: str
    asked: Asked
    started_ms: int
    statement: str


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A query and what became of it: one of `RESULTS`; `answer` is there when it was answered."""

    running: Running
    result: str
    duration_ms: int
    answer: QueryResult | None = None

    @property
    def statement_hash(self) -> str:
        """The same for texts that differ in their values only."""
        return blake2b(self.running.statement.encode(), digest_size=16).hexdigest()


class RunningQueries:
    """Runs queries and knows them while they run."""

    def __init__(self, clock: Clock, ids: Ids, note: Callable[[Finished], None] = lambda _finished: None) -> None:
        self._clock, self._ids, self._note = clock, ids, note
        self._tasks: dict[str, tuple[Running, asyncio.Task[QueryResult]]] = {}
        self._cancelled: set[str] = set()

    def of(self, scope: Scope) -> list[Running]:
        """The running queries of a scope, oldest first."""
        return [running for running, _ in self._tasks.values() if running.asked.scope == scope]

    def cancel(self, scope: Scope, query_id: str) -> None:
        """Cancel a running query: its child is killed, who asked is told. Raises `NotFound`."""
        running, task = self._tasks.get(query_id, (None, None))
        if running is None or task is None or running.asked.scope != scope:
            raise NotFound(f"No query with this id is running on this server: {query_id}")
        self._cancelled.add(query_id)
        task.cancel()

    async def run(self, asked: Asked, work: Coroutine[Any, Any, QueryResult]) -> QueryResult:
        """The answer of `work`, with the id it ran under. Raises what it raises, `QueryCancelled` when it was."""
        running = Running(
            query_id=self._ids.ulid(),
            asked=asked,
            started_ms=self._clock.now_ms(),
            statement=normalized(asked.sql.strip()),
        )
        began_ms = self._clock.steady_ms()
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[running.query_id] = (running, task)
        result, answer = FAILED, None
        try:
            answer = await task
            result = ANSWERED
            return msgspec.structs.replace(answer, query_id=running.query_id)
        except asyncio.CancelledError:
            result = ABANDONED
            if running.query_id in self._cancelled and not _cancelling():
                result = _result_of(fact := QueryCancelled())
                raise fact from None
            raise
        except ArcoError as fact:
            result = _result_of(fact)
            raise
        finally:
            del self._tasks[running.query_id]
            self._cancelled.discard(running.query_id)
            duration_ms = self._clock.steady_ms() - began_ms
            self._note(Finished(running=running, result=result, duration_ms=duration_ms, answer=answer))


def _cancelling() -> bool:
    """True when it is our own caller that goes."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _result_of(fact: ArcoError) -> str:
    return next((name for kind, name in _RESULTS if isinstance(fact, kind)), FAILED)
