"""Small real implementations of the kernel's ports, in memory: what a domain needs to be tried without a kernel.

Deciding is the kernel's own (`kernel.decide`): de-duplication, claims, deadlines, history. What is ours here is only
that tables are dicts and that every `submit` is one manifest.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from arco.core.entropy import MintedIds
from arco.core.instant import stored_text
from arco.kernel.decide import UnitContext, decide
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Envelope, Unit, event_key
from arco.kernel.fold import Change, Domain, NotLoaded, Outcome
from arco.kernel.manifest import CommitInputs
from arco.kernel.reading import Firsts, Range, Sieve, Sifted
from arco.kernel.rooms import Rooms
from arco.kernel.spec import R, RowKey, TableSpec
from arco.kernel.workshop import FOLD_VERSION

State = dict[str, dict[RowKey, Any]]
"""Rows by table name and key."""

START_MS = 1_767_225_600_000


class FrozenClock:
    """Time that passes only when it is told to, or when somebody sleeps."""

    def __init__(self, ms: int = START_MS) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms

    def steady_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.ms += duration_ms


class SeededEntropy:
    """Repeatable bytes."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


def seeded_ids(clock: FrozenClock, seed: int = 0) -> MintedIds:
    """Ids that are the same in every run."""
    return MintedIds(clock, SeededEntropy(seed))


class MemoryView:
    """A fold's view over dicts, with the savepoints the kernel's deciding needs."""

    def __init__(self, state: State | None = None) -> None:
        self.state: State = {} if state is None else {name: dict(rows) for name, rows in state.items()}
        self._undo: list[tuple[str, RowKey, Any]] = []
        self._held = set(self.state)

    def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        return cast("R | None", self.state.get(table.name, {}).get(key))

    def scan(self, table: TableSpec[R], prefix: RowKey, *, limit: int | None = None) -> Iterator[R]:
        rows = self.state.get(table.name, {})
        keys = sorted(key for key in rows if key[: len(prefix)] == prefix)
        yield from (rows[key] for key in keys[:limit])

    def put(self, table: TableSpec[R], row: R) -> None:
        self._change(table.name, table.key_of(row), row)

    def delete(self, table: TableSpec[R], key: RowKey) -> None:
        self._change(table.name, key, None)

    def savepoint(self) -> int:
        return len(self._undo)

    def rollback(self, savepoint: int) -> None:
        while len(self._undo) > savepoint:
            self._set(*self._undo.pop())
        touched = {table for table, _, _ in self._undo}
        for table in [name for name in self.state if name not in self._held | touched]:
            del self.state[table]

    def counted(self, table: TableSpec[R]) -> int | None:
        rows = self.state.get(table.name)
        return None if rows is None else len(rows)

    def following(self, table: TableSpec[R], after: RowKey, *, limit: int) -> list[R]:
        rows = self.state.get(table.name, {})
        return [rows[key] for key in sorted(key for key in rows if key > after)[:limit]]

    def changed(self, table: TableSpec[R], savepoint: int) -> list[Change[R]]:
        before: dict[RowKey, R | None] = {}
        for name, key, old in self._undo[savepoint:]:
            if name == table.name:
                before.setdefault(key, old)
        changes = [Change(before[key], self.get(table, key)) for key in sorted(before)]
        return [change for change in changes if change.old != change.new]

    def write(self, table: TableSpec[R], row: R, *, existed: bool) -> None:
        assert (self.get(table, table.key_of(row)) is not None) == existed, row
        self.put(table, row)

    def remove(self, table: TableSpec[R], key: RowKey) -> None:
        assert self.get(table, key) is not None, key
        self.delete(table, key)

    def changed_since(self, savepoint: int) -> Iterator[tuple[str, RowKey]]:
        return ((table, key) for table, key, _ in self._undo[savepoint:])

    def count(self, table: str) -> int:
        return len(self.state.get(table, {}))

    def _change(self, table: str, key: RowKey, row: Any) -> None:
        self._undo.append((table, key, self.state.get(table, {}).get(key)))
        self._set(table, key, row)

    def _set(self, table: str, key: RowKey, row: Any) -> None:
        rows = self.state.setdefault(table, {})
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row


class LazyView(MemoryView):
    """A view that knows nothing until it is asked: every key and every range must be loaded first."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.loaded: set[tuple[str, RowKey]] = set()

    def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        self._need(table.name, key, None)
        return super().get(table, key)

    def scan(self, table: TableSpec[R], prefix: RowKey, *, limit: int | None = None) -> Iterator[R]:
        self._need(table.name, prefix, prefix)
        return super().scan(table, prefix, limit=limit)

    def put(self, table: TableSpec[R], row: R) -> None:
        self._need(table.name, table.key_of(row), None)
        super().put(table, row)

    def delete(self, table: TableSpec[R], key: RowKey) -> None:
        self._need(table.name, key, None)
        super().delete(table, key)

    def load(self, missing: NotLoaded) -> None:
        """What the kernel does before it folds the unit again."""
        self.loaded.add((missing.table, missing.low))

    def _need(self, table: str, low: RowKey, prefix: RowKey | None) -> None:
        if not any((table, low[:width]) in self.loaded for width in range(1, len(low) + 1)):
            raise NotLoaded(table, low, prefix)


class MemorySnapshot:
    """Implements `kernel.reading.Snapshot` over dicts."""

    def __init__(self, state: State, number: int, snapshot_version: int, published_ms: int) -> None:
        self.state = state
        self.manifest_id = f"{number:020d}"
        self.snapshot_version = snapshot_version
        self.published_ms = published_ms
        self._sorted: dict[str, list[RowKey]] = {}

    def count(self, table: TableSpec[R]) -> int:
        return len(self.state.get(table.name, {}))

    def counted(self, table: TableSpec[R]) -> int | None:
        return self.count(table)

    def table_version(self, table: TableSpec[R]) -> str:
        return f"{self.manifest_id}/{table.name}"

    async def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        return cast("R | None", self.state.get(table.name, {}).get(key))

    async def scan(
        self,
        table: TableSpec[R],
        *,
        prefix: RowKey = (),
        after: RowKey | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[R]:
        rows = self.state.get(table.name, {})
        keys = self._keys(table)
        mine = [key for key in keys[bisect_left(keys, prefix) :] if key[: len(prefix)] == prefix]
        if descending:
            mine.reverse()
        if after is not None:
            # Like the kernel's: what begins with a partial `after` does not lie beyond it.
            mine = [key for key in mine if (key < after if descending else key[: len(after)] > after)]
        return [rows[key] for key in mine[:limit]]

    async def pick(
        self,
        table: TableSpec[Any],
        fields: tuple[str, ...],
        *,
        prefix: RowKey,
        after: RowKey | None = None,
        limit: int,
    ) -> list[tuple[Any, ...]]:
        rows = await self.scan(table, prefix=prefix, after=after, limit=limit)
        return [tuple(getattr(row, field) for field in fields) for row in rows]

    async def sift(self, table: TableSpec[R], between: Range, sieve: Sieve, *, most: int) -> Sifted[R]:
        keys = [key for key in self._keys(table) if between.low <= key < between.high]
        seen = [self.state[table.name][key] for key in keys[:most]]
        passed = sieve.keep(*([getattr(row, field) for row in seen] for field in sieve.fields))
        return Sifted([seen[index] for index in passed], len(seen), keys[most - 1] if len(keys) > most else None)

    async def firsts(
        self, table: TableSpec[R], prefix: RowKey, each: Iterable[RowKey], wanted: Callable[[R], bool]
    ) -> Firsts[R]:
        found = {key: await self.scan(table, prefix=(*prefix, *key)) for key in each}
        first = {key: mine[0] for key, rows in found.items() if (mine := [row for row in rows if wanted(row)])}
        return Firsts(first, len(found))

    async def estimate(self, table: TableSpec[R], low: RowKey, high: RowKey) -> int:
        return sum(low <= key < high for key in self._keys(table))

    async def parts(self, table: TableSpec[R]) -> Any:
        raise NotImplementedError("SQL is tried on the kernel's own snapshots")

    async def arrow(self, table: TableSpec[R]) -> Any:
        raise NotImplementedError("SQL is tried on the kernel's own snapshots")

    def _keys(self, table: TableSpec[R]) -> list[RowKey]:
        if table.name not in self._sorted:
            self._sorted[table.name] = sorted(self.state.get(table.name, {}))
        return self._sorted[table.name]


class MemoryWorkspace:
    """Desk and reader of one workspace. `before_submit` lets a test get in between reading and deciding."""

    def __init__(self, *domains: Domain, clock: FrozenClock | None = None) -> None:
        self.clock = clock or FrozenClock()
        self.ids = seeded_ids(self.clock, seed=1)
        self.domains = Rooms(domains)
        self.snapshots: list[MemorySnapshot] = []
        self.submitted: list[Unit] = []
        self.before_submit: list[Any] = []

    async def head(self) -> MemorySnapshot | None:
        return self.snapshots[-1] if self.snapshots else None

    async def at_manifest(self, manifest_id: str) -> MemorySnapshot | None:
        return next((each for each in self.snapshots if each.manifest_id == manifest_id), None)

    async def at_time(self, time_ms: int) -> MemorySnapshot | None:
        return next((each for each in reversed(self.snapshots) if each.published_ms <= time_ms), None)

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        if self.before_submit:
            await self.before_submit.pop(0)()
        return self.fold([self._named(unit, source) for unit in units])

    def fold(self, units: Sequence[Unit]) -> list[Outcome]:
        """Decide the units as one commit."""
        head = self.snapshots[-1] if self.snapshots else MemorySnapshot({}, 0, 0, self.clock.ms)
        view = MemoryView(head.state)
        number = int(head.manifest_id) + 1
        version = head.snapshot_version
        inputs = CommitInputs(now_ms=self.clock.ms, commit_ulid=self.ids.ulid(), fold_version=FOLD_VERSION, epoch=1)
        outcomes = []
        for index, unit in enumerate(units):
            self.submitted.append(unit)
            context = UnitContext(inputs, f"{number:020d}", index, version)
            outcome, new = decide(cast("Any", view), unit, context, self.domains)
            version = max(version, outcome.snapshot_version) if new else version
            outcomes.append(outcome)
        self.snapshots.append(MemorySnapshot(view.state, number, version, self.clock.ms))
        return outcomes

    def _named(self, draft: UnitDraft, source: str) -> Unit:
        ids = [self.ids.ulid() for _ in draft.events]
        return Unit(
            tuple(
                Envelope(
                    event_type=event.event_type,
                    event_version=event.event_version,
                    idempotency_key=event_key(
                        event.event_type, event.event_version, msgspec.to_builtins(event.payload)
                    ),
                    occurred_at=stored_text(self.clock.ms),
                    source=source,
                    payload=msgspec.Raw(msgspec.json.encode(event.payload)),
                    event_id=event_id,
                    unit_id=ids[0] if len(ids) > 1 else None,
                    claim=draft.claim,
                    base_row_version=event.base_row_version,
                )
                for event_id, event in zip(ids, draft.events, strict=True)
            )
        )


def _plain(payload: Any) -> Any:
    return msgspec.to_builtins(payload)
