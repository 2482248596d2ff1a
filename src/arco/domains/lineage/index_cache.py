"""Which `EdgeIndex` fits a snapshot, and when one is made.

Guarantees: an index is handed out only for the very table contents it was made from; whoever gets none walks the
tables instead and gets the same answer, so nothing but speed depends on this module. Small tables are indexed while
the caller waits; large ones in the background, one at a time for each workspace and at most a fifth of the time, so
that a workspace that records lineage every second does not spend its life indexing.
"""

import asyncio
from collections import OrderedDict
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.offload import Offload
from arco.core.scope import Scope
from arco.domains.lineage.graph import EdgeIndex
from arco.domains.lineage.rows import LINEAGE_EDGES
from arco.kernel.reading import Snapshot

INDEX_AT_ONCE_EDGES_MAX: Final = 50_000
"""Edges of a table that is indexed while the caller waits: some tens of ms, less than walking it once."""

INDEXED_EDGES_MAX: Final = 4_000_000
"""Edges of all indexes of a process together, at about 70 bytes each; the least recently used go first."""

REST_FACTOR: Final = 4
"""How many times as long as it took to make an index nothing new is made for that workspace."""


class _Entry(msgspec.Struct, frozen=True):
    version: str
    index: EdgeIndex


class IndexCache:
    """The indexes of the workspaces this process serves."""

    def __init__(
        self,
        clock: Clock,
        offload: Offload,
        log: Log,
        *,
        at_once_edges_max: int = INDEX_AT_ONCE_EDGES_MAX,
        edges_max: int = INDEXED_EDGES_MAX,
    ) -> None:
        self._clock = clock
        self._offload = offload
        self._log = log
        self._at_once_edges_max = at_once_edges_max
        self._edges_max = edges_max
        self._entries: OrderedDict[Scope, _Entry] = OrderedDict()
        self._making: dict[Scope, asyncio.Task[None]] = {}
        self._rest_until_ms: dict[Scope, int] = {}

    async def fitting(self, scope: Scope, snapshot: Snapshot) -> EdgeIndex | None:
        """The index of exactly this snapshot's edges; None when there is none yet, and then one may be under way."""
        version = snapshot.table_version(LINEAGE_EDGES)
        if (index := self._find(scope, version)) is not None:
            return index
        edges = snapshot.count(LINEAGE_EDGES)
        if edges > self._edges_max:
            return None
        waits = edges <= self._at_once_edges_max
        making = self._making.get(scope)
        if making is None and (waits or self._rested(scope)):
            making = asyncio.get_running_loop().create_task(self._make(scope, snapshot, version))
            self._making[scope] = making
        if waits and making is not None:
            # Shielded: others wait for it too. It may have been begun for another snapshot; then the tables answer.
            await asyncio.shield(making)
        return self._find(scope, version)

    async def settled(self) -> None:
        """Return once no index is being made: for shutdown and tests."""
        while self._making:
            await asyncio.gather(*self._making.values())

    def _find(self, scope: Scope, version: str) -> EdgeIndex | None:
        entry = self._entries.get(scope)
        if entry is None or entry.version != version:
            return None
        self._entries.move_to_end(scope)
        return entry.index

    def _rested(self, scope: Scope) -> bool:
        return self._clock.steady_ms() >= self._rest_until_ms.get(scope, 0)

    async def _make(self, scope: Scope, snapshot: Snapshot, version: str) -> None:
        begun_ms = self._clock.steady_ms()
        try:
            table = await snapshot.arrow(LINEAGE_EDGES)
            self._keep(scope, _Entry(version, await self._offload.run(lambda: _indexed(table))))
        except Exception as error:  # noqa: BLE001  # an index only saves time: the tables answer, or tell what is wrong
            self._log.warning("lineage_index_failed", error=str(error), error_type=type(error).__name__)
        finally:
            now_ms = self._clock.steady_ms()
            self._rest_until_ms[scope] = now_ms + REST_FACTOR * (now_ms - begun_ms)
            del self._making[scope]

    def _keep(self, scope: Scope, entry: _Entry) -> None:
        self._entries[scope] = entry
        self._entries.move_to_end(scope)
        while len(self._entries) > 1 and sum(len(kept.index) for kept in self._entries.values()) > self._edges_max:
            self._entries.popitem(last=False)


def _indexed(table: object) -> EdgeIndex:
    from arco.domains.lineage.indexing import indexed  # noqa: PLC0415  # Arrow is slow to import, and most processes never come here

    return indexed(table)
