"""What streams of a process are made of, and what followers of one run share: pictures, and the events between."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.scope import Scope
from arco.domains.orchestration.queries.pictures import Change, Picture, changes, picture
from arco.edge.streams import Streams
from arco.kernel.reading import Snapshot
from arco.loops.log_watching import LogWatches
from arco.loops.watching import Watches

_STEPS_KEPT: Final = 4
"""Steps from one picture to the next that are kept: followers are seldom further apart."""

_ENCODED_MAX: Final = 256
"""Changes of a step that are kept encoded. Who is told more than that is told it for the first time, and alone."""

_PAUSE_SHARE: Final = 4
_PAUSE_MS_MAX: Final = 2_000

Encode = Callable[[Change, Picture], tuple[str, bytes]]
"""Name and data of the event that tells of a change."""


class Step:
    """What leads from one picture to another; each event is encoded when it is sent, and once for all who follow."""

    def __init__(self, found: Sequence[Change], at: Picture, encode: Encode) -> None:
        self._changes = found
        self._at = at
        self._encode = encode
        self._encoded: dict[int, tuple[str, bytes]] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def event(self, index: int) -> tuple[str, bytes]:
        """Name and data of an event."""
        found = self._encoded.get(index)
        if found is None:
            found = self._encode(self._changes[index], self._at)
            if len(self._changes) <= _ENCODED_MAX:
                self._encoded[index] = found
        return found


class Run:
    """One run, for everybody who follows it at the moment."""

    def __init__(self, run_id: str, encode: Encode, clock: Clock) -> None:
        self._clock = clock
        self.pause_ms = 0
        """How long to leave the run alone after it was drawn, so that following it takes a part of the time only."""
        self._run_id = run_id
        self._encode = encode
        self._newest: Picture | None = None
        self._drawing = asyncio.Lock()
        self._steps: OrderedDict[tuple[int, int], Step] = OrderedDict()
        self.followers = 0

    async def picture(self, snapshot: Snapshot) -> Picture:
        """The run in a snapshot; drawn once for all who ask for the newest. Raises `NotFound`, `StorageUnavailable`."""
        number = int(snapshot.manifest_id)
        async with self._drawing:
            newest = self._newest
            if newest is not None and newest.number == number:
                return newest
            begun_ms = self._clock.steady_ms()
            drawn = await picture(snapshot, self._run_id, newest)
            self.pause_ms = min(_PAUSE_MS_MAX, _PAUSE_SHARE * (self._clock.steady_ms() - begun_ms))
            if newest is None or number > newest.number:
                self._newest = drawn
            return drawn

    def step(self, old: Picture | None, new: Picture) -> Step:
        """The events that lead from one picture to another."""
        key = (0 if old is None else old.number, new.number)
        found = self._steps.get(key)
        if found is None:
            found = self._steps[key] = Step(changes(old, new), new, self._encode)
            if len(self._steps) > _STEPS_KEPT:
                self._steps.popitem(last=False)
        return found


class Runs:
    """The runs that are followed, and nothing of others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: dict[tuple[Scope, str], Run] = {}

    @contextmanager
    def following(self, scope: Scope, run_id: str, encode: Encode) -> Iterator[Run]:
        """The run, for as long as somebody follows it."""
        run = self._runs.setdefault((scope, run_id), Run(run_id, encode, self._clock))
        run.followers += 1
        try:
            yield run
        finally:
            run.followers -= 1
            if not run.followers:
                del self._runs[scope, run_id]

    @property
    def count(self) -> int:
        """Runs that are followed."""
        return len(self._runs)


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that streams of one process need."""

    streams: Streams
    watches: Watches
    runs: Runs
    logs: LogWatches
