"""Folding a batch over a lazily loaded state: pure passes, and the loads between them.

What all units of a pass miss is loaded together, and a unit that misses something is folded on as if that were absent,
only to learn what else it will touch; so a batch of any size takes about as many rounds as one look-up. Only the last
pass, in which nothing was missing, counts.
"""

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

_PASSES_MAX = 200


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
    for _ in range(_PASSES_MAX):
        folded, missing = _one_pass(held, units, inputs, folding)
        if folded is not None:
            return folded
        await folding.loader.load(held, missing)
    raise CorruptData("a batch needed more objects than any fold can touch")


class Folding(msgspec.Struct, frozen=True):
    """What folding needs besides state and units."""

    domains: Rooms
    loader: Loader
    witnesses: Sequence[Witness] = ()


def _one_pass(
    state: ChainState, units: Sequence[Unit], inputs: CommitInputs, folding: Folding
) -> tuple[FoldedBatch | None, list[Missing]]:
    view = WorkingView(state)
    manifest_id = f"{state.head.next_number:020d}"
    version = state.manifest.snapshot_version
    outcomes: list[Outcome] = []
    fresh: list[bool] = []
    missing: list[Missing] = []
    for unit in units:
        # The commit record keeps only what is new; its positions are the indexes replay will see.
        context = UnitContext(inputs, manifest_id, sum(fresh), version)
        try:
            outcome, new = decide(view, unit, context, folding.domains, witnesses=folding.witnesses)
        except Missing as miss:
            missing.extend([miss.plain(), *_guessed(view, unit, context, folding)])
            continue
        if new and outcome.status == "accepted" and not outcome.replayed:
            version = outcome.snapshot_version
        outcomes.append(outcome)
        fresh.append(new)
    if missing:
        return None, missing
    changed = {name: rows for name, rows in view.changes.items() if rows}
    # Only what was really changed: that a table is counted at all says that the chain holds it.
    names = set(changed) | set(state.manifest.counts) | {COMMITS.name}
    counts = {name: view.count(name) for name in sorted(names)}
    return FoldedBatch(tuple(outcomes), tuple(fresh), changed, counts, version), missing


def _guessed(view: WorkingView, unit: Unit, context: UnitContext, folding: Folding) -> list[Missing]:
    """Everything the unit misses, as far as folding it on wrong assumptions tells; the result is thrown away."""
    savepoint = view.savepoint()
    found: list[Missing] = []
    view.guesses = found
    try:
        decide(view, unit, context, folding.domains, witnesses=folding.witnesses)
    except Exception:  # noqa: BLE001  # on wrong assumptions anything may go wrong, and nothing of it counts
        return found
    finally:
        view.guesses = None
        view.rollback(savepoint)
    return found
