"""What commands of orchestration need of the world, and how a unit's outcome is told."""

import msgspec

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.errors import Conflict, OutcomeUnknown, Unavailable, unreachable
from arco.core.scope import Scope
from arco.kernel.desk import Desk, UnitDraft
from arco.kernel.fold import Outcome
from arco.kernel.holds import HELD
from arco.kernel.reading import Reader
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


def settled(outcome: Outcome) -> Outcome:
    """The outcome, accepted or rejected.

    Raises `Conflict` when a transaction under way holds what the unit changes, `Unavailable` when it came too late and
    changed nothing, `OutcomeUnknown` while nobody can say.
    """
    if outcome.code == HELD:
        raise Conflict(outcome.message, retry_after_s=1)
    match outcome.status:
        case "accepted" | "rejected":
            return outcome
        case "expired":
            raise Unavailable("The request was not decided in time and changed nothing; send it again")
        case "unsupported":
            raise OutcomeUnknown("The request is recorded and not decided yet", event_id=outcome.unit_id)
    return unreachable(f"a unit of our own was {outcome.status}: {outcome.message}")
