"""Everything a compactor of one scope works with, and its chores: genesis, loading, merging, writing."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from arco.core import instant, paths
from arco.core.clock import Clock
from arco.core.entropy import Entropy, Ids
from arco.core.errors import CorruptData
from arco.core.ids import ulid_from_int, ulid_to_int
from arco.core.limits import RESIDUE_ROWS_MAX
from arco.core.offload import Offload
from arco.kernel.cache import ScopedCache
from arco.kernel.chain import Chain, ChainSpec, Head
from arco.kernel.codec import PARQUET
from arco.kernel.compose import Composer, FinishedMerge, residue_delta
from arco.kernel.fold import Domain, Witness
from arco.kernel.housekeeping import Housekeeping
from arco.kernel.layers import LAYER_ROW_BYTES, Layer, joined, layer_of
from arco.kernel.loader import Loader
from arco.kernel.manifest import Delta, Manifest, Page, TableTree, encode
from arco.kernel.merge import TreeMerger, WrittenObject, edits_of
from arco.kernel.pointers import PointerKeeper
from arco.kernel.publish import Publisher, Undecided
from arco.kernel.records import all_specs
from arco.kernel.rooms import Rooms
from arco.kernel.segments import Edits, SegmentCodec
from arco.kernel.spec import RowKey
from arco.kernel.state import KEYS_SUFFIX, ChainState, Loaded
from arco.storage.port import Absent, Lost, ObjectStore, StorageUnavailable, Stored, Unsure

FOLD_VERSION: Final = 7
"""What folding means: 2 since decisions are witnessed (audit), 3 since refusals name the event, 4 since prepared
transactions remember by which rules they were tried, 5 since a refusal bars earlier tries of its key, 6 since attempts
without success and holders of slots are kept, 7 since a retry that waits can be asked for at once. Recorded in every
commit, so that old ones replay."""

_SCATTER_SEGMENTS: Final = 32
_SCATTER_ROWS: Final = 128
_WRITE_TRIES: Final = 6
_WRITE_BACKOFF_MS: Final = 50
_PARALLEL_WRITES: Final = 32


class EventLog(Protocol):
    """The part of a structured logger the kernel uses."""

    def warning(self, event: str, **fields: object) -> None:
        """Log that something happened that an operator may want to know."""
        ...


class Ports(Protocol):
    """The outside world of a compactor, injected by a composition root."""

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    @property
    def ids(self) -> Ids:
        """Fresh names."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Randomness, for jitter."""
        ...

    @property
    def offload(self) -> Offload:
        """Where Parquet is encoded."""
        ...

    @property
    def log(self) -> EventLog:
        """Where what operators may want to know goes."""
        ...


class Workshop:
    """The tools of one scope's compactor."""

    fold_version = FOLD_VERSION

    def __init__(
        self,
        store: ObjectStore,
        chain: ChainSpec,
        domains: Sequence[Domain],
        *,
        ports: Ports,
        cache: ScopedCache,
        grace_ms: int,
        codec: SegmentCodec = PARQUET,
    ) -> None:
        self.store = store
        self.clock = ports.clock
        self.ids = ports.ids
        self.offload = ports.offload
        self.log = ports.log
        self.domains = Rooms((*domains, Housekeeping()))
        self.ledger_domains = frozenset(domain.name for domain in domains if domain.event_types)
        self.witnesses = tuple(domain for domain in domains if isinstance(domain, Witness))
        self.specs = all_specs(domains)
        self.chain = Chain(store, chain)
        self.loader = Loader(store, cache, self.specs, codec=codec)
        self.composer = Composer(chain, self.specs)
        self.publisher = Publisher(store, self.chain, self.clock, grace_ms=grace_ms)
        self.pointers = PointerKeeper(store, chain, self.clock, ports.entropy)

    async def state_of(self, head: Head) -> ChainState:
        """The state of a head, with its deltas read."""
        layers = await self.loader.layers(head.manifest)
        return ChainState(head, layers, Loaded(self.loader.cache))

    def commit_ulid(self, previous: str | None) -> str:
        """A ULID greater than the previous commit's, with room for one per unit of that batch."""
        fresh = ulid_to_int(self.ids.ulid())
        return ulid_from_int(max(fresh, ulid_to_int(previous) + (1 << 20) if previous else 0))

    async def find_or_create(self) -> Head:
        """The head of the chain; a workspace that has none gets its first manifest and its pointers."""
        head = await self.chain.find()
        if head is not None:
            return head
        first = await self.chain.read(0)
        if first is None:
            first = await self._first()
        # Readers conclude "no workspace" from the absence of the pointer, and we that its making is finished from its
        # presence: it must exist before any later manifest does, and after everything else here.
        await self._ensure(self.chain.spec.root, self._root_manifest())
        await self.pointers.genesis(first)
        return await self.chain.follow(first)

    async def _first(self) -> Head:
        """Create manifest 0. Raises `CorruptData` when it was there before."""
        if await self.store.head(self.chain.spec.root) is None:
            outcome = await self.publisher.publish(self._genesis(), None, self.clock.steady_ms())
            if isinstance(outcome, Undecided):
                raise StorageUnavailable(f"the first manifest could not be created: {outcome.cause}")
        first = await self.chain.read(0)
        if first is None:
            # Collected, so the workspace has a history that only its pointer leads to: to begin anew would lose it.
            pointer = paths.pointer(self.chain.spec.domains[0])
            raise CorruptData(f"the workspace was made before and its pointer {pointer} is gone")
        return first

    async def _ensure(self, key: paths.Key, body: bytes) -> None:
        for attempt in range(_WRITE_TRIES):
            match await self.store.put(key, body, when=Absent()):
                case Stored() | Lost():
                    return
                case Unsure():
                    await self.clock.sleep_ms(_WRITE_BACKOFF_MS << attempt)
        raise StorageUnavailable(f"{key} could not be created")

    async def merge(self, state: ChainState, *, everything: bool) -> FinishedMerge:
        """Merge the deltas of `state` into its trees and write the new segments and pages.

        Unless `everything` is asked for, changes that are few and scattered over many segments of a table wait in one
        residue delta until they are worth the rewriting: that keeps a write's cost flat as a catalog of random names
        grows. Those that fall together on the same segments are merged meanwhile.
        """
        attempt = self.ids.ulid()
        made = 0

        def name(table: str, kind: str) -> paths.Key:
            nonlocal made
            made += 1
            build = paths.segment if kind == "segment" else paths.page
            return build(self.chain.spec.name, table, state.manifest.number, f"{attempt}-{made:04d}")

        merger = TreeMerger(
            self.loader, name=name, offload=self.offload, write=self.write_merged, codec=self.loader.codec
        )
        trees: dict[str, TableTree] = {}
        broken: CorruptData | None = None
        waiting: dict[str, Mapping[RowKey, Any]] = {}
        for table, changes in joined(state.layers).items():
            edits, tree = edits_of(changes), state.tree(table)
            made_before = len(merger.objects)
            try:
                scattered = set() if everything else await self._scattered(merger, tree, edits)
                if scattered:
                    waiting[table] = {key: row for key, row in edits if key in scattered}
                    edits = [(key, row) for key, row in edits if key not in scattered]
                if edits:
                    trees[table] = await merger.merge(self.specs[table], tree, edits)
            except CorruptData as error:
                # One table's broken segment must not keep the others from being merged; its changes wait.
                self.log.warning("table_not_merged", table=table, reason=error.message, advice="run `arco repair`")
                broken = error
                waiting[table] = changes
                del merger.objects[made_before:]
        if broken is not None and not trees:
            raise broken
        await merger.flush()
        residue = await self._residue(state, attempt, waiting) if waiting else None
        onto = {table: state.tree(table) for table in trees}
        return FinishedMerge(tuple(delta.delta_id for delta in state.manifest.deltas), trees, residue, onto)

    async def _scattered(self, merger: TreeMerger, tree: TableTree, edits: Edits) -> set[RowKey]:
        """The keys of a table's changes that are not worth merging yet: alone on their segment, on many segments."""
        thin = [mine for mine in await merger.by_segment(tree, edits) if len(mine) < _SCATTER_ROWS]
        return waiting_keys(thin) if len(thin) > _SCATTER_SEGMENTS else set()

    async def _residue(
        self, state: ChainState, attempt: str, changes: Mapping[str, Mapping[RowKey, Any]]
    ) -> tuple[Delta, Layer]:
        key = paths.delta(self.chain.spec.name, state.manifest.number, attempt, 0)
        delta, body = residue_delta(changes, self.specs, name=attempt, path=key)
        layer = layer_of(changes)
        await self.write_merged([WrittenObject(key, body, None, 0)])
        self.loader.cache.put(delta.delta_id, layer, delta.rows * LAYER_ROW_BYTES)
        return delta, layer

    async def write_merged(self, objects: Sequence[WrittenObject]) -> None:
        """Write segments and pages of a merge. Raises `StorageUnavailable`."""
        if not await write_objects(self.store, self.clock, objects):
            raise StorageUnavailable("storage did not take the merged segments")
        for item in objects:
            if isinstance(item.decoded, Page):
                self.loader.cache.put(item.key, item.decoded, item.decoded_bytes)
            elif item.decoded is not None:
                # Only the keys stay: the next batch asks whether names are free, rarely for what a merge rewrote.
                keys = item.decoded.keys_alone()
                self.loader.cache.put(item.key + KEYS_SUFFIX, keys, keys.size_bytes)

    def _genesis(self) -> Manifest:
        name = self.chain.spec.name
        return Manifest(
            manifest_id=f"{0:020d}",
            epoch=1,
            snapshot_version=0,
            snapshot_path=f"snapshots/{name}/",
            edges_path=f"snapshots/{name}/",
            base_path=f"snapshots/{name}/",
            updated_at=instant.stored_text(self.clock.now_ms()),
            attempt=self.ids.ulid(),
            counts=dict.fromkeys(sorted(self.specs), 0),
        )

    def _root_manifest(self) -> bytes:
        spec = self.chain.spec
        named = {domain: paths.pointer(domain) for domain in spec.domains} | {
            domain: paths.hint(domain) for domain in spec.hinted
        }
        return encode(
            {
                "version": 1,
                **{f"{domain}ManifestPath": path for domain, path in named.items()},
                "updatedAt": instant.stored_text(self.clock.now_ms()),
            }
        )


def waiting_keys(parts: Sequence[Edits]) -> set[RowKey]:
    """Of the changes that fall to each segment those that wait: the sparsest, as many as may.

    When there are more, only the segments with most changes are rewritten, not all of them: a merge stays as small as
    what came since the last one, and each segment is rewritten for as many changes as can be.
    """
    waiting: set[RowKey] = set()
    for mine in sorted(parts, key=len):
        if len(waiting) + len(mine) > RESIDUE_ROWS_MAX:
            break
        waiting.update(key for key, _ in mine)
    return waiting


async def write_objects(store: ObjectStore, clock: Clock, objects: Sequence[WrittenObject]) -> bool:
    """Put objects with fresh keys, in parallel. False when some could not be shown to be there."""
    if len(objects) == 1:
        return await _write(store, clock, objects[0])
    gate = asyncio.Semaphore(_PARALLEL_WRITES)

    async def gated(item: WrittenObject) -> bool:
        async with gate:
            return await _write(store, clock, item)

    return all(await asyncio.gather(*(gated(item) for item in objects)))


async def _write(store: ObjectStore, clock: Clock, item: WrittenObject) -> bool:
    for attempt in range(_WRITE_TRIES):
        outcome = await store.put(item.key, item.body, when=Absent())
        match outcome:
            case Stored():
                return True
            case Lost():
                # The key is fresh, so this can only be our own write whose answer was lost.
                found = await store.get(item.key)
                if found is not None and found.body == item.body:
                    await store.settle(item.key)
                    return True
                raise CorruptData(f"{item.key} holds other bytes than the attempt that owns it")
            case Unsure():
                await clock.sleep_ms(_WRITE_BACKOFF_MS << attempt)
    return False
