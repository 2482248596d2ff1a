"""The domains of a chain, as folding sees them: who folds an event type, and who derives what from whom."""

from collections.abc import Sequence

from arco.core.errors import invariant
from arco.kernel.fold import Derived, Domain


class Rooms:
    """A chain's domains by event type, and those of them that are derived, in order."""

    def __init__(self, domains: Sequence[Domain]) -> None:
        self._by_type: dict[str, Domain] = {}
        for domain in domains:
            for event_type in domain.event_types:
                invariant(event_type not in self._by_type, f"two domains fold {event_type}")
                self._by_type[event_type] = domain
        self.derived: tuple[Derived, ...] = tuple(domain for domain in domains if isinstance(domain, Derived))

    def get(self, event_type: str) -> Domain | None:
        """The domain that folds this event type, if this build has one."""
        return self._by_type.get(event_type)
