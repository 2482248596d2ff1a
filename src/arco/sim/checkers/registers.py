"""Linearizability of small state machines: the search of Wing and Gong with Lowe's memo on (done, state).

Exponential at worst, so histories are cut per key and kept small; a search that meets its bound says that it does not
know. An operation that got no answer may take effect at any time after it was asked, or never. Source: reliability.md
5.4, 2; Wing & Gong 1993, "Testing and verifying concurrent objects"; Lowe 2017, "Testing for linearizability".
"""

import math
from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any, Final

import msgspec

STATES_MAX: Final = 200_000
"""How many (done, state) pairs a search may visit before it gives up."""

UNANSWERED: Final = object()
"""The result of an operation whose outcome its client does not know."""


class Operation(msgspec.Struct, frozen=True):
    """One call of a client: `result` is what it was told; when it is `UNANSWERED`, `returned` tells nothing."""

    call: Hashable
    result: Any
    invoked: float
    returned: float = math.inf


class Verdict(Enum):
    """Whether one order explains the history."""

    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not_linearizable"
    UNDECIDED = "undecided"


Model = Callable[[Hashable, Hashable], tuple[Hashable, Any]]
"""The sequential specification: from (state, call) to (next state, result)."""


def check_linearizable(
    history: Sequence[Operation], initial: Hashable, model: Model, *, states_max: int = STATES_MAX
) -> Verdict:
    """Whether some order of the operations explains every result and respects real time."""
    search = _Search(sorted(history, key=lambda one: one.invoked), model, states_max)
    return search.run(initial)


class _Search:
    def __init__(self, operations: Sequence[Operation], model: Model, states_max: int) -> None:
        self._operations = operations
        self._model = model
        self._states_max = states_max
        self._wanted = sum(1 << i for i, one in enumerate(operations) if one.result is not UNANSWERED)

    def run(self, initial: Hashable) -> Verdict:
        """Depth first over (done, state), each pair once."""
        stack: list[tuple[int, Hashable]] = [(0, initial)]
        seen = {stack[0]}
        while stack:
            done, state = stack.pop()
            if done & self._wanted == self._wanted:
                return Verdict.LINEARIZABLE
            for index in self._next(done):
                following = self._applied(index, state)
                if following is None:
                    continue
                pair = (done | 1 << index, following[0])
                if pair in seen:
                    continue
                if len(seen) >= self._states_max:
                    return Verdict.UNDECIDED
                seen.add(pair)
                stack.append(pair)
        return Verdict.NOT_LINEARIZABLE

    def _next(self, done: int) -> list[int]:
        """Operations that may come next: asked before anything still open had returned."""
        waiting = [(i, one) for i, one in enumerate(self._operations) if not done >> i & 1]
        horizon = min((one.returned for _, one in waiting if one.result is not UNANSWERED), default=math.inf)
        return [i for i, one in waiting if one.invoked <= horizon]

    def _applied(self, index: int, state: Hashable) -> tuple[Hashable] | None:
        """The state after the operation, or None when its client was told something else."""
        one = self._operations[index]
        following, result = self._model(state, one.call)
        if one.result is not UNANSWERED and result != one.result:
            return None
        return (following,)
