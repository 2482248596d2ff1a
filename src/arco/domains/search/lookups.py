"""Whether objects hold the words that do not lead, and where: looked up in the lanes of texts, many objects at once.

The postings of one word are in order of what they find, so objects that lie close together are found in one segment.
A word of a name is told from the name. A beginning that very many words have is not looked up: rows tell.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from arco.core.limits import SEGMENT_ROWS_MAX
from arco.domains.search.rank import BEGINS, EXACT, Stream, answers, begins_names, text_streams, words_within
from arco.domains.search.rows import COLUMN, POSTINGS, PostingRow
from arco.domains.search.sieves import ALL, id_field
from arco.kernel.reading import Firsts, Range, Sieve, Snapshot
from arco.kernel.spec import RowKey

_TOKENS_MAX: Final = 12
"""Different words with one beginning that are looked up one by one in a lane."""

READING: Final = 2
"""What reading the row of an object costs, in look-ups."""

_HOLDERS_MAX: Final = 8 * SEGMENT_ROWS_MAX
"""Postings of a word in texts that are read for what they find; estimates count whole segments."""

_GLANCE: Final = 64
_GLANCES_MAX: Final = 3


class Lane(NamedTuple):
    """The words of one lane that show a word of the query, each with about how many segments hold it."""

    stream: Stream
    tokens: Mapping[str, int]


class Lanes(NamedTuple):
    """Where a word stands in texts of one kind of object; not `known` when it is the beginning of too many."""

    lanes: tuple[Lane, ...]
    known: bool


class Lookups:
    """The look-ups of one request; what a lane holds of a word is found out once."""

    def __init__(self, snapshot: Snapshot, words: Sequence[str]) -> None:
        self._snapshot = snapshot
        self.words = words
        self._lanes: dict[tuple[str, int], Lanes] = {}
        self._held: dict[Stream, bool] = {}
        self._holders: dict[tuple[str, int], frozenset[str] | None] = {}

    def whole(self, number: int) -> bool:
        """Whether a word must be a whole one: all but the last."""
        return number + 1 < len(self.words)

    async def meet_in_names(self, stream: Stream, others: Iterable[int]) -> bool:
        """False when a name of this stream surely holds not every one of the other words."""
        return all(await asyncio.gather(*(self._meets(stream, number) for number in others)))

    async def _meets(self, stream: Stream, number: int) -> bool:
        word = self.words[number]
        first = begins_names(stream.kind, word)
        inner = words_within(stream.kind, word, whole=self.whole(number))
        if await self._any(inner):
            return True
        # No later word of a name: then the name begins with it.
        if stream.lane == first.lane:
            return stream.word.startswith(word) or word.startswith(stream.word)
        return await self._any(first)

    async def _any(self, stream: Stream) -> bool:
        if stream not in self._held:
            found = await self._snapshot.sift(POSTINGS, Range(*stream.range()), ALL, most=1)
            while not found.rows and found.reached is not None:
                between = Range((*found.reached, ""), stream.range()[1])
                found = await self._snapshot.sift(POSTINGS, between, ALL, most=1)
            self._held[stream] = bool(found.rows)
        return self._held[stream]

    async def holders(self, kind: str, numbers: Sequence[int]) -> dict[int, frozenset[str] | None]:
        """The objects of a kind that can hold these words in texts: all of them and few more, None where too many."""
        wanted = [number for number in numbers if (kind, number) not in self._holders]
        found = await asyncio.gather(*(self._holding(kind, number) for number in wanted))
        self._holders.update(zip(((kind, number) for number in wanted), found, strict=True))
        return {number: self._holders[kind, number] for number in numbers}

    async def _holding(self, kind: str, number: int) -> frozenset[str] | None:
        streams = text_streams(self.words[number], kind, whole=self.whole(number))
        counts = await asyncio.gather(*(self._snapshot.estimate(POSTINGS, *stream.range()) for stream in streams))
        if sum(counts) > _HOLDERS_MAX:
            return None
        ids: set[str] = set()

        def note(values: list[str]) -> list[int]:
            ids.update(values)
            return []

        sieve = Sieve((id_field(kind),), note, rare=True)
        ranges = [Range(*stream.range()) for stream in streams]
        found = await asyncio.gather(*(self._snapshot.sift(POSTINGS, one, sieve, most=_HOLDERS_MAX) for one in ranges))
        return None if any(one.reached is not None for one in found) else frozenset(ids)

    async def texts(self, kind: str, numbers: Iterable[int]) -> dict[int, Lanes]:
        """Where these words stand in texts of a kind of object."""
        wanted = [number for number in numbers if (kind, number) not in self._lanes]
        found = await asyncio.gather(*(self._texts(kind, number) for number in wanted))
        self._lanes.update(zip(((kind, number) for number in wanted), found, strict=True))
        return {number: self._lanes[kind, number] for number in numbers}

    async def _texts(self, kind: str, number: int) -> Lanes:
        streams = text_streams(self.words[number], kind, whole=self.whole(number))
        lanes = await asyncio.gather(*(self._tokens(stream) for stream in streams))
        held = tuple(lane for lane in lanes if lane is not None and lane.tokens)
        return Lanes(held, all(lane is not None for lane in lanes))

    async def _tokens(self, stream: Stream) -> Lane | None:
        tokens = await self._different(stream)
        if tokens is None:
            return None
        exact = [Range(*Stream(stream.kind, stream.lane, EXACT, token).range()) for token in tokens]
        counts = await asyncio.gather(*(self._snapshot.estimate(POSTINGS, *one) for one in exact))
        return Lane(stream, {token: 1 + count // SEGMENT_ROWS_MAX for token, count in zip(tokens, counts, strict=True)})

    async def _different(self, stream: Stream) -> list[str] | None:
        """The different words of a range, None when there are too many."""
        low, high = stream.range()
        if stream.mode != BEGINS:
            return [stream.word] if await self._any(stream) else []
        tokens: dict[str, None] = {}
        for _ in range(_GLANCES_MAX):
            found = await self._snapshot.sift(POSTINGS, Range(low, high), ALL, most=_GLANCE)
            tokens.update((row.token_norm, None) for row in found.rows)
            if found.reached is None:
                return list(tokens) if len(tokens) <= _TOKENS_MAX else None
            if len(tokens) > _TOKENS_MAX:
                return None
            # On behind the last word: what else has it is of no interest here.
            low = (stream.lane, f"{found.reached[1]}\0")
        return None

    async def best(self, number: int, lanes: Lanes, keys: Iterable[RowKey]) -> Firsts[PostingRow]:
        """Of each object, by what its keys end with, the best posting in texts that shows a word."""
        asked = list(keys)
        if not asked:
            return Firsts({}, 0)

        def wanted(row: PostingRow) -> bool:
            return answers(row, self.words[number], whole=self.whole(number))

        found = await asyncio.gather(
            *(
                self._snapshot.firsts(POSTINGS, (lane.stream.lane, token), asked, wanted)
                for lane in lanes.lanes
                for token in lane.tokens
            )
        )
        best: dict[RowKey, PostingRow] = {}
        for part in found:
            for key, row in part.rows.items():
                if key not in best or POSTINGS.key_of(row) < POSTINGS.key_of(best[key]):
                    best[key] = row
        return Firsts(best, sum(part.segments for part in found))


def suffix_of(posting: PostingRow, kind: str) -> RowKey:
    """What the keys of an object's postings end with, after lane and word."""
    return (posting.object_id, posting.doc_id) if kind == COLUMN else (posting.object_id,)


def price(lanes: Lanes, objects: int) -> int:
    """About how many segments looking up so many objects reads."""
    if not lanes.known:
        return objects * READING
    return sum(min(segments, objects) for lane in lanes.lanes for segments in lane.tokens.values())


def shown_by(postings: Sequence[PostingRow], word: str, *, whole: bool) -> PostingRow | None:
    """The first of these postings that shows a word."""
    return next((one for one in postings if answers(one, word, whole=whole)), None)
