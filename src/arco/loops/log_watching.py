"""Live logs of the runs that somebody follows: their pieces, read once for all, and looked for where nobody tells.

A piece that comes through this process is handed on without being read. For others one read is made each `poll_ms` for
each attempt that runs and is followed, some at a time, so that a run of many tasks costs no more than one of a few.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.scope import Scope
from arco.domains.orchestration.logs import LogPiece, LogPlace, decoded
from arco.storage.port import ObjectStore

PROBES_MAX: Final = 16
"""Attempts that are looked at each time; the others have their turn later."""

PIECES_KEPT: Final = 16
"""Pieces of one run that its followers share: at most 1 MiB of text, and usually a few kilobytes."""

_Name = tuple[str, int]


class RunLogs:
    """The live logs of one run, for everybody who follows them at the moment."""

    def __init__(self, run_id: str, store: ObjectStore, *, clock: Clock, log: Log, poll_ms: int) -> None:
        self.run_id = run_id
        self._store = store
        self._clock = clock
        self._log = log
        self._poll_ms = poll_ms
        self._kept: OrderedDict[tuple[_Name, int], asyncio.Future[LogPiece | None]] = OrderedDict()
        self._known: dict[_Name, int] = {}
        self._heard: dict[_Name, int] = {}
        self._awaited: dict[object, frozenset[_Name]] = {}
        self._turn = 0
        self._version = 0
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self.followers = 0

    @property
    def version(self) -> int:
        """Changes with everything that is heard."""
        return self._version

    def known(self, place: LogPlace) -> int:
        """The highest number a piece is known to have."""
        return self._known.get((place.task_key, place.attempt), 0)

    def heard(self, place: LogPlace) -> int:
        """The version at which something was heard of an attempt last."""
        return self._heard.get((place.task_key, place.attempt), 0)

    def note(self, place: LogPlace, number: int, piece: LogPiece | None = None) -> None:
        """A piece is there; 0 is the whole log."""
        name = (place.task_key, place.attempt)
        self._known[name] = max(number, self._known.get(name, 0))
        if piece is not None:
            kept: asyncio.Future[LogPiece | None] = asyncio.get_running_loop().create_future()
            kept.set_result(piece)
            self._keep((name, number), kept)
        self._version += 1
        self._heard[name] = self._version
        self._changed.set()

    async def changed(self, since: int) -> None:
        """Wait until something is heard that was not at this version."""
        while self._version <= since:
            self._changed.clear()
            await self._changed.wait()

    async def piece(self, place: LogPlace, number: int) -> LogPiece | None:
        """A piece, read once for all who ask together. Raises `StorageUnavailable`, `CorruptData`."""
        key = ((place.task_key, place.attempt), number)
        found = self._kept.get(key)
        if found is None:
            found = asyncio.ensure_future(self._read(place, number))
            self._keep(key, found)
            found.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(found)

    def awaits(self, who: object, places: Iterable[LogPlace]) -> None:
        """From now on this follower waits for pieces of these attempts."""
        self._awaited[who] = frozenset((place.task_key, place.attempt) for place in places)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def leave(self, who: object) -> None:
        """This follower waits for nothing any more."""
        self._awaited.pop(who, None)

    def stop(self) -> None:
        """Nobody follows any more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _keep(self, key: tuple[_Name, int], piece: "asyncio.Future[LogPiece | None]") -> None:
        self._kept[key] = piece
        if len(self._kept) > PIECES_KEPT:
            self._kept.popitem(last=False)

    def _forget(self, key: tuple[_Name, int], done: "asyncio.Future[LogPiece | None]") -> None:
        """What was not there may be there next time."""
        if (done.cancelled() or done.exception() is not None or done.result() is None) and self._kept.get(key) is done:
            del self._kept[key]

    async def _read(self, place: LogPlace, number: int) -> LogPiece | None:
        found = await self._store.get(place.key(number))
        return None if found is None else decoded(found.body)

    async def _look(self) -> None:
        while True:
            await self._clock.sleep_ms(self._poll_ms)
            awaited = sorted(frozenset().union(*self._awaited.values()))
            some = [awaited[(self._turn + step) % len(awaited)] for step in range(min(PROBES_MAX, len(awaited)))]
            self._turn += len(some)
            await asyncio.gather(*(self._probe(*name) for name in some))

    async def _probe(self, task_key: str, attempt: int) -> None:
        place = LogPlace(self.run_id, task_key, attempt)
        number = self.known(place) + 1
        try:
            if await self.piece(place, number) is not None:
                self.note(place, number)
        except Exception as error:  # noqa: BLE001  # whoever follows waits for the next look
            self._log.warning("log_watch_failed", error=type(error).__name__, msg=str(error))


class LogWatches:
    """The live logs that are followed in this process, and nothing of others."""

    def __init__(self, store_for: Callable[[Scope], ObjectStore], *, clock: Clock, log: Log, poll_ms: int) -> None:
        self._store_for = store_for
        self._clock = clock
        self._log = log
        self._poll_ms = poll_ms
        self._runs: dict[tuple[Scope, str], RunLogs] = {}

    @contextmanager
    def following(self, scope: Scope, run_id: str) -> Iterator[RunLogs]:
        """The logs of a run, for as long as somebody follows them."""
        key = (scope, run_id)
        run = self._runs.get(key)
        if run is None:
            run = RunLogs(run_id, self._store_for(scope), clock=self._clock, log=self._log, poll_ms=self._poll_ms)
            self._runs[key] = run
        run.followers += 1
        try:
            yield run
        finally:
            run.followers -= 1
            if not run.followers:
                run.stop()
                del self._runs[key]

    def told(self, scope: Scope, place: LogPlace, number: int = 0, piece: LogPiece | None = None) -> None:
        """A piece, or without a number the whole log, came through this process."""
        run = self._runs.get((scope, place.run_id))
        if run is not None:
            run.note(place, number, piece)

    @property
    def count(self) -> int:
        """Runs whose logs are followed."""
        return len(self._runs)
