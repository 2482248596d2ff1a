"""Fetches what a question found missing: pages, segments and deltas, checked against their hashes, in parallel.

Of a segment that was only asked for a key, the keys alone are decoded and kept when the key is not in it: checking
that a name is free costs a fifth of reading a row. Fails closed: an object that is named but absent, or whose bytes
are not those of its hash, raises `CorruptData`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from arco.core.canonical_json import sha256_hex
from arco.core.errors import CorruptData
from arco.core.paths import Key
from arco.kernel.cache import ScopedCache
from arco.kernel.codec import PARQUET
from arco.kernel.layers import LAYER_ROW_BYTES, Layer, decode_layer
from arco.kernel.manifest import Manifest, Page, Ref, decode_page
from arco.kernel.segments import Columns, Keys, Segment, SegmentCodec
from arco.kernel.spec import RowKey, TableSpec
from arco.kernel.state import KEYS_SUFFIX, ROWS_SUFFIX, ChainState, Loaded, Missing, path_of_some
from arco.storage.port import ObjectStore

T = TypeVar("T")

_ROUNDS_MAX = 10_000
_PAGE_REF_BYTES = 600
_WARM_PAGES_MAX = 16
_ROWS_ALONE_MAX = 8
_ROW_BYTES = 2_500
_WARM_SEGMENTS_MAX = 4


class _Wish:
    """What is wanted of one object: its rows, some fields of them, or only whether some keys are in it."""

    __slots__ = ("keys", "pages", "ref", "rows", "some", "spec")

    def __init__(self, spec: TableSpec[Any], ref: Ref, pages: bool) -> None:
        self.spec = spec
        self.ref = ref
        self.pages = pages
        self.rows = False
        self.some: tuple[str, ...] = ()
        self.keys: set[RowKey] = set()


class Loader:
    """Reads the objects of one chain into the shared cache."""

    def __init__(
        self,
        store: ObjectStore,
        cache: ScopedCache,
        specs: Mapping[str, TableSpec[Any]],
        *,
        codec: SegmentCodec = PARQUET,
    ) -> None:
        self._store = store
        self.cache = cache
        self.specs = specs
        self.codec = codec

    async def answer(self, state: ChainState, ask: Callable[[ChainState], T]) -> T:
        """The answer of a pure question, loading what it misses until it can be given."""
        try:
            return ask(state)
        except Missing as missing:
            found = missing
        held = state.holding()
        for _ in range(_ROUNDS_MAX):
            await self.load(held, [found])
            try:
                return ask(held)
            except Missing as missing:
                found = missing
        raise CorruptData("a read needed more objects than any table can have")

    async def load(self, state: ChainState, missing: Sequence[Missing]) -> None:
        """Load what several questions miss, all at once, and hold it with `state`."""
        wishes: dict[str, _Wish] = {}
        for miss in missing:
            for ref in miss.refs:
                wish = wishes.setdefault(ref.path, _Wish(miss.spec, ref, miss.pages))
                wish.keys.add(miss.key)
                wish.rows = wish.rows or not (miss.point or miss.some)
                wish.some = wish.some or miss.some
        if len(wishes) == 1:
            (wish,) = wishes.values()
            state.loaded.hold(*await self._granted(wish, state.loaded))
            return
        for path, value in await asyncio.gather(*(self._granted(wish, state.loaded) for wish in wishes.values())):
            state.loaded.hold(path, value)

    async def _granted(self, wish: "_Wish", loaded: Loaded) -> tuple[str, Any]:
        """What is to be held, and under which path: a page, a segment, or only the keys of one."""
        path = wish.ref.path
        if wish.pages:
            return path, await self.page(wish.ref)
        if wish.rows or self.cache.get(path) is not None:
            return path, await self.segment(wish.spec, wish.ref)
        if wish.some:
            return await self._some(wish)
        keys: Keys | None = self.cache.get(path + KEYS_SUFFIX)
        body: bytes | None = None
        if keys is None:
            body = await self._bytes(path, wish.ref.sha256)
            keys = self.codec.decode_keys(wish.spec, body)
            self.cache.put(path + KEYS_SUFFIX, keys, keys.size_bytes)
        present = [key for key in wish.keys if keys.index_of(key) is not None]
        if not present:
            return path + KEYS_SUFFIX, keys
        segment = self._decoded(wish.spec, wish.ref, body or await self._bytes(path, wish.ref.sha256))
        # What this operation holds already stays with it, whatever the cache has dropped meanwhile.
        known: dict[RowKey, Any] = loaded.get(path + ROWS_SUFFIX) or {}
        rows = {**known, **{key: segment.find(key) for key in present}}
        if len(rows) > _ROWS_ALONE_MAX:
            self.cache.put(path, segment, segment.size_bytes)
            return path, segment
        # One row of a segment is kept as a row: many names looked up all over a large table must not fill the cache
        # with their neighbours.
        self.cache.put(path + ROWS_SUFFIX, rows, len(rows) * _ROW_BYTES)
        return path + ROWS_SUFFIX, rows

    async def _some(self, wish: "_Wish") -> tuple[str, Columns]:
        path = path_of_some(wish.ref.path, wish.some)
        cached: Columns | None = self.cache.get(path)
        if cached is not None:
            return path, cached
        columns = self.codec.decode_some(wish.spec, await self._bytes(wish.ref.path, wish.ref.sha256), wish.some)
        _check_count(wish.ref, columns.count)
        self.cache.put(path, columns, columns.size_bytes)
        return path, columns

    async def warm(self, state: ChainState, tables: Sequence[TableSpec[Any]]) -> None:
        """Load the pages of large tables and the segments of small ones, all at once.

        A look-up by name walks through several tables; in a cold process each would cost rounds of its own.
        """
        trees = [(spec, state.tree(spec.name)) for spec in tables]
        wanted: list[Awaitable[Any]] = [
            self.page(ref) for _, tree in trees if tree.level for ref in tree.refs[:_WARM_PAGES_MAX]
        ]
        wanted += [
            self.segment(spec, ref)
            for spec, tree in trees
            if not tree.level and len(tree.refs) <= _WARM_SEGMENTS_MAX
            for ref in tree.refs
        ]
        # What cannot be read is told to whoever needs it, not to everybody.
        await asyncio.gather(*wanted, return_exceptions=True)

    async def layers(self, manifest: Manifest) -> list[Layer]:
        """The layers of a manifest's deltas, oldest first."""
        return list(await asyncio.gather(*(self._layer(manifest, delta) for delta in manifest.deltas)))

    async def _layer(self, manifest: Manifest, delta: Any) -> Layer:
        cached: Layer | None = self.cache.get(delta.delta_id)
        if cached is not None:
            return cached
        if delta.path is None:
            body = bytes(manifest.inline[delta.delta_id])
        else:
            body = await self._bytes(delta.path, delta.sha256)
        layer = decode_layer(body, self.specs)
        self.cache.put(delta.delta_id, layer, delta.rows * LAYER_ROW_BYTES)
        return layer

    async def page(self, ref: Ref) -> Page:
        """The page a ref names. Raises `CorruptData`."""
        cached: Page | None = self.cache.get(ref.path)
        if cached is not None:
            return cached
        page = decode_page(await self._bytes(ref.path, ref.sha256))
        self.cache.put(ref.path, page, len(page.refs) * _PAGE_REF_BYTES)
        return page

    async def segment(self, spec: TableSpec[Any], ref: Ref) -> Segment:
        """The segment a ref names. Raises `CorruptData`."""
        cached: Segment | None = self.cache.get(ref.path)
        if cached is not None:
            return cached
        segment = await self.unkept(spec, ref)
        self.cache.put(ref.path, segment, segment.size_bytes)
        return segment

    async def unkept(self, spec: TableSpec[Any], ref: Ref) -> Segment:
        """The segment a ref names, without keeping it: for who reads much and comes once. Raises `CorruptData`."""
        return (await self.opened(spec, ref))()

    async def opened(self, spec: TableSpec[Any], ref: Ref) -> Callable[[], Segment]:
        """What makes the segment a ref names of its bytes; it may be called on another thread. Raises `CorruptData`."""
        cached: Segment | None = self.cache.get(ref.path)
        if cached is not None:
            return lambda: cached
        body = await self._fetched(ref.path)
        return lambda: self._decoded(spec, ref, _checked(body, ref.path, ref.sha256))

    def _decoded(self, spec: TableSpec[Any], ref: Ref, body: bytes) -> Segment:
        segment = self.codec.decode(spec, body)
        _check_count(ref, segment.count)
        return segment

    async def _bytes(self, path: str, sha256: str | None) -> bytes:
        return _checked(await self._fetched(path), path, sha256)

    async def _fetched(self, path: str) -> bytes:
        found = await self._store.get(Key(path))
        if found is None:
            raise CorruptData(f"{path} is named by a manifest and does not exist")
        return found.body


def _check_count(ref: Ref, count: int) -> None:
    if count != ref.rows:
        raise CorruptData(f"{ref.path} holds {count} rows, not {ref.rows}")


def _checked(body: bytes, path: str, sha256: str | None) -> bytes:
    if sha256_hex(body) != sha256:
        raise CorruptData(f"{path} is not what its hash says")
    return body
