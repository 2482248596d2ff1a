"""Small real implementations of the ports lineage stands on: tables in memory, a desk that folds at once."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from arco.domains.lineage.fold import LineageDomain
from arco.domains.lineage.rows import LINEAGE_EDGES, LINEAGE_EDGES_BY_TARGET, EdgeRow
from arco.domains.lineage.rules import NewEdge, minted
from arco.kernel.codec import table_of
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Decision, FoldContext, NotLoaded, Outcome
from arco.kernel.spec import R, RowKey, TableSpec

NOW_MS = 1_767_225_605_123
"""2026-01-01T00:00:05.123Z."""


def edge(source: str, target: str, *, edge_type: str = "derives_from", run: str | None = None) -> NewEdge:
    """An edge as a caller asks for it."""
    return NewEdge(source_id=source, target_id=target, edge_type=edge_type, run_id=run)


def begins_with(key: RowKey, prefix: RowKey) -> bool:
    """True when `prefix` is the beginning of `key`."""
    return key[: len(prefix)] == prefix


class StillClock:
    """A clock that goes when it is told to."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms

    def steady_ms(self) -> int:
        return self.time_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.time_ms += duration_ms


class MemoryView:
    """Tables as dictionaries; `absent` are keys that have to be loaded before they can be read."""

    def __init__(self, absent: Iterable[RowKey] = ()) -> None:
        self.tables: dict[str, dict[RowKey, Any]] = {}
        self.absent = set(absent)

    def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        if key in self.absent:
            raise NotLoaded(table.name, key)
        row: R | None = self.tables.get(table.name, {}).get(key)
        return row

    def scan(self, table: TableSpec[R], prefix: RowKey, *, limit: int | None = None) -> Iterator[R]:
        rows = sorted(self.tables.get(table.name, {}).items())
        found = [row for key, row in rows if begins_with(key, prefix)]
        return iter(found if limit is None else found[:limit])

    def put(self, table: TableSpec[R], row: R) -> None:
        self.get(table, table.key_of(row))
        self.tables.setdefault(table.name, {})[table.key_of(row)] = row

    def delete(self, table: TableSpec[R], key: RowKey) -> None:
        self.tables.get(table.name, {}).pop(key, None)

    def rows(self, table: TableSpec[R]) -> list[R]:
        """The whole table in key order."""
        return list(self.scan(table, ()))


def event_of(payload: Any, *, version: int = 1, event_id: str = "01JGFJJZ00000000000000000A") -> Envelope:
    """A ledger event with this payload."""
    return Envelope(
        event_type="lineage.ddl",
        event_version=version,
        idempotency_key="auto:x",
        occurred_at="2026-01-01T00:00:05.123Z",
        source="api:acme",
        payload=msgspec.Raw(msgspec.json.encode(payload)),
        event_id=event_id,
    )


def folded(view: MemoryView, event: Envelope) -> Decision:
    """What the lineage domain decides about the event."""
    return LineageDomain().fold(view, event, FoldContext(now_ms=NOW_MS, fold_version=1))


class FoldingDesk:
    """Folds what it is handed at once; `status` makes it answer something else instead."""

    def __init__(self, status: str = "accepted") -> None:
        self.view = MemoryView()
        self.drafts: list[UnitDraft] = []
        self.sources: list[str] = []
        self.status = status

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        self.sources.append(source)
        return [self._outcome(unit) for unit in units]

    def _outcome(self, unit: UnitDraft) -> Outcome:
        self.drafts.append(unit)
        if self.status == "accepted":
            for draft in unit.events:
                folded(self.view, event_of(draft.payload, version=draft.event_version))
        return Outcome(unit_id="01JGFJJZ00000000000000000A", status=self.status)


class MemorySnapshot:
    """A pinned state of both lineage tables; counts what is read of it."""

    manifest_id = "00000000000000000007"
    snapshot_version = 7
    published_ms = NOW_MS

    def __init__(self, edges: Iterable[EdgeRow], *, version: str = "v1") -> None:
        rows = list(edges)
        self._tables = {spec.name: sorted(rows, key=spec.key_of) for spec in (LINEAGE_EDGES, LINEAGE_EDGES_BY_TARGET)}
        self._version = version
        self.reads: Counter[str] = Counter()
        self.scans_at_once_max = 0
        self._scans = 0

    def count(self, table: TableSpec[R]) -> int:
        return len(self._tables[table.name])

    def counted(self, table: TableSpec[R]) -> int | None:
        return self.count(table)

    def table_version(self, table: TableSpec[R]) -> str:
        return f"{table.name}:{self._version}"

    async def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        self.reads["get"] += 1
        return next((row for row in self._rows(table) if table.key_of(row) == key), None)

    async def scan(
        self,
        table: TableSpec[R],
        *,
        prefix: RowKey = (),
        after: RowKey | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[R]:
        self.reads["scan"] += 1
        self._scans += 1
        self.scans_at_once_max = max(self.scans_at_once_max, self._scans)
        await asyncio.sleep(0)
        self._scans -= 1
        rows = [row for row in self._rows(table) if begins_with(table.key_of(row), prefix)]
        return rows if limit is None else rows[:limit]

    async def pick(self, table: TableSpec[Any], fields: tuple[str, ...], **_: Any) -> Any:
        raise NotImplementedError("lineage reads whole rows")

    async def sift(self, table: TableSpec[R], between: Any, sieve: Any, *, most: int) -> Any:
        raise NotImplementedError("lineage reads whole ranges")

    async def firsts(self, table: TableSpec[R], prefix: RowKey, each: Any, wanted: Any) -> Any:
        raise NotImplementedError("lineage reads whole ranges")

    async def estimate(self, table: TableSpec[R], low: RowKey, high: RowKey) -> int:
        return self.count(table)

    async def parts(self, table: TableSpec[R]) -> Any:
        raise NotImplementedError("SQL is tried on the kernel's own snapshots")

    async def arrow(self, table: TableSpec[R]) -> pa.Table:
        self.reads["arrow"] += 1
        await asyncio.sleep(0)
        return table_of(table, self._rows(table))

    def _rows(self, table: TableSpec[R]) -> list[R]:
        rows: list[R] = self._tables[table.name]  # type: ignore[assignment]  # one row type in this fake
        return rows


class MemoryReader:
    """Reads one snapshot, or none."""

    def __init__(self, snapshot: MemorySnapshot | None) -> None:
        self.snapshot = snapshot

    async def head(self) -> MemorySnapshot | None:
        return self.snapshot

    async def at_manifest(self, manifest_id: str) -> MemorySnapshot | None:
        return self.snapshot

    async def at_time(self, time_ms: int) -> MemorySnapshot | None:
        return self.snapshot


def snapshot_of(*edges: NewEdge, version: str = "v1") -> MemorySnapshot:
    """A snapshot that holds these edges."""
    return MemorySnapshot(minted(edges, NOW_MS), version=version)
