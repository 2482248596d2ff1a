"""Rounds of a controller: for each workspace when there is news, when something is due, and now and then.

A nudge is latency, never correctness: a round that nobody asked for finds the same work later. Rounds of one workspace
follow each other, those of different ones do not wait for each other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.scope import Scope

Round = Callable[[Scope], Awaitable[int | None]]
"""One round over a workspace; in how many ms the next one is due at the latest, None when nothing is known to be."""

LEAST_MS: Final = 5
_AFTER_FAILURE_MS: Final = 1_000


class Rounds:
    """Rounds over the workspaces of a process, at least every `interval_ms`; 0 is only when nudged or when due."""

    def __init__(
        self, work: Round, scopes: Callable[[], Sequence[Scope]], *, clock: Clock, log: Log, interval_ms: int
    ) -> None:
        self._work = work
        self._scopes = scopes
        self._clock = clock
        self._log = log
        self._interval_ms = interval_ms
        self._wakes: dict[Scope, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._going = False

    def start(self) -> None:
        """Begin with the workspaces known so far. Idempotent."""
        if self._going:
            return
        self._going = True
        for scope in self._scopes():
            self.nudge(scope)
        if self._interval_ms:
            self._spawn(self._look_around())

    def nudge(self, scope: Scope) -> None:
        """Say that there is news in a workspace; a round begins at once, or follows the one under way."""
        if not self._going:
            return
        wake = self._wakes.get(scope)
        if wake is None:
            wake = self._wakes[scope] = asyncio.Event()
            self._spawn(self._turn(scope, wake))
        wake.set()

    async def stop(self) -> None:
        """End; what a round was in the middle of is found again by anybody's next."""
        self._going = False
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_around(self) -> None:
        """Begin rounds in workspaces that appeared since."""
        while True:
            await self._clock.sleep_ms(self._interval_ms)
            for scope in self._scopes():
                if scope not in self._wakes:
                    self.nudge(scope)

    async def _turn(self, scope: Scope, wake: asyncio.Event) -> None:
        due_ms: int | None = None
        while True:
            await self._rest(wake, due_ms)
            wake.clear()
            try:
                due_ms = await self._work(scope)
            except Exception as error:  # noqa: BLE001  # no mistake in one round may end the rounds of a workspace
                self._log.warning("round_failed", tenant=scope.tenant, error=type(error).__name__, msg=str(error))
                due_ms = _AFTER_FAILURE_MS

    async def _rest(self, wake: asyncio.Event, due_ms: int | None) -> None:
        """Until there is news, or something is due, or it is time to look again."""
        waits = [one for one in (due_ms, self._interval_ms or None) if one is not None]
        if not waits:
            await wake.wait()
            return
        sleeper = asyncio.ensure_future(self._clock.sleep_ms(max(LEAST_MS, min(waits))))
        waker = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait({sleeper, waker}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waker.cancel()
