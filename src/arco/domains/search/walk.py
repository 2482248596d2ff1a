"""Walking the lanes of the index in order of rank, from a position on, within the bounds of one page."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from arco.core.limits import SEARCH_POSTINGS_MAX, SEARCH_QUERY_WORDS_MAX
from arco.domains.search.names import Names
from arco.domains.search.rank import Stream, found_before, streams_of
from arco.domains.search.results import Found
from arco.domains.search.rows import COLUMN, NAMESPACE, POSTINGS, PostingRow
from arco.domains.search.sieves import ALL
from arco.kernel.reading import Range, Sieve, Sifted, Snapshot
from arco.kernel.spec import RowKey

_AHEAD: Final = 6
"""Streams asked at once: the names of every kind, usually enough for a page."""

STEP: Final = 128
"""Postings read in one go from a lane in which few count."""

_LOOK_UP: Final = 8
"""What looking up a table costs, in postings."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a walk stopped: after a posting of a stream of a stage. `lead` is which word leads, among several."""

    stage: Annotated[int, msgspec.Meta(ge=0, le=3)]
    lead: Annotated[int, msgspec.Meta(ge=0, le=SEARCH_QUERY_WORDS_MAX)]
    stream: Annotated[int, msgspec.Meta(ge=0, le=64)]
    word: str
    object_id: str
    doc_id: str


class Walk:
    """One page in the making: what was found, what may still be read, and where it stopped if not at the end."""

    def __init__(self, snapshot: Snapshot, names: Names, *, within: str | None, limit: int) -> None:
        self.snapshot = snapshot
        self.names = names
        self.within = within
        self.limit = limit
        self.found: list[Found] = []
        self.stopped: Position | None = None
        self._budget = SEARCH_POSTINGS_MAX
        self._fetched: dict[Stream, list[PostingRow]] = {}
        self._barren: set[tuple[Stream, tuple[str, ...]]] = set()

    @property
    def full(self) -> bool:
        """Whether the page has what it may have."""
        return len(self.found) >= self.limit

    @property
    def spent(self) -> bool:
        """Whether the page has read what it may read."""
        return self._budget <= 0

    def take(self, found: Found) -> bool:
        """Put a result on the page. False when there is no room."""
        if self.full:
            return False
        self.found.append(found)
        return True

    async def ahead(self, streams: Sequence[Stream]) -> None:
        """Ask the next streams of a walk together, unless the next one has been asked."""
        if streams[0] in self._fetched:
            return
        fresh = [stream for stream in streams[:_AHEAD] if stream not in self._fetched]
        pages = await asyncio.gather(*(self._read(stream, None, self.limit + 1) for stream in fresh))
        self._fetched.update(zip(fresh, pages, strict=True))

    async def sift(self, stream: Stream, after: RowKey | None, sieve: Sieve, most: int) -> Sifted[PostingRow]:
        """The next postings of a stream that pass, of about `most` looked at."""
        low, high = stream.range()
        between = Range(low if after is None else (*after, ""), high)
        # Where nothing passed, most likely nothing will.
        question = (stream, sieve.fields)
        rare = sieve._replace(rare=True) if question in self._barren else sieve
        found = await self.snapshot.sift(POSTINGS, between, rare, most=most)
        (self._barren.discard if found.rows or sieve is ALL else self._barren.add)(question)
        self._budget -= found.examined + 1
        return found

    async def next(self, stream: Stream, after: RowKey | None, *, most: int) -> tuple[list[PostingRow], bool]:
        """The next postings of a stream, and whether they are the last."""
        rows = self._fetched.pop(stream, None) if after is None else None
        size = most if rows is None else self.limit + 1
        if rows is None:
            rows = await self._read(stream, after, size)
        self._budget -= len(rows) + 1
        inside = [row for row in rows if stream.holds(row)]
        return inside, len(rows) < size or len(inside) < len(rows)

    async def lies_within(self, posting: PostingRow) -> bool:
        """Whether the object of a posting lies in the catalog that is asked for."""
        if self.within is None:
            return True
        if posting.doc_type == NAMESPACE:
            return posting.parent_id == self.within
        namespace_id: str | None = posting.parent_id
        if posting.doc_type == COLUMN:
            table = await self.names.table(posting.object_id)
            namespace_id = None if table is None else table.namespace_id
        place = None if namespace_id is None else await self.names.place(namespace_id)
        return place is not None and place.catalog_key == self.within

    async def learn(self, postings: Sequence[PostingRow]) -> None:
        """Look up together what telling the catalogs of these postings needs."""
        if self.within is None:
            return
        tables = [one.object_id for one in postings if one.doc_type == COLUMN]
        self._budget -= _LOOK_UP * len(tables)
        await self.names.learn_tables(tables)
        found = [await self.names.table(one) for one in dict.fromkeys(tables)]
        schemas = [one.parent_id for one in postings if one.doc_type not in (COLUMN, NAMESPACE)]
        await self.names.learn_schemas([*schemas, *(one.namespace_id for one in found if one is not None)])

    async def _read(self, stream: Stream, after: RowKey | None, size: int) -> list[PostingRow]:
        prefix, start = stream.start()
        return await self.snapshot.scan(POSTINGS, prefix=prefix, after=after or start, limit=size)


async def one_word(walk: Walk, word: str, kinds: Sequence[str], position: Position | None) -> None:
    """Fill the page with what a word, or its beginning, finds."""
    streams = streams_of(word, kinds)
    for number in range(position.stream if position else 0, len(streams)):
        after = start_of(streams[number], position)
        if after is None:
            await walk.ahead(streams[number:])
        if not await _through(walk, streams[number], number, after):
            return
        position = None
        if walk.spent:
            walk.stopped = Position(0, 0, number + 1, "", "", "")
            return
    walk.stopped = None


def start_of(stream: Stream, position: Position | None) -> RowKey | None:
    """The key a stream goes on after; None: from its start."""
    if position is None or not position.word:
        return None
    return (stream.lane, position.word, position.object_id, position.doc_id)


async def _through(walk: Walk, stream: Stream, number: int, after: RowKey | None) -> bool:
    """Take what one stream finds. False when the page ends within it."""
    done = False
    while not done:
        if walk.spent:
            return False
        rows, done = await walk.next(stream, after, most=walk.limit + 1 if walk.within is None else STEP)
        await walk.learn(rows)
        for row in rows:
            new = not found_before(stream, row) and await walk.lies_within(row)
            if new and not walk.take(Found(stream.kind, (row,))):
                return False
            walk.stopped = Position(0, 0, number, row.token_norm, row.object_id, row.doc_id)
            after = POSTINGS.key_of(row)
    return True
