"""The order check: histories of appends of unique tokens to one list, and reads of the whole list.

The final list is the version order, so checking is sorting: every read is a prefix of it, and nothing that returned
before another thing was asked comes after it. O(n log n). Source: reliability.md 5.4, 1.
"""

import math
from collections.abc import Sequence
from enum import Enum
from typing import Final

import msgspec

NEVER: Final = math.inf
"""The return time of an operation that got no answer."""


class Answer(Enum):
    """What the client of an append knows."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Append(msgspec.Struct, frozen=True):
    """One append: asked at `invoked`, answered at `returned` (`NEVER` when it was not), in any one unit of time."""

    token: str
    invoked: float
    returned: float
    answer: Answer


class Read(msgspec.Struct, frozen=True):
    """One read of the whole list; `staleness` is how old the answer was allowed to be when it was asked."""

    tokens: tuple[str, ...]
    invoked: float
    returned: float
    staleness: float = 0.0


class _Placed(msgspec.Struct, frozen=True):
    """An operation at its place in the one order that the final list dictates."""

    place: int
    invoked: float
    returned: float
    text: str


def check_appends(appends: Sequence[Append], reads: Sequence[Read], final: Sequence[str]) -> list[str]:
    """Everything that is wrong with the history, given the list as it was read when all was quiet."""
    return [*_final_faults(appends, final), *_prefix_faults(reads, final), *_real_time_faults(appends, reads, final)]


def _final_faults(appends: Sequence[Append], final: Sequence[str]) -> list[str]:
    found = [f"{token} is in the list {final.count(token)} times" for token in sorted(_repeated(final))]
    asked = {append.token: append for append in appends}
    present = set(final)
    found += [f"{token} is in the list, and nobody asked for it" for token in sorted(present - set(asked))]
    for token, append in asked.items():
        if append.answer is Answer.DONE and token not in present:
            found.append(f"{token} was acknowledged and is lost")
        if append.answer is Answer.REFUSED and token in present:
            found.append(f"{token} was refused and is in the list")
    return found


def _repeated(final: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    return {token for token in final if token in seen or seen.add(token)}  # type: ignore[func-returns-value]  # add is None


def _prefix_faults(reads: Sequence[Read], final: Sequence[str]) -> list[str]:
    whole = tuple(final)
    return [
        f"a read at {read.returned} saw {list(read.tokens)}, which is no prefix of {list(whole)}"
        for read in reads
        if read.tokens != whole[: len(read.tokens)]
    ]


def _real_time_faults(appends: Sequence[Append], reads: Sequence[Read], final: Sequence[str]) -> list[str]:
    """Sweep by invocation, carrying the furthest place of what had returned by then."""
    placed = _placed(appends, reads, final)
    returned = sorted(placed, key=lambda one: one.returned)
    found: list[str] = []
    behind = 0
    furthest: _Placed | None = None
    for one in sorted(placed, key=lambda one: one.invoked):
        while behind < len(returned) and returned[behind].returned < one.invoked:
            if furthest is None or returned[behind].place > furthest.place:
                furthest = returned[behind]
            behind += 1
        if furthest is not None and one.place < furthest.place:
            found.append(
                f"{one.text} was asked at {one.invoked}, after {furthest.text} had returned, and comes before it"
            )
    return found


def _placed(appends: Sequence[Append], reads: Sequence[Read], final: Sequence[str]) -> list[_Placed]:
    """Appends at odd places; a read of n tokens between the n-th append and the next one."""
    index = {token: number for number, token in enumerate(final)}
    placed = [
        _Placed(2 * index[one.token] + 1, one.invoked, one.returned, f"append {one.token}")
        for one in appends
        if one.token in index and one.answer is not Answer.REFUSED
    ]
    placed += [
        _Placed(
            2 * len(read.tokens), read.invoked - read.staleness, read.returned, f"a read of {len(read.tokens)} tokens"
        )
        for read in reads
    ]
    return placed
