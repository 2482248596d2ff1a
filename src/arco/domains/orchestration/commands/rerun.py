"""Running again what a run did not get done, or a part of it (orchestration.md 6.3): planned from the parent's plan."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from arco.core.asset_keys import asset_key
from arco.core.errors import Conflict, InvalidInput
from arco.core.ids import ulid_ms
from arco.domains.orchestration import fingerprints
from arco.domains.orchestration.commands.clerk import Clerk, submit
from arco.domains.orchestration.commands.trigger import Triggered
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import PlanCreated, RunTriggered, TaskDef
from arco.domains.orchestration.fold.runs import RUN_KEY_TAKEN
from arco.domains.orchestration.labels import KIND_LABEL, PARENT_LABEL, RESERVED_LABELS
from arco.domains.orchestration.plan.graph import UNSUCCEEDED, Reason, reach
from arco.domains.orchestration.queries.runs import RunDetail, public_state, run_by_id, run_detail
from arco.domains.orchestration.rows import RUN_KEYS, DependencyRow, TaskRow
from arco.kernel.reading import Snapshot

Mode = Literal["fromFailure", "subset"]

_KINDS: Final = {"fromFailure": "FROM_FAILURE", "subset": "SUBSET"}
_KEYS: Final = {"fromFailure": "from_failure", "subset": "subset"}
REASONS: Final = {"FROM_FAILURE": "from_failure_unsucceeded_tasks", "SUBSET": "subset_selection"}
_KEY_DIGITS: Final = 16


class RerunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What of a parent run to do again."""

    parent_run_id: str
    mode: Mode
    selection: Sequence[str] = ()
    include_upstream: bool = False
    include_downstream: bool = False
    run_key: str | None = None
    labels: Mapping[str, str] = {}


class Rerun(msgspec.Struct, frozen=True):
    """The new run, and what it is to its parent."""

    run: Triggered
    parent_run_id: str
    kind: str

    @property
    def reason(self) -> str:
        """Why it exists, for programs."""
        return REASONS[self.kind]


async def rerun(clerk: Clerk, request: RerunRequest) -> Rerun:
    """The run that does it again, or the one an equal request made before.

    Raises `NotFound`, `InvalidInput` (unknown tasks, reserved labels), `Conflict` (the parent has not failed, has no
    plan, or the run key stands for something else); as the desk does.
    """
    for label in RESERVED_LABELS:
        if label in request.labels:
            raise InvalidInput(f"labels: {label} is reserved")
    snapshot = await clerk.reader.head()
    parent = await run_detail(snapshot, request.parent_run_id)
    assert snapshot is not None
    roots, chosen = _chosen(parent, request)
    kind = _KINDS[request.mode]
    tasks = _definitions(parent, chosen)
    partitions = sorted({task.partition_key for task in tasks if task.partition_key})
    body = {
        "parent_run_id": request.parent_run_id,
        "rerun_kind": kind,
        "selected_tasks": sorted(chosen),
        "partition_keys": partitions,
    }
    key = request.run_key or f"rerun:{request.parent_run_id}:{_KEYS[request.mode]}:{_digest(body)}"
    fingerprint = fingerprints.of_json(
        {
            "parent_run_id": request.parent_run_id,
            "rerun_kind": kind,
            "roots": roots,
            "include_upstream": request.include_upstream,
            "include_downstream": request.include_downstream,
            "selected_tasks": sorted(chosen),
            "partition_keys": partitions,
            "labels": dict(sorted(request.labels.items())),
        }
    )
    existing = await _existing(snapshot, key, fingerprint)
    if existing is not None:
        return Rerun(existing, request.parent_run_id, kind)
    run_id, plan_id = clerk.ids.ulid(), clerk.ids.ulid()
    begun = RunTriggered(
        run_id=run_id,
        plan_id=plan_id,
        trigger=msgspec.Raw(msgspec.json.encode({"type": "manual", "user_id": clerk.principal})),
        root_assets=roots or sorted(chosen),
        run_key=key,
        labels={**request.labels, PARENT_LABEL: request.parent_run_id, KIND_LABEL: kind},
        code_version=parent.run.code_version,
        request_fingerprint=fingerprint,
    )
    plan = PlanCreated(run_id=run_id, plan_id=plan_id, tasks=tasks)
    outcome = await submit(clerk, unit(begun, plan, at_ms=ulid_ms(run_id)))
    if outcome.status == "accepted":
        made = Triggered(run_id, plan_id, "PENDING", created=True, created_ms=ulid_ms(run_id))
        return Rerun(made, request.parent_run_id, kind)
    found = None
    if outcome.code == RUN_KEY_TAKEN and (now := await clerk.reader.head()) is not None:
        found = await _existing(now, key, fingerprint)
    if found is None:
        raise Conflict(outcome.message)
    return Rerun(found, request.parent_run_id, kind)


def _chosen(parent: RunDetail, request: RerunRequest) -> tuple[list[str], dict[str, Reason]]:
    """The roots that were named, and the tasks to do again, each with the reason."""
    if not parent.tasks:
        raise Conflict(f"run {parent.run.run_id} has no plan: there is nothing to do again")
    if request.mode == "fromFailure":
        state = public_state(parent.run)
        if state != "FAILED":
            raise Conflict(f"run {parent.run.run_id} is {state}: only a FAILED one can be run again from its failure")
        return [], {task.task_key: Reason(UNSUCCEEDED) for task in parent.tasks if task.state != "SUCCEEDED"}
    roots = sorted({asset_key(text) for text in request.selection})
    known = {task.task_key for task in parent.tasks}
    if unknown := sorted(set(roots) - known):
        raise InvalidInput(f"unknown tasks of run {parent.run.run_id}: {', '.join(unknown)}", unknown=unknown)
    if not roots:
        raise InvalidInput("selection is empty: name at least one task")
    chosen = {root: Reason("root") for root in roots}
    if request.include_upstream:
        reach(chosen, roots, _edges(parent.edges, up=True), "upstream")
    if request.include_downstream:
        reach(chosen, roots, _edges(parent.edges, up=False), "downstream")
    return roots, chosen


def _edges(edges: Sequence[DependencyRow], *, up: bool) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for edge in edges:
        ends = (edge.downstream_task_key, edge.upstream_task_key)
        source, target = ends if up else ends[::-1]
        found.setdefault(source, []).append(target)
    return found


def _definitions(parent: RunDetail, chosen: Mapping[str, Reason]) -> list[TaskDef]:
    reads: dict[str, list[str]] = {}
    for edge in parent.edges:
        if edge.upstream_task_key in chosen:
            reads.setdefault(edge.downstream_task_key, []).append(edge.upstream_task_key)
    return [
        _definition(task, sorted(reads.get(task.task_key, ())), chosen[task.task_key])
        for task in parent.tasks
        if task.task_key in chosen
    ]


def _definition(task: TaskRow, depends_on: list[str], reason: Reason) -> TaskDef:
    return TaskDef(
        key=task.task_key,
        depends_on=depends_on,
        asset_key=task.asset_key,
        partition_key=task.partition_key,
        max_attempts=task.max_attempts,
        heartbeat_timeout_sec=task.heartbeat_timeout_sec,
        requires_visible_output=bool(task.requires_visible_output),
        worker_queue=task.worker_queue,
        priority=task.priority,
        timeout_sec=task.timeout_sec,
        retry_delay_sec=task.retry_delay_sec,
        concurrency_key=task.concurrency_key,
        planned_as=reason.why,
        planned_for=reason.of or None,
    )


def _digest(body: Mapping[str, object]) -> str:
    return fingerprints.of_json(body)[:_KEY_DIGITS]


async def _existing(snapshot: Snapshot, key: str, fingerprint: str) -> Triggered | None:
    taken = await snapshot.get(RUN_KEYS, (key,))
    if taken is None:
        return None
    if taken.request_fingerprint != fingerprint:
        raise Conflict(f"runKey {key} stands for another request, run {taken.run_id}: choose another key")
    run = await run_by_id(snapshot, taken.run_id)
    plan_id, state = ("", "PENDING") if run is None else (run.plan_id, public_state(run))
    return Triggered(taken.run_id, plan_id, state, created=False, created_ms=taken.created_at)
