"""What commands of orchestration need of the world, and how a unit's outcome is told."""

import msgspec

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.scope import Scope
from arco.kernel.desk import Desk, UnitDraft
from arco.kernel.fold import Outcome
from arco.kernel.reading import Reader
from arco.kernel.verdicts import settled
from arco.storage.port import ObjectStore


class Clerk(msgspec.Struct, frozen=True, kw_only=True):
    """What a command needs. `source` is who asks as events record it, `principal` as people know them."""

    desk: Desk
    reader: Reader
    store: ObjectStore
    clock: Clock
    ids: Ids
    scope: Scope
    source: str
    principal: str


async def submit(clerk: Clerk, unit: UnitDraft) -> Outcome:
    """The outcome of one unit: accepted or rejected. Raises as `settled` and the desk do."""
    (outcome,) = await clerk.desk.submit([unit], source=clerk.source)
    return settled(outcome)
