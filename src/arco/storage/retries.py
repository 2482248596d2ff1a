"""How long an adapter of a remote store tries: a deadline for each operation, and a budget for all of them together.

Guarantees: an operation ends within its deadline plus one attempt; in the long run retries are at most a tenth of all
requests, so that a provider in trouble is not asked three times as often as in good days. Vendors' own retries are
switched off: they neither know the deadline nor tell which request of several has succeeded.
"""

from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.entropy import Entropy


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one operation. An attempt ends after `attempt_ms` of silence, or after `transfer_ms` in all.

    Bodies get time on top, at the slowest rate that is waited for.
    """

    operation_ms: int = 10_000
    attempt_ms: int = 4_000
    connect_ms: int = 2_000
    transfer_ms: int = 300_000
    first_pause_ms: int = 50
    pause_ms_max: int = 1_000
    slowest_bytes_per_ms: int = 512


PATIENCE: Final = Patience()
"""Callers wait at most a minute for a command (`COMMAND_DEADLINE_MS`), and try an unknown write again themselves."""

BUDGET: Final = 100.0
"""Retries that may be made at once, after a quiet time."""

REFILL: Final = 0.1
"""What each operation adds to the budget: one retry for ten of them."""


class NotSent(Exception):
    """The request provably never reached the store: nobody listened, or the name is not known."""


class NoAnswer(Exception):
    """The request may have reached the store, and what became of it is not known."""


class Retries:
    """The budget that all operations of one store share."""

    def __init__(self, clock: Clock, entropy: Entropy, patience: Patience = PATIENCE) -> None:
        self.clock = clock
        self.entropy = entropy
        self.patience = patience
        self._budget = BUDGET

    def begin(self, size_bytes: int = 0) -> "Course":
        """The course of one operation that sends a body of this size."""
        self._budget = min(self._budget + REFILL, BUDGET)
        return Course(self, size_bytes // self.patience.slowest_bytes_per_ms)

    def take(self) -> bool:
        """True when another retry is in the budget, which it then is not any more."""
        if self._budget < 1.0:
            return False
        self._budget -= 1.0
        return True


class Course:
    """One operation through its attempts."""

    def __init__(self, retries: Retries, extra_ms: int) -> None:
        self._retries = retries
        self._attempt = 0
        self.attempt_ms = retries.patience.attempt_ms + extra_ms
        self._ends_ms = retries.clock.steady_ms() + retries.patience.operation_ms + extra_ms

    async def again(self) -> bool:
        """Pause, and say whether there may be another attempt; False at once when there may not."""
        retries, patience = self._retries, self._retries.patience
        ceiling = min(patience.first_pause_ms << min(self._attempt, 16), patience.pause_ms_max)
        # Between half the ceiling and all of it: clients that failed together do not come back together.
        pause_ms = ceiling // 2 + int.from_bytes(retries.entropy.bytes(2), "big") % (ceiling // 2 + 1)
        if retries.clock.steady_ms() + pause_ms >= self._ends_ms or not retries.take():
            return False
        self._attempt += 1
        await retries.clock.sleep_ms(pause_ms)
        return True
