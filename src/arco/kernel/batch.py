"""Folding a batch over a lazily loaded state: pure passes, and the loads between them.

When a unit misses something, it and those after it are folded on as if that were absent, only to learn what else they
will touch; all of that is loaded together, so a batch of any size takes about as many rounds as one look-up. What was
folded before anything was missing stays; of the guessing nothing does.
"""

import contextlib
from collections.abc import Sequence

import msgspec

from arco.core.errors import CorruptData
from arco.kernel.decide import UnitContext, decide
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome, Witness
from arco.kernel.layers import Changes
from arco.kernel.loader import Loader
from arco.kernel.manifest import CommitInputs
from arco.kernel.records import COMMITS
from arco.kernel.rooms import Rooms
from arco.kernel.state import ChainState, Missing
from arco.kernel.working import WorkingView

_TRIES_MAX = 200
"""How often one unit may find something missing; each time more of what it touches is there."""


class FoldedBatch(msgspec.Struct, frozen=True):
    """The result of folding: outcomes in unit order, which of them are new, and what changed."""

    outcomes: tuple[Outcome, ...]
    fresh: tuple[bool, ...]
    changes: Changes
    counts: dict[str, int]
    snapshot_version: int


async def fold_batch(
    state: ChainState,
    units: Sequence[Unit],
    inputs: CommitInputs,
    folding: "Folding",
) -> FoldedBatch:
    """Fold the units in order on top of `state`, as the next manifest."""
    held = state.holding()
    work = _Work(held, units, inputs, folding)
    tries, reached = 0, -1
    while (missing := work.go_on()) is not None:
        tries, reached = (tries + 1, reached) if reached == work.done else (0, work.done)
        if tries > _TRIES_MAX:
            raise CorruptData("a unit needed more objects than any fold can touch")
        await folding.loader.load(held, missing)
    return work.folded()


class Folding(msgspec.Struct, frozen=True):
    """What folding needs besides state and units."""

    domains: Rooms
    loader: Loader
    witnesses: Sequence[Witness] = ()


class _Work:
    """A batch as far as it is folded: what was decided without missing anything stays decided."""

    def __init__(self, state: ChainState, units: Sequence[Unit], inputs: CommitInputs, folding: Folding) -> None:
        self._state = state
        self._units = units
        self._inputs = inputs
        self._folding = folding
        self._view = WorkingView(state)
        self._manifest_id = f"{state.head.next_number:020d}"
        self._version = state.manifest.snapshot_version
        self._outcomes: list[Outcome] = []
        self._fresh: list[bool] = []
        self._fresh_count = 0

    @property
    def done(self) -> int:
        """How many units are folded."""
        return len(self._outcomes)

    def go_on(self) -> list[Missing] | None:
        """Fold until something is missing, then guess what else will be; None when every unit is folded."""
        for unit in self._units[self.done :]:
            try:
                self._fold(unit)
            except Missing as miss:
                return [miss.plain(), *self._guessed()]
        return None

    def _fold(self, unit: Unit) -> None:
        outcome, new = self._decide(unit)
        if new and outcome.status == "accepted" and not outcome.replayed:
            self._version = outcome.snapshot_version
        self._outcomes.append(outcome)
        self._fresh.append(new)
        self._fresh_count += new

    def _decide(self, unit: Unit) -> tuple[Outcome, bool]:
        # The commit record keeps only what is new; its positions are the indexes replay will see.
        context = UnitContext(self._inputs, self._manifest_id, self._fresh_count, self._version)
        return decide(self._view, unit, context, self._folding.domains, witnesses=self._folding.witnesses)

    def _guessed(self) -> list[Missing]:
        """What the remaining units miss, as far as folding them on wrong assumptions tells; nothing of it counts."""
        view = self._view
        savepoint = view.savepoint()
        found: list[Missing] = []
        view.guesses = found
        try:
            for unit in self._units[self.done :]:
                # On wrong assumptions anything may go wrong.
                with contextlib.suppress(Exception):
                    self._decide(unit)
        finally:
            view.guesses = None
            view.rollback(savepoint)
        return found

    def folded(self) -> FoldedBatch:
        """The result, once every unit is folded."""
        view = self._view
        changed = {name: rows for name, rows in view.changes.items() if rows}
        # Only what was really changed: that a table is counted at all says that the chain holds it.
        names = set(changed) | set(self._state.manifest.counts) | {COMMITS.name}
        counts = {name: view.count(name) for name in sorted(names)}
        return FoldedBatch(tuple(self._outcomes), tuple(self._fresh), changed, counts, self._version)
