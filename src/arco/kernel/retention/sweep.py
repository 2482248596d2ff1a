"""What given-up versions hold that no retained one does, and its removal in an order that may be broken off."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import msgspec

from arco.core.errors import CorruptData
from arco.kernel.manifest import Manifest
from arco.kernel.retention.reach import Exclusive, Reach
from arco.kernel.retention.remover import Remover
from arco.kernel.retention.versions import Versions


class Garbage(msgspec.Struct, frozen=True):
    """Objects to remove, stage after stage, and what could not be read on the way."""

    stages: tuple[tuple[str, ...], ...]
    unreadable: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """All of it."""
        return [path for stage in self.stages for path in stage]


class Retained:
    """The versions that stay, by number: the kept copies and the first of the chain that is not given up."""

    def __init__(self, versions: Versions, kept: Sequence[int], oldest: Manifest) -> None:
        self._versions = versions
        self._numbers = sorted({*(one for one in kept if one < oldest.number), oldest.number})
        self._read: dict[int, Manifest] = {oldest.number: oldest}

    def add(self, manifest: Manifest) -> None:
        """Retain one more."""
        if manifest.number not in self._read:
            self._read[manifest.number] = manifest
            self._numbers = sorted({*self._numbers, manifest.number})

    async def around(self, number: int) -> tuple[Manifest | None, Manifest | None]:
        """The retained versions right above and right below a number that is given up."""
        at = bisect_left(self._numbers, number)
        above = self._numbers[at] if at < len(self._numbers) else None
        below = self._numbers[at - 1] if at else None
        return await self._manifest(above), await self._manifest(below)

    async def _manifest(self, number: int | None) -> Manifest | None:
        if number is None:
            return None
        if number not in self._read:
            found: Mapping[int, Manifest] = await self._versions.copies([number])
            if number not in found:
                raise CorruptData(f"the kept copy of manifest {number} is gone")
            self._read[number] = found[number]
        return self._read[number]


async def garbage_of(reach: Reach, doomed: Sequence[Manifest], retained: Retained) -> Garbage:
    """What the doomed versions hold and no retained one does.

    Lifetimes are unbroken, so the nearest retained neighbours speak for all of them.
    """
    parts: list[Exclusive] = []
    for manifest in doomed:
        above, below = await retained.around(manifest.number)
        parts.append(await reach.exclusive(manifest, above, below))
    depth = max((len(part.stages) for part in parts), default=0)
    stages: list[tuple[str, ...]] = []
    for stage in range(depth):
        # What is named comes before what names it; the last stage of each are the objects its manifest names.
        found = {path for part in parts for path in _stage(part, stage, depth)}
        stages.append(tuple(sorted(found)))
    return Garbage(tuple(stages), tuple(path for part in parts for path in part.unreadable))


def _stage(part: Exclusive, stage: int, depth: int) -> Sequence[str]:
    if stage == depth - 1:
        return part.stages[-1]
    return part.stages[stage] if stage < len(part.stages) - 1 else ()


async def take_away(garbage: Garbage, remover: Remover) -> None:
    """Remove it stage by stage: as long as a page is there, so may be what is below it, and nothing is forgotten."""
    for stage in garbage.stages:
        await remover.remove_all(stage)
