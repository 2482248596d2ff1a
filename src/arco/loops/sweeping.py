"""The sweeper's round: whatever should have happened by now and did not (orchestration.md 4.7, 8.2).

It reads the beginning of each lane of the agenda, looks at what is due itself, and acts: an attempt that waited long
enough is made, one that nobody has begun is delivered anew, one that is silent or late is given up, a run whose time is
over is called off. It acts on what the chain says, never on what it remembers.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.scope import Scope
from arco.dispatch.port import Duplicate, Enqueued
from arco.domains.orchestration import keys
from arco.domains.orchestration.agenda import RETRY, RUN, RUNNING, SENT
from arco.domains.orchestration.controllers import overdue
from arco.domains.orchestration.controllers.overdue import Patience
from arco.domains.orchestration.controllers.ready import to_send
from arco.domains.orchestration.controllers.steps import CallOff, GiveUp, Redeliver, Send
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import RunCancelRequested, TaskError, TaskFinished
from arco.domains.orchestration.queries import agenda
from arco.domains.orchestration.rows import AGENDA, TaskRow
from arco.kernel.reading import Reader, Snapshot
from arco.kernel.records import HELD_KEYS
from arco.kernel.spec import RowKey
from arco.loops.delivering import Deliveries, Delivery, Trouble
from arco.loops.lineage import LineageTeller

SOURCE: Final = "sweeper"
WORKER: Final = "anti-entropy"
"""Who says that an attempt has failed when its worker says nothing (orchestration.md 4.7)."""

_SOON_MS: Final = 1_000


class SweepReport(msgspec.Struct, kw_only=True):
    """What a round did: the contract's answer of `POST /run`. Nothing is ever skipped for lag: state is read anew."""

    repairs_created: int = 0
    redispatch_attempted: int = 0
    redispatch_enqueued: int = 0
    redispatch_deduplicated: int = 0
    redispatch_failed: int = 0
    skipped_due_to_lag: int = 0
    errors: list[Trouble] = []

    def count(self, delivery: Delivery) -> None:
        """Count what became of an attempt."""
        self.redispatch_attempted += 1
        self.redispatch_enqueued += isinstance(delivery.answer, Enqueued)
        self.redispatch_deduplicated += isinstance(delivery.answer, Duplicate)
        trouble = delivery.trouble("redispatch")
        if trouble is not None:
            self.redispatch_failed += 1
            self.errors = [*self.errors, trouble]


class Sweeper:
    """Rounds of sweeping over the workspaces of a process; up to `batch` things of each lane in one."""

    def __init__(
        self,
        deliveries: Deliveries,
        reader_for: Callable[[Scope], Reader],
        *,
        clock: Clock,
        log: Log,
        patience: Patience,
        batch: int,
        lineage: LineageTeller | None = None,
    ) -> None:
        self._deliveries = deliveries
        self._reader_for = reader_for
        self._clock = clock
        self._log = log
        self._patience = patience
        self._batch = batch
        self._lineage = lineage
        self._passed: dict[Scope, RowKey] = {}

    async def round(self, scope: Scope) -> int | None:
        """One round; in how many ms something will be due, as far as is known."""
        began_ms = self._clock.now_ms()
        report, next_ms = await self._ran(scope)
        for trouble in report.errors:
            self._log.warning(trouble.kind, tenant=scope.tenant, id=trouble.id, msg=trouble.message)
        # What was due and could not be done, for want of a slot, is no reason to go round and round.
        stuck = next_ms is not None and next_ms <= began_ms and not report.repairs_created
        if report.errors or stuck:
            return _SOON_MS
        return None if next_ms is None else max(0, next_ms - self._clock.now_ms())

    async def run(self, scope: Scope) -> SweepReport:
        """One round, because somebody asked for it."""
        report, _ = await self._ran(scope)
        return report

    async def _ran(self, scope: Scope) -> tuple[SweepReport, int | None]:
        report = SweepReport()
        snapshot = await self._reader_for(scope).head()
        if snapshot is None:
            return report, None
        settings = await agenda.settings_of(snapshot)
        paused = settings is not None and settings.paused
        now_ms = self._clock.now_ms()
        nexts: list[int] = []
        tasks: list[TaskRow] = []
        for lane, wait_ms in self._lanes(paused=paused).items():
            after = self._passed.pop(scope, None) if lane == RETRY else None
            places, following = await agenda.due(snapshot, lane, now_ms - wait_ms, limit=self._batch, after=after)
            tasks += await agenda.tasks_of(snapshot, places)
            nexts += [] if following is None else [following + wait_ms]
            if lane == RETRY and len(places) == self._batch:
                self._passed[scope] = AGENDA.key_of(places[-1])
        if await self._repair(scope, snapshot, tasks, now_ms=now_ms, report=report):
            # Those that could not be sent are looked at again: only a round that sends nothing is followed by one that
            # looks behind them.
            self._passed.pop(scope, None)
        nexts += await self._runs(scope, snapshot, now_ms, report)
        if snapshot.count(HELD_KEYS):
            # What a transaction under way holds is refused, and stays due: it is decided within seconds, not sooner.
            nexts = [max(one, now_ms + _SOON_MS) for one in nexts]
        if self._lineage is not None:
            await self._deliveries.record(scope, await self._lineage.tell(scope, snapshot))
        return report, min(nexts, default=None)

    def _lanes(self, *, paused: bool) -> Mapping[str, int]:
        """The lanes to look at, and for how long a place in it may be over. While paused nothing new is sent.

        What is ready is the dispatcher's, who looks at all of it with every round, nudged or not.
        """
        watched = {RUNNING: 0}
        return watched if paused else {RETRY: 0, SENT: self._patience.sent_ms, **watched}

    async def _repair(
        self, scope: Scope, snapshot: Snapshot, tasks: list[TaskRow], *, now_ms: int, report: SweepReport
    ) -> bool:
        """Do what is due of these tasks; True when an attempt was sent."""
        waiting: list[TaskRow] = []
        given_up = []
        again: list[TaskRow] = []
        for task in tasks:
            match overdue.of_task(task, now_ms, self._patience):
                case Send() as step:
                    waiting.append(step.task)
                case Redeliver() as step:
                    again.append(step.task)
                case GiveUp() as step:
                    given_up.append(unit(_failed(step), lasting=True))
        await asyncio.gather(*(self._redeliver(scope, snapshot, task, report) for task in again))
        slots = await agenda.slots_of(snapshot, waiting)
        # What has no slot is not even asked for: each round would add a refusal to ledger and chain.
        sends = to_send(waiting, slots, limit=self._batch)
        deliveries = await self._deliveries.deliver(scope, sends, slots)
        for delivery in deliveries:
            report.count(delivery)
        await self._deliveries.record(scope, given_up)
        report.repairs_created += len(sends) + len(given_up) + len(again)
        return any(delivery.taken for delivery in deliveries)

    async def _redeliver(self, scope: Scope, snapshot: Snapshot, task: TaskRow, report: SweepReport) -> None:
        """Deliver an attempt anew, unless our own queue still has it: then it is the workers that are busy."""
        row = await agenda.outbox_of(snapshot, task)
        held = row.cloud_task_id if row is not None else None
        if held is not None and self._deliveries.sender.queue.waits(held):
            await self._deliveries.confirm(scope, task, held)
            return
        name = keys.redelivery_id(_dispatch_id(task), task.row_version)
        report.count(await self._deliveries.hand_in(scope, task, name))

    async def _runs(self, scope: Scope, snapshot: Snapshot, now_ms: int, report: SweepReport) -> list[int]:
        """Call off runs whose time is over; when the next one's will be."""
        places, following = await agenda.due(snapshot, RUN, now_ms, limit=self._batch)
        for place in places:
            run = await agenda.run_at(snapshot, place)
            step = None if run is None else overdue.of_run(run, now_ms)
            if isinstance(step, CallOff):
                event = RunCancelRequested(run_id=step.run.run_id, reason=step.reason, requested_by=SOURCE)
                await self._deliveries.record(scope, [unit(event, lasting=True)])
                report.repairs_created += 1
        return [] if following is None else [following]


def _failed(step: GiveUp) -> TaskFinished:
    task = step.task
    return TaskFinished(
        run_id=task.run_id,
        task_key=task.task_key,
        attempt=task.attempt,
        attempt_id=task.attempt_id or "",
        worker_id=WORKER,
        outcome="failed",
        error_message=step.message,
        error=TaskError(category=step.category, message=step.message),
        asset_key=task.asset_key,
        partition_key=task.partition_key,
    )


def _dispatch_id(task: TaskRow) -> str:
    return keys.dispatch_id(task.run_id, task.task_key, task.attempt)
