"""The definite answers no to what workers and controllers tell (orchestration.md 4.4, 7.3). Pure.

None of them is final: a key that a refused event brought stays free. `state` and what was expected ride in the details,
so that a callback is answered from the outcome alone.
"""

from typing import Final

from arco.domains.orchestration.rows import TaskRow
from arco.kernel.fold import Rejected

TASK_NOT_FOUND: Final = "task_not_found"
RUN_NOT_FOUND: Final = "run_not_found"
TASK_TERMINAL: Final = "task_already_terminal"
ATTEMPT_COMPLETED: Final = "attempt_already_completed"
ATTEMPT_MISMATCH: Final = "attempt_mismatch"
ATTEMPT_ID_MISMATCH: Final = "attempt_id_mismatch"
NOTHING_TO_DO: Final = "nothing_to_do"


def no_task(run_id: str, task_key: str) -> Rejected:
    """Nobody planned it."""
    return Rejected(TASK_NOT_FOUND, f"run {run_id} has no task {task_key}", final=False)


def no_run(run_id: str) -> Rejected:
    """Nobody asked for it."""
    return Rejected(RUN_NOT_FOUND, f"there is no run {run_id}", final=False)


def terminal(task: TaskRow, state: str = "") -> Rejected:
    """Nothing more happens to this task."""
    state = state or task.state
    return Rejected(TASK_TERMINAL, f"task {task.task_key} is {state}", {"state": state}, final=False)


def completed(task: TaskRow, attempt: int) -> Rejected:
    """This attempt is over, the next one has not begun."""
    return Rejected(
        ATTEMPT_COMPLETED,
        f"attempt {attempt} of {task.task_key} is over",
        {"state": task.state, "expected_attempt": str(task.attempt + 1), "received_attempt": str(attempt)},
        final=False,
    )


def other_attempt(task: TaskRow, attempt: int) -> Rejected:
    """Another attempt is the current one."""
    return Rejected(
        ATTEMPT_MISMATCH,
        f"attempt {task.attempt} of {task.task_key} is the current one, not {attempt}",
        {"state": task.state, "expected_attempt": str(task.attempt), "received_attempt": str(attempt)},
        final=False,
    )


def other_attempt_id(task: TaskRow, attempt_id: str) -> Rejected:
    """The number fits, the id does not: whoever speaks was never sent."""
    return Rejected(
        ATTEMPT_ID_MISMATCH,
        f"attempt {task.attempt} of {task.task_key} has another id",
        {
            "state": task.state,
            "expected_attempt_id": task.attempt_id or "",
            "received_attempt_id": attempt_id,
        },
        final=False,
    )


def moot(sentence: str) -> Rejected:
    """What was asked for is not needed (any more)."""
    return Rejected(NOTHING_TO_DO, sentence, final=False)
