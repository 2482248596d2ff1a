"""Finishes what callers left in the middle, so that no state waits for a caller who may never come back.

Latency comes from callers, who finish what stands in their own way; this loop is the owner of the rest. Every repair is
idempotent and safe from several processes at once: losing a round, or doing one twice, costs time and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.scope import Scope

Repair = Callable[[Scope], Awaitable[int]]
"""Finishes what is overdue in a scope; how many things that was."""


class Repairs:
    """Runs repairs for the scopes of a process, one after another, every `interval_ms`."""

    def __init__(
        self,
        scopes: Callable[[], Sequence[Scope]],
        repairs: Sequence[Repair],
        *,
        clock: Clock,
        log: Log,
        interval_ms: int,
    ) -> None:
        self._scopes = scopes
        self._repairs = repairs
        self._clock = clock
        self._log = log
        self._interval_ms = interval_ms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; an interval of 0 means never. Idempotent."""
        if self._task is None and self._interval_ms:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End; what is broken off is repaired by the next round of anybody."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def once(self) -> int:
        """One round; how many things were finished."""
        done = 0
        for scope in self._scopes():
            for repair in self._repairs:
                try:
                    done += await repair(scope)
                except Exception as error:  # noqa: BLE001  # one scope's trouble must not keep the others waiting
                    self._log.warning("repair_failed", tenant=scope.tenant, error=type(error).__name__, msg=str(error))
        return done

    async def _run(self) -> None:
        while True:
            await self._clock.sleep_ms(self._interval_ms)
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001  # no mistake in one round may end the loop, or nobody would repair
                self._log.warning("repairs_stumbled", error=type(error).__name__, msg=str(error))
