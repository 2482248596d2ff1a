"""Comes by the workspaces that nobody has asked for since the process began, a few each round and round and round.

A process knows whom it was asked for. What was left in the middle in a workspace that nobody asks for any more is known
to storage alone, so its names are stepped through: one listing of one object for each workspace, whatever is in it. The
cost of a round does not depend on how many there are; how long it takes to come by all of them does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.scope import SCOPES_PREFIX, Scope, scope_of_key
from arco.storage.port import ObjectStore, ReadRefused

SCOPES_PER_ROUND: Final = 4
_STEPS_PER_ROUND: Final = 32
_AFTER_SLASH: Final = "0"


class Visits:
    """Has `visit` come by every scope of a store that is not among the `known`, every `interval_ms` the next few."""

    def __init__(
        self,
        store: ObjectStore,
        known: Callable[[], Collection[Scope]],
        visit: Callable[[Scope], Awaitable[object]],
        *,
        clock: Clock,
        log: Log,
        interval_ms: int,
    ) -> None:
        self._store = store
        self._known = known
        self._visit = visit
        self._clock = clock
        self._log = log
        self._interval_ms = interval_ms
        self._after = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; an interval of 0 means never. Idempotent."""
        if self._task is None and self._interval_ms:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End; whoever was not come by is by the next process."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def once(self) -> int:
        """One round; how many scopes were come by. Raises `StorageUnavailable`."""
        known, visited = self._known(), 0
        for _ in range(_STEPS_PER_ROUND):
            scope = await self._step()
            if scope is not None and scope not in known:
                visited += 1
                await self._come_by(scope)
            if not self._after or visited == SCOPES_PER_ROUND:
                break
        return visited

    async def _step(self) -> Scope | None:
        """The next scope of the store, None for what is none; at the end the walk begins anew."""
        listed = await self._store.list_page(SCOPES_PREFIX, after=self._after, limit=1)
        if not listed:
            self._after = ""
            return None
        key = listed[0].key
        folder = key.split("/", 2)[:2]
        self._after = "/".join(folder) + _AFTER_SLASH if key.count("/") > 1 else key
        return scope_of_key(key)

    async def _come_by(self, scope: Scope) -> None:
        try:
            await self._visit(scope)
        except Exception as error:  # noqa: BLE001  # one scope's trouble must not keep the others waiting
            self._log.warning("visit_failed", tenant=scope.tenant, error=type(error).__name__, msg=str(error))

    async def _run(self) -> None:
        while True:
            await self._clock.sleep_ms(self._interval_ms)
            try:
                await self.once()
            except ReadRefused as refused:
                self._log.warning("visits_refused", msg=str(refused), advice="let the compactor list its bucket")
                return
            except Exception as error:  # noqa: BLE001  # no mistake in one round may end the loop
                self._log.warning("visits_stumbled", error=type(error).__name__, msg=str(error))
