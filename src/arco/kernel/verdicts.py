"""What the outcome of a unit means to the caller who waits for it. Pure."""

from arco.core.errors import Conflict, OutcomeUnknown, Unavailable, unreachable
from arco.kernel.fold import Outcome
from arco.kernel.holds import HELD


def decided(outcome: Outcome, what: str = "the request") -> Outcome:
    """The outcome, accepted or rejected; `what` names to people what was handed in.

    Raises `Unavailable` when it came too late and changed nothing, `OutcomeUnknown` while nobody can say.
    """
    match outcome.status:
        case "accepted" | "rejected":
            return outcome
        case "expired":
            raise Unavailable(f"{what} was not decided in time and changed nothing; send it again")
        case "unsupported":
            # A compactor older than this process: the ledger has it, and a newer build will still fold it.
            raise OutcomeUnknown(f"{what} is in the ledger and not decided yet", event_id=outcome.unit_id)
    return unreachable(f"a unit of our own was {outcome.status}: {outcome.message}")


def settled(outcome: Outcome, what: str = "the request") -> Outcome:
    """As `decided`; also raises `Conflict` when a transaction under way holds what the unit changes."""
    if outcome.code == HELD:
        raise Conflict(outcome.message, retry_after_s=1)
    return decided(outcome, what)
