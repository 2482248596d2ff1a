"""What explanations of a task need and its own row does not keep: earlier attempts, and who holds slots. Pure.

Both are small: an attempt has a row once it has ended without success, and a slot has one while it is held.
"""

from typing import Any, Final

from arco.domains.orchestration.rows import ORCHESTRATION
from arco.kernel.spec import Row, TableSpec, Uint32


class AttemptRow(Row, frozen=True, kw_only=True, gc=False):
    """An attempt that ended without success. `outcome`: `FAILED SKIPPED CANCELLED SUPERSEDED`; times in ms.

    `retry_at` is set when the retry policy gave the task another attempt, `retried_by` and `retried_at` when somebody
    asked for one.
    """

    born: str
    run_id: str
    task_key: str
    attempt: Uint32
    attempt_id: str | None = None
    worker_id: str | None = None
    started_at: int | None = None
    ended_at: int
    outcome: str
    category: str | None = None
    error_message: str | None = None
    stack_trace: str | None = None
    retry_at: int | None = None
    retried_by: str | None = None
    retried_at: int | None = None
    row_version: str


class SlotHolderRow(Row, frozen=True, kw_only=True, gc=False):
    """A task whose attempt holds a slot of the concurrency key that it names."""

    concurrency_key: str
    born: str
    task_key: str


TASK_ATTEMPTS: Final = TableSpec(
    "task_attempts",
    AttemptRow,
    key=("born", "task_key", "attempt"),
    domain=ORCHESTRATION,
    private=frozenset({"born"}),
)
SLOT_HOLDERS: Final = TableSpec(
    "slot_holders", SlotHolderRow, key=("concurrency_key", "born", "task_key"), domain=ORCHESTRATION
)

HISTORY: Final[tuple[TableSpec[Any], ...]] = (TASK_ATTEMPTS, SLOT_HOLDERS)
