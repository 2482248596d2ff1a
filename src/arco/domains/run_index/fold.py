"""How the index follows runs and tasks, in the commit that changes them; an older chain gets it step by step. Pure.

A task's change writes its own row. The rows of a run are all written when something of it that they show changes: its
state or that it was called off, which happens a few times in a run's life, not with every task.
While the index of an older chain is built a task is in it exactly when its key is not beyond the last step's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from arco.core.errors import invariant
from arco.core.ids import is_ulid, ulid_ms
from arco.core.limits import RUN_INDEX_UPKEEP_ROWS
from arco.core.scope import Scope
from arco.domains.orchestration.labels import labels_of
from arco.domains.orchestration.rows import RUNS, TASKS, RunRow, TaskRow
from arco.domains.run_index.rows import (
    RUN_INDEX,
    RUN_INDEX_BUILDING,
    RunIndexBuildingRow,
    RunIndexRow,
)
from arco.kernel.envelope import Envelope
from arco.kernel.fold import (
    Accepted,
    Change,
    Decision,
    DerivedView,
    FoldContext,
    InvalidEvent,
    UnsupportedEvent,
    Upkeep,
    View,
)
from arco.kernel.spec import RowKey, TableSpec

RUN_INDEX_EVENT: Final = "run_index.build"
"""Upkeep alone: the index itself has no events."""

INDEX_VERSION: Final = 1
_INDEX: Final = "runs"


class RunIndexExtended(msgspec.Struct, frozen=True, tag_field="kind", tag="run_index_extended"):
    """The index covers so many more tasks."""

    rows: int


_PAYLOAD: Final = msgspec.json.Decoder(RunIndexExtended)


class _Was(NamedTuple):
    """A task and its run before a unit and after it."""

    old: TaskRow | None
    new: TaskRow | None
    old_run: RunRow | None
    run: RunRow | None


class RunIndexDomain:
    """The index of runs on the kernel; implements `kernel.fold.Derived`."""

    name: Final = "run_index"
    event_types: Final = frozenset({RUN_INDEX_EVENT})
    tables: Final[tuple[TableSpec[Any], ...]] = (RUN_INDEX, RUN_INDEX_BUILDING)
    sources: Final[tuple[TableSpec[Any], ...]] = (RUNS, TASKS)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def derive(self, view: DerivedView, changes: Mapping[str, Sequence[Change[Any]]]) -> None:
        """Follow changes of runs and tasks as far as they are indexed. Raises `NotLoaded`."""
        counted = view.counted(RUN_INDEX_BUILDING)
        if counted is None:
            return
        reached = _reached(view) if counted else None
        for was in _touched(view, changes[RUNS.name], changes[TASKS.name]):
            self._follow(view, was, reached)

    def upkeep(self, counts: Mapping[str, int]) -> Upkeep | None:
        """One more step for a chain whose index is not whole."""
        if counts.get(RUN_INDEX_BUILDING.name) == 0:
            return None
        return Upkeep(RUN_INDEX_EVENT, INDEX_VERSION, RunIndexExtended(RUN_INDEX_UPKEEP_ROWS))

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Index the next tasks; leaves no trace in history. Raises `NotLoaded`."""
        if event.event_version != INDEX_VERSION:
            raise UnsupportedEvent(f"{event.event_type} version {event.event_version} is not known to this build")
        try:
            rows = _PAYLOAD.decode(event.payload).rows
        except msgspec.MsgspecError as error:
            raise InvalidEvent(f"{event.event_type}: {error}") from error
        invariant(isinstance(view, DerivedView), "the index of runs is folded over a view that derives")
        self._extend(cast(DerivedView, view), max(rows, 1))
        return Accepted()

    def _extend(self, view: DerivedView, rows: int) -> None:
        """Index at most so many tasks beyond what is indexed. Raises `NotLoaded`."""
        counted = view.counted(RUN_INDEX_BUILDING)
        if counted == 0:
            return
        step = view.following(TASKS, _reached(view) if counted else (), limit=rows + 1)
        for task in step[:rows]:
            run = view.get(RUNS, (task.born,))
            if _shown(task, run) and run is not None:
                view.write(RUN_INDEX, self._row(task, run), existed=False)
        last = step[rows - 1] if len(step) > rows else None
        key = ("", "") if last is None else TASKS.key_of(last)
        place = RunIndexBuildingRow(index=_INDEX, born=str(key[0]), task_key=str(key[1]))
        view.write(RUN_INDEX_BUILDING, place, existed=bool(counted))
        if last is None:
            # Counted from now on, and empty: that is how a whole index is told from none.
            view.remove(RUN_INDEX_BUILDING, (_INDEX,))

    def _follow(self, view: DerivedView, was: _Was, reached: RowKey | None) -> None:
        either = was.new or was.old
        if either is None or (reached is not None and TASKS.key_of(either) > reached):
            return
        existed = _shown(was.old, was.old_run)
        if was.new is not None and was.run is not None and _shown(was.new, was.run):
            view.write(RUN_INDEX, self._row(was.new, was.run), existed=existed)
        elif existed:
            view.remove(RUN_INDEX, TASKS.key_of(either))

    def _row(self, task: TaskRow, run: RunRow) -> RunIndexRow:
        labels = labels_of(run)
        asset = task.asset_key or ""
        namespace, _, table = asset.partition("/" if "/" in asset else ".")
        version = max(task.row_version, run.row_version)
        return RunIndexRow(
            born=task.born,
            org_id=self._scope.tenant,
            workspace_id=self._scope.workspace,
            run_id=task.run_id,
            task_key=task.task_key,
            plan_id=run.plan_id,
            run_key=run.run_key,
            kind=labels.get("kind", labels.get("run_kind")),
            reference_id=labels.get("reference_id", labels.get("referenceId")),
            source_type=labels.get("source_type", labels.get("sourceType")),
            run_status=run.state,
            cancel_requested=run.cancel_requested,
            task_status=task.state,
            asset_key=task.asset_key,
            target_namespace=namespace,
            target_table=table,
            partition_key=task.partition_key,
            attempt=task.attempt,
            attempt_id=task.attempt_id,
            requires_visible_output=bool(task.requires_visible_output),
            materialization_id=task.materialization_id,
            output_visibility_state=task.output_visibility_state,
            published_at=task.published_at,
            publish_error=task.publish_error,
            delta_table=task.delta_table,
            delta_version=task.delta_version,
            delta_partition=task.delta_partition,
            execution_lineage_ref=task.execution_lineage_ref,
            started_at=task.started_at,
            last_heartbeat_at=task.last_heartbeat_at,
            triggered_at=run.triggered_at,
            completed_at=task.completed_at,
            updated_at=ulid_ms(version) if is_ulid(version) else run.triggered_at,
            code_version=run.code_version,
            error_message=task.error_message,
            row_version=version,
        )


def _touched(view: DerivedView, runs: Iterable[Change[RunRow]], tasks: Iterable[Change[TaskRow]]) -> Iterator[_Was]:
    """Every task whose row in the index may differ, each once. Raises `NotLoaded`."""
    changed: dict[str, dict[str, Change[TaskRow]]] = {}
    for change in tasks:
        if (either := change.new or change.old) is not None:
            changed.setdefault(either.born, {})[either.task_key] = change
    for moved in runs:
        run = moved.new or moved.old
        if run is not None:
            yield from _of_run(view, run.born, moved, changed.pop(run.born, {}))
    for born, own in changed.items():
        run = view.get(RUNS, (born,))
        yield from (_Was(change.old, change.new, run, run) for change in own.values())


def _of_run(view: DerivedView, born: str, moved: Change[RunRow], own: Mapping[str, Change[TaskRow]]) -> Iterator[_Was]:
    """The tasks of a run that changed: those that did too, and the others if they show what changed."""
    yield from (_Was(change.old, change.new, moved.old, moved.new) for change in own.values())
    if _visible(moved.old) != _visible(moved.new):
        others = (task for task in view.scan(TASKS, (born,)) if task.task_key not in own)
        yield from (_Was(task, task, moved.old, moved.new) for task in others)


def _visible(run: RunRow | None) -> tuple[object, ...] | None:
    """What the index shows of a run."""
    if run is None:
        return None
    return (run.plan_id, run.run_key, run.labels, run.state, run.cancel_requested, run.triggered_at, run.code_version)


def _shown(task: TaskRow | None, run: RunRow | None) -> bool:
    """Whether a task is in the index: one of an asset, in a run that was asked for."""
    return task is not None and task.asset_key is not None and run is not None


def _reached(view: View) -> RowKey:
    row = view.get(RUN_INDEX_BUILDING, (_INDEX,))
    return ("", "") if row is None else (row.born, row.task_key)  # None while the kernel guesses what will be missing
