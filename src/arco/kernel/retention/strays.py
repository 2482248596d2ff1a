"""Objects that no version ever held: what attempts left that lost, crashed or slept; found by walking over all names.

The judgement is logical, no clock is asked: an object named before the oldest retained version of the chain can enter
it no more (its number is taken, and the deltas its merge would cover are gone), so if neither that version nor a kept
copy reaches it, nobody ever will. The walk is bounded, resumed where it left off, and rare. Source: reliability.md
R-08, R-30.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.paths import number_in
from arco.kernel.manifest import Manifest
from arco.kernel.retention.plan import Removal
from arco.kernel.retention.reach import Reach, direct, oldest_landing
from arco.kernel.retention.record import RetentionRecord, StrayWalk
from arco.storage.port import ObjectInfo, ObjectStore

WALK_OBJECTS_MAX: Final = 5_000
"""Names one run looks at."""

WALK_EVERY_MS: Final = 6 * 3_600_000
"""How long after a walk over all names ended the next one begins."""

_PAGE: Final = 1_000
_AFTER_DIGITS: Final = "~"
_HIGHER_THAN_SLASH: Final = "0"


class Ground(msgspec.Struct, frozen=True):
    """What a walk judges by: the oldest retained version of the chain, and the kept copies."""

    oldest: Manifest
    kept: tuple[Manifest, ...]
    record: RetentionRecord

    @property
    def barrier(self) -> int:
        """Objects named by a lower number than this can enter no version any more."""
        return min(self.record.swept, self.oldest.number, oldest_landing(self.oldest))

    @property
    def copies(self) -> frozenset[int]:
        """The numbers whose copies are spoken for."""
        return frozenset({*(one.number for one in self.record.kept), *(one.number for one in self.record.releasing)})


def prefixes(chain: str) -> tuple[str, ...]:
    """What is walked, in the order of names."""
    return (f"commits/{chain}/", f"manifests/{chain}/", f"retention/manifests/{chain}/", f"snapshots/{chain}/")


def stray(listed: Sequence[ObjectInfo], ground: Ground, reachable: frozenset[str]) -> list[Removal]:
    """Which of the listed objects nobody can ever reach."""
    found: list[Removal] = []
    for info in listed:
        number = number_in(info.key)
        if number is None:
            continue
        if info.key.startswith("manifests/"):
            # A sleeper's manifest under a number that was taken long ago: nobody believes it.
            gone = number < ground.record.swept
        elif info.key.startswith("retention/"):
            gone = number < ground.record.swept and number not in ground.copies
        else:
            gone = number < ground.barrier and info.key not in reachable
        if gone:
            found.append(Removal(info.key, "no version ever held it", info.size_bytes))
    return found


def resumed(listed: Sequence[ObjectInfo], prefix: str, barrier: int) -> str | None:
    """Where to go on listing after this page; None when the prefix is done.

    Names are ordered by number within a folder, so what lies at or beyond the barrier is stepped over.
    """
    if not listed:
        return None
    last = listed[-1].key
    number = number_in(last)
    folder = last.rpartition("/")[0] + "/"
    if number is None or number < barrier:
        return last if len(listed) == _PAGE else None
    return folder[:-1] + _HIGHER_THAN_SLASH if folder != prefix else None


class StrayWalker:
    """Walks over the names of one chain."""

    def __init__(self, store: ObjectStore, reach: Reach, chain: str) -> None:
        self._store = store
        self._reach = reach
        self._chain = chain

    async def walk(self, ground: Ground, now_ms: int) -> tuple[list[Removal], StrayWalk]:
        """Strays among the next names, and where the walk has come."""
        walk = ground.record.strays
        found: list[Removal] = []
        seen, after = 0, walk.after
        for prefix in prefixes(self._chain):
            if after and not after.startswith(prefix[:-1]) and after > prefix:
                continue
            position: str | None = after if after.startswith(prefix[:-1]) else ""
            while position is not None:
                if seen >= WALK_OBJECTS_MAX:
                    return found, msgspec.structs.replace(walk, after=position or prefix)
                listed = await self._store.list_page(prefix, after=position, limit=_PAGE)
                seen += max(len(listed), 1)
                found.extend(stray(listed, ground, await self._reachable(listed, ground)))
                position = resumed(listed, prefix, ground.barrier)
            after = ""
        return found, StrayWalk("", now_ms + WALK_EVERY_MS, walk.walks + 1)

    async def _reachable(self, listed: Sequence[ObjectInfo], ground: Ground) -> frozenset[str]:
        manifests = (ground.oldest, *ground.kept)
        reachable = {path for manifest in manifests for path in direct(manifest)}
        folders = {str(info.key).split("/")[2] for info in listed if info.key.startswith("snapshots/")}
        for table in sorted(folders - {"_deltas"}):
            reachable |= await self._reach.everything(manifests, table)
        return frozenset(reachable)
