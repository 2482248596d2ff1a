"""What every fold of orchestration stands on: finding rows of a run, and putting them back with all that follows. Pure.

A task is written through `put_task` only, and a run through `put_run`: the agenda and the slots in use follow from the
rows before and after, so that no state can be without its owner, nor a slot be held by what is over.
"""

import msgspec

from arco.core.ids import is_ulid
from arco.domains.orchestration.agenda import TERMINAL, holds_slots, place_of_run, place_of_task
from arco.domains.orchestration.history_rows import SLOT_HOLDERS
from arco.domains.orchestration.rows import (
    AGENDA,
    OUTBOX,
    RUN_BIRTHS,
    RUNS,
    SLOTS,
    TASKS,
    AgendaRow,
    RunBirthRow,
    RunRow,
    SlotsRow,
    TaskRow,
)
from arco.kernel.fold import View

WORKSPACE_SLOTS = "*"
"""The concurrency key that every attempt holds."""


class Moment(msgspec.Struct, frozen=True):
    """When and where an event happened: `at_ms` by the server's clock, `id_ms` as its id says; `version` is its id.

    `fold_version` is what folding meant when its commit was made.
    """

    at_ms: int
    id_ms: int
    version: str
    tenant: str
    workspace: str
    fold_version: int


def born_of(view: View, run_id: str) -> str | None:
    """Where the rows of a run are kept; None when nothing was heard of it."""
    if is_ulid(run_id):
        return run_id
    found = view.get(RUN_BIRTHS, (run_id,))
    return None if found is None else found.born


def bear(view: View, run_id: str, moment: Moment) -> str:
    """Where the rows of a run are kept, from its first event on."""
    born = born_of(view, run_id)
    if born is None:
        born = moment.version
        view.put(RUN_BIRTHS, RunBirthRow(run_id=run_id, born=born))
    return born


def run_of(view: View, run_id: str) -> RunRow | None:
    """A run by its id."""
    born = born_of(view, run_id)
    return None if born is None else view.get(RUNS, (born,))


def task_of(view: View, run_id: str, task_key: str) -> TaskRow | None:
    """A task by its run and key."""
    born = born_of(view, run_id)
    return None if born is None else view.get(TASKS, (born, task_key))


def put_run(view: View, old: RunRow | None, new: RunRow) -> None:
    """Write a run and its place in the agenda."""
    view.put(RUNS, new)
    _move(view, None if old is None else place_of_run(old), place_of_run(new))


def put_task(view: View, old: TaskRow | None, new: TaskRow) -> None:
    """Write a task, its place in the agenda, and the slots it holds."""
    view.put(TASKS, new)
    _move(view, None if old is None else place_of_task(old), place_of_task(new))
    if old is not None and old.state != new.state:
        _clear_outbox(view, new)
    held = old is not None and holds_slots(old)
    holds = holds_slots(new)
    if held != holds:
        _count(view, WORKSPACE_SLOTS, holds)
        if new.concurrency_key is not None:
            _count(view, new.concurrency_key, holds)
            if not holds:
                view.delete(SLOT_HOLDERS, (new.concurrency_key, new.born, new.task_key))


def _clear_outbox(view: View, task: TaskRow) -> None:
    """What has begun, or never will, is on its way no more; news of the queue may have come before anybody asked it."""
    if task.state not in TERMINAL and task.state not in ("RUNNING", "RETRY_WAIT"):
        return
    for row in list(view.scan(OUTBOX, (task.run_id, task.task_key))):
        if task.state in TERMINAL or row.attempt <= task.attempt:
            view.delete(OUTBOX, OUTBOX.key_of(row))


def _move(view: View, old: AgendaRow | None, new: AgendaRow | None) -> None:
    if old == new:
        return
    if old is not None:
        view.delete(AGENDA, AGENDA.key_of(old))
    if new is not None:
        view.put(AGENDA, new)


def _count(view: View, key: str, taken: bool) -> None:
    row = view.get(SLOTS, (key,)) or SlotsRow(concurrency_key=key)
    view.put(SLOTS, msgspec.structs.replace(row, in_use=max(0, row.in_use + (1 if taken else -1))))
