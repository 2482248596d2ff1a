"""`/workspaces/{workspace}/runs/{run_id}/logs/events`: what tasks write, while they do, as server-sent events. (Ours.)

The log of an attempt is its pieces, which come while it runs, up to the last one; one that has none is told from its
whole log. When pieces break off, because a worker died, `gap` says so. Attempts of a task are told one after the other.
The id of an event says for every task how far it was told, so that any process can go on behind it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.clock import Clock
from arco.core.errors import InvalidInput, NotFound
from arco.domains.orchestration.log_positions import LogPosition, packed, unpacked
from arco.domains.orchestration.logs import LogPart, LogPlace, streams_of
from arco.domains.orchestration.queries.pictures import Picture, picture
from arco.domains.orchestration.queries.runs import public_state, the_run
from arco.domains.orchestration.rows import TaskRow
from arco.edge.codec import query_params
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.edge.streams import EVENT_STREAM, Events, EventStream, event
from arco.loops.log_watching import RunLogs
from arco.loops.watching import HeadWatch
from arco.routes.public.flow_clerks import PARAMETERS, PATH, READ_ERRORS, head_of
from arco.routes.public.live import Live, Run
from arco.routes.public.run_events import LAST_EVENT_ID, encode
from arco.storage.port import ObjectStore

TASKS_MAX: Final = 2_000
"""Tasks of a run whose logs are followed together: the id of an event knows of each of them."""

CLOSING_MS: Final = 10_000
"""How long after its end the rest of a log may take: as long as `arco worker` tries to send it."""

_SLICE_CHARS: Final = 16_384
_STEP_S: Final = 1.0
_ASK_MS: Final = 1_000
_REST_MS: Final = 50
_END: Final = ".end"
_RUNNING: Final = frozenset({"DISPATCHED", "RUNNING"})
_ENCODER: Final = msgspec.json.Encoder()


class LogEventsQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which logs."""

    task_key: Annotated[str | None, msgspec.Meta(description="Only of this task.")] = None


class LogEventView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The data of `log` and `gap`: what an attempt wrote next, or why something of it is missing."""

    task_key: str
    attempt: int
    parts: list[LogPart] = []
    message: str | None = None


async def show(request: Request) -> Response:
    """What a run's tasks write, as they write it: `log` events with parts of `stdout`, `stderr` and `worker`.

    `gap` says that pieces are missing; `end` that the run is over and everything is told. With the last id in
    `Last-Event-ID` the stream goes on behind it. A run of more than 2,000 tasks is followed by `taskKey`.
    """
    snapshot = await head_of(request)
    run_id: str = request.path_params["run_id"]
    await the_run(snapshot, run_id)
    assert snapshot is not None
    services, scope = services_of(request), context_of(request).scope
    live: Live = services.live
    first = await picture(snapshot, run_id)
    keys = _keys(first, query_params(request, LogEventsQuery).task_key)
    last = (request.headers.get(LAST_EVENT_ID) or "").strip()
    positions = _positions(last.removesuffix(_END), keys) if last else [LogPosition() for _ in keys]
    told = first.over and all(map(_all_told, positions, (first.tasks[key] for key in keys)))
    if told and last.endswith(_END):
        return Response(status_code=204)

    async def events() -> Events:
        with (
            live.watches.following(scope) as watch,
            live.runs.following(scope, run_id, encode) as run,
            live.logs.following(scope, run_id) as logs,
        ):
            store, start = services.store_for(scope), dict(zip(keys, positions, strict=True))
            teller = _Teller(logs, store, services.clock, start)
            try:
                async for message in _followed(teller, run, watch, first):
                    yield message
            finally:
                logs.leave(teller)

    return EventStream(live.streams, events)


async def _followed(teller: "_Teller", run: Run, watch: HeadWatch, at: Picture) -> AsyncIterator[bytes]:
    """Everything from this picture on, to the end."""
    coming: asyncio.Future[Any] = asyncio.ensure_future(watch.newer(at.number))
    try:
        while True:
            heard = teller.logs.version
            async for message in teller.told(at):
                yield message
            if at.over and teller.all_told(at):
                yield event("end", teller.event_id + _END, _ENCODER.encode({"state": public_state(at.run)}))
                return
            news = asyncio.ensure_future(teller.logs.changed(heard))
            try:
                await asyncio.wait({coming, news}, timeout=_STEP_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            await teller.rest()
            if coming.done():
                at = await run.picture(coming.result())
                coming = asyncio.ensure_future(watch.newer(at.number))
    finally:
        coming.cancel()


class _Teller:
    """Tells one follower what there is that it has not been told."""

    def __init__(self, logs: RunLogs, store: ObjectStore, clock: Clock, positions: dict[str, LogPosition]) -> None:
        self.logs = logs
        self._store = store
        self._clock = clock
        self._positions = positions
        self._looked: set[tuple[str, int]] = set()
        self._ended_ms: dict[tuple[str, int], int] = {}
        self._asked: dict[tuple[str, int], tuple[int, int]] = {}

    @property
    def event_id(self) -> str:
        """Everything that has been told, as text."""
        return packed(list(self._positions.values()))

    async def rest(self) -> None:
        """Let what comes together be told together: each round looks at every task."""
        await self._clock.sleep_ms(_REST_MS)

    def all_told(self, at: Picture) -> bool:
        """Whether nothing of what there is was left out."""
        return all(_all_told(position, at.tasks[key]) for key, position in self._positions.items())

    async def told(self, at: Picture) -> AsyncIterator[bytes]:
        """What is new as of this picture."""
        waiting: list[LogPlace] = []
        for key in self._positions:
            task = at.tasks[key]
            while not _all_told(self._positions[key], task):
                place = LogPlace(self.logs.run_id, key, self._positions[key].attempt)
                async for message in self._attempt(place, task):
                    yield message
                if self._at(place).attempt == place.attempt:
                    waiting.append(place)
                    break
        self.logs.awaits(self, (place for place in waiting if at.tasks[place.task_key].state in _RUNNING))

    async def _attempt(self, place: LogPlace, task: TaskRow) -> AsyncIterator[bytes]:
        """What is new of one attempt; moves its position."""
        over = _is_over(place, task)
        if over and _silent(place, task):
            self._move(place, LogPosition(place.attempt + 1))
            return
        if over and self._asked_lately(place):
            return
        if over and self._at(place).piece == 0 and (whole := await self._store.get(place.whole)) is not None:
            for message in self._whole(place, whole.body):
                yield message
            return
        async for message in self._pieces(place, over=over):
            yield message
        if over and self._at(place).attempt == place.attempt and self._is_late(place, task):
            found = await self._store.get(place.whole)
            for message in self._whole(place, None if found is None else found.body):
                yield message

    def _whole(self, place: LogPlace, body: bytes | None) -> Iterator[bytes]:
        """The whole log slice by slice, and what to know of it when some of it was told in pieces; then it is over."""
        position = self._at(place)
        items: list[dict[str, Any]] = (
            [{"parts": [part]} for part in _slices(*streams_of(body))] if body is not None else []
        )
        if position.piece:
            rest = "; the whole log follows, from its beginning" if items else ""
            items.insert(0, {"message": f"the live log broke off{rest}"})
        for index in range(position.slices, len(items)):
            self._move(place, LogPosition(place.attempt, position.piece, index + 1))
            if index == len(items) - 1:
                self._move(place, position.next_attempt())
            yield self._event("gap" if "message" in items[index] else "log", place, **items[index])
        self._move(place, position.next_attempt())

    async def _pieces(self, place: LogPlace, *, over: bool) -> AsyncIterator[bytes]:
        """The next pieces of an attempt, as far as there are any."""
        name = (place.task_key, place.attempt)
        position = self._at(place)
        while not position.slices:
            if not over and name in self._looked and position.piece >= self.logs.known(place):
                return
            piece = await self.logs.piece(place, position.piece + 1)
            if piece is None:
                self._looked.add(name)
                return
            position = position.next_attempt() if piece.last else LogPosition(place.attempt, position.piece + 1)
            self._move(place, position)
            if piece.parts:
                yield self._event("log", place, parts=piece.parts)
            if piece.last:
                return

    def _asked_lately(self, place: LogPlace) -> bool:
        """Whether storage was asked for the rest of a log a moment ago, and nothing was heard of it since."""
        name, now = (place.task_key, place.attempt), (self.logs.heard(place), self._clock.steady_ms())
        heard, at_ms = self._asked.get(name, (-1, 0))
        if heard == now[0] and now[1] - at_ms < _ASK_MS:
            return True
        self._asked[name] = now
        return False

    def _is_late(self, place: LogPlace, task: TaskRow) -> bool:
        """Whether an attempt has been over for so long that nothing more comes."""
        now_ms = self._clock.now_ms()
        ended_ms = task.completed_at if place.attempt == task.attempt else task.started_at
        seen_ms = self._ended_ms.setdefault((place.task_key, place.attempt), now_ms)
        return now_ms - min(seen_ms, ended_ms or seen_ms) >= CLOSING_MS

    def _at(self, place: LogPlace) -> LogPosition:
        return self._positions[place.task_key]

    def _move(self, place: LogPlace, position: LogPosition) -> None:
        self._positions[place.task_key] = position

    def _event(self, name: str, place: LogPlace, *, parts: Sequence[LogPart] = (), message: str | None = None) -> bytes:
        view = LogEventView(task_key=place.task_key, attempt=place.attempt, parts=list(parts), message=message)
        return event(name, self.event_id, _ENCODER.encode(view))


def _is_over(place: LogPlace, task: TaskRow) -> bool:
    return task.attempt > place.attempt or task.state not in _RUNNING


def _all_told(position: LogPosition, task: TaskRow) -> bool:
    """Whether every attempt there was has been told to its end."""
    return position.attempt > task.attempt or (position.attempt == task.attempt and task.started_at is None)


def _silent(place: LogPlace, task: TaskRow) -> bool:
    """Whether the worker said that the attempt wrote nothing (`arco worker` says so in its metrics)."""
    if place.attempt != task.attempt or task.metrics is None:
        return False
    try:
        return bool(msgspec.json.decode(task.metrics, type=dict[str, Any]).get("logBytes") == 0)
    except msgspec.MsgspecError:
        return False


def _slices(stdout: str, stderr: str) -> list[LogPart]:
    slices = [LogPart("stdout", stdout[at : at + _SLICE_CHARS]) for at in range(0, len(stdout), _SLICE_CHARS)]
    return slices + [LogPart("stderr", stderr[at : at + _SLICE_CHARS]) for at in range(0, len(stderr), _SLICE_CHARS)]


def _keys(at: Picture, task_key: str | None) -> list[str]:
    if task_key is not None and task_key not in at.tasks:
        raise NotFound(f"run {at.run.run_id} has no task {task_key}")
    keys = list(at.tasks) if task_key is None else [task_key]
    if len(keys) > TASKS_MAX:
        raise InvalidInput(f"the run has {len(keys)} tasks; follow the log of one of them with taskKey")
    return keys


def _positions(last: str, keys: Sequence[str]) -> list[LogPosition]:
    """Where the caller was. Raises `InvalidInput`."""
    found = unpacked(last, len(keys))
    if found is None:
        raise InvalidInput(f"{LAST_EVENT_ID} must be the id of an event of this stream, or be left out")
    return found


routes: Final = [
    Endpoint(
        method="GET",
        path=f"{PATH}/runs/{{run_id}}/logs/events",
        handler=show,
        summary="Follow what tasks write",
        tag="orchestration",
        query=LogEventsQuery,
        responses={200: str, 204: None},
        media=(EVENT_STREAM,),
        errors=READ_ERRORS,
        headers=(LAST_EVENT_ID,),
        parameters=PARAMETERS,
    )
]
