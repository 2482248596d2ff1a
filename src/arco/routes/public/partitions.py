"""`/workspaces/{workspace}/partitions`: what is known of each part of each asset (orchestration.md 6.7)."""

from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.asset_keys import asset_key
from arco.core.errors import InvalidInput, NotFound
from arco.domains.orchestration.rows import PARTITIONS, PartitionStatusRow
from arco.edge.codec import query_params, reply
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.edge.pages import next_cursor
from arco.routes.public.flow_clerks import PAGE_MAX, PARAMETERS, PATH, READ_ERRORS, READ_HEADERS, head_of, time_text

_DEFAULT: Final = 50
_EXAMINED_MAX: Final = 2_000
_SEPARATOR: Final = "\0"


class PartitionsQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which partitions."""

    asset_key: Annotated[str | None, msgspec.Meta(description="Only of this asset.")] = None
    stale_only: Annotated[bool, msgspec.Meta(description="Only those that are stale.")] = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX, description="Partitions of a page.")] = _DEFAULT
    cursor: Annotated[str | None, msgspec.Meta(description="Where the last page ended: its `nextCursor`.")] = None


class PartitionView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A partition of an asset; an asset without partitions has one with an empty key."""

    asset_key: str
    partition_key: str
    last_materialization_run_id: str | None = None
    last_materialization_at: str | None = None
    last_materialization_code_version: str | None = None
    last_attempt_run_id: str | None = None
    last_attempt_at: str | None = None
    last_attempt_outcome: str | None = None
    is_stale: bool
    stale_reason: str | None = None
    partition_values: dict[str, Any] | None = None
    delta_table: str | None = None
    delta_version: int | None = None
    delta_partition: str | None = None
    execution_lineage_ref: str | None = None


class PartitionsView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Partitions by asset and key. A page of stale ones may be short and still have a next one."""

    partitions: list[PartitionView]
    next_cursor: str | None = None


class PartitionSummaryView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many partitions of an asset were heard of, were made, are stale, and failed ever since."""

    asset_key: str
    total_partitions: int
    materialized_partitions: int
    stale_partitions: int
    missing_partitions: int


async def index(request: Request) -> Response:
    """Partitions of the workspace's assets, by asset and key."""
    query = query_params(request, PartitionsQuery)
    scope, services = context_of(request).scope, services_of(request)
    after = _after(services.cursors.decode(scope, request.scope["path"], query.cursor)[0]) if query.cursor else None
    prefix = () if query.asset_key is None else (asset_key(query.asset_key),)
    snapshot = await head_of(request)
    found: list[PartitionStatusRow] = []
    examined, more = 0, snapshot is not None
    while snapshot is not None and more and len(found) < query.limit and examined < _EXAMINED_MAX:
        rows = await snapshot.scan(PARTITIONS, prefix=prefix, after=after, limit=query.limit + 1)
        examined, more = examined + len(rows), len(rows) > query.limit
        for row in rows[: query.limit]:
            if len(found) == query.limit:
                more = True
                break
            after = (row.asset_key, row.partition_key)
            if row.stale_since is not None or not query.stale_only:
                found.append(row)
    cursor = None
    if more and after is not None and snapshot is not None:
        last = (_SEPARATOR.join(map(str, after)), snapshot.manifest_id)
        cursor = next_cursor(request, services, scope, last)
    return reply(PartitionsView(partitions=[_view(row) for row in found], next_cursor=cursor))


async def summary(request: Request) -> Response:
    """How much of an asset was made. 404 for an asset that was never tried."""
    key = asset_key(request.path_params["asset_key"])
    snapshot = await head_of(request)
    rows = [] if snapshot is None else await snapshot.scan(PARTITIONS, prefix=(key,))
    if not rows:
        raise NotFound(f"nothing is known of partitions of {key}")
    made = sum(row.last_materialization_at is not None for row in rows)
    view = PartitionSummaryView(
        asset_key=key,
        total_partitions=len(rows),
        materialized_partitions=made,
        stale_partitions=sum(row.stale_since is not None for row in rows),
        missing_partitions=len(rows) - made,
    )
    return reply(view)


def _after(text: str) -> tuple[str, str]:
    asset, separator, partition = text.partition(_SEPARATOR)
    if not separator:
        raise InvalidInput("invalid cursor")
    return asset, partition


def _view(row: PartitionStatusRow) -> PartitionView:
    values = None if row.partition_values is None else msgspec.json.decode(row.partition_values, type=dict[str, Any])
    return PartitionView(
        asset_key=row.asset_key,
        partition_key=row.partition_key,
        last_materialization_run_id=row.last_materialization_run_id,
        last_materialization_at=time_text(row.last_materialization_at),
        last_materialization_code_version=row.last_materialization_code_version,
        last_attempt_run_id=row.last_attempt_run_id,
        last_attempt_at=time_text(row.last_attempt_at),
        last_attempt_outcome=row.last_attempt_outcome,
        is_stale=row.stale_since is not None,
        stale_reason=row.stale_reason_code,
        partition_values=values,
        delta_table=row.delta_table,
        delta_version=row.delta_version,
        delta_partition=row.delta_partition,
        execution_lineage_ref=row.execution_lineage_ref,
    )


routes: Final = [
    Endpoint(
        method="GET",
        path=f"{PATH}/partitions",
        handler=index,
        summary="List partitions",
        tag="orchestration",
        query=PartitionsQuery,
        responses={200: PartitionsView},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/assets/{{asset_key}}/partitions/summary",
        handler=summary,
        summary="Show how much of an asset was made",
        tag="orchestration",
        responses={200: PartitionSummaryView},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    ),
]
