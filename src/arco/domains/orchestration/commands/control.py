"""What operators do with what runs: cancel a run, pause and resume a workspace, limit how much runs at once."""

import msgspec

from arco.core.errors import Conflict, InvalidInput, NotFound
from arco.domains.orchestration.commands.clerk import Clerk, submit
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import (
    ConcurrencyLimitSet,
    RunCancelRequested,
    TaskRetryRequested,
    WorkspacePauseChanged,
)
from arco.domains.orchestration.fold.refusals import RUN_NOT_FOUND, TASK_NOT_FOUND
from arco.domains.orchestration.fold.runs import RUN_TERMINAL_CODE
from arco.domains.orchestration.queries.runs import public_state, the_run
from arco.domains.orchestration.rows import SLOTS, TASKS, WORKSPACE, SlotsRow, TaskRow, WorkspaceRow

SLOTS_MAX = 1_000_000


class Cancelled(msgspec.Struct, frozen=True):
    """A run that was called off, as it is now."""

    run_id: str
    state: str
    at_ms: int


async def cancel(clerk: Clerk, run_id: str, reason: str | None) -> Cancelled:
    """The run, cancelled or being cancelled; once more changes nothing. Raises `NotFound`, `Conflict` for one over."""
    event = RunCancelRequested(run_id=run_id, reason=reason, requested_by=clerk.principal or "api")
    outcome = await submit(clerk, unit(event))
    if outcome.status == "rejected":
        if outcome.code == RUN_NOT_FOUND:
            raise NotFound(f"run not found: {run_id}")
        if outcome.code == RUN_TERMINAL_CODE:
            raise Conflict(f"run {run_id} is over: {outcome.details.get('state', '')}")
        raise Conflict(outcome.message)
    state = public_state(await the_run(await clerk.reader.head(), run_id))
    return Cancelled(run_id, state if state == "CANCELLED" else "CANCELLING", clerk.clock.now_ms())


async def retry(clerk: Clerk, run_id: str, task_key: str) -> TaskRow:
    """A failed task, ready for one more attempt in its run. Raises `NotFound`, `Conflict` when it did not fail."""
    event = TaskRetryRequested(run_id=run_id, task_key=task_key, requested_by=clerk.principal or "api")
    outcome = await submit(clerk, unit(event))
    if outcome.status == "rejected":
        if outcome.code in (RUN_NOT_FOUND, TASK_NOT_FOUND):
            raise NotFound(outcome.message)
        raise Conflict(outcome.message)
    snapshot = await clerk.reader.head()
    run = await the_run(snapshot, run_id)
    task = None if snapshot is None else await snapshot.get(TASKS, (run.born, task_key))
    if task is None:
        raise NotFound(f"run {run_id} has no task {task_key}")
    return task


async def set_paused(clerk: Clerk, *, paused: bool, reason: str | None) -> WorkspaceRow:
    """The workspace's settings after pausing or resuming it: what runs goes on, nothing new is sent while paused."""
    event = WorkspacePauseChanged(paused=paused, reason=reason, changed_by=clerk.principal or "api")
    await submit(clerk, unit(event))
    snapshot = await clerk.reader.head()
    found = None if snapshot is None else await snapshot.get(WORKSPACE, ("",))
    if found is None:
        raise Conflict("the change is not visible yet; send the request again", retry_after_s=1)
    return found


async def set_limit(clerk: Clerk, key: str, slots: int | None) -> SlotsRow:
    """How many attempts of a concurrency key may be under way at once; `*` is the workspace, None is no limit."""
    if not 0 < len(key) <= 128:
        raise InvalidInput("the concurrency key must have 1 to 128 characters")
    if slots is not None and not 0 <= slots <= SLOTS_MAX:
        raise InvalidInput(f"slots must be 0 to {SLOTS_MAX}, or null for no limit")
    await submit(clerk, unit(ConcurrencyLimitSet(concurrency_key=key, slots=slots)))
    snapshot = await clerk.reader.head()
    found = None if snapshot is None else await snapshot.get(SLOTS, (key,))
    return found or SlotsRow(concurrency_key=key, slots=slots)
