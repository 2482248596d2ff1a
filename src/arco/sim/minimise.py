"""Makes a failing schedule small: what is taken away and leaves the same invariant broken stays away.

Clients, then wishes, troubles, faults (delta debugging over the sites that struck), limits of the code, and last what
is only inconvenient to read: latency, pauses, the drawn run order. Source: reliability.md 5.5.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from arco.sim.plan import Plan
from arco.sim.schedule import Verdict, run_plan

T = TypeVar("T")

_ROUNDS: Final = 3


class Minimiser:
    """Shrinks one plan as long as `invariant` (the part of a violation before the colon) stays broken."""

    def __init__(self, plan: Plan, *, runner: Callable[[Plan], Verdict] = run_plan, tries_max: int = 2_000) -> None:
        self._run = runner
        self._tries_left = tries_max
        self.plan = plan
        self.verdict = runner(plan)
        self.invariant = self.verdict.violations[0].split(":")[0] if self.verdict.violations else ""
        self.tries = 0

    def run(self) -> Verdict:
        """The verdict on the smallest plan that was found; it is in `plan`."""
        for _ in range(_ROUNDS if self.invariant else 0):
            before = self.plan
            self._fewer("clients", self.plan.clients)
            self._fewer_wishes()
            self._fewer("troubles", self.plan.troubles)
            self._fewer_faults()
            self._plainer_config()
            if self.plan == before or self._tries_left <= 0:
                break
        return self.verdict

    def _accepted(self, plan: Plan) -> bool:
        if self._tries_left <= 0:
            return False
        self._tries_left -= 1
        self.tries += 1
        verdict = self._run(plan)
        if not any(sentence.startswith(f"{self.invariant}:") for sentence in verdict.violations):
            return False
        self.plan, self.verdict = plan, verdict
        return True

    def _fewer(self, field: str, items: Sequence[Any]) -> None:
        self._without(items, lambda kept: msgspec.structs.replace(self.plan, **{field: tuple(kept)}))

    def _fewer_wishes(self) -> None:
        for index in range(len(self.plan.clients)):
            client = self.plan.clients[index]

            def smaller(kept: Sequence[Any], index: int = index) -> Plan:
                clients = list(self.plan.clients)
                clients[index] = msgspec.structs.replace(clients[index], wishes=tuple(kept))
                return msgspec.structs.replace(self.plan, clients=tuple(clients))

            self._without(client.wishes, smaller)

    def _fewer_faults(self) -> None:
        """Mask everything that strikes but for a part, smaller and smaller."""
        struck = [site.rsplit(":", 1)[0] for site in self.verdict.faults if "#" in site]
        everything = self.plan.masked | frozenset(struck)
        self._without(struck, lambda kept: msgspec.structs.replace(self.plan, masked=everything - frozenset(kept)))

    def _without(self, items: Sequence[T], make: Callable[[Sequence[T]], Plan]) -> None:
        """Delta debugging: leave out ever smaller parts."""
        kept = list(items)
        size = len(kept)
        while size and kept:
            shrunk = False
            for part in _parts(kept, size):
                left = [item for item in kept if item not in part]
                if len(left) < len(kept) and self._accepted(make(left)):
                    kept, shrunk = left, True
                    break
            if not shrunk:
                size //= 2

    def _plainer_config(self) -> None:
        for field, value in (
            ("limits", {}),
            ("shuffled", 0.0),
            ("latency", (0.0,)),
            ("skew_ms", 0),
            ("drift", 0.0),
            ("resubmitter", False),
            ("collector", False),
            ("compactors", 1),
            ("apis", 1),
            ("cache_bytes", 1 << 24),
        ):
            if getattr(self.plan.config, field) != value:
                config = msgspec.structs.replace(self.plan.config, **{field: value})
                self._accepted(msgspec.structs.replace(self.plan, config=config))
        for name in list(self.plan.config.limits):
            limits = {key: value for key, value in self.plan.config.limits.items() if key != name}
            config = msgspec.structs.replace(self.plan.config, limits=limits)
            self._accepted(msgspec.structs.replace(self.plan, config=config))


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
