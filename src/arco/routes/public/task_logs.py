"""`/workspaces/{workspace}/runs/{run_id}/logs`: what tasks wrote, once for each attempt (orchestration.md 6.3)."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import Conflict, InvalidInput, NotFound, OutcomeUnknown
from arco.domains.orchestration.logs import LogPlace, pieces_after, whole_text
from arco.domains.orchestration.queries.runs import run_detail
from arco.domains.orchestration.rows import TaskRow
from arco.edge.codec import query_params, reply
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.edge.pages import next_cursor
from arco.routes.public.flow_clerks import (
    PAGE_MAX,
    PARAMETERS,
    PATH,
    READ_ERRORS,
    READ_HEADERS,
    WRITE_ERRORS,
    body_of,
    check_workspace,
    head_of,
)
from arco.storage.create_only import Created, Taken, Undecided, create_only
from arco.storage.port import ObjectStore

CURSOR_HEADER: Final = "x-arco-next-cursor"
UPLOAD_BYTES_MAX: Final = 2 * 1024 * 1024
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
_BODY_BYTES_MAX: Final = 6 * UPLOAD_BYTES_MAX + 65_536
"""In JSON a character takes up to six bytes for one."""

_DEFAULT: Final = 50
_TOGETHER: Final = 16
_RUN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class LogRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an attempt wrote."""

    task_key: str
    attempt: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
    stdout: str = ""
    stderr: str = ""


class LogView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a log was put, and its size in bytes."""

    path: str
    size_bytes: int


class LogsQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which logs."""

    task_key: Annotated[str | None, msgspec.Meta(description="Only of this task.")] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX, description="Logs of a page.")] = _DEFAULT
    cursor: Annotated[str | None, msgspec.Meta(description=f"The `{CURSOR_HEADER}` of the last page.")] = None


async def put(request: Request) -> Response:
    """Keep what an attempt wrote; once: 409 when the attempt has a log of other text."""
    run_id = _run_of(request)
    body = await body_of(request, LogRequest)
    place = LogPlace(run_id, body.task_key, body.attempt)
    place.check()
    content = whole_text(body.stdout, body.stderr)
    if len(body.stdout.encode("utf-8", "replace")) + len(body.stderr.encode("utf-8", "replace")) > UPLOAD_BYTES_MAX:
        raise InvalidInput(f"stdout and stderr together must be at most {UPLOAD_BYTES_MAX} bytes")
    key = place.whole
    services, scope = services_of(request), context_of(request).scope
    store = services.store_for(scope)
    if await store.head(key) is not None:
        raise Conflict(f"{key} is there already")
    match await create_only(store, services.clock, key, content):
        case Created():
            services.live.logs.told(scope, place)
            return reply(LogView(path=key, size_bytes=len(content)))
        case Taken():
            raise Conflict(f"{key} is there already")
        case Undecided(cause=cause):
            raise OutcomeUnknown(f"it is not known whether the log was kept: {cause}")


async def show(request: Request) -> Response:
    """Logs of a run by task and attempt, each below a line with its path; 404 when there is none.

    Of an attempt that has not ended, or whose worker died, what it wrote until now.
    """
    run_id = _run_of(request)
    query = query_params(request, LogsQuery)
    services, scope = services_of(request), context_of(request).scope
    after = services.cursors.decode(scope, request.scope["path"], query.cursor)[0] if query.cursor else ""
    snapshot = await head_of(request)
    tasks = (await run_detail(snapshot, run_id)).tasks
    wanted = [place for task in tasks if query.task_key in (None, task.task_key) for place in _places(run_id, task)]
    store = services.store_for(scope)
    parts: list[bytes] = []
    size, last, more = 0, after, False
    async for key, body in _found(store, [one for one in sorted(wanted, key=_whole) if one.whole > after]):
        part = b"--- %s ---\n%s\n" % (key.encode(), body)
        if len(parts) == query.limit or (parts and size + len(part) > ANSWER_BYTES_MAX):
            more = True
            break
        parts.append(part)
        size, last = size + len(part), key
    if not parts and not query.cursor:
        raise NotFound(f"run {run_id} has no logs yet")
    headers = {}
    if more and snapshot is not None:
        headers[CURSOR_HEADER] = next_cursor(request, services, scope, (last, snapshot.manifest_id))
    return Response(b"".join(parts), media_type="text/plain; charset=utf-8", headers=headers)


async def _found(store: ObjectStore, places: Sequence[LogPlace]) -> AsyncIterator[tuple[str, bytes]]:
    """Those of the logs that are there, in order, read a few at a time."""
    for start in range(0, len(places), _TOGETHER):
        some = places[start : start + _TOGETHER]
        for place, body in zip(some, await asyncio.gather(*(_log(store, one) for one in some)), strict=True):
            if body is not None:
                yield place.whole, body


async def _log(store: ObjectStore, place: LogPlace) -> bytes | None:
    """The log of an attempt: whole, or what there is of it in pieces."""
    found = await store.get(place.whole)
    if found is not None:
        return found.body
    texts: dict[str, list[str]] = {"stdout": [], "stderr": [], "worker": []}
    size = 0
    async for piece in pieces_after(store, place, 0):
        for part in piece.parts:
            texts[part.stream].append(part.text)
            size += len(part.text)
        if size > ANSWER_BYTES_MAX:
            break
    if not size:
        return None
    return whole_text("".join(texts["stdout"]), "".join(texts["stderr"] + texts["worker"]))


def _whole(place: LogPlace) -> str:
    return place.whole


def _places(run_id: str, task: TaskRow) -> list[LogPlace]:
    return [LogPlace(run_id, task.task_key, attempt) for attempt in range(1, task.attempt + 1)]


def _run_of(request: Request) -> str:
    check_workspace(request)
    run_id: str = request.path_params["run_id"]
    if not _RUN.match(run_id):
        raise NotFound(f"run not found: {run_id}")
    return run_id


_PATH: Final = f"{PATH}/runs/{{run_id}}/logs"

routes: Final = [
    Endpoint(
        method="POST",
        path=_PATH,
        handler=put,
        summary="Keep what an attempt wrote",
        tag="orchestration",
        request=LogRequest,
        responses={200: LogView},
        errors=(*WRITE_ERRORS, 413),
        parameters=PARAMETERS,
        body_bytes_max=_BODY_BYTES_MAX,
    ),
    Endpoint(
        method="GET",
        path=_PATH,
        handler=show,
        summary="Show what tasks wrote",
        tag="orchestration",
        query=LogsQuery,
        responses={200: str},
        media=("text/plain",),
        errors=READ_ERRORS,
        parameters=PARAMETERS,
        headers=READ_HEADERS,
    ),
]
