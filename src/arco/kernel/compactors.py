"""The compactors of one process: one for each scope it is given, made when first asked for.

A production compactor serves exactly one scope; in the all-roles mode it serves every scope it is asked for
(compatibility.md).
"""

import asyncio
from collections.abc import Callable

from arco.core.errors import NotFound, OutcomeUnknown
from arco.core.scope import Scope
from arco.kernel.compactor import Compactor
from arco.kernel.upkeep import keep_up
from arco.kernel.workshop import Workshop


class Compactors:
    """Compactors by scope."""

    def __init__(self, workshop_for: Callable[[Scope], Workshop], *, only: Scope | None, idle_merge_ms: int) -> None:
        self._workshop_for = workshop_for
        self._only = only
        self._idle_merge_ms = idle_merge_ms
        self._stopping = False
        self._running: dict[Scope, Compactor] = {}
        self._shops: dict[Scope, Workshop] = {}
        self._chores: list[asyncio.Task[None]] = []

    @property
    def only(self) -> Scope | None:
        """The one scope this process serves, or None when it serves any."""
        return self._only

    @property
    def running(self) -> list[Compactor]:
        """The compactors made so far."""
        return list(self._running.values())

    @property
    def scopes(self) -> list[Scope]:
        """The scopes whose compactors were made so far, or the one this process serves."""
        return list(self._running) if self._only is None else [self._only]

    def of(self, scope: Scope) -> Compactor:
        """The running compactor of a scope.

        Raises `NotFound` for a scope this process does not serve, `OutcomeUnknown` for a new one when it is stopping.
        """
        if self._only is not None and scope != self._only:
            raise NotFound("this compactor serves another workspace")
        found = self._running.get(scope)
        if found is None:
            if self._stopping:
                raise OutcomeUnknown("this compactor is stopping; another one will fold the event")
            found = self._running[scope] = Compactor(self.workshop(scope), idle_merge_ms=self._idle_merge_ms)
            found.start()
            self._chores.append(asyncio.get_running_loop().create_task(keep_up(self.workshop(scope), found)))
        return found

    def workshop(self, scope: Scope) -> Workshop:
        """The tools of a scope's compactor."""
        shop = self._shops.get(scope)
        if shop is None:
            shop = self._shops[scope] = self._workshop_for(scope)
        return shop

    def passing(self, scope: Scope) -> Workshop:
        """The tools to look after a scope that nobody has asked for; they are not kept. Raises `NotFound`."""
        if self._only is not None and scope != self._only:
            raise NotFound("this compactor serves another workspace")
        return self._shops.get(scope) or self._workshop_for(scope)

    async def stop(self) -> None:
        """Finish what is queued everywhere."""
        self._stopping = True
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await asyncio.gather(*(compactor.stop() for compactor in self._running.values()))
