"""Snapshots of one scope's chain, and finding the newest.

`head` is linearizable: the probe it answers from began after the call did. Requests that wait together share one
probe. What lies under a snapshot is immutable, so snapshots share everything through the cache.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from arco.core import instant
from arco.core.clock import Clock
from arco.kernel.chain import Chain, Head
from arco.kernel.codec import merged, public_names, table_of
from arco.kernel.loader import Loader
from arco.kernel.manifest import Ref
from arco.kernel.merge import edits_of, parted
from arco.kernel.picking import picked
from arco.kernel.ranges import firsts, sifted
from arco.kernel.reading import Firsts, Range, Sieve, Sifted
from arco.kernel.spec import R, RowKey, TableSpec
from arco.kernel.state import ChainState, Loaded, Span

_READ_AHEAD: Final = 32


class ChainSnapshot:
    """Implements `kernel.reading.Snapshot` over a chain state."""

    def __init__(self, state: ChainState, loader: Loader) -> None:
        self._state = state
        self._loader = loader
        self.manifest_id = state.manifest.manifest_id
        self.snapshot_version = state.manifest.snapshot_version
        self.published_ms = instant.parse_ms(state.manifest.updated_at)

    @property
    def state(self) -> ChainState:
        """The state underneath, for `verify` and tools."""
        return self._state

    def count(self, table: TableSpec[R]) -> int:
        """Rows of the table; no I/O."""
        return self._state.manifest.counts.get(table.name, 0)

    def counted(self, table: TableSpec[R]) -> int | None:
        """Rows of the table; None in a chain that has never held it; no I/O."""
        return self._state.manifest.counts.get(table.name)

    def table_version(self, table: TableSpec[R]) -> str:
        """The manifest that changed the table last: equal exactly when the contents are. No I/O."""
        return self._state.manifest.table_manifests.get(table.name, "")

    async def get(self, table: TableSpec[R], key: RowKey) -> R | None:
        """The row with this key."""
        return await self._loader.answer(self._state, lambda state: state.get(table, key))

    async def scan(
        self,
        table: TableSpec[R],
        *,
        prefix: RowKey = (),
        after: RowKey | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[R]:
        """Rows whose key begins with `prefix` and lies strictly beyond `after`, in key order."""
        span = Span(prefix, after=after, limit=limit, descending=descending)

        def taken(state: ChainState) -> list[R]:
            rows: list[R] = []
            for row in state.scan(table, span):
                if limit is not None and len(rows) >= limit:
                    break
                rows.append(row)
            return rows

        return await self._loader.answer(self._state, taken)

    async def pick(
        self,
        table: TableSpec[Any],
        fields: tuple[str, ...],
        *,
        prefix: RowKey,
        after: RowKey | None = None,
        limit: int,
    ) -> list[tuple[Any, ...]]:
        """Some fields of the rows whose key begins with `prefix` and lies strictly beyond `after`."""
        span = Span(prefix, after=after, limit=limit)
        return await self._loader.answer(self._state, lambda state: picked(state, table, fields, span))

    async def sift(self, table: TableSpec[R], between: Range, sieve: Sieve, *, most: int) -> Sifted[R]:
        """The rows of a range that pass, in key order; about `most` are looked at, and only what passes is decoded."""
        return await self._loader.answer(self._state, lambda state: sifted(state, table, between, sieve, most=most))

    async def firsts(
        self, table: TableSpec[R], prefix: RowKey, each: Iterable[RowKey], wanted: Callable[[R], bool]
    ) -> Firsts[R]:
        """For each key its first wanted row whose key begins with `prefix` and it, all looked up together."""
        keys = list(each)
        return await self._loader.answer(self._state, lambda state: firsts(state, table, prefix, keys, wanted=wanted))

    async def estimate(self, table: TableSpec[R], low: RowKey, high: RowKey) -> int:
        """About how many rows have keys in `[low, high)`."""
        return await self._loader.answer(self._state, lambda state: state.estimate(table, low, high))

    async def segment_paths(self, table: TableSpec[R]) -> list[str]:
        """Where the table's segments are, in key order."""
        tree = self._state.tree(table.name)
        return [ref.path for ref in await self._leaves(tree.refs, tree.level)]

    async def arrow(self, table: TableSpec[R]) -> Any:
        """The whole table with its public columns, in key order."""
        whole = await self._stored(table)
        return whole.select(public_names(table))

    async def parts(self, table: TableSpec[R]) -> list["SegmentPart"]:
        """The whole table as its segments, each with the changes that lie over it."""
        changes = self._changes(table)
        tree = self._state.tree(table.name)
        refs = await self._leaves(tree.refs, tree.level)
        if not refs:
            return [SegmentPart(table, self._loader, None, sorted(changes.items()))]
        touched = parted(refs, edits_of(changes)) if changes else [(ref, ()) for ref in refs]
        return [SegmentPart(table, self._loader, ref, edits) for ref, edits in touched]

    def _changes(self, table: TableSpec[R]) -> dict[RowKey, Any]:
        changes: dict[RowKey, Any] = {}
        for layer in self._state.table_layers(table.name):
            changes.update(layer.changes)
        return changes

    async def _stored(self, table: TableSpec[R]) -> Any:
        changes = self._changes(table)
        tree = self._state.tree(table.name)
        refs = await self._leaves(tree.refs, tree.level)
        if not refs:
            return table_of(table, [changes[key] for key in sorted(changes) if changes[key] is not None])
        pieces: list[Any] = []
        for start in range(0, len(refs), _READ_AHEAD):
            part = refs[start : start + _READ_AHEAD]
            segments = await asyncio.gather(*(self._loader.segment(table, ref) for ref in part))
            pieces.extend(segment.table for segment in segments)
        if changes:
            touched = parted(refs, edits_of(changes))
            pieces = [
                merged(table, piece, edits) if edits else piece
                for piece, (_, edits) in zip(pieces, touched, strict=True)
            ]
        return pa.concat_tables(pieces)

    async def _leaves(self, refs: Sequence[Ref], level: int) -> list[Ref]:
        if level == 0:
            return list(refs)
        pages = await asyncio.gather(*(self._loader.page(ref) for ref in refs))
        return [leaf for page in pages for leaf in await self._leaves(page.refs, page.level)]


class SegmentPart:
    """Implements `kernel.reading.Part`: a segment (None in a table that has none) and the changes that lie over it."""

    __slots__ = ("_edits", "_loader", "_ref", "_table", "identity", "place")

    def __init__(
        self, table: TableSpec[Any], loader: Loader, ref: Ref | None, edits: Sequence[tuple[RowKey, Any]]
    ) -> None:
        self._table, self._loader, self._ref, self._edits = table, loader, ref, edits
        self.place = "" if ref is None else ref.path
        known = self.place if ref is None else f"{ref.path} {ref.sha256}"
        # By content: the next snapshot knows the same change from another layer.
        self.identity = f"{known} {_digest(edits)}" if edits else known

    async def rows(self) -> Any:
        """The rows with their public columns, in key order; the segment is not kept in the cache."""
        names = public_names(self._table)
        if self._ref is None:
            return table_of(self._table, [row for _, row in self._edits if row is not None]).select(names)
        segment = (await self._loader.unkept(self._table, self._ref)).table
        return (merged(self._table, segment, self._edits) if self._edits else segment).select(names)


def _digest(edits: Sequence[tuple[RowKey, Any]]) -> str:
    return hashlib.blake2b(msgspec.msgpack.encode(edits), digest_size=16).hexdigest()


class ChainReader:
    """Implements `kernel.reading.Reader` for one scope."""

    def __init__(
        self,
        chain: Chain,
        loader: Loader,
        *,
        clock: Clock,
        grace_ms: int,
        warm: Sequence[TableSpec[Any]] = (),
    ) -> None:
        """`warm` are tables whose upper parts are loaded together before the first answer of a cold process."""
        self._warm = warm
        self._chain = chain
        self._loader = loader
        self._clock = clock
        self._knowledge_ms = grace_ms // 4
        self._seen_ms = 0
        self._expected = 0
        self._head: Head | None = None
        self._snapshot: ChainSnapshot | None = None
        self._running: asyncio.Future[None] | None = None
        self._next: asyncio.Future[ChainSnapshot | None] | None = None

    def expect(self, manifest_id: str) -> None:
        """Note that a manifest with this id exists: a receipt. Saves the next probe a round, and nothing else."""
        self._expected = max(self._expected, int(manifest_id))

    async def head(self) -> ChainSnapshot | None:
        """The newest snapshot, probed after this call began; None when the workspace has none yet."""
        # A probe is under way that began before us; everybody who came meanwhile shares the next one, and nobody who
        # comes later begins another before it.
        if self._next is None:
            if self._running is None:
                return await self._probe()
            self._next = asyncio.ensure_future(self._probe_after(self._running))
        return await asyncio.shield(self._next)

    async def at_manifest(self, manifest_id: str) -> ChainSnapshot | None:
        """The snapshot with this manifest id, or None when it never was or was collected."""
        newest = await self.head()
        if newest is None or not (manifest_id.isascii() and manifest_id.isdigit()) or len(manifest_id) > 20:
            return None
        number = int(manifest_id)
        if number == int(newest.manifest_id):
            return newest
        if number > int(newest.manifest_id):
            return None
        head = await self._chain.read_valid(number, int(newest.manifest_id))
        if head is not None:
            return await self._snapshot_of(head)
        record = await self._chain.retention()
        wanted = any(one.number == number for one in record.kept)
        head = await self._chain.read_kept(number) if wanted else None
        return None if head is None else await self._snapshot_of(head)

    async def at_time(self, time_ms: int) -> ChainSnapshot | None:
        """The newest snapshot published at or before this time, or None when that is before the first."""
        newest = await self.head()
        if newest is None or newest.published_ms <= time_ms:
            return newest
        low, high = 0, int(newest.manifest_id)
        best: ChainSnapshot | None = None
        while low < high:
            middle = (low + high) // 2
            found = await self._chain.read(middle)
            if found is None or instant.parse_ms(found.manifest.updated_at) > time_ms:
                # Collected manifests are the oldest ones: absent means too old only when nothing later fits.
                if found is None:
                    low = middle + 1
                else:
                    high = middle
                continue
            low = middle + 1
            best = await self.at_manifest(found.manifest.manifest_id) or best
        return best or await self._kept_at(time_ms)

    async def _kept_at(self, time_ms: int) -> ChainSnapshot | None:
        """The newest of the versions that outlived their names that is not younger than this time."""
        record = await self._chain.retention()
        number = max((one.number for one in record.kept if one.since_ms <= time_ms), default=None)
        head = None if number is None else await self._chain.read_kept(number)
        return None if head is None else await self._snapshot_of(head)

    async def _probe_after(self, running: asyncio.Future[None]) -> ChainSnapshot | None:
        await asyncio.wait({running})
        self._next = None
        return await self._probe()

    async def _probe(self) -> ChainSnapshot | None:
        self._running = asyncio.get_running_loop().create_future()
        try:
            return await self._newest()
        finally:
            done, self._running = self._running, None
            done.set_result(None)

    async def _newest(self) -> ChainSnapshot | None:
        while True:
            asked_ms = self._clock.steady_ms()
            found = await self._found(asked_ms)
            if found is None:
                return None
            # "n+1 is absent" means nothing to a process that slept, while it asked, as the collector removed n.
            if self._clock.steady_ms() - asked_ms <= self._knowledge_ms:
                break
        if self._snapshot is None or found is not self._head:
            snapshot = await self._snapshot_of(found)
            if self._snapshot is None:
                await self._loader.warm(snapshot.state, self._warm)
            self._head, self._snapshot = found, snapshot
        self._seen_ms = asked_ms
        return self._snapshot

    async def _found(self, asked_ms: int) -> Head | None:
        # Nor to one that slept since it last knew n: it begins from the pointer.
        if self._head is not None and asked_ms - self._seen_ms <= self._knowledge_ms:
            return await self._chain.follow(self._head, self._expected)
        found = await self._chain.find()
        same = found is not None and self._head is not None and found.raw_hash == self._head.raw_hash
        return self._head if same else found

    async def _snapshot_of(self, head: Head) -> ChainSnapshot:
        layers = await self._loader.layers(head.manifest)
        state = ChainState(head, layers, Loaded(self._loader.cache))
        return ChainSnapshot(state, self._loader)
