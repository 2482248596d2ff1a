"""Events of a run, told one after the other to a fold over dicts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from tests.fakes import MemoryView

from arco.core import instant
from arco.core.ids import ulid_from_int
from arco.core.scope import Scope
from arco.domains.orchestration import keys
from arco.domains.orchestration.agenda import place_of_run, place_of_task
from arco.domains.orchestration.domain import OrchestrationDomain
from arco.domains.orchestration.history_rows import SLOT_HOLDERS
from arco.domains.orchestration.rows import AGENDA, DEPENDENCIES, OUTBOX, RUNS, SLOTS, TASKS, RunRow, TaskRow
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, Decision, FoldContext, Rejected
from arco.kernel.workshop import FOLD_VERSION

START_MS = 1_767_225_600_000
RUN = ulid_from_int((START_MS << 80) + 1)
DOMAIN = OrchestrationDomain(Scope("acme", "prod"))


def snake(event_type: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in event_type).lstrip("_")


class Story:
    """A workspace, from its first event on. Time passes a second with every event."""

    def __init__(self, view: MemoryView | None = None) -> None:
        self.view = view or MemoryView()
        self.now_ms = START_MS
        self.told: list[Envelope] = []

    def envelope(self, event_type: str, at_ms: int | None = None, **data: Any) -> Envelope:
        self.now_ms += 1_000
        payload = {"type": snake(event_type), **data}
        return Envelope(
            event_type=event_type,
            event_version=1,
            idempotency_key="",
            occurred_at=instant.stored_text(self.now_ms if at_ms is None else at_ms),
            source="test",
            payload=msgspec.Raw(msgspec.json.encode(payload)),
            event_id=ulid_from_int((self.now_ms << 80) + len(self.told) + 1),
        )

    def fold(self, event: Envelope) -> Decision:
        self.told.append(event)
        savepoint = self.view.savepoint()
        decision = DOMAIN.fold(self.view, event, FoldContext(self.now_ms, FOLD_VERSION))
        if isinstance(decision, Rejected):
            self.view.rollback(savepoint)
        check_everything(self.view)
        return decision

    def tell(self, event_type: str, **data: Any) -> Decision:
        return self.fold(self.envelope(event_type, **data))

    # --- shorthands ---------------------------------------------------------------------------------------------------

    def run_of(self, plan: Mapping[str, Sequence[str]], run_id: str = RUN, **settings: Any) -> None:
        self.tell("RunTriggered", run_id=run_id, plan_id="P", trigger={"type": "manual", "user_id": "u"})
        tasks = [{"key": key, "depends_on": list(ups), "asset_key": key, **settings} for key, ups in plan.items()]
        self.tell("PlanCreated", run_id=run_id, plan_id="P", tasks=tasks)

    def dispatch(self, task: str, attempt: int = 1, run_id: str = RUN) -> Decision:
        name = keys.dispatch_id(run_id, task, attempt)
        return self.tell(
            "DispatchRequested",
            **of(task, attempt, run_id),
            dispatch_id=name,
        )

    def start(self, task: str, attempt: int = 1, run_id: str = RUN) -> Decision:
        return self.tell("TaskStarted", **of(task, attempt, run_id), worker_id="w")

    def beat(self, task: str, attempt: int = 1, **data: Any) -> Decision:
        return self.tell("TaskHeartbeat", **of(task, attempt), worker_id="w", **data)

    def finish(self, task: str, outcome: str = "succeeded", attempt: int = 1, **data: Any) -> Decision:
        return self.tell("TaskCompletionRecorded", **of(task, attempt), worker_id="w", outcome=outcome, **data)

    def through(self, task: str, outcome: str = "succeeded", attempt: int = 1, **data: object) -> Decision:
        self.dispatch(task, attempt)
        self.start(task, attempt)
        return self.finish(task, outcome, attempt, **data)

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def run(self) -> RunRow:
        (run,) = self.view.scan(RUNS, ())
        return run

    def task(self, key: str) -> TaskRow:
        (found,) = [task for task in self.view.scan(TASKS, ()) if task.task_key == key]
        return found

    @property
    def states(self) -> dict[str, str]:
        return {task.task_key: task.state for task in self.view.scan(TASKS, ())}

    def outbox(self) -> list[Any]:
        return list(self.view.scan(OUTBOX, ()))


def of(task: str, attempt: int, run_id: str = RUN) -> dict[str, Any]:
    name = keys.dispatch_id(run_id, task, attempt)
    return {"run_id": run_id, "task_key": task, "attempt": attempt, "attempt_id": keys.attempt_id(name)}


def accepted(decision: Decision) -> Accepted:
    assert isinstance(decision, Accepted), decision
    return decision


def refused(decision: Decision, code: str) -> Rejected:
    assert isinstance(decision, Rejected), decision
    assert decision.code == code
    assert not decision.final
    return decision


def check_everything(view: MemoryView) -> None:
    """What must hold after every event: agenda, slots and counters are what rows make them."""
    tasks = list(view.scan(TASKS, ()))
    runs = list(view.scan(RUNS, ()))
    places = [place_of_task(task) for task in tasks] + [place_of_run(run) for run in runs]
    assert sorted(AGENDA.key_of(place) for place in places if place) == sorted(
        AGENDA.key_of(row) for row in view.scan(AGENDA, ())
    )
    held: dict[str, int] = {}
    for task in tasks:
        if task.state in ("DISPATCHED", "RUNNING"):
            for key in ("*", task.concurrency_key):
                if key is not None:
                    held[key] = held.get(key, 0) + 1
    assert {row.concurrency_key: row.in_use for row in view.scan(SLOTS, ()) if row.in_use} == held
    holders = sorted((row.concurrency_key, row.task_key) for row in view.scan(SLOT_HOLDERS, ()))
    busy = [task for task in tasks if task.state in ("DISPATCHED", "RUNNING")]
    assert holders == sorted((task.concurrency_key, task.task_key) for task in busy if task.concurrency_key)
    for run in runs:
        own = [task for task in tasks if task.run_id == run.run_id]
        _check_counters(run, own)
    for edge in view.scan(DEPENDENCIES, ()):
        assert edge.satisfied == (edge.resolution == "SUCCESS")


def _check_counters(run: RunRow, tasks: list[TaskRow]) -> None:
    counts: Callable[[str], int] = lambda state: sum(task.state == state for task in tasks)  # noqa: E731  # said once, used four times
    if run.state == "TRIGGERED":
        return
    assert run.tasks_total == len(tasks)
    assert run.tasks_succeeded == counts("SUCCEEDED")
    assert run.tasks_failed == counts("FAILED")
    assert run.tasks_skipped == counts("SKIPPED")
    assert run.tasks_cancelled == counts("CANCELLED")
    over = run.tasks_succeeded + run.tasks_failed + run.tasks_skipped + run.tasks_cancelled
    assert run.tasks_completed == over
    assert (run.completed_at is not None) == (over == run.tasks_total)
    done = [task for task in tasks if task.state == "SUCCEEDED" and task.requires_visible_output]
    gates = [task.output_visibility_state for task in done]
    assert (run.outputs_pending, run.outputs_failed) == (gates.count("PENDING"), gates.count("FAILED"))
