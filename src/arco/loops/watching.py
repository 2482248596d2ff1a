"""Looking for a new head of a workspace's chain while somebody follows it: once for all of them, and not otherwise.

Costs one probe for each look, however many follow and however long the history: at once when somebody says that there
is news, else every `poll_ms`. A nudge that is lost costs that time and nothing else. Nobody is handed a head that is
older than one they had.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.scope import Scope
from arco.kernel.reading import Reader, Snapshot

POLL_MS: Final = 500
GAP_MS: Final = 50
"""Between two looks at least: commits that come together are one thing to look at."""

GAP_PER_FOLLOWER_MS: Final = 2
"""The more follow, the more there is to do after each look: a hundred of them look at a quarter of a second's news."""

_BACKOFF_MS: Final = 5_000


class HeadWatch:
    """The head of one workspace's chain, for everybody who follows it."""

    def __init__(self, reader: Reader, *, clock: Clock, log: Log, poll_ms: int = POLL_MS) -> None:
        self._reader = reader
        self._clock = clock
        self._log = log
        self._poll_ms = poll_ms
        self._newest: Snapshot | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._nudged = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self.followers = 0

    def nudge(self) -> None:
        """There is news: look at once, if anybody wants to know."""
        self._nudged.set()

    async def newer(self, than: int) -> Snapshot:
        """A snapshot whose number is greater, as soon as there is one."""
        while self._newest is None or int(self._newest.manifest_id) <= than:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(told)
            if self._looking is None:
                self._looking = asyncio.get_running_loop().create_task(self._look())
            try:
                await told
            finally:
                self._waiting.discard(told)
        return self._newest

    def stop(self) -> None:
        """Nobody follows any more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._newest = None

    async def _look(self) -> None:
        pause_ms = 0
        while True:
            await self._pause(pause_ms)
            self._nudged.clear()
            try:
                found = await self._reader.head()
            except Exception as error:  # noqa: BLE001  # whoever follows waits for the next look
                self._log.warning("watch_failed", error=type(error).__name__, msg=str(error))
                await self._clock.sleep_ms(_BACKOFF_MS)
                continue
            pause_ms = self._poll_ms
            if found is None or (self._newest is not None and found.manifest_id == self._newest.manifest_id):
                continue
            self._newest = found
            for told in self._waiting:
                if not told.done():
                    told.set_result(None)
            await self._clock.sleep_ms(GAP_MS + GAP_PER_FOLLOWER_MS * self.followers)

    async def _pause(self, for_ms: int) -> None:
        """Wait so long, or until there is news."""
        sleeping = asyncio.ensure_future(self._clock.sleep_ms(for_ms))
        nudged = asyncio.ensure_future(self._nudged.wait())
        try:
            await asyncio.wait({sleeping, nudged}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            nudged.cancel()


class Watches:
    """The watches of one process: one for each workspace that somebody follows, and none for others."""

    def __init__(
        self, reader_for: Callable[[Scope], Reader], *, clock: Clock, log: Log, poll_ms: int = POLL_MS
    ) -> None:
        self._reader_for = reader_for
        self._clock = clock
        self._log = log
        self._poll_ms = poll_ms
        self._watches: dict[Scope, HeadWatch] = {}

    @contextmanager
    def following(self, scope: Scope) -> Iterator[HeadWatch]:
        """The watch of a workspace, for as long as somebody follows it."""
        watch = self._watches.get(scope)
        if watch is None:
            reader = self._reader_for(scope)
            watch = HeadWatch(reader, clock=self._clock, log=self._log, poll_ms=self._poll_ms)
            self._watches[scope] = watch
        watch.followers += 1
        try:
            yield watch
        finally:
            watch.followers -= 1
            if not watch.followers:
                watch.stop()
                del self._watches[scope]

    def nudge(self, scope: Scope) -> None:
        """There is news in a workspace; of no effect where nobody follows."""
        watch = self._watches.get(scope)
        if watch is not None:
            watch.nudge()

    @property
    def count(self) -> int:
        """Workspaces that are followed."""
        return len(self._watches)
