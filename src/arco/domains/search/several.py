"""Searching by several words: every one of them must be in the object, the last one may be a beginning.

One word leads: the one with the fewest postings, as far as the pages of the index tell. Results come in
three stages: what is called exactly that; what has every word in its name, told from the postings alone; and the rest,
for which the rows of tables are read. Within a stage the order is that of the leading word's lanes. The cursor names
the leader, so all pages have one order.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.limits import SEARCH_ROWS_MAX, SEGMENT_ROWS_MAX
from arco.domains.catalog.tables import NAMESPACES, NAMESPACES_BY_ID, TABLES
from arco.domains.search.documents import namespace_postings, table_postings
from arco.domains.search.rank import (
    EXACT,
    NAME_LANES,
    OWN_LANES,
    Stream,
    answers,
    in_name,
    leading_streams,
    name_of,
    object_of,
    words_of,
)
from arco.domains.search.results import Found
from arco.domains.search.rows import COLUMN, NAMESPACE, POSTINGS, PostingRow
from arco.domains.search.tokenize import normal
from arco.domains.search.walk import STEP, Position, Walk, start_of
from arco.kernel.reading import Snapshot
from arco.kernel.spec import RowKey

_PROBE: Final = 64
_COMMON: Final = 8 * SEGMENT_ROWS_MAX
"""Estimates count whole segments: fewer than this may be hardly any, and are looked at."""

_CALLED: Final = 0
_NAMED: Final = 1
_REST: Final = 2


class _Words(msgspec.Struct, frozen=True):
    """The words of a query; `holders` are, for the rare ones, all objects that hold them."""

    query: str
    words: tuple[str, ...]
    lead: int
    holders: tuple[frozenset[tuple[str, str]] | None, ...]

    def whole(self, number: int) -> bool:
        """Whether a word must be a whole one."""
        return number + 1 < len(self.words)

    def streams(self, stage: int, kinds: Sequence[str]) -> list[Stream]:
        """The lanes a stage walks through."""
        if stage == _CALLED:
            return [Stream(kind, lane, EXACT, self.query) for lane, kind in NAME_LANES.items() if kind in kinds]
        found = leading_streams(self.words[self.lead], kinds, whole=self.whole(self.lead))
        named = [one for one in found if _own(one)]
        return named if stage == _NAMED else found

    def named(self, name: str) -> bool:
        """Whether every word is in a name."""
        return all(in_name(name, word, whole=self.whole(number)) for number, word in enumerate(self.words))

    def possible(self, kind: str, object_id: str) -> bool:
        """False when a rare word is known not to be in the object."""
        return all(held is None or (kind, object_id) in held for held in self.holders)


async def several_words(
    walk: Walk, query: tuple[str, Sequence[str]], kinds: Sequence[str], position: Position | None
) -> None:
    """Fill the page with what holds every word of a query."""
    text, words = query
    asked = await _asked(walk, text, tuple(words), (kinds, position))
    reads = [SEARCH_ROWS_MAX]
    for stage in range(position.stage if position else _CALLED, _REST + 1):
        if not await _stage(walk, asked, (stage, kinds, reads), position):
            return
        position = None
    walk.stopped = None


async def _asked(walk: Walk, text: str, words: tuple[str, ...], where: tuple[Sequence[str], Position | None]) -> _Words:
    kinds, position = where
    last = len(words) - 1
    probes = await asyncio.gather(*(_probe(walk, word, kinds, number < last) for number, word in enumerate(words)))
    if position is not None and 0 <= position.lead <= last:
        lead = position.lead
    else:
        # Of words that are common alike, the longest tells most.
        lead = min(range(len(words)), key=lambda number: (probes[number][0], -len(words[number]), number))
    holders = tuple(held for _, held in probes)
    return _Words(query=text, words=words, lead=lead, holders=holders)


async def _probe(
    walk: Walk, word: str, kinds: Sequence[str], whole: bool
) -> tuple[int, frozenset[tuple[str, str]] | None]:
    """About how many postings a word has; and for a rare one, what holds it."""
    streams = leading_streams(word, kinds, whole=whole)
    estimates = [walk.snapshot.estimate(POSTINGS, *stream.range()) for stream in streams]
    count = sum(await asyncio.gather(*estimates))
    if count > _COMMON:
        return count, None
    pages = await asyncio.gather(*(walk.peek(stream, _PROBE) for stream in streams))
    seen = sum(len(rows) for rows, _ in pages)
    if not all(done for _, done in pages):
        return max(count, seen), None
    held = {
        (stream.kind, object_of(row, stream.kind))
        for stream, (rows, _) in zip(streams, pages, strict=True)
        for row in rows
        if stream.wanted(row)
    }
    return seen, frozenset(held)


async def _stage(
    walk: Walk, asked: _Words, what: tuple[int, Sequence[str], list[int]], position: Position | None
) -> bool:
    """Walk through one stage. False when the page ends within it."""
    stage, kinds, reads = what
    streams = asked.streams(stage, kinds)
    for number in range(position.stream if position else 0, len(streams)):
        after = start_of(streams[number], position)
        if not await _through(walk, asked, (stage, number, streams[number], reads), after):
            return False
        position = None
        if walk.spent:
            walk.stopped = Position(stage, asked.lead, number + 1, "", "", "")
            return False
    return True


async def _through(walk: Walk, asked: _Words, what: tuple[int, int, Stream, list[int]], after: RowKey | None) -> bool:
    """Take what one stream finds in a stage. False when the page ends within it."""
    stage, number, stream, reads = what
    done = False
    while not done:
        if walk.spent:
            return False
        rows, done = await walk.next(stream, after, most=STEP)
        await walk.learn(rows)
        for row in rows:
            if reads[0] <= 0:
                return False
            found = await _found(walk, asked, (stage, stream, row), reads) if await walk.lies_within(row) else None
            if found is not None and not walk.take(found):
                return False
            walk.stopped = Position(stage, asked.lead, number, row.token_norm, row.doc_id, row.parent_id)
            after = POSTINGS.key_of(row)
    return True


async def _found(walk: Walk, asked: _Words, where: tuple[int, Stream, PostingRow], reads: list[int]) -> Found | None:
    stage, stream, row = where
    if stage == _CALLED:
        return Found(stream.kind, (row,))
    # A posting of the object itself carries its name; a column's, that finds its table, does not.
    own = row.doc_type == stream.kind
    if own and normal(name_of(row)) == asked.query:
        return None
    named = own and asked.named(name_of(row))
    if stage == _NAMED:
        return Found(stream.kind, (row,) * len(asked.words)) if named and _first_in_name(asked, stream, row) else None
    if named or not stream.wanted(row) or not asked.possible(stream.kind, object_of(row, stream.kind)):
        return None
    reads[0] -= 1
    return _among(await _postings(walk, stream.kind, row), asked, stream, row)


def _first_in_name(asked: _Words, stream: Stream, row: PostingRow) -> bool:
    """Whether this is the best posting of the leading word in the name: the others find the same object again."""
    word = asked.words[asked.lead]
    if row.lane in NAME_LANES:
        return stream.wanted(row)
    name = normal(name_of(row))
    if name.startswith(word):
        return False
    return asked.whole(asked.lead) or row.token_norm == min(
        one for one in words_of(name_of(row)) if one != name and one.startswith(word)
    )


def _among(postings: list[PostingRow], asked: _Words, stream: Stream, row: PostingRow) -> Found | None:
    """What is found by this posting, given all of the object; None if a word is missing or another one is better."""
    best: list[PostingRow] = []
    for number, word in enumerate(asked.words):
        one = next((each for each in postings if answers(each, word, whole=asked.whole(number))), None)
        if one is None:
            return None
        best.append(one)
    if POSTINGS.key_of(best[asked.lead]) != POSTINGS.key_of(row):
        return None
    own = best[asked.lead]
    return Found(stream.kind, tuple(sorted(best, key=lambda each: each is not own)))


async def _postings(walk: Walk, kind: str, row: PostingRow) -> list[PostingRow]:
    """All postings of the object a posting finds, best first."""
    snapshot: Snapshot = walk.snapshot
    if kind == NAMESPACE:
        where = await snapshot.get(NAMESPACES_BY_ID, (row.doc_id,))
        namespace = where and await snapshot.get(NAMESPACES, (where.catalog_key, where.name))
        return sorted(namespace_postings(namespace).values(), key=POSTINGS.key_of) if namespace else []
    if row.doc_type == COLUMN:
        place = await walk.names.table(row.parent_id)
        key = None if place is None else (place.namespace_id, place.name)
    else:
        key = (row.parent_id, name_of(row))
    table = key and await snapshot.get(TABLES, key)
    postings = sorted(table_postings(table).values(), key=POSTINGS.key_of) if table else []
    return [one for one in postings if kind != COLUMN or one.doc_id == row.doc_id]


def _own(stream: Stream) -> bool:
    """Whether the lane holds names of the very objects the stream finds."""
    return OWN_LANES.get(stream.lane) == stream.kind
