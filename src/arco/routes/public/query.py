"""`POST /query` and `POST /query-data`: SQL over the catalog's own tables, and over the data it has registered."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.limits import SQL_ROWS_MAX
from arco.edge.codec import decode, query_params
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.query.results import MEDIA, QueryResult, chosen_output
from arco.query.service import QueryService

MANIFEST_HEADER = "x-arco-manifest-id"
TRUNCATED_HEADER = "x-arco-truncated"


class QueryParams(msgspec.Struct, frozen=True):
    """`format` is `json` or `arrow`; without it `Accept` decides."""

    format: str | None = None


class QueryBody(msgspec.Struct, frozen=True):
    """One SELECT or WITH statement. `as_of` reads an older snapshot: a manifest id or an RFC 3339 time."""

    sql: str
    as_of: str | int | None = None


class DataQueryBody(msgspec.Struct, frozen=True):
    """One SELECT or WITH statement whose tables are named `<catalog>.<schema>.<table>`."""

    sql: str


async def query(request: Request) -> Response:
    """Run SQL over the catalog's own relations at one snapshot."""
    body = await decode(request, QueryBody)
    scope = context_of(request).scope
    services = services_of(request)
    result = await services.query.query(services.reader_for(scope), scope, body.sql, as_of=body.as_of)
    return await _response(request, services.query, result)


async def query_data(request: Request) -> Response:
    """Run SQL over registered Parquet and Delta tables."""
    body = await decode(request, DataQueryBody)
    scope = context_of(request).scope
    services = services_of(request)
    result = await services.query.query_data(services.reader_for(scope), scope, body.sql)
    return await _response(request, services.query, result)


async def _response(request: Request, service: QueryService, result: QueryResult) -> Response:
    # The format is looked at after the execution: clients see the statement's errors first (catalog.md 7.4).
    output = chosen_output(query_params(request, QueryParams).format, request.headers.get("accept"))
    headers = {}
    if result.manifest_id is not None:
        headers[MANIFEST_HEADER] = result.manifest_id
    if result.truncated:
        headers[TRUNCATED_HEADER] = "true"
        headers["warning"] = f'299 - "result truncated to {result.rows} rows"'
    return Response(await service.encoded(result, output), headers=headers, media_type=MEDIA[output])


_ANSWER: Final = (
    "Rows as an Arrow IPC stream, or with `?format=json` (or `Accept: application/json`) as an array of objects "
    f"without null keys. At most {SQL_ROWS_MAX:,} rows: when there were more, the response says "
    "`x-arco-truncated: true`, and an Arrow stream says `arco.truncated` in its schema metadata. "
    "`x-arco-manifest-id` names the snapshot that was read."
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
        errors=(400, 401, 404, 413, 415, 422, 429, 503),
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
        errors=(400, 401, 404, 413, 415, 422, 429, 503),
        media=(MEDIA["arrow"], MEDIA["json"]),
    ),
)
