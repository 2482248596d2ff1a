"""`POST /query` and `POST /query-data`: SQL over the catalog's own tables, and over the data it has registered."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.core.instant import http_text
from arco.core.limits import SQL_ROWS_MAX
from arco.core.scope import Scope
from arco.domains.orchestration.domain import OrchestrationDomain
from arco.domains.run_index.fold import RunIndexDomain
from arco.edge.codec import decode, no_content, query_params, reply
from arco.edge.connection import while_connected
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.query.joint import JointReader
from arco.query.results import MEDIA, Output, QueryResult, chosen_output
from arco.query.running import Asked
from arco.query.service import Ask, QueryService

MANIFEST_HEADER = "x-arco-manifest-id"
TRUNCATED_HEADER = "x-arco-truncated"
QUERY_HEADER = "x-arco-query-id"
EXPLAINS: Final = ("plan", "analyze")

_OF_RUNS: Final = frozenset(table.name for table in (*OrchestrationDomain.tables, *RunIndexDomain.tables))
"""Tables of orchestration's chain."""

Answerer = Callable[[Any, Scope, Ask], Coroutine[Any, Any, QueryResult]]
"""What answers a query: one of the two of `query.service`."""


class QueryParams(msgspec.Struct, frozen=True):
    """`format` is `json` or `arrow`; without it `Accept` decides. `explain` answers with the plan instead of the rows.

    `explain=plan` shows how the query would be run; `explain=analyze` runs it and shows what each step took.
    """

    format: str | None = None
    explain: str | None = None


class QueryBody(msgspec.Struct, frozen=True):
    """One SELECT or WITH statement. `as_of` reads an older snapshot: a manifest id or an RFC 3339 time."""

    sql: str
    as_of: str | int | None = None


class DataQueryBody(msgspec.Struct, frozen=True):
    """One SELECT or WITH statement whose tables are named `<catalog>.<schema>.<table>`."""

    sql: str


class RunningView(msgspec.Struct, frozen=True, kw_only=True):
    """A query that runs. `statement` is its SQL without values and comments."""

    query_id: str
    endpoint: str
    started_at: str
    statement: str
    actor: str


class RunningList(msgspec.Struct, frozen=True):
    """The queries of the workspace that run on this server, oldest first."""

    queries: list[RunningView]


async def query(request: Request) -> Response:
    """Run SQL over the catalog's own relations at one snapshot."""
    body = await decode(request, QueryBody)
    service: QueryService = services_of(request).query
    ask = _ask(request, body.sql, body.as_of)
    return await _answer(request, "query", ask, service.query, joint=True)


async def query_data(request: Request) -> Response:
    """Run SQL over registered Parquet and Delta tables."""
    body = await decode(request, DataQueryBody)
    service: QueryService = services_of(request).query
    return await _answer(request, "query-data", _ask(request, body.sql, None), service.query_data)


async def running(request: Request) -> Response:
    """Which queries of the caller's workspace run on this server."""
    found = services_of(request).queries.of(context_of(request).scope)
    views = [
        RunningView(
            query_id=one.query_id,
            endpoint=one.asked.endpoint,
            started_at=http_text(one.started_ms),
            statement=one.statement,
            actor=one.asked.actor,
        )
        for one in found
    ]
    return reply(RunningList(views))


async def cancel(request: Request) -> Response:
    """Cancel a running query of the caller's workspace."""
    services_of(request).queries.cancel(context_of(request).scope, request.path_params["query_id"])
    return no_content()


def _ask(request: Request, sql: str, as_of: str | int | None) -> Ask:
    explain = query_params(request, QueryParams).explain
    if explain is not None and explain not in EXPLAINS:
        raise InvalidInput("explain must be one of: plan, analyze")
    return Ask(sql=sql, as_of=as_of, output=_output(request), explain=explain)


async def _answer(request: Request, endpoint: str, ask: Ask, answer: Answerer, *, joint: bool = False) -> Response:
    """Answer a query, unless its client goes: then it is stopped."""
    context, services = context_of(request), services_of(request)
    asked = Asked(
        scope=context.scope,
        actor=context.author,
        request_id=context.request_id or None,
        endpoint=endpoint,
        sql=ask.sql,
    )
    reader: Any = services.reader_for(context.scope)
    if joint and services.flow is not None:
        reader = JointReader(reader, services.flow.reader_for(context.scope), _OF_RUNS)
    work = answer(reader, context.scope, ask)
    result = await while_connected(request, services.queries.run(asked, work))
    # Nobody reads what is said to a client that is gone.
    return Response(status_code=204) if result is None else _response(request, result)


def _output(request: Request) -> Output | None:
    """How rows are wanted; None when that is said wrongly, which clients hear after the execution (catalog.md 7.4)."""
    try:
        return chosen_output(query_params(request, QueryParams).format, request.headers.get("accept"))
    except InvalidInput:
        return None


def _response(request: Request, result: QueryResult) -> Response:
    output = chosen_output(query_params(request, QueryParams).format, request.headers.get("accept"))
    headers = {QUERY_HEADER: result.query_id}
    if result.manifest_id is not None:
        headers[MANIFEST_HEADER] = result.manifest_id
    if result.truncated:
        headers[TRUNCATED_HEADER] = "true"
        headers["warning"] = f'299 - "result truncated to {result.rows} rows"'
    return Response(result.body, headers=headers, media_type=MEDIA[output])


_ANSWER: Final = (
    "Rows as an Arrow IPC stream, or with `?format=json` (or `Accept: application/json`) as an array of objects "
    f"without null keys. At most {SQL_ROWS_MAX:,} rows: when there were more, the response says "
    "`x-arco-truncated: true`, and an Arrow stream says `arco.truncated` in its schema metadata. "
    "`x-arco-manifest-id` names the snapshot that was read, `x-arco-query-id` the query. A query whose client goes is "
    "stopped. `explain=plan` or `explain=analyze` answers with rows of `plan_type` and `plan` instead."
)

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/query",
        handler=query,
        summary="Run SQL over the catalog's own relations",
        description=(
            "One SELECT or WITH statement over `catalog.*`, `lineage.lineage_edges` and `system.*` of one snapshot. "
            "`as_of`, or `AS OF <manifest id | 'time'>` at the end of the SQL, reads an older one. " + _ANSWER
        ),
        tag="query",
        request=QueryBody,
        query=QueryParams,
        responses={200: list[dict[str, object]]},
        errors=(400, 401, 404, 409, 413, 415, 422, 429, 503),
        media=(MEDIA["arrow"], MEDIA["json"]),
    ),
    Endpoint(
        method="POST",
        path="/query-data",
        handler=query_data,
        summary="Run SQL over registered Parquet and Delta tables",
        description=(
            "One SELECT or WITH statement over tables named `<catalog>.<schema>.<table>`: Parquet files, folders of "
            "them (`key=value` folders are columns), and the latest version of Delta tables. Names with upper-case "
            "letters need double quotes. " + _ANSWER
        ),
        tag="query",
        request=DataQueryBody,
        query=QueryParams,
        responses={200: list[dict[str, object]]},
        errors=(400, 401, 404, 409, 413, 415, 422, 429, 503),
        media=(MEDIA["arrow"], MEDIA["json"]),
    ),
    Endpoint(
        method="GET",
        path="/queries",
        handler=running,
        summary="List running SQL queries",
        description="The workspace's queries that run on this server. `system.query.history` has those that ended.",
        tag="query",
        responses={200: RunningList},
        errors=(401, 429),
    ),
    Endpoint(
        method="DELETE",
        path="/queries/{query_id}",
        handler=cancel,
        summary="Cancel a running SQL query",
        description="Whoever asked it gets 409 `query_cancelled`. 404 when no such query runs on this server.",
        tag="query",
        responses={204: None},
        errors=(401, 404, 429),
        parameters={"query_id": "The id of a running query, from `GET /queries`"},
    ),
)
