"""Attempts on their way: handed to the queue and told to the ledger, in the order that keeps the promise.

A task that is READY, or whose retry is due, in a visible commit is the durable intent, and its name follows from it: so
it is pushed first and recorded afterwards, as one unit; after a crash between the two the same name is pushed again.
Where slots are limited the fold has the word first, or two controllers would both take the last one.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from arco.core.scope import Scope
from arco.dispatch.port import Answer, Duplicate, Enqueued, QueueFull, Refused, Unknown
from arco.domains.orchestration import keys
from arco.domains.orchestration.controllers.steps import Send
from arco.domains.orchestration.drafts import dispatched, unit
from arco.domains.orchestration.events import DispatchEnqueued
from arco.domains.orchestration.fold.board import WORKSPACE_SLOTS
from arco.domains.orchestration.rows import SlotsRow, TaskRow
from arco.kernel.desk import Desk, UnitDraft
from arco.kernel.fold import Outcome
from arco.loops.sending import Sender

FULL = "queue_full"
FAILED = "enqueue_failed"


class Trouble(msgspec.Struct, frozen=True):
    """Something that was not handed in, and why."""

    kind: str
    id: str
    message: str


class Delivery(msgspec.Struct, frozen=True):
    """What became of one attempt; `answer` None means that the fold did not let it go."""

    dispatch_id: str
    answer: Answer | None

    @property
    def taken(self) -> bool:
        """True when the queue has it."""
        return isinstance(self.answer, Enqueued | Duplicate)

    def trouble(self, prefix: str) -> Trouble | None:
        """What operators are told, if anything."""
        match self.answer:
            case QueueFull():
                return Trouble(f"{prefix}_{FULL}", self.dispatch_id, "queue full")
            case Unknown(reason=reason) | Refused(reason=reason):
                return Trouble(f"{prefix}_{FAILED}", self.dispatch_id, reason)
        return None


class Deliveries:
    """Delivers for one controller; `source` is what events say they are from."""

    def __init__(self, sender: Sender, desk_for: Callable[[Scope], Desk], source: str) -> None:
        self.sender = sender
        self._desk_for = desk_for
        self._source = source
        self.actions = 0
        """Units that were handed in: what a controller did."""

    async def deliver(self, scope: Scope, steps: Sequence[Send], slots: Mapping[str, SlotsRow]) -> list[Delivery]:
        """Send attempts; what became of each."""
        everybody = _limits(slots.get(WORKSPACE_SLOTS))
        bound = [everybody or _limits(slots.get(step.task.concurrency_key or "")) for step in steps]
        free = [step for step, limited in zip(steps, bound, strict=True) if not limited]
        held = [step for step, limited in zip(steps, bound, strict=True) if limited]
        first, second = await asyncio.gather(self._pushed(scope, free), self._asked_first(scope, held))
        return [*first, *second]

    async def hand_in(self, scope: Scope, task: TaskRow, name: str | None = None) -> Delivery:
        """Hand in an attempt that is wanted already, under its own name or another one, and record it."""
        dispatch_id = _current(task)
        answer = await self.sender.send(scope, task, task.attempt, name)
        if isinstance(answer, Enqueued | Duplicate):
            await self.record(scope, [unit(_has(task, task.attempt, name), lasting=True)])
        return Delivery(dispatch_id, answer)

    async def confirm(self, scope: Scope, task: TaskRow, name: str) -> None:
        """Say that the queue still has an attempt, which therefore needs no other delivery for a while."""
        await self.record(scope, [unit(_has(task, task.attempt, name), lasting=True)])

    async def record(self, scope: Scope, units: Sequence[UnitDraft]) -> Sequence[Outcome]:
        """Have the units folded."""
        self.actions += len(units)
        return await self._desk_for(scope).submit(units, source=self._source) if units else ()

    async def _pushed(self, scope: Scope, steps: Sequence[Send]) -> list[Delivery]:
        answers = await asyncio.gather(*(self.sender.send(scope, step.task, step.attempt) for step in steps))
        done = [Delivery(step.dispatch_id, answer) for step, answer in zip(steps, answers, strict=True)]
        units: list[UnitDraft] = []
        for step, delivery in zip(steps, done, strict=True):
            if delivery.taken:
                units.append(unit(_wanted(step), _has(step.task, step.attempt), lasting=True))
            elif isinstance(delivery.answer, Unknown):
                # Nobody knows: the attempt counts as wanted, so that it is asked for again under its name.
                units.append(unit(_wanted(step), lasting=True))
        await self.record(scope, units)
        return done

    async def _asked_first(self, scope: Scope, steps: Sequence[Send]) -> list[Delivery]:
        outcomes = await self.record(scope, [unit(_wanted(step)) for step in steps])
        given = {step.dispatch_id for step, one in zip(steps, outcomes, strict=True) if one.status == "accepted"}
        going = [step for step in steps if step.dispatch_id in given]
        answers = await asyncio.gather(*(self.sender.send(scope, step.task, step.attempt) for step in going))
        done = [Delivery(step.dispatch_id, answer) for step, answer in zip(going, answers, strict=True)]
        taken = [step for step, delivery in zip(going, done, strict=True) if delivery.taken]
        await self.record(scope, [unit(_has(step.task, step.attempt), lasting=True) for step in taken])
        return [*done, *(Delivery(step.dispatch_id, None) for step in steps if step.dispatch_id not in given)]


def _limits(slots: SlotsRow | None) -> bool:
    return slots is not None and slots.slots is not None


def _wanted(step: Send) -> object:
    task = step.task
    return dispatched(task.run_id, task.task_key, step.attempt, attempt_id=step.attempt_id, queue=task.worker_queue)


def _has(task: TaskRow, attempt: int, name: str | None = None) -> DispatchEnqueued:
    dispatch_id = keys.dispatch_id(task.run_id, task.task_key, attempt)
    return DispatchEnqueued(
        dispatch_id=dispatch_id,
        run_id=task.run_id,
        task_key=task.task_key,
        attempt=attempt,
        cloud_task_id=name or keys.queue_task_id("d", dispatch_id),
    )


def _current(task: TaskRow) -> str:
    return keys.dispatch_id(task.run_id, task.task_key, task.attempt)
