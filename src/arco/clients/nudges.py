"""Telling the dispatcher and the sweeper of another process that there is news: best effort, never waited for.

While a nudge of a workspace is on its way, further ones become a single one after it.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from arco.clients.compactor import HttpTransport
from arco.core.log import Log
from arco.core.scope import Scope

_PATH: Final = "/run"


class Nudges:
    """Nudges to the flow roles of other processes."""

    def __init__(self, targets: Sequence[HttpTransport], log: Log) -> None:
        self._targets = targets
        self._log = log
        self._under_way: dict[tuple[int, Scope], bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, scope: Scope) -> None:
        """There is news in a workspace."""
        for number in range(len(self._targets)):
            if (number, scope) in self._under_way:
                self._under_way[number, scope] = True
                continue
            self._under_way[number, scope] = False
            task = asyncio.get_running_loop().create_task(self._told(number, scope))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Tell nobody any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for target in self._targets:
            await target.close()

    async def _told(self, number: int, scope: Scope) -> None:
        headers = {
            "content-type": "application/json",
            "x-tenant-id": scope.tenant,
            "x-workspace-id": scope.workspace,
        }
        try:
            again = True
            while again:
                self._under_way[number, scope] = False
                await self._targets[number].post(_PATH, b"", headers)
                again = self._under_way[number, scope]
        except (ConnectionError, TimeoutError) as error:
            # Whoever was not told looks by itself before long.
            self._log.warning("nudge_lost", tenant=scope.tenant, error=type(error).__name__)
        finally:
            del self._under_way[number, scope]
