"""Merging deltas into the tree of one table: the segments they touch are rewritten, and the pages above those.

Pure planning over what was loaded: every object an attempt writes has a fresh key, the old ones stay readable until
collected. Segments and pages are cut when they outgrow their bound and joined with a neighbour when they shrink.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.limits import (
    PAGE_FANOUT_MAX,
    PAGE_FANOUT_TARGET,
    ROOT_FANOUT_MAX,
    SEGMENT_BYTES_TARGET,
    SEGMENT_ROWS_MAX,
    SEGMENT_ROWS_TARGET,
)
from arco.core.offload import Offload
from arco.core.paths import Key
from arco.kernel.codec import PARQUET
from arco.kernel.manifest import Page, Ref, TableTree, encode
from arco.kernel.segments import Edits, Segment, SegmentCodec
from arco.kernel.spec import RowKey, TableSpec

NameObject = Callable[[str, str], Key]
"""(table, `segment` or `page`) to a fresh key."""

WriteObjects = Callable[[Sequence["WrittenObject"]], Awaitable[None]]

_FLUSH_AT: Final = 64
_FLUSH_KEEP: Final = 8
_UNDERFULL: Final = SEGMENT_ROWS_TARGET // 4


class WrittenObject(msgspec.Struct, frozen=True):
    """An object to be put, and the decoded form to cache under its key."""

    key: Key
    body: bytes
    decoded: Any
    decoded_bytes: int


class TreeSource(Protocol):
    """Where the present objects of a tree are read."""

    async def opened(self, spec: TableSpec[Any], ref: Ref) -> Callable[[], Segment]:
        """What makes the segment a ref names of its bytes; it may be called on another thread."""
        ...

    async def page(self, ref: Ref) -> Page:
        """The page a ref names."""
        ...


class TreeMerger:
    """Applies edits to the trees of one attempt and collects the objects to write."""

    def __init__(
        self,
        source: TreeSource,
        *,
        name: NameObject,
        offload: Offload,
        write: WriteObjects,
        codec: SegmentCodec = PARQUET,
    ) -> None:
        self._source = source
        self._codec = codec
        self._name = name
        self._offload = offload
        self._write = write
        self.objects: list[WrittenObject] = []

    async def merge(self, spec: TableSpec[Any], tree: TableTree, edits: Edits) -> TableTree:
        """The tree with `edits` applied."""
        if not edits:
            return tree
        refs = await self._node(spec, tree.refs, tree.level, edits)
        level = tree.level
        while len(refs) > ROOT_FANOUT_MAX:
            refs = self._pages(spec, refs, level)
            level += 1
        while level > 0 and len(refs) <= 1:
            if not refs:
                return TableTree()
            page = self._own(refs[0])
            if not isinstance(page, Page) or len(page.refs) > ROOT_FANOUT_MAX:
                break
            self._drop(refs[0])
            refs, level = list(page.refs), page.level
        return TableTree(level=level, rows=sum(ref.rows for ref in refs), refs=tuple(refs))

    async def by_segment(self, tree: TableTree, edits: Edits) -> list[Edits]:
        """The edits that fall to each segment they touch."""
        return await self._by_segment(tree.refs, tree.level, edits)

    async def _by_segment(self, refs: Sequence[Ref], level: int, edits: Edits) -> list[Edits]:
        touched = [(ref, mine) for ref, mine in parted(refs, edits) if mine]
        if level == 0:
            return [mine for _, mine in touched]
        found: list[Edits] = []
        for ref, mine in touched:
            page = await self._source.page(ref)
            found += await self._by_segment(page.refs, page.level, mine)
        return found

    async def flush(self, keep: int = 0) -> None:
        """Write what was made so far, but for the last `keep` objects, which may yet be made superfluous."""
        ready = self.objects[: len(self.objects) - keep]
        self.objects = self.objects[len(self.objects) - keep :]
        if ready:
            await self._write(ready)

    async def _node(self, spec: TableSpec[Any], refs: Sequence[Ref], level: int, edits: Edits) -> list[Ref]:
        if level == 0:
            return await self._leaves(spec, refs, edits)
        result: list[Ref] = []
        pending: list[Ref] = []
        for ref, mine in parted(refs, edits):
            if not mine:
                if pending:
                    result.extend(self._pages(spec, pending, level - 1))
                    pending = []
                result.append(ref)
                continue
            page = await self._source.page(ref)
            pending.extend(await self._node(spec, page.refs, page.level, mine))
            if len(pending) >= PAGE_FANOUT_TARGET // 2:
                result.extend(self._pages(spec, pending, level - 1))
                pending = []
        if pending:
            result.extend(self._pages(spec, pending, level - 1))
        return result

    async def _leaves(self, spec: TableSpec[Any], refs: Sequence[Ref], edits: Edits) -> list[Ref]:
        if not refs:
            return await self._cut(spec, self._codec.of_rows(spec, [row for _, row in edits if row is not None]))
        result: list[Ref] = []
        carried: Segment | None = None
        for ref, mine in parted(refs, edits):
            small = carried is not None and ref.rows + carried.count <= SEGMENT_ROWS_TARGET
            if not mine and not small:
                if carried is not None:
                    result.extend(await self._cut(spec, carried))
                    carried = None
                result.append(ref)
                continue
            segment = await self._edited(spec, ref, mine)
            if carried is not None:
                segment = self._codec.joined(carried, segment, spec)
                carried = None
            if segment.count < _UNDERFULL:
                carried = segment
            else:
                result.extend(await self._cut(spec, segment))
            if len(self.objects) > _FLUSH_AT:
                await self.flush(keep=_FLUSH_KEEP)
        if carried is not None:
            result = await self._absorb(spec, result, carried)
        return result

    async def _absorb(self, spec: TableSpec[Any], before: list[Ref], carried: Segment) -> list[Ref]:
        """The last segments of a node: a small remainder joins the segment before it if both fit."""
        if carried.count == 0:
            return before
        if before and before[-1].rows + carried.count <= SEGMENT_ROWS_TARGET:
            neighbour = self._own(before[-1]) or await self._edited(spec, before[-1], ())
            self._drop(before[-1])
            return before[:-1] + await self._cut(spec, self._codec.joined(neighbour, carried, spec))
        return before + await self._cut(spec, carried)

    async def _edited(self, spec: TableSpec[Any], ref: Ref, edits: Edits) -> Segment:
        opened = await self._source.opened(spec, ref)

        def work() -> Segment:
            segment = opened()
            return self._codec.edited(segment, spec, edits) if edits else segment

        return await self._offload.run(work)

    async def _cut(self, spec: TableSpec[Any], segment: Segment) -> list[Ref]:
        def work() -> list[tuple[Segment, bytes, str]]:
            bounds = _pieces(segment)
            pieces = [segment] if len(bounds) == 1 else [self._codec.part(segment, spec, *edges) for edges in bounds]
            bodies = [self._codec.encode(piece) for piece in pieces]
            return [(piece, body, sha256_hex(body)) for piece, body in zip(pieces, bodies, strict=True)]

        return [self._segment(spec, *made) for made in await self._offload.run(work)]

    def _segment(self, spec: TableSpec[Any], segment: Segment, body: bytes, sha256: str) -> Ref:
        key = self._name(spec.name, "segment")
        self.objects.append(WrittenObject(key, body, segment, segment.size_bytes))
        return Ref(
            path=key,
            rows=segment.count,
            bytes=len(body),
            sha256=sha256,
            min_key=segment.key_at(0),
            max_key=segment.key_at(segment.count - 1),
        )

    def _pages(self, spec: TableSpec[Any], refs: Sequence[Ref], level: int) -> list[Ref]:
        count = 1 if len(refs) <= PAGE_FANOUT_MAX else -(-len(refs) // PAGE_FANOUT_TARGET)
        return [self._page(spec, refs[low:high], level) for low, high in _even(len(refs), count)]

    def _page(self, spec: TableSpec[Any], refs: Sequence[Ref], level: int) -> Ref:
        page = Page(level=level, refs=tuple(refs))
        body = encode(page)
        key = self._name(spec.name, "page")
        self.objects.append(WrittenObject(key, body, page, len(refs) * 600))
        return Ref(
            path=key,
            rows=sum(ref.rows for ref in refs),
            bytes=len(body),
            sha256=sha256_hex(body),
            min_key=refs[0].min_key,
            max_key=refs[-1].max_key,
            below_bytes=sum(ref.below_bytes or ref.bytes for ref in refs),
        )

    def _drop(self, ref: Ref) -> None:
        """An object this attempt made and then made superfluous need not be written."""
        self.objects = [item for item in self.objects if item.key != ref.path]

    def _own(self, ref: Ref) -> Any | None:
        """The decoded form of an object this attempt made and has not written yet."""
        return next((item.decoded for item in reversed(self.objects) if item.key == ref.path), None)


def edits_of(changes: Mapping[RowKey, Any]) -> Edits:
    """A table's changes as key-ordered edits."""
    return [(key, changes[key]) for key in sorted(changes)]


def parted(refs: Sequence[Ref], edits: Edits) -> list[tuple[Ref, Edits]]:
    """Each ref with the edits that fall to it: up to the next ref's first key, the first one from the start."""
    parts: list[tuple[Ref, Edits]] = []
    position = 0
    for index, ref in enumerate(refs):
        start = position
        if index + 1 == len(refs):
            position = len(edits)
        else:
            bound = refs[index + 1].min_key
            while position < len(edits) and edits[position][0] < bound:
                position += 1
        parts.append((ref, edits[start:position]))
    return parts


def _pieces(segment: Segment) -> list[tuple[int, int]]:
    rows, size_bytes = segment.count, segment.size_bytes
    if rows == 0:
        return []
    fits = rows <= SEGMENT_ROWS_MAX and size_bytes <= 2 * SEGMENT_BYTES_TARGET
    count = 1 if fits else max(-(-rows // SEGMENT_ROWS_TARGET), -(-size_bytes // SEGMENT_BYTES_TARGET))
    return _even(rows, min(count, rows))


def _even(total: int, count: int) -> list[tuple[int, int]]:
    edges = [total * index // count for index in range(count + 1)]
    return list(pairwise(edges))
