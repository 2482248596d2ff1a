"""Runs and tasks as people and programs see them (orchestration.md 6.3)."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from arco.domains.orchestration.commands.rerun import REASONS
from arco.domains.orchestration.events import TaskError
from arco.domains.orchestration.labels import KIND_LABEL, PARENT_LABEL, labels_of
from arco.domains.orchestration.queries.account import coming_of, first_bad
from arco.domains.orchestration.queries.runs import RunDetail, public_state, public_task_state
from arco.domains.orchestration.queries.waiting import Circumstances, Wait, public_states, waits_of
from arco.domains.orchestration.rows import DependencyRow, RunRow, TaskRow
from arco.routes.public.flow_clerks import time_text

_ASSETS_NAMED = 5
_ADVICE: Final = {
    "USER_CODE": "mend the function where the trace ends, deploy it, and retry the task",
    "DATA_QUALITY": "nothing was published: mend the data or the check that refused it, and retry the task",
    "CONFIGURATION": "mend what the message names (code, partition, what is read), deploy it, and retry the task",
    "TIMEOUT": "give the asset a longer timeout, or less to do, deploy it, and retry the task",
    "INFRASTRUCTURE": "the worker, or what the task asks for, failed and may be well by now: retry the task",
}
"""By category. A check that refused a table refuses it again, and so on: retrying alone helps the last of them only."""

_FINISHED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


class _Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A view: camelCase, what is not there is left out."""


class RetryView(_Camel, frozen=True, kw_only=True):
    """How often a task was tried before."""

    retries: int
    reason: str


class SkipView(_Camel, frozen=True, kw_only=True):
    """Which task before it is why a task was skipped."""

    upstream_task_key: str
    upstream_resolution: str


class UpstreamView(_Camel, frozen=True, kw_only=True):
    """A task that another one waits for."""

    task_key: str
    state: str


class WaitView(_Camel, frozen=True, kw_only=True):
    """One thing that a task waits for. (Ours.)

    `reason`: `upstream`, `workspace_paused`, `concurrency_limit`, `not_dispatched`, `in_queue`, `retry_backoff`,
    `cancelling` or `output_not_visible`; `message` says the same to people.
    """

    reason: str
    message: str
    upstream: list[UpstreamView] = []
    concurrency_key: str | None = None
    slots: int | None = None
    in_use: int | None = None
    since: str | None = None
    until: str | None = None
    queue: str | None = None
    by: str | None = None


class TaskView(_Camel, frozen=True, kw_only=True):
    """A task. `error` and what follows it are our addition.

    `plannedAs` is why it is in the plan: `root`, or `upstream` or `downstream` of `plannedFor`, or `unsucceeded` in the
    run that this one does again. `waiting` is what keeps it from running. `advice` is what to do about its error.
    """

    task_key: str
    asset_key: str | None = None
    partition_key: str | None = None
    state: str
    attempt: int
    started_at: str | None = None
    completed_at: str | None = None
    error_message: str | None = None
    execution_lineage_ref: str | None = None
    delta_table: str | None = None
    delta_version: int | None = None
    delta_partition: str | None = None
    output_visibility_state: str | None = None
    published_at: str | None = None
    publish_error: str | None = None
    retry_attribution: RetryView | None = None
    skip_attribution: SkipView | None = None
    error: msgspec.Raw | None = None
    advice: str | None = None
    output: msgspec.Raw | None = None
    metrics: msgspec.Raw | None = None
    max_attempts: int
    retry_not_before: str | None = None
    progress_pct: int | None = None
    progress: str | None = None
    worker_id: str | None = None
    depends_on: list[str] = []
    planned_as: str | None = None
    planned_for: str | None = None
    waiting: list[WaitView] = []


class TaskCountsView(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks are in which public state, zeros included."""

    total: int
    pending: int
    queued: int
    running: int
    succeeded: int
    failed: int
    skipped: int
    cancelled: int


class RunView(_Camel, frozen=True, kw_only=True):
    """A run with its tasks."""

    run_id: str
    workspace_id: str
    plan_id: str
    state: str
    created_at: str | None
    started_at: str | None = None
    completed_at: str | None = None
    run_key: str | None = None
    code_version: str | None = None
    cancel_reason: str | None = None
    parent_run_id: str | None = None
    rerun_kind: str | None = None
    rerun_reason: str | None = None
    tasks: list[TaskView]
    task_counts: TaskCountsView
    labels: dict[str, str] = {}


class RunItemView(_Camel, frozen=True, kw_only=True):
    """A run in a list. `runKey` and what follows it are our addition: of the assets asked for, the first five."""

    run_id: str
    state: str
    created_at: str | None
    completed_at: str | None = None
    task_count: int
    tasks_succeeded: int
    tasks_failed: int
    parent_run_id: str | None = None
    rerun_kind: str | None = None
    run_key: str | None = None
    assets: list[str] = []
    asset_count: int = 0


def run_view(found: RunDetail, workspace: str, around: Circumstances) -> RunView:
    """A run with its tasks in the order of their keys."""
    run, state, labels = found.run, public_state(found.run), labels_of(found.run)
    starts = [task.started_at for task in found.tasks if task.started_at is not None]
    edges, states = coming_of(found), public_states(found.tasks)
    kind = labels.get(KIND_LABEL)
    return RunView(
        run_id=run.run_id,
        workspace_id=workspace,
        plan_id=run.plan_id,
        state=state,
        created_at=time_text(run.triggered_at),
        started_at=time_text(min(starts, default=None)),
        completed_at=time_text(run.completed_at) if state in _FINISHED else None,
        run_key=run.run_key,
        code_version=run.code_version,
        cancel_reason=run.cancel_reason,
        parent_run_id=labels.get(PARENT_LABEL),
        rerun_kind=kind,
        rerun_reason=REASONS.get(kind or ""),
        tasks=[
            task_view(task, coming, waits_of(task, coming, states, run=run, around=around))
            for task in found.tasks
            for coming in (edges.get(task.task_key, ()),)
        ],
        task_counts=counts_of(found.tasks),
        labels=labels,
    )


def run_item(run: RunRow) -> RunItemView:
    """A run in a list."""
    state, labels = public_state(run), labels_of(run)
    assets = msgspec.json.decode(run.root_assets or "[]", type=list[str])
    return RunItemView(
        run_id=run.run_id,
        state=state,
        created_at=time_text(run.triggered_at),
        completed_at=time_text(run.completed_at) if state in _FINISHED else None,
        task_count=run.tasks_total,
        tasks_succeeded=run.tasks_succeeded,
        tasks_failed=run.tasks_failed,
        parent_run_id=labels.get(PARENT_LABEL),
        rerun_kind=labels.get(KIND_LABEL),
        run_key=run.run_key,
        assets=assets[:_ASSETS_NAMED],
        asset_count=len(assets),
    )


def task_view(task: TaskRow, edges: Sequence[DependencyRow], waits: Sequence[Wait]) -> TaskView:
    """A task, with why it was tried again, or was never run, or does not run yet."""
    again = task.attempt > 1
    return TaskView(
        task_key=task.task_key,
        asset_key=task.asset_key,
        partition_key=task.partition_key,
        state=public_task_state(task),
        attempt=task.attempt,
        started_at=time_text(task.started_at),
        completed_at=time_text(task.completed_at),
        error_message=task.error_message,
        execution_lineage_ref=task.execution_lineage_ref,
        delta_table=task.delta_table,
        delta_version=task.delta_version,
        delta_partition=task.delta_partition,
        output_visibility_state=task.output_visibility_state,
        published_at=time_text(task.published_at),
        publish_error=task.publish_error,
        retry_attribution=RetryView(retries=task.attempt - 1, reason="prior_attempt_failed") if again else None,
        skip_attribution=_skipped_by(edges) if task.state == "SKIPPED" else None,
        error=_raw(task.error),
        advice=_advice(task),
        output=_raw(task.output),
        metrics=_raw(task.metrics),
        max_attempts=task.max_attempts,
        retry_not_before=time_text(task.retry_not_before),
        progress_pct=task.progress_pct,
        progress=task.progress,
        worker_id=task.worker_id,
        depends_on=[edge.upstream_task_key for edge in edges],
        planned_as=task.planned_as,
        planned_for=task.planned_for,
        waiting=[wait_view(wait) for wait in waits],
    )


def wait_view(wait: Wait) -> WaitView:
    """Something a task waits for."""
    return WaitView(
        reason=wait.reason,
        message=wait.message,
        upstream=[UpstreamView(task_key=key, state=state) for key, state in wait.upstream],
        concurrency_key=wait.concurrency_key,
        slots=wait.slots,
        in_use=wait.in_use,
        since=time_text(wait.since),
        until=time_text(wait.until),
        queue=wait.queue,
        by=wait.by,
    )


def _skipped_by(edges: Sequence[DependencyRow]) -> SkipView | None:
    """The first of the tasks before it that did not succeed (orchestration.md 4.5)."""
    first = first_bad(edges)
    if first is None:
        return None
    return SkipView(upstream_task_key=first.upstream_task_key, upstream_resolution=first.resolution or "")


def counts_of(tasks: Sequence[TaskRow]) -> TaskCountsView:
    """How many tasks are in which public state."""
    found: dict[str, int] = {}
    for task in tasks:
        state = public_task_state(task).lower()
        found[state] = found.get(state, 0) + 1
    return _zeroed(found, len(tasks))


def _zeroed(found: Mapping[str, int], total: int) -> TaskCountsView:
    names = [name for name in TaskCountsView.__struct_fields__ if name != "total"]
    return TaskCountsView(total=total, **{name: found.get(name, 0) for name in names})


def _advice(task: TaskRow) -> str | None:
    """What to do about the error of a task; None when there is nothing to be done."""
    if task.error is None:
        return None
    return _ADVICE.get(msgspec.json.decode(task.error, type=TaskError).category)


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
