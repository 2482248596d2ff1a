"""Reading ranges of a table for few of their rows: sifted by some fields, or looked up by many keys at once. Pure.

Making structs of rows is most of what a read costs, so only the rows that count are made. What is missing is named all
at once, so that a question about many keys takes few rounds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from arco.kernel.manifest import Page, Ref
from arco.kernel.reading import Firsts, Range, Sieve, Sifted
from arco.kernel.segments import Columns, Segment
from arco.kernel.spec import R, RowKey, TableSpec
from arco.kernel.state import ChainState, Missing

_AHEAD: Final = 8
"""Segments asked for together by a walk through a range."""


class _Part(NamedTuple):
    """What was sifted of one segment: rows, how many were looked at; the last one's key when they are enough.

    `rows` is None where some pass and only fields of the segment are in memory.
    """

    rows: list[Any] | None
    examined: int
    last: RowKey | None


def sifted(state: ChainState, spec: TableSpec[R], between: Range, sieve: Sieve, *, most: int) -> Sifted[R]:
    """The rows of a range that pass, in key order, among the first `most` or a few more. Raises `Missing`."""
    fresh = _changed(state, spec, between)
    base: list[R] = []
    left = most
    reached: RowKey | None = None
    absent: list[Ref] = []
    for ref, following in _leaves(state, spec, between):
        some = _fields(spec, sieve, ref, between)
        columns = state.columns(ref, some)
        if columns is None:
            wanted = _together(state, (spec, sieve), [ref, *following], (left, between))
            raise Missing(spec, wanted, pages=False, key=between.low, some=some)
        part = _part((columns, state.loaded.get(ref.path)), ref, between, (sieve, left))
        if part.rows is None:
            # Asked for together with those of the other segments in which some pass.
            absent.append(ref)
        rows = part.rows or []
        base += [row for row in rows if spec.key_of(row) not in fresh] if fresh else rows
        left -= part.examined
        if left <= 0:
            reached = part.last
            break
    if absent:
        raise Missing(spec, absent, pages=False, key=between.low)
    if not fresh:
        return Sifted(base, most - left, reached)
    seen = [fresh[key] for key in sorted(fresh) if reached is None or key <= reached]
    changed = [row for row in seen if row is not None]
    passed = sieve.keep(*([getattr(row, field) for row in changed] for field in sieve.fields))
    base += [changed[index] for index in passed]
    base.sort(key=spec.key_of)
    return Sifted(base, most - left + len(seen), reached)


def _fields(spec: TableSpec[Any], sieve: Sieve, ref: Ref, between: Range) -> tuple[str, ...]:
    """What is read of a segment for a sieve that little passes; none: all of it."""
    if not sieve.rare:
        return ()
    # Where it begins or ends the range, that is found by key.
    return sieve.fields if _lies_in(ref, between) else tuple(dict.fromkeys((*spec.key, *sieve.fields)))


def _lies_in(ref: Ref, between: Range) -> bool:
    return ref.min_key >= between.low and ref.max_key < between.high


def _part(segment: tuple[Columns, Segment | None], ref: Ref, between: Range, how: tuple[Sieve, int]) -> _Part:
    (columns, whole), (sieve, most) = segment, how
    # Most segments of a long range lie within it: their refs say so.
    low = 0 if ref.min_key >= between.low else columns.bisect(between.low)
    end = columns.count if ref.max_key < between.high else columns.bisect(between.high, low)
    # Of what little passes a segment is not left in the middle: the next page would need it again.
    high = end if sieve.rare else min(end, low + most)
    if low >= high:
        return _Part([], 0, None)
    passed = sieve.keep(*(columns.values(field, low, high) for field in sieve.fields))
    rows: list[Any] | None = []
    if passed:
        rows = None if whole is None else whole.rows_at([low + index for index in passed])
    if high - low < most:
        return _Part(rows, high - low, None)
    return _Part(rows, high - low, ref.max_key if high == columns.count else columns.key_at(high - 1))


def _together(
    state: ChainState, what: tuple[TableSpec[Any], Sieve], refs: Sequence[Ref], need: tuple[int, Range]
) -> list[Ref]:
    """The first of some segments, and those after it that will be needed as much of."""
    (spec, sieve), (most, between) = what, need
    some = _fields(spec, sieve, refs[0], between)
    wanted, rows = [refs[0]], refs[0].rows
    for ref in refs[1:_AHEAD]:
        if rows >= most or _fields(spec, sieve, ref, between) != some:
            break
        rows += ref.rows
        if state.columns(ref, some) is None:
            wanted.append(ref)
    return wanted


def _leaves(state: ChainState, spec: TableSpec[Any], between: Range) -> Iterator[tuple[Ref, Sequence[Ref]]]:
    tree = state.tree(spec.name)
    return _leaves_of(state, spec, (tree.refs, tree.level), between)


def _leaves_of(
    state: ChainState, spec: TableSpec[Any], node: tuple[Sequence[Ref], int], between: Range
) -> Iterator[tuple[Ref, Sequence[Ref]]]:
    refs, level = node
    inside = refs[bisect_left(refs, between.low, key=_max_key) : bisect_left(refs, between.high, key=_min_key)]
    for index, ref in enumerate(inside):
        if level == 0:
            yield ref, inside[index + 1 :]
            continue
        page: Page | None = state.loaded.get(ref.path)
        if page is None:
            raise Missing(spec, [ref], pages=True, key=between.low)
        yield from _leaves_of(state, spec, (page.refs, page.level), between)


def _changed(state: ChainState, spec: TableSpec[R], between: Range) -> dict[RowKey, R | None]:
    changes: dict[RowKey, R | None] = {}
    for layer in state.table_layers(spec.name):
        low = bisect_left(layer.keys, between.low)
        for key in layer.keys[low : bisect_left(layer.keys, between.high, low)]:
            changes[key] = layer.changes[key]
    return changes


def firsts(
    state: ChainState, spec: TableSpec[R], prefix: RowKey, each: Iterable[RowKey], *, wanted: Callable[[R], bool]
) -> Firsts[R]:
    """For each key its first wanted row whose key begins with `prefix` and it; without those that have none.

    All keys are of one length and not empty. Raises `Missing` for everything at once.
    """
    keys = sorted(set(each))
    parts = _parts(state, spec, prefix, keys)
    segments: list[Segment | None] = [state.loaded.get(ref.path) for ref, _ in parts]
    absent = [ref for (ref, _), segment in zip(parts, segments, strict=True) if segment is None]
    if absent:
        raise Missing(spec, absent, pages=False, key=prefix)
    held: dict[RowKey, dict[RowKey, R | None]] = {}
    for (_, mine), segment in zip(parts, segments, strict=True):
        for key, row in _held(spec, segment, prefix, mine) if segment is not None else ():
            held.setdefault(key, {})[spec.key_of(row)] = row
    for key in keys if state.table_layers(spec.name) else ():
        full = (*prefix, *key)
        changes = _changed(state, spec, Range(full, _past(full)))
        if changes:
            held.setdefault(key, {}).update(changes)
    found = {key: _first(rows, wanted) for key, rows in held.items()}
    return Firsts({key: row for key, row in found.items() if row is not None}, len(parts))


def _first(rows: Mapping[RowKey, R | None], wanted: Callable[[R], bool]) -> R | None:
    return next((row for key in sorted(rows) if (row := rows[key]) is not None and wanted(row)), None)


def _parts(
    state: ChainState, spec: TableSpec[Any], prefix: RowKey, keys: Sequence[RowKey]
) -> list[tuple[Ref, list[RowKey]]]:
    """The segments that can hold rows of the keys, each with its keys."""
    tree = state.tree(spec.name)
    nodes, level = _spread(tree.refs, prefix, keys), tree.level
    while level > 0 and nodes:
        pages: list[Page | None] = [state.loaded.get(ref.path) for ref, _ in nodes]
        absent = [ref for (ref, _), page in zip(nodes, pages, strict=True) if page is None]
        if absent:
            raise Missing(spec, absent, pages=True, key=prefix)
        below = [page for page in pages if page is not None]
        level = below[0].level
        nodes = [
            part for (_, mine), page in zip(nodes, below, strict=True) for part in _spread(page.refs, prefix, mine)
        ]
    return nodes


def _spread(refs: Sequence[Ref], prefix: RowKey, keys: Sequence[RowKey]) -> list[tuple[Ref, list[RowKey]]]:
    parts: dict[int, list[RowKey]] = {}
    for key in keys:
        full = (*prefix, *key)
        index = bisect_left(refs, full, key=_max_key)
        while index < len(refs) and refs[index].min_key[: len(full)] <= full:
            parts.setdefault(index, []).append(key)
            index += 1
    return [(refs[index], mine) for index, mine in sorted(parts.items())]


def _held(spec: TableSpec[R], segment: Segment, prefix: RowKey, keys: Sequence[RowKey]) -> Iterator[tuple[RowKey, R]]:
    """The rows of one segment that belong to the keys."""
    low = segment.bisect(prefix)
    high = segment.bisect(prefix, low, right=True)
    # Within the prefix the next part of the key is in order; a list of it answers faster than the columns.
    values = segment.values(spec.key[len(prefix)], low, high)
    for key in keys:
        start = bisect_left(values, key[0])
        for row in segment.rows_at(range(low + start, low + bisect_right(values, key[0], start))):
            if spec.key_of(row)[len(prefix) : len(prefix) + len(key)] == key:
                yield key, row


def _past(key: RowKey) -> RowKey:
    """Beyond everything that begins with a key."""
    last = key[-1]
    return (*key[:-1], last + 1 if isinstance(last, int) else last + "\0")


def _min_key(ref: Ref) -> RowKey:
    return ref.min_key


def _max_key(ref: Ref) -> RowKey:
    return ref.max_key
