"""`/workspaces/{workspace}/runs/{run_id}/events`: a run's changes as they happen, as server-sent events. (Ours.)

An event's id names the two manifests it lies between and its place among the changes; both pictures can be taken again
by any process for as long as manifests are kept, so that who comes back with `Last-Event-ID` misses nothing and hears
nothing twice. When they are gone, `reset` says so and everything is told anew.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput, NotFound
from arco.domains.orchestration.queries.pictures import Change, Picture, changes, picture
from arco.domains.orchestration.queries.runs import public_state, the_run
from arco.edge.context import context_of, flow_of, services_of
from arco.edge.endpoint import Endpoint
from arco.edge.streams import EVENT_STREAM, MESSAGE_BYTES_MAX, Events, EventStream, event
from arco.kernel.reading import Reader
from arco.routes.public.flow_clerks import PARAMETERS, PATH, READ_ERRORS, head_of, time_text
from arco.routes.public.live import Live, Step
from arco.routes.public.run_views import TaskCountsView, counts_of, task_view

LAST_EVENT_ID: Final = "Last-Event-ID"
_ID: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})\.([0-9]{1,9})\Z")
_ENCODER: Final = msgspec.json.Encoder()
_RESET: Final = ("reset", b"{}")


class RunStateView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The data of `run` and `end`: a run without its tasks."""

    run_id: str
    state: str
    created_at: str | None
    started_at: str | None = None
    completed_at: str | None = None
    cancel_reason: str | None = None
    task_counts: TaskCountsView


class Position(msgspec.Struct, frozen=True):
    """Where a follower is: `told` events of the step from `old` to `new` have been told."""

    old: Picture | None
    new: Picture
    told: int = 0


def encode(change: Change, at: Picture) -> tuple[str, bytes]:
    """The name and the data of the event that tells of a change."""
    if change.task is not None:
        view = task_view(change.task, at.coming.get(change.task.task_key, ()), ())
        return change.kind, _ENCODER.encode(view)
    return change.kind, _ENCODER.encode(_run_state(at))


async def show(request: Request) -> Response:
    """The changes of a run as they happen: `run`, `task` (as in `GET` of the run) and, when nothing more comes, `end`.

    The first events tell how everything stands. Each has an `id`; with the last one in `Last-Event-ID` a stream goes on
    behind it, from any server. `reset` says that it could not, and that everything follows anew. A stream that ends
    without `end` is to be taken up again; 204: there is nothing more to tell.
    """
    snapshot = await head_of(request)
    run_id: str = request.path_params["run_id"]
    await the_run(snapshot, run_id)
    assert snapshot is not None
    reader = flow_of(request).reader_for(context_of(request).scope)
    last = (request.headers.get(LAST_EVENT_ID) or "").strip()
    position = await _position(reader, run_id, last) if last else None
    if position is not None and _nothing_left(position, await picture(snapshot, run_id)):
        return Response(status_code=204)
    services = services_of(request)
    live: Live = services.live
    scope = context_of(request).scope

    async def events() -> Events:
        with live.watches.following(scope) as watch, live.runs.following(scope, run_id, encode) as run:
            if last and position is None:
                yield event(_RESET[0], "0-0.0", _RESET[1])
            old = position.old if position is not None else None
            new = position.new if position is not None else await run.picture(snapshot)
            told = position.told if position is not None else 0
            while True:
                step = run.step(old, new)
                for message in _messages(step, Position(old, new, told)):
                    yield message
                if new.over and told < len(step):
                    return  # with the end as the last of them
                old, told = new, 0
                await services.clock.sleep_ms(run.pause_ms)
                new = await run.picture(await watch.newer(new.number))

    return EventStream(live.streams, events)


def _messages(step: Step, position: Position) -> Iterator[bytes]:
    """The events of a step that were not told yet, some together."""
    base = 0 if position.old is None else position.old.number
    message = bytearray()
    for index in range(position.told, len(step)):
        name, data = step.event(index)
        message += event(name, f"{base}-{position.new.number}.{index}", data)
        if len(message) >= MESSAGE_BYTES_MAX:
            yield bytes(message)
            message.clear()
    if message:
        yield bytes(message)


async def _position(reader: Reader, run_id: str, last: str) -> Position | None:
    """Where the event with this id was told; None when that is no longer known. Raises `InvalidInput`."""
    found = _ID.match(last)
    if found is None:
        raise InvalidInput(f"{LAST_EVENT_ID} must be the id of an event of this stream, or be left out")
    base, number, index = (int(part) for part in found.groups())
    if number <= base:
        return None
    try:
        old = await _picture_at(reader, run_id, base) if base else None
        new = await _picture_at(reader, run_id, number)
    except NotFound:
        return None
    return Position(old, new, index + 1)


async def _picture_at(reader: Reader, run_id: str, number: int) -> Picture:
    snapshot = await reader.at_manifest(f"{number:020d}")
    if snapshot is None:
        raise NotFound(f"manifest {number} is not kept")
    return await picture(snapshot, run_id)


def _nothing_left(position: Position, newest: Picture) -> bool:
    """Whether the end was told, and is still the end."""
    told = len(changes(position.old, position.new))
    return position.new.over and position.told >= told and not changes(position.new, newest)


def _run_state(at: Picture) -> RunStateView:
    run = at.run
    return RunStateView(
        run_id=run.run_id,
        state=public_state(run),
        created_at=time_text(run.triggered_at),
        started_at=time_text(run.started_at),
        completed_at=time_text(run.completed_at) if at.over else None,
        cancel_reason=run.cancel_reason,
        task_counts=counts_of(list(at.tasks.values())),
    )


routes: Final = [
    Endpoint(
        method="GET",
        path=f"{PATH}/runs/{{run_id}}/events",
        handler=show,
        summary="Follow a run",
        tag="orchestration",
        responses={200: str, 204: None},
        media=(EVENT_STREAM,),
        errors=READ_ERRORS,
        headers=(LAST_EVENT_ID,),
        parameters=PARAMETERS,
    )
]
