"""The dispatcher's round: what is ready goes to the queue (orchestration.md 8.1)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from arco.core.log import Log
from arco.core.scope import Scope
from arco.dispatch.port import Duplicate, Enqueued, Unknown
from arco.domains.orchestration.agenda import SENT
from arco.domains.orchestration.controllers.ready import to_send
from arco.domains.orchestration.fold.dispatch import PENDING
from arco.domains.orchestration.queries import agenda
from arco.kernel.reading import Reader, Snapshot
from arco.kernel.spec import RowKey
from arco.loops.delivering import Deliveries, Delivery, Trouble

SOURCE: Final = "dispatcher"
BATCH_MAX: Final = 256
"""Attempts of one round; the next one follows at once when there are more."""

FORGOTTEN_MAX: Final = 10_000
"""Attempts handed in anew when a queue has forgotten them with its process: as many as it takes."""

_AGAIN_MS: Final = 250
_DOUBLINGS_MAX: Final = 6
"""A queue that takes nothing is asked later and later, every 16 s at last: each time costs calls and log lines."""

_FAR: Final = 1 << 62


class DispatchReport(msgspec.Struct, kw_only=True):
    """What a round did: the contract's answer of `POST /run`. Timers fire when the sweeper looks."""

    ready_dispatch_emitted: int = 0
    ready_dispatch_skipped: int = 0
    dispatch_actions: int = 0
    dispatch_enqueued: int = 0
    dispatch_deduplicated: int = 0
    dispatch_failed: int = 0
    timer_actions: int = 0
    timer_enqueued: int = 0
    timer_deduplicated: int = 0
    timer_failed: int = 0
    errors: list[Trouble] = []

    def count(self, delivery: Delivery) -> None:
        """Count what became of an attempt."""
        self.dispatch_actions += delivery.answer is not None
        self.dispatch_enqueued += isinstance(delivery.answer, Enqueued)
        self.dispatch_deduplicated += isinstance(delivery.answer, Duplicate)
        trouble = delivery.trouble("dispatch")
        if trouble is not None:
            self.dispatch_failed += 1
            self.errors = [*self.errors, trouble]


class Dispatcher:
    """Rounds of dispatching over the workspaces of a process."""

    def __init__(self, deliveries: Deliveries, reader_for: Callable[[Scope], Reader], log: Log) -> None:
        self._deliveries = deliveries
        self._reader_for = reader_for
        self._log = log
        self._begun: set[Scope] = set()
        self._unsure: set[Scope] = set()
        self._passed: dict[Scope, RowKey] = {}
        self._troubled: dict[Scope, int] = {}

    async def round(self, scope: Scope) -> int | None:
        """One round; in how many ms the next one is due."""
        report, more = await self._ran(scope, thorough=scope not in self._begun or scope in self._unsure)
        for trouble in report.errors:
            self._log.warning(trouble.kind, tenant=scope.tenant, id=trouble.id, msg=trouble.message)
        if report.errors:
            troubled = self._troubled[scope] = min(self._troubled.get(scope, -1) + 1, _DOUBLINGS_MAX)
            return _AGAIN_MS << troubled
        self._troubled.pop(scope, None)
        return 0 if more else None

    async def run(self, scope: Scope) -> DispatchReport:
        """A thorough round: what was promised to the queue and not confirmed is handed in again too."""
        report, _ = await self._ran(scope, thorough=True)
        return report

    async def _ran(self, scope: Scope, *, thorough: bool) -> tuple[DispatchReport, bool]:
        report = DispatchReport()
        snapshot = await self._reader_for(scope).head()
        settings = None if snapshot is None else await agenda.settings_of(snapshot)
        if snapshot is None or (settings is not None and settings.paused):
            return report, False
        again = await self._hand_in_again(scope, snapshot) if thorough else []
        ready = await agenda.ready_tasks(snapshot, limit=BATCH_MAX, after=self._passed.pop(scope, None))
        steps = to_send(ready.tasks, ready.slots, limit=BATCH_MAX)
        done = await self._deliveries.deliver(scope, steps, ready.slots)
        for delivery in (*again, *done):
            report.count(delivery)
        report.ready_dispatch_emitted = sum(one.taken or isinstance(one.answer, Unknown) for one in done)
        report.ready_dispatch_skipped = len(ready.tasks) - report.ready_dispatch_emitted
        self._begun.add(scope)
        (self._unsure.add if report.errors else self._unsure.discard)(scope)
        if ready.last is not None and not any(one.taken for one in done):
            # Nobody takes these: the next round looks behind them, and the one after the last begins anew.
            self._passed[scope] = ready.last
        return report, ready.last is not None and bool(steps)

    async def _hand_in_again(self, scope: Scope, snapshot: Snapshot) -> Sequence[Delivery]:
        """What is on its way and not confirmed; in a queue that forgot with the process before, everything."""
        forgot = not self._deliveries.sender.queue.survives and scope not in self._begun
        places, _ = await agenda.due(snapshot, SENT, _FAR, limit=FORGOTTEN_MAX if forgot else BATCH_MAX)
        tasks = await agenda.tasks_of(snapshot, places)
        rows = await asyncio.gather(*(agenda.outbox_of(snapshot, task) for task in tasks))
        lost = [task for task, row in zip(tasks, rows, strict=True) if row and (forgot or row.status == PENDING)]
        return await asyncio.gather(*(self._deliveries.hand_in(scope, task) for task in lost))
