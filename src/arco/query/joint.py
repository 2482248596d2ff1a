"""Two chains of a workspace as one, for statements that name tables of both: the second is looked at when it is named.

The moment of the first one is the moment of the second: the newest state that had been published by then.
"""

from collections.abc import Collection
from typing import Any

from arco.kernel.reading import Reader, Snapshot
from arco.kernel.spec import TableSpec


class JointSnapshot:
    """A moment of both chains; either may have nothing yet. `at_ms` None is the newest state."""

    def __init__(self, own: Snapshot | None, other: Reader, others: Collection[str], at_ms: int | None) -> None:
        self.own = own
        self._other = other
        self._others = others
        self._at_ms = at_ms

    @property
    def manifest_id(self) -> str | None:
        """The manifest of the first chain."""
        return None if self.own is None else self.own.manifest_id

    async def of(self, table: TableSpec[Any]) -> Snapshot | None:
        """The snapshot that holds a table; None while its chain has none."""
        if table.name not in self._others:
            return self.own
        return await (self._other.head() if self._at_ms is None else self._other.at_time(self._at_ms))


class JointReader:
    """Reads both chains of a workspace; `others` are the names of the second one's tables."""

    def __init__(self, own: Reader, other: Reader, others: Collection[str]) -> None:
        self._own = own
        self._other = other
        self._others = others

    async def head(self) -> JointSnapshot | None:
        """The newest state."""
        return JointSnapshot(await self._own.head(), self._other, self._others, None)

    async def at_manifest(self, manifest_id: str) -> JointSnapshot | None:
        """The state of a manifest of the first chain; None when it is not kept."""
        own = await self._own.at_manifest(manifest_id)
        return None if own is None else JointSnapshot(own, self._other, self._others, own.published_ms)

    async def at_time(self, time_ms: int) -> JointSnapshot | None:
        """The state at a time; None when that is before the first of both."""
        own = await self._own.at_time(time_ms)
        if own is None and await self._other.at_time(time_ms) is None:
            return None
        return JointSnapshot(own, self._other, self._others, time_ms)
