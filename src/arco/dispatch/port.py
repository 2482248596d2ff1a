"""The queue between a decision and whoever carries it out: what every adapter promises (orchestration.md 8.1).

The law, for all adapters:

- `enqueue` has five answers and callers handle each. `Unknown` says that the task may or may not be in the queue: it is
  never treated as lost. What decides it is asking again *with the same name*: the answer is then `Enqueued` (it was not
  there, now it is) or `Duplicate` (it was). Nothing else decides it: a task that was delivered meanwhile is nowhere to
  be found, yet its name still answers `Duplicate`.
- A name is delivered at most once as far as the queue can tell, from when it was taken until an hour after it was
  delivered or given up at the earliest. `Duplicate` therefore says "taken before", not "waiting": whoever wants another
  delivery of the same attempt uses a fresh name (1.3, redispatch). After that hour, and for adapters whose `survives`
  is false after the process ends, the same name is taken again.
- Delivery is at least once and in no order: a worker that answered just before the connection broke is asked again.
  Whoever takes deliveries de-duplicates by the id in the body.
- A delivery is a POST of the body to the target of the task's kind and queue. Only a 2xx answer ends it; anything else
  is tried again, later and later, with respect for `Retry-After`, until the adapter's retry window ends. A task that is
  given up is not reported here: the sweeper looks for what should have been heard from (8.2).
- `not_before_ms` is the earliest time of the first delivery, never a deadline.
"""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from arco.domains.orchestration.keys import DEFAULT_QUEUE

TOMBSTONE_S: Final = 3_600
"""How long a name is remembered after its delivery ended, at least."""

DISPATCH: Final = "dispatch"
TIMER: Final = "timer"


class QueuedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery. `name` is 28 characters of `[a-z0-9_]` (`keys.queue_task_id`)."""

    name: str
    kind: str
    """`dispatch`, to a worker, or `timer`, to whoever takes fired timers."""

    body: bytes
    renewed: Callable[[], bytes] | None = None
    """Makes the body anew, with a token that is good from now on: for an adapter whose deliveries wait in this process.
    What may differ is the token alone; an adapter that keeps bodies elsewhere goes without."""

    worker_queue: str = DEFAULT_QUEUE
    """Which workers a dispatch is for; of no meaning for timers."""

    not_before_ms: int | None = None
    """Milliseconds since the epoch; None is now."""

    deadline_s: int = 1_800
    """How long one delivery may take until it counts as failed: a worker answers when the task has ended."""

    def __repr__(self) -> str:
        return f"QueuedTask({self.name!r}, {self.kind!r})"  # the body holds a token


class Enqueued(msgspec.Struct, frozen=True):
    """The queue has taken it."""


class Duplicate(msgspec.Struct, frozen=True):
    """The queue has taken a task of this name before."""


class QueueFull(msgspec.Struct, frozen=True):
    """The queue takes nothing now, and has not taken this; ask again later."""


class Unknown(msgspec.Struct, frozen=True):
    """It is not known whether the queue has taken it; ask again with the same name."""

    reason: str


class Refused(msgspec.Struct, frozen=True):
    """The queue has not taken it and will not: no such queue, no permission, no target. For operators."""

    reason: str


Answer = Enqueued | Duplicate | QueueFull | Unknown | Refused


class DispatchQueue(Protocol):
    """A queue of named deliveries."""

    @property
    def survives(self) -> bool:
        """Whether what was taken outlives this process. If not, whoever owns the outbox enqueues it anew at start."""
        ...

    @property
    def takes_timers(self) -> bool:
        """Whether there is a target for timers; without one, `timer` tasks are `Refused`."""
        ...

    def waits(self, name: str) -> bool:
        """True while this very process holds a delivery of the name that has not ended; False says nothing."""
        ...

    async def enqueue(self, task: QueuedTask) -> Answer:
        """Have the task delivered, once, from its time on. Never raises for what the queue does."""
        ...

    async def close(self) -> None:
        """Take nothing more, and let go of connections; what survives is delivered all the same."""
        ...


class Routes(msgspec.Struct, frozen=True):
    """Base URLs of the workers of each queue; what names no queue of its own goes to the default ones."""

    by_queue: dict[str, tuple[str, ...]]

    def targets(self, worker_queue: str) -> tuple[str, ...]:
        """Where dispatches of a queue are sent: one or more URLs, each ending in `/dispatch`."""
        bases = self.by_queue.get(worker_queue) or self.by_queue.get(DEFAULT_QUEUE) or ()
        return tuple(dispatch_url(base) for base in bases)


def dispatch_url(base: str) -> str:
    """Where a worker takes tasks: its URL as it is configured when that has a path, else its `/dispatch`."""
    return _with_path(base, "/dispatch")


def timer_url(base: str) -> str:
    """Where fired timers are taken: the URL as it is configured when that has a path, else the sweeper's route."""
    return _with_path(base, "/internal/timers/fired")


def _with_path(base: str, path: str) -> str:
    rest = base.partition("://")[2]
    return base if rest.partition("/")[2] else base.rstrip("/") + path
