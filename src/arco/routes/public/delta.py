"""`/delta/tables/{table_id}`: stage and commit versions of a Delta table (catalog.md 4.10).

Showing where a table's commits stand, and `latest_version` in the details of a 409, are ours.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core import paths
from arco.core.errors import Conflict, InvalidInput, NotFound
from arco.core.ids import is_ulid, is_uuid
from arco.core.instant import http_text
from arco.core.limits import DELTA_PAYLOAD_BYTES_MAX
from arco.core.scope import Scope
from arco.domains.catalog.queries import table_by_id
from arco.domains.catalog.rules import LEGACY_FORMAT, reduced_location
from arco.domains.delta import commands, queries
from arco.edge.codec import decode, reply
from arco.edge.context import context_of, desk_of, idempotency_key_of, services_of
from arco.edge.endpoint import Endpoint
from arco.kernel.reading import Snapshot
from arco.routes.public.clerks import READ_ERRORS

_PARAMETERS: Final = {"table_id": "The id of a table of format `delta`: a UUID."}
_ERRORS: Final = (400, 404, 409)


class StageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A payload to commit later."""

    payload: str
    """Delta actions, one JSON object on each line."""


class StagedView(msgspec.Struct, frozen=True, kw_only=True):
    """Where the payload waits."""

    staged_path: str
    staged_version: str


class DeltaCommitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Make a staged payload the next version."""

    read_version: int
    """The version the payload was made from; -1 for the first."""
    staged_path: str
    staged_version: str


class DeltaCommitView(msgspec.Struct, frozen=True, kw_only=True):
    """The version that was made."""

    version: int
    delta_log_path: str


class InflightView(msgspec.Struct, frozen=True, kw_only=True):
    """A commit under way."""

    version: int
    started_at: str
    expires_at: str


class CoordinatorView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a table's commits stand; `latest_version` is -1 before the first."""

    table_id: str
    table_root: str
    latest_version: int
    inflight: InflightView | None = None


async def stage(request: Request) -> Response:
    """The payload is checked here, line by line, so that nothing unreadable can get into a table's log."""
    table_id = _table_id(request)
    body = await decode(request, StageRequest)
    await _root(request, table_id, await _head(request))
    staged = await commands.stage(_clerk(request), table_id, body.payload)
    return reply(StagedView(staged_path=staged.path, staged_version=staged.version))


async def commit(request: Request) -> Response:
    """Creates the version's log file, at most once. The same key and body again give the same version."""
    table_id = _table_id(request)
    key = idempotency_key_of(request)
    if key is None:
        raise InvalidInput("Idempotency-Key is required")
    body = await decode(request, DeltaCommitRequest)
    _check_staged_path(table_id, body.staged_path)
    command = commands.Commit(
        table_id=table_id,
        read_version=body.read_version,
        staged_path=body.staged_path,
        staged_version=body.staged_version,
        key=key,
    )

    async def find_root(snapshot: Snapshot | None) -> str:
        return await _root(request, table_id, snapshot)

    done = await commands.commit(_clerk(request), command, find_root)
    return reply(DeltaCommitView(version=done.version, delta_log_path=done.delta_log_path))


async def show(request: Request) -> Response:
    """The version a commit must name as its `read_version`, and whether another one is under way."""
    table_id = _table_id(request)
    snapshot = await _head(request)
    root = await _root(request, table_id, snapshot)
    at = await queries.coordinator(snapshot, table_id)
    held = at.inflight
    view = CoordinatorView(
        table_id=table_id,
        table_root=at.table_root or root,
        latest_version=at.latest_version,
        inflight=None
        if held is None
        else InflightView(
            version=held.version, started_at=http_text(held.started_at), expires_at=http_text(held.expires_at)
        ),
    )
    return reply(view)


def _table_id(request: Request) -> str:
    table_id: str = request.path_params["table_id"]
    if not is_uuid(table_id.lower()):
        raise InvalidInput("table_id must be a UUID")
    return table_id.lower()


def _check_staged_path(table_id: str, path: str) -> None:
    prefix = paths.delta_staging(table_id)
    name = path.removeprefix(prefix)
    if not path.startswith(prefix) or not is_ulid(name.removesuffix(".json")) or not name.endswith(".json"):
        raise InvalidInput(f"staged_path must be {prefix}{{ULID}}.json, as it was answered when the payload was staged")


async def _root(request: Request, table_id: str, snapshot: Snapshot | None) -> str:
    """The scope-relative folder of a Delta table. Raises `NotFound`, `Conflict`."""
    row = None if snapshot is None else await table_by_id(snapshot, table_id)
    if row is None:
        raise NotFound(f"table not found: {table_id}")
    format_ = row.format or LEGACY_FORMAT
    if format_ != "delta":
        raise Conflict(f"table {table_id} is format '{format_}', expected 'delta'")
    scope: Scope = context_of(request).scope
    root = paths.delta_root(table_id) if row.location is None else reduced_location(row.location, scope.prefix)
    if not root.startswith(paths.DELTA_FOLDERS):
        below = " and ".join(paths.DELTA_FOLDERS)
        raise Conflict(f"table {table_id} lies at '{root}'; commits are coordinated below {below} only")
    return root


async def _head(request: Request) -> Snapshot | None:
    return await services_of(request).reader_for(context_of(request).scope).head()


def _clerk(request: Request) -> commands.Clerk:
    services = services_of(request)
    context = context_of(request)
    return commands.Clerk(
        desk=desk_of(request),
        reader=services.reader_for(context.scope),
        store=services.store_for(context.scope),
        clock=services.clock,
        ids=services.ids,
        source=context.actor,
    )


routes = [
    Endpoint(
        method="POST",
        path="/delta/tables/{table_id}/commits/stage",
        handler=stage,
        summary="Stage a Delta commit",
        tag="delta",
        request=StageRequest,
        responses={200: StagedView},
        errors=_ERRORS,
        parameters=_PARAMETERS,
        body_bytes_max=DELTA_PAYLOAD_BYTES_MAX,
    ),
    Endpoint(
        method="POST",
        path="/delta/tables/{table_id}/commits",
        handler=commit,
        summary="Commit a version of a Delta table",
        tag="delta",
        request=DeltaCommitRequest,
        responses={200: DeltaCommitView},
        errors=_ERRORS,
        headers=("Idempotency-Key",),
        parameters=_PARAMETERS,
        body_bytes_max=DELTA_PAYLOAD_BYTES_MAX,
    ),
    Endpoint(
        method="GET",
        path="/delta/tables/{table_id}",
        handler=show,
        summary="Show where a Delta table's commits stand",
        tag="delta",
        responses={200: CoordinatorView},
        errors=(*READ_ERRORS, 409),
        parameters=_PARAMETERS,
    ),
]
