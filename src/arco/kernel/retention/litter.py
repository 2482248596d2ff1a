"""Objects that lie beside the chain: written for a request, needed until it is answered, and nobody's after that.

A domain says what of its own is over; the walk over their names is bounded, goes round and round, and asks the newest
snapshot after it has listed: what was spoken for meanwhile is seen. Time is the storage's. Source: reliability.md R-30.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from arco.kernel.reader import ChainSnapshot
from arco.kernel.reading import Snapshot
from arco.kernel.retention.plan import Removal
from arco.kernel.workshop import Workshop
from arco.storage.port import ObjectInfo

NAMES_PER_RUN: Final = 5_000
_PAGE: Final = 1_000


class Litter(Protocol):
    """One kind of such objects."""

    @property
    def prefix(self) -> str:
        """Where they lie."""
        ...

    async def over(self, listed: Sequence[ObjectInfo], snapshot: Snapshot | None, now_ms: int) -> Sequence[Removal]:
        """Which of the listed objects nobody needs any more at storage time `now_ms`."""
        ...


class LitterWalk:
    """Goes over the names of some kinds, a part at a time."""

    def __init__(self, shop: Workshop, kinds: Sequence[Litter]) -> None:
        self._shop = shop
        self._kinds = kinds
        self._after = [""] * len(kinds)

    async def due(self, now_ms: int) -> list[Removal]:
        """What may go among the next names of each kind. Raises `StorageUnavailable`, `CorruptData`."""
        found: list[Removal] = []
        for index, kind in enumerate(self._kinds):
            for _ in range(0, NAMES_PER_RUN, _PAGE):
                listed = await self._shop.store.list_page(kind.prefix, after=self._after[index], limit=_PAGE)
                if listed:
                    found += await kind.over(listed, await self._snapshot(), now_ms)
                self._after[index] = listed[-1].key if len(listed) == _PAGE else ""
                if not self._after[index]:
                    break
        return found

    async def _snapshot(self) -> ChainSnapshot | None:
        head = await self._shop.chain.find()
        return None if head is None else ChainSnapshot(await self._shop.state_of(head), self._shop.loader)
