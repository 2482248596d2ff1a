"""What a running function is told, and what it can tell: `context`."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from arco.sdk.errors import TaskCancelled
from arco.sdk.partitions import NO_PARTITION, Partition

LogSink = Callable[[str, str, Mapping[str, Any]], None]
"""Takes a level (`debug info warning error`), a message and fields."""

ProgressSink = Callable[[int | None, str | None], None]
"""Takes how far a task is (0 to 100) and what it is at."""

METADATA_BYTES_MAX: Final = 65_536
"""What one task reports beside its table: read by people, and carried in one request with everything else."""


class TaskLog:
    """Writes lines into the log of the running task; each has a level, a message and fields of its own."""

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink

    def debug(self, message: str, **fields: Any) -> None:
        """Something for whoever looks for a mistake."""
        self._sink("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """Something that happened."""
        self._sink("info", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Something that should not have happened."""
        self._sink("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """Something that went wrong."""
        self._sink("error", message, fields)


class TaskRun(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a task, as the dispatch envelope names it (orchestration.md 7.1)."""

    task_key: str
    run_id: str
    attempt: int
    attempt_id: str
    partition_key: str | None = None
    payload: dict[str, Any] = {}

    @property
    def materialization_id(self) -> str:
        """The name of what this attempt makes: the same however often it is run."""
        return f"mat_{self.attempt_id.removeprefix('att_')}"


class Context:
    """One attempt at a task, as its function sees it."""

    def __init__(
        self,
        task: TaskRun,
        partition: Partition = NO_PARTITION,
        *,
        log: LogSink,
        cancelled: Callable[[], bool] = lambda: False,
        progress: ProgressSink = lambda percent, message: None,
    ) -> None:
        self.run_id = task.run_id
        self.task_key = task.task_key
        self.attempt = task.attempt
        self.attempt_id = task.attempt_id
        self.payload = task.payload
        self.partition = partition
        self.log = TaskLog(log)
        self.metadata: dict[str, Any] = {}
        self._cancelled = cancelled
        self._progress = progress

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants the run to end: come to an end soon."""
        return self._cancelled()

    def raise_if_cancelled(self) -> None:
        """Raise `TaskCancelled` when somebody wants the run to end."""
        if self._cancelled():
            raise TaskCancelled

    def report(self, **metadata: Any) -> None:
        """Keep these facts with the materialization: text, numbers, lists and objects of them."""
        self.metadata = plain_of("report", {**self.metadata, **metadata})

    def progress(self, percent: int | None = None, message: str | None = None) -> None:
        """Say how far the task is, 0 to 100, and what it is at; shown with its next heartbeat."""
        if percent is not None and not 0 <= percent <= 100:
            raise ValueError(f"progress: {percent} is not 0 to 100")
        self._progress(percent, message)


def plain_of(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as JSON has them. Raises `ValueError` when they are too many, `TypeError` when JSON has no such value."""
    try:
        encoded = msgspec.json.encode(values, enc_hook=_scalar)
    except TypeError as error:
        raise TypeError(f"{what}: keep text, numbers, lists and objects: {error}") from None
    if len(encoded) > METADATA_BYTES_MAX:
        raise ValueError(f"{what}: {len(encoded)} bytes are too many; keep it below {METADATA_BYTES_MAX}")
    found: dict[str, Any] = msgspec.json.decode(encoded)
    return found


def _scalar(value: Any) -> Any:
    """The plain number behind a scalar of NumPy, Arrow or a frame."""
    for name in ("item", "as_py"):
        if callable(plain := getattr(value, name, None)):
            return plain()
    raise TypeError(f"{type(value).__name__} has no JSON")
