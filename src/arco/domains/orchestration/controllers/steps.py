"""The steps controllers propose. Carrying one out twice, or two carrying it out at once, changes nothing more. Pure."""

from typing import Final

import msgspec

from arco.domains.orchestration import keys
from arco.domains.orchestration.rows import RunRow, TaskRow


class Send(msgspec.Struct, frozen=True):
    """Send an attempt at a task to a worker; the queue knows it by a name that follows from it."""

    task: TaskRow
    attempt: int

    @property
    def dispatch_id(self) -> str:
        """The name of the attempt."""
        return keys.dispatch_id(self.task.run_id, self.task.task_key, self.attempt)

    @property
    def attempt_id(self) -> str:
        """What the worker must show."""
        return keys.attempt_id(self.dispatch_id)


class Redeliver(msgspec.Struct, frozen=True):
    """Deliver an attempt again, under a name the queue has not seen: nobody has begun it."""

    task: TaskRow


class GiveUp(msgspec.Struct, frozen=True):
    """Declare an attempt failed: its worker was not heard of, or takes too long."""

    task: TaskRow
    category: str
    message: str


class CallOff(msgspec.Struct, frozen=True):
    """Cancel a run: its time is over."""

    run: RunRow
    reason: str


Step = Send | Redeliver | GiveUp | CallOff

SILENT: Final = "heartbeat_timeout_anti_entropy"
LATE: Final = "task_timeout"
RUN_LATE: Final = "run_timeout"
