"""How runs begin, what they consist of, and how they are called off (orchestration.md 4.1, 4.6, 4.8). Pure."""

from graphlib import CycleError, TopologicalSorter

import msgspec

from arco.domains.orchestration.agenda import RUN_TERMINAL, TERMINAL
from arco.domains.orchestration.events import PlanCreated, RunCancelRequested, RunRequested, RunTriggered, TaskDef
from arco.domains.orchestration.fold import refusals
from arco.domains.orchestration.fold.automation import is_stale
from arco.domains.orchestration.fold.board import Moment, bear, put_run, put_task, run_of
from arco.domains.orchestration.fold.ending import count_ended, ended_run
from arco.domains.orchestration.fold.tries import keeps_history
from arco.domains.orchestration.rows import (
    DEPENDENCIES,
    RUN_KEY_CONFLICTS,
    RUN_KEYS,
    RUNS,
    TASKS,
    DependencyRow,
    RunKeyConflictRow,
    RunKeyRow,
    RunRow,
    TaskRow,
)
from arco.kernel.fold import Accepted, Decision, InvalidEvent, Rejected, View

RUN_KEY_TAKEN = "run_key_taken"
RUN_TERMINAL_CODE = "run_already_terminal"

_COUNTED = {
    "SUCCEEDED": "tasks_succeeded",
    "FAILED": "tasks_failed",
    "SKIPPED": "tasks_skipped",
    "CANCELLED": "tasks_cancelled",
}


def triggered(view: View, event: RunTriggered, moment: Moment) -> Decision:
    """A run was asked for. What is known of its tasks already counts."""
    born = bear(view, event.run_id, moment)
    if view.get(RUNS, (born,)) is not None:
        return Accepted()
    if event.run_key is not None and (taken := _claimed(view, event, moment)) is not None:
        return taken
    run = RunRow(
        born=born,
        run_id=event.run_id,
        plan_id=event.plan_id,
        state="TRIGGERED",
        run_key=event.run_key,
        triggered_at=moment.at_ms,
        labels=_json(dict(sorted(event.labels.items()))) if event.labels else None,
        code_version=event.code_version,
        row_version=moment.version,
        trigger=bytes(event.trigger).decode(),
        root_assets=_json(event.root_assets),
        deadline_at=None if event.timeout_sec is None else moment.at_ms + event.timeout_sec * 1000,
    )
    tasks = list(view.scan(TASKS, (born,)))
    put_run(view, None, _counted(run, tasks, moment) if tasks else run)
    return Accepted()


def planned(view: View, event: PlanCreated, moment: Moment) -> Decision:
    """A run's tasks and edges are known: what waits for nothing is ready."""
    check_plan(event)
    born = bear(view, event.run_id, moment)
    if next(iter(view.scan(TASKS, (born,), limit=1)), None) is not None:
        return Accepted()
    tasks = [_task(definition, event.run_id, born, moment) for definition in event.tasks]
    for definition, task in zip(event.tasks, tasks, strict=True):
        put_task(view, None, task)
        for upstream in dict.fromkeys(definition.depends_on):
            view.put(
                DEPENDENCIES,
                DependencyRow(
                    born=born,
                    run_id=event.run_id,
                    upstream_task_key=upstream,
                    downstream_task_key=definition.key,
                    row_version=moment.version,
                ),
            )
    run = view.get(RUNS, (born,))
    if run is not None and run.state == "TRIGGERED":
        put_run(view, run, _counted(run, tasks, moment))
    return Accepted()


def cancelled(view: View, event: RunCancelRequested, moment: Moment) -> Decision:
    """A run is called off: what no worker has begun is over at once, what runs is told at its next heartbeat."""
    run = run_of(view, event.run_id)
    if run is None:
        return refusals.no_run(event.run_id)
    if run.state in RUN_TERMINAL:
        return Rejected(RUN_TERMINAL_CODE, f"run {run.run_id} is {run.state}", {"state": run.state}, final=False)
    if run.cancel_requested:
        return Accepted()
    asked = msgspec.structs.replace(
        run,
        cancel_requested=True,
        cancel_reason=event.reason,
        cancelled_by=event.requested_by if keeps_history(moment) else None,
        state="RUNNING",
        row_version=moment.version,
    )
    put_run(view, run, asked)
    ended = []
    for task in list(view.scan(TASKS, (run.born,))):
        if task.state in TERMINAL or task.state == "RUNNING":
            continue
        off = msgspec.structs.replace(
            task, state="CANCELLED", completed_at=moment.at_ms, retry_not_before=None, row_version=moment.version
        )
        put_task(view, task, off)
        ended.append("CANCELLED")
    if run.tasks_total == 0:
        over = msgspec.structs.replace(asked, state="CANCELLED", completed_at=moment.at_ms)
        put_run(view, asked, over)
    elif ended:
        count_ended(view, run.born, ended, moment)
    return Accepted()


def requested(view: View, event: RunRequested, moment: Moment, run_id: str) -> Decision:
    """Automation wants a run under a key: the first request has it, another one with the same key is on record."""
    source = msgspec.json.decode(event.trigger_source_ref)
    if isinstance(source, dict) and source.get("type") == "sensor" and is_stale(view, str(source.get("eval_id"))):
        return refusals.moot("the sensor's look it comes from was too late")
    known = view.get(RUN_KEYS, (event.run_key,))
    if known is None:
        view.put(
            RUN_KEYS,
            _key_row(event.run_key, run_id, event.request_fingerprint, moment, code_version=event.code_version),
        )
        return Accepted()
    if known.request_fingerprint != event.request_fingerprint:
        _conflict(view, known, event.request_fingerprint, moment)
    return Accepted()


def _claimed(view: View, event: RunTriggered, moment: Moment) -> Rejected | None:
    """Take the run key, unless another run has it."""
    assert event.run_key is not None
    known = view.get(RUN_KEYS, (event.run_key,))
    if known is None:
        view.put(
            RUN_KEYS,
            _key_row(
                event.run_key, event.run_id, event.request_fingerprint or "", moment, code_version=event.code_version
            ),
        )
        return None
    if known.run_id == event.run_id:
        return None
    details = {"run_id": known.run_id, "request_fingerprint": known.request_fingerprint}
    return Rejected(RUN_KEY_TAKEN, f"run key {event.run_key} stands for run {known.run_id}", details, final=False)


def _key_row(key: str, run_id: str, fingerprint: str, moment: Moment, *, code_version: str | None) -> RunKeyRow:
    return RunKeyRow(
        tenant_id=moment.tenant,
        workspace_id=moment.workspace,
        run_key=key,
        run_id=run_id,
        request_fingerprint=fingerprint,
        code_version=code_version,
        created_at=moment.at_ms,
        row_version=moment.version,
    )


def _conflict(view: View, known: RunKeyRow, fingerprint: str, moment: Moment) -> None:
    view.put(
        RUN_KEY_CONFLICTS,
        RunKeyConflictRow(
            tenant_id=moment.tenant,
            workspace_id=moment.workspace,
            run_key=known.run_key,
            existing_fingerprint=known.request_fingerprint,
            conflicting_fingerprint=fingerprint,
            conflicting_event_id=moment.version,
            detected_at=moment.at_ms,
        ),
    )


def check_plan(event: PlanCreated) -> None:
    """Raise `InvalidEvent` for a plan that could never be carried out."""
    keys = {definition.key for definition in event.tasks}
    if len(keys) != len(event.tasks):
        raise InvalidEvent("PlanCreated: a task is there twice")
    for definition in event.tasks:
        if unknown := set(definition.depends_on) - keys:
            raise InvalidEvent(f"PlanCreated: {definition.key} depends on {min(unknown)}, which is not planned")
        if definition.max_attempts < 1 or definition.heartbeat_timeout_sec < 1:
            raise InvalidEvent(f"PlanCreated: {definition.key} could never run")
    try:
        TopologicalSorter({definition.key: definition.depends_on for definition in event.tasks}).prepare()
    except CycleError as error:
        raise InvalidEvent(f"PlanCreated: tasks wait for each other: {' -> '.join(error.args[1])}") from None


def _task(definition: TaskDef, run_id: str, born: str, moment: Moment) -> TaskRow:
    blocked = bool(definition.depends_on)
    return TaskRow(
        born=born,
        run_id=run_id,
        task_key=definition.key,
        state="BLOCKED" if blocked else "READY",
        ready_at=None if blocked else moment.at_ms,
        deps_total=len(set(definition.depends_on)),
        max_attempts=definition.max_attempts,
        heartbeat_timeout_sec=definition.heartbeat_timeout_sec,
        asset_key=definition.asset_key,
        partition_key=definition.partition_key,
        requires_visible_output=definition.requires_visible_output,
        worker_queue=definition.worker_queue,
        priority=definition.priority,
        timeout_sec=definition.timeout_sec,
        retry_delay_sec=definition.retry_delay_sec,
        concurrency_key=definition.concurrency_key,
        planned_as=definition.planned_as,
        planned_for=definition.planned_for,
        row_version=moment.version,
    )


def _counted(run: RunRow, tasks: list[TaskRow], moment: Moment) -> RunRow:
    """The run with its tasks counted anew."""
    counts: dict[str, int] = dict.fromkeys(_COUNTED.values(), 0)
    for task in tasks:
        if task.state in TERMINAL:
            counts[_COUNTED[task.state]] += 1
    starts = [task.started_at for task in tasks if task.started_at is not None]
    known = msgspec.structs.replace(
        run,
        state="RUNNING",
        tasks_total=len(tasks),
        tasks_completed=sum(counts.values()),
        started_at=min(starts, default=None),
        row_version=moment.version,
        **counts,
    )
    return ended_run(known, moment)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
