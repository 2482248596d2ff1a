"""The state of a chain at one manifest, as far as it is in memory.

`ChainState` answers from trees, deltas and the shared cache, synchronously; what it needs and does not have it names
by raising `Missing`, and `kernel.loader` fetches that. *Not loaded is not absent* holds by construction: absence is
only ever concluded from a loaded object or from the key ranges in a ref.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arco.kernel.chain import Head
from arco.kernel.fold import NotLoaded
from arco.kernel.layers import Layer
from arco.kernel.manifest import Page, Ref, TableTree
from arco.kernel.segments import Columns, Keys, Segment
from arco.kernel.spec import R, RowKey, TableSpec

EMPTY_TREE = TableTree()
KEYS_SUFFIX = "#keys"
"""What the keys of a segment are cached under, after its path."""

ROWS_SUFFIX = "#rows"
"""What the rows of a segment that were looked up one by one are cached under."""

_PREFETCH = 8
_STEP = 512


def path_of_some(path: str, fields: Sequence[str]) -> str:
    """What some fields of a segment are cached under."""
    return f"{path}#{','.join(fields)}"


class Missing(NotLoaded):
    """Objects that must be loaded before the question can be answered."""

    def __init__(
        self,
        spec: TableSpec[Any],
        refs: Sequence[Ref],
        *,
        pages: bool,
        key: RowKey,
        point: bool = False,
        some: tuple[str, ...] = (),
    ) -> None:
        super().__init__(spec.name, key)
        self.key = key
        self.point = point
        self.some = some
        self.spec = spec
        self.refs = refs
        self.pages = pages

    def plain(self) -> "Missing":
        """Itself without the frames it came through: kept in a list it would keep them, and they it, alive."""
        self.__context__ = None
        return self.with_traceback(None)


class Loaded:
    """Where decoded objects are found: the shared cache, and what this operation holds on to."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self._held: dict[str, Any] = {}

    def get(self, path: str) -> Any | None:
        """The decoded object under this path."""
        held = self._held.get(path)
        return held if held is not None else self._cache.get(path)

    def fresh(self) -> "Loaded":
        """A place of its own over the same cache."""
        return Loaded(self._cache)

    def hold(self, path: str, value: Any) -> None:
        """Keep an object for as long as this operation lives, whatever the cache drops."""
        self._held[path] = value


class Span:
    """A range of a table: keys that begin with `prefix`, strictly beyond `after`, in one direction.

    `limit` is only a hint of how many rows will be taken; it bounds what is loaded ahead.
    """

    __slots__ = ("after", "descending", "limit", "prefix")

    def __init__(
        self,
        prefix: RowKey = (),
        *,
        after: RowKey | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> None:
        self.prefix = prefix
        self.after = after
        self.limit = limit
        self.descending = descending

    def among(self, refs: Sequence[Ref]) -> list[Ref]:
        """Those of a node's refs whose key ranges meet this span, in key order."""
        width = len(self.prefix)
        low = bisect_left(refs, self.prefix, key=lambda ref: ref.max_key[:width])
        high = bisect_right(refs, self.prefix, key=lambda ref: ref.min_key[:width])
        if self.after is not None and self.descending:
            high = min(high, bisect_left(refs, self.after, key=lambda ref: ref.min_key))
        elif self.after is not None:
            low = max(low, bisect_right(refs, self.after, key=lambda ref: ref.max_key))
        return list(refs[low:high])

    def within(self, segment: Columns) -> tuple[int, int]:
        """Where in a segment the rows of this span begin and end."""
        low = segment.bisect(self.prefix) if self.prefix else 0
        high = segment.bisect(self.prefix, low, right=True) if self.prefix else segment.count
        if self.after is not None and self.descending:
            high = min(high, segment.bisect(self.after))
        elif self.after is not None:
            low = max(low, segment.bisect(self.after, right=True))
        return low, high

    def beyond(self, key: RowKey) -> bool:
        """True when the key lies strictly beyond `after`."""
        if self.after is None:
            return True
        # Like in the segments: what begins with a partial `after` does not lie beyond it.
        return key < self.after if self.descending else key[: len(self.after)] > self.after

    def precedes(self, first: RowKey, second: RowKey) -> bool:
        """True when `first` comes before `second` in this span's direction."""
        return first > second if self.descending else first < second


class ChainState:
    """All tables as of one manifest; immutable."""

    def __init__(self, head: Head, layers: Sequence[Layer], loaded: Loaded) -> None:
        self.head = head
        self.manifest = head.manifest
        self.layers = tuple(layers)
        self.loaded = loaded
        self._by_table: dict[str, list[Any]] = {}

    def holding(self) -> "ChainState":
        """The same state with a place of its own to hold objects during one operation."""
        return ChainState(self.head, self.layers, self.loaded.fresh())

    def tree(self, table: str) -> TableTree:
        """The tree of a table; empty when nothing was ever merged into it."""
        return self.manifest.tables.get(table, EMPTY_TREE)

    def table_layers(self, table: str) -> list[Any]:
        """The layers that touch a table, oldest first."""
        found = self._by_table.get(table)
        if found is None:
            found = [layer[table] for layer in self.layers if table in layer]
            self._by_table[table] = found
        return found

    def get(self, spec: TableSpec[R], key: RowKey) -> R | None:
        """The row with this key. Raises `Missing`."""
        for layer in reversed(self.table_layers(spec.name)):
            if key in layer.changes:
                row: R | None = layer.changes[key]
                return row
        ref = self._segment_for(spec, key)
        if ref is None:
            return None
        segment: Segment | None = self.loaded.get(ref.path)
        if segment is not None:
            found: R | None = segment.find(key)
            return found
        rows: Mapping[RowKey, R] | None = self.loaded.get(ref.path + ROWS_SUFFIX)
        if rows is not None and key in rows:
            return rows[key]
        keys: Keys | None = self.loaded.get(ref.path + KEYS_SUFFIX)
        if keys is not None and keys.index_of(key) is None:
            return None
        raise Missing(spec, [ref], pages=False, key=key, point=True)

    def scan(self, spec: TableSpec[R], span: "Span | RowKey") -> Iterator[R]:
        """Rows of a span (or whose key begins with a prefix), in its order. Raises `Missing` on the way."""
        if isinstance(span, tuple):
            span = Span(span)
        overlay = self.overlay(spec, span.prefix)
        return _overlaid(self._base_rows(spec, span), overlay, span)

    def estimate(self, spec: TableSpec[Any], low: RowKey, high: RowKey) -> int:
        """About how many rows have keys in `[low, high)`, from pages alone: segments at its ends count whole.

        What is not merged yet is left out. Raises `Missing`.
        """
        tree = self.tree(spec.name)
        return self._estimated(spec, tree.refs, tree.level, (low, high))

    def _estimated(self, spec: TableSpec[Any], refs: Sequence[Ref], level: int, between: tuple[RowKey, RowKey]) -> int:
        low, high = between
        total = 0
        for ref in refs[max(bisect_right(refs, low, key=lambda ref: ref.min_key) - 1, 0) :]:
            if ref.min_key >= high:
                break
            if ref.max_key < low:
                continue
            if level == 0 or (ref.min_key >= low and ref.max_key < high):
                total += ref.rows
                continue
            page: Page | None = self.loaded.get(ref.path)
            if page is None:
                raise Missing(spec, [ref], pages=True, key=low)
            total += self._estimated(spec, page.refs, page.level, between)
        return total

    def overlay(self, spec: TableSpec[Any], prefix: RowKey) -> dict[RowKey, Any]:
        """The changes that lie over rows whose key begins with `prefix`."""
        changes: dict[RowKey, Any] = {}
        for layer in self.table_layers(spec.name):
            low, high = layer.span(prefix) if prefix else (0, len(layer.keys))
            for key in layer.keys[low:high]:
                changes[key] = layer.changes[key]
        return changes

    def _base_rows(self, spec: TableSpec[R], span: "Span") -> Iterator[tuple[RowKey, R]]:
        for ref, following in self.leaves(spec, span):
            segment: Segment | None = self.loaded.get(ref.path)
            if segment is None:
                raise Missing(spec, self.wanted(ref, following, span), pages=False, key=span.prefix)
            yield from _segment_rows(spec, segment, span)

    def leaves(self, spec: TableSpec[Any], span: "Span") -> Iterator[tuple[Ref, Sequence[Ref]]]:
        """The segments that meet a span, in its order, each with those that follow it. Raises `Missing` on the way."""
        tree = self.tree(spec.name)
        return self._leaves(spec, tree.refs, tree.level, span)

    def _leaves(
        self, spec: TableSpec[Any], refs: Sequence[Ref], level: int, span: "Span"
    ) -> Iterator[tuple[Ref, Sequence[Ref]]]:
        inside = span.among(refs)
        if span.descending:
            inside.reverse()
        for index, ref in enumerate(inside):
            if level == 0:
                yield ref, inside[index + 1 :]
                continue
            page: Page | None = self.loaded.get(ref.path)
            if page is None:
                wanted = self.wanted(ref, inside[index + 1 :], span)
                raise Missing(spec, wanted, pages=True, key=span.prefix)
            yield from self._leaves(spec, page.refs, page.level, span)

    def wanted(self, first: Ref, following: Sequence[Ref], span: "Span", some: tuple[str, ...] = ()) -> list[Ref]:
        """What to load together: as much as the limit can use, so that a long scan takes few rounds."""
        wanted, rows = [first], 0
        for ref in following[: _PREFETCH - 1]:
            if span.limit is not None and rows >= span.limit:
                break
            rows += ref.rows
            if self.columns(ref, some) is None:
                wanted.append(ref)
        return wanted

    def columns(self, ref: Ref, some: tuple[str, ...] = ()) -> Columns | None:
        """A segment if it is in memory, or at least these fields of it, if any are named."""
        whole: Segment | None = self.loaded.get(ref.path)
        if whole is not None or not some:
            return whole
        part: Columns | None = self.loaded.get(path_of_some(ref.path, some))
        return part

    def _segment_for(self, spec: TableSpec[Any], key: RowKey) -> Ref | None:
        tree = self.tree(spec.name)
        refs: Sequence[Ref] = tree.refs
        level = tree.level
        while True:
            ref = covering(refs, key)
            if ref is None or level == 0:
                return ref
            page: Page | None = self.loaded.get(ref.path)
            if page is None:
                raise Missing(spec, [ref], pages=True, key=key)
            refs, level = page.refs, page.level


def covering(refs: Sequence[Ref], key: RowKey) -> Ref | None:
    """The ref whose key range holds `key`, or None when `key` lies in no range."""
    index = bisect_right(refs, key, key=lambda ref: ref.min_key) - 1
    if index < 0 or refs[index].max_key < key:
        return None
    return refs[index]


def _segment_rows(spec: TableSpec[R], segment: Segment, span: Span) -> Iterator[tuple[RowKey, R]]:
    low, high = span.within(segment)
    # Decoded in steps, so that a scan that stops early has not decoded the whole segment.
    step = min(_STEP, span.limit) if span.limit else _STEP
    while low < high:
        if span.descending:
            rows = segment.rows(max(low, high - step), high)[::-1]
            high -= len(rows)
        else:
            rows = segment.rows(low, min(high, low + step))
            low += len(rows)
        for row in rows:
            yield spec.key_of(row), row
        step = _STEP


def _overlaid(base: Iterator[tuple[RowKey, R]], overlay: Mapping[RowKey, R | None], span: Span) -> Iterator[R]:
    pending = sorted((key for key in overlay if span.beyond(key)), reverse=span.descending)
    position = 0
    for key, row in base:
        while position < len(pending) and span.precedes(pending[position], key):
            fresh = overlay[pending[position]]
            position += 1
            if fresh is not None:
                yield fresh
        if position < len(pending) and pending[position] == key:
            continue
        yield row
    for left in pending[position:]:
        fresh = overlay[left]
        if fresh is not None:
            yield fresh
