"""Which tasks are sent now: as far as slots go, in the order of the agenda (orchestration.md 8.1). Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from arco.domains.orchestration.controllers.steps import Send
from arco.domains.orchestration.fold.board import WORKSPACE_SLOTS
from arco.domains.orchestration.rows import SlotsRow, TaskRow

_BEFORE: Final = frozenset({"READY", "RETRY_WAIT"})
"""States before an attempt is sent."""


def to_send(waiting: Iterable[TaskRow], slots: Mapping[str, SlotsRow], *, limit: int) -> list[Send]:
    """Up to `limit` attempts to send; a task whose key has no slot left lets others go before it.

    `slots` has the rows of `*` and of the tasks' concurrency keys, where there are any. The fold has the last word.
    """
    free = {key: None if row.slots is None else max(0, row.slots - row.in_use) for key, row in slots.items()}
    found: list[Send] = []
    for task in waiting:
        if len(found) >= limit or free.get(WORKSPACE_SLOTS) == 0:
            break
        names = [WORKSPACE_SLOTS, *([task.concurrency_key] if task.concurrency_key else [])]
        if task.state not in _BEFORE or any(free.get(name) == 0 for name in names):
            continue
        for name in names:
            left = free.get(name)
            if left is not None:
                free[name] = left - 1
        found.append(Send(task, task.attempt + 1))
    return found
