"""Heartbeats go in together: a thousand running tasks are one small commit a second, not one each.

The first of a workspace waits a moment for others, then all are handed in at once and each gets its own answer. Nobody
is in a hurry: a heartbeat is a promise for minutes.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from arco.core.clock import Clock
from arco.core.errors import ArcoError
from arco.core.scope import Scope
from arco.kernel.desk import Desk, UnitDraft
from arco.kernel.fold import Outcome

LINGER_MS: Final = 900
UNITS_MAX: Final = 512
"""So many are handed in without waiting longer."""

_Waiting = list[tuple[UnitDraft, "asyncio.Future[Outcome]"]]


class Gathering:
    """Hands in units of each workspace together, at most one batch in `linger_ms`."""

    def __init__(
        self, desk_for: Callable[[Scope], Desk], clock: Clock, source: str, *, linger_ms: int = LINGER_MS
    ) -> None:
        self._desk_for = desk_for
        self._clock = clock
        self._source = source
        self._linger_ms = linger_ms
        self._waiting: dict[Scope, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, scope: Scope, unit: UnitDraft) -> Outcome:
        """What became of the unit. Raises as the desk does."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(scope, [])
        waiting.append((unit, future))
        if len(waiting) == 1:
            self._begin(scope, linger_ms=self._linger_ms)
        elif len(waiting) == UNITS_MAX:
            self._begin(scope, linger_ms=0)
        return await future

    def _begin(self, scope: Scope, *, linger_ms: int) -> None:
        task = asyncio.get_running_loop().create_task(self._handed_in(scope, linger_ms))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handed_in(self, scope: Scope, linger_ms: int) -> None:
        if linger_ms:
            await self._clock.sleep_ms(linger_ms)
        waiting = self._waiting.pop(scope, [])
        if not waiting:
            return  # somebody was faster, because there were so many
        try:
            outcomes = await self._desk_for(scope).submit([unit for unit, _ in waiting], source=self._source)
        except Exception as error:  # noqa: BLE001  # whatever went wrong, everybody who waits must hear of it
            for _, future in waiting:
                if not future.done():
                    future.set_exception(_copy(error))
            return
        for (_, future), outcome in zip(waiting, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)

    async def stop(self) -> None:
        """Hand in nothing more; whoever waits is on its way to be told by its connection's end."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._waiting.values():
            for _, future in waiting:
                future.cancel()
        self._waiting.clear()


def _copy(error: Exception) -> Exception:
    """One exception object must not be raised in several tasks."""
    return type(error)(error.message, **error.details) if isinstance(error, ArcoError) else type(error)(*error.args)
