"""Wakes the compactor of a scope that owes something nobody wrote for: once, in the background, and seldom.

Whoever notices does not wait and loses nothing when it fails: what is owed is noticed again by the next one who asks.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.scope import Scope

INTERVAL_MS: Final = 60_000
"""A compactor that was woken works by itself until it is done; this is for those that ended meanwhile."""

_SCOPES_MAX: Final = 1_000


class Waking:
    """Asks for each scope at most once a minute, however often it is noticed."""

    def __init__(self, ask: Callable[[Scope], Awaitable[object]], *, clock: Clock, log: Log) -> None:
        self._ask = ask
        self._clock = clock
        self._log = log
        self._asked_ms: OrderedDict[Scope, int] = OrderedDict()
        self._asking: set[asyncio.Task[None]] = set()

    def __call__(self, scope: Scope) -> None:
        """Note that a scope owes something."""
        now_ms = self._clock.steady_ms()
        last_ms = self._asked_ms.get(scope)
        if last_ms is not None and now_ms - last_ms < INTERVAL_MS:
            return
        self._asked_ms[scope] = now_ms
        self._asked_ms.move_to_end(scope)
        if len(self._asked_ms) > _SCOPES_MAX:
            self._asked_ms.popitem(last=False)
        task = asyncio.get_running_loop().create_task(self._wake(scope))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def stop(self) -> None:
        """End; whom nobody has woken yet, the next one wakes."""
        for task in list(self._asking):
            task.cancel()
        if self._asking:
            await asyncio.wait(set(self._asking))

    async def _wake(self, scope: Scope) -> None:
        try:
            await self._ask(scope)
        except Exception as error:  # noqa: BLE001  # nobody waits for it: the next one who notices asks again
            self._log.warning("wake_failed", tenant=scope.tenant, error=type(error).__name__, msg=str(error))
