"""Which operation goes wrong, and how: drawn per actor from the seed, or named in a script.

Every operation of an actor has a site (`actor#n`, counting its operations). Each site draws the same number of random
values whatever happens there, so taking one fault away leaves the others where they were: that is what the minimiser
stands on.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

WRITE_KINDS: Final = ("fail", "lost", "late", "conflict", "race", "refused", "slow", "twice")
"""Faults of put and delete: never applied; applied without an answer; applied after the answer, up to two minutes;
applied and answered as lost (a client library retried its own write); 409, told to try again; provably refused; slow;
delivered twice."""

READ_KINDS: Final = ("error", "slow")
"""Faults of get and head."""

LIST_KINDS: Final = ("error", "slow", "stale", "double", "shuffled")
"""Faults of a listing: young keys missing, entries twice, pages out of order."""

DIRECTED: Final[Mapping[str, Sequence[str]]] = {
    "write": ("crash", "crash_after", "sleep"),
    "read": ("crash", "sleep"),
    "list": ("crash", "sleep"),
    "rpc": (),
}
"""What only a script asks for, at an operation of choice: the process dies before it sends, or as the request takes
effect; or it is suspended before it sends: `sleep@S` for S seconds, `sleep` for longer than knowledge stays true."""

RPC_KINDS: Final = ("drop", "mute", "twice", "delay", "reset")
"""Faults of a call: never arrives; executed without an answer; executed twice; answered too late; connection reset."""

FAMILIES: Final[Mapping[str, Sequence[str]]] = {
    "write": WRITE_KINDS,
    "read": READ_KINDS,
    "list": LIST_KINDS,
    "rpc": RPC_KINDS,
}


Site = tuple[str, str, str, str]
"""(`actor#n`, family, operation, step of the protocol)."""


class Faults:
    """The faults of one schedule: `rates` by `family.kind`; `masked` sites stay well, those of `script` do not."""

    def __init__(
        self,
        seed: int,
        rates: Mapping[str, float],
        *,
        masked: frozenset[str] = frozenset(),
        script: Mapping[str, str] | None = None,
    ) -> None:
        self._seed = seed
        self.masked = masked
        self.script = script or {}
        self.on = True
        self.struck: list[str] = []
        self.sites: list[Site] | None = None
        self.cells: Counter[tuple[str, str, str]] = Counter()
        self.bounds: dict[str, list[tuple[float, str]]] = {}
        for family, kinds in FAMILIES.items():
            bound = 0.0
            table = self.bounds[family] = []
            for kind in kinds:
                rate = rates.get(f"{family}.{kind}", 0.0)
                if rate:
                    bound += rate
                    table.append((bound, kind))

    def stream(self, actor: str) -> "FaultStream":
        """The faults of one actor."""
        return FaultStream(self, actor, random.Random(f"{self._seed}/faults/{actor}"))

    def note(self, kind: str, operation: str, step: str) -> None:
        """Count a fault in its cell: what happened, to which operation, at which step of the protocol."""
        self.cells[(kind, operation, step)] += 1


class FaultStream:
    """Draws the faults of one actor, site by site. `silent_until` cuts it off from storage."""

    __slots__ = ("_draw", "_faults", "_script", "actor", "count", "silent_until")

    def __init__(self, faults: Faults, actor: str, rng: random.Random) -> None:
        self._faults = faults
        self._draw = rng.random
        self._script = faults.script
        self.actor = actor
        self.count = 0
        self.silent_until = 0.0

    def draw(self, family: str, operation: str, step: str) -> tuple[str | None, float]:
        """The fault at this site, if any, and a number in [0, 1) for its parameters."""
        draw = self._draw
        chance, shade = draw(), draw()
        self.count += 1
        faults = self._faults
        if faults.sites is not None:
            faults.sites.append((f"{self.actor}#{self.count}", family, operation, step))
        kind = None
        if self._script and faults.on:
            kind = _fitting(self._script.get(f"{self.actor}#{self.count}"), family)
        if kind is None and faults.on:
            for bound, name in faults.bounds[family]:
                if chance < bound:
                    kind = name
                    break
        if kind is not None:
            site = f"{self.actor}#{self.count}"
            if site in faults.masked:
                return None, shade
            faults.struck.append(f"{site}:{kind}")
            faults.note(kind, operation, step)
        return kind, shade


def _fitting(kind: str | None, family: str) -> str | None:
    """A scripted fault, if it is one of this family: after another fault there may be another operation at a site."""
    known = kind is not None and kind.partition("@")[0] in (*FAMILIES[family], *DIRECTED[family])
    return kind if known else None
