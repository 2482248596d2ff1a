"""Searching by several words: every one of them must be in the object, the last one may be a beginning.

One word leads: the one with the fewest postings, as far as the pages of the index tell. Results come in four stages:
what is called exactly that; what has a name that begins with the words side by side, which lies together in the index;
what else has every word in its name, told from the postings of the leading word alone; and the rest, for which the
other words are looked up (`lookups`). Within a stage the order is that of the leading word's lanes.
The cursor names the leader, so all pages have one order.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from arco.core.limits import SEARCH_LOOKUPS_MAX
from arco.domains.search.lookups import Lanes, Lookups, price
from arco.domains.search.meeting import Asked, first_in_name, met
from arco.domains.search.rank import EXACT, KINDS, NAME_LANES, OWN_LANES, Stream, begins_names, leading_streams, name_of
from arco.domains.search.results import Found
from arco.domains.search.rows import POSTINGS, PostingRow
from arco.domains.search.sieves import ALL, holding, named
from arco.domains.search.walk import STEP, Position, Walk, start_of
from arco.kernel.spec import RowKey

_CALLED: Final = 0
_BEGUN: Final = 1
_NAMED: Final = 2
_REST: Final = 3

_STRIDE: Final = 1_024
"""Names looked at in one go; few of them pass."""

_CHEAP: Final = 8
"""Segments that may be read for a batch, however few of its objects are needed."""


class _Stage:
    """One stage of a page: its streams, and what look-ups it may still make."""

    def __init__(self, walk: Walk, asked: Asked, number: int, kinds: Sequence[str]) -> None:
        self.walk = walk
        self.asked = asked
        self.number = number
        self.lookups_left = SEARCH_LOOKUPS_MAX
        if number == _CALLED:
            self.streams = [
                Stream(kind, lane, EXACT, asked.query) for lane, kind in NAME_LANES.items() if kind in kinds
            ]
        elif number == _BEGUN:
            self.streams = [begins_names(kind, text) for text in asked.beginnings for kind in KINDS if kind in kinds]
        else:
            found = leading_streams(asked.word, kinds, whole=asked.whole(asked.lead))
            self.streams = found if number == _REST else [one for one in found if _own(one)]

    def stop(self, stream: int, at: RowKey | None) -> None:
        """The page ends here: behind a key, or before a stream."""
        word, object_id, doc_id = at[1:] if at is not None else ("", "", "")
        self.walk.stopped = Position(self.number, self.asked.lead, stream, str(word), str(object_id), str(doc_id))

    async def through(self, number: int, after: RowKey | None) -> bool:
        """Take what a stream finds. False when the page ends within it."""
        if self.number == _REST:
            return await self._rest(number, after)
        stream = self.streams[number]
        sieve = named([self.asked.words[other] for other in self.asked.others]) if self.number == _NAMED else ALL
        stride = self.walk.limit + 1 if self.number == _BEGUN else _STRIDE
        if self.number == _NAMED and not await self.asked.lookups.meet_in_names(stream, self.asked.others):
            return True
        while True:
            found = await self.walk.sift(stream, after, sieve, stride)
            await self.walk.learn(found.rows)
            for row in found.rows:
                one = await self._called(stream, row)
                if one is not None and not self.walk.take(one):
                    return False
                self.stop(number, POSTINGS.key_of(row))
            if found.reached is None:
                return True
            after = found.reached
            self.stop(number, after)
            if self.walk.spent:
                return False

    async def _called(self, stream: Stream, row: PostingRow) -> Found | None:
        if self.number == _CALLED:
            return Found(stream.kind, (row,)) if await self.walk.lies_within(row) else None
        name = name_of(row)
        if self.asked.called(name) or not self.asked.named(name):
            return None
        if self.number == _NAMED and (self.asked.begun(name) or not first_in_name(self.asked, stream, row)):
            return None
        return Found(stream.kind, (row,) * len(self.asked.words)) if await self.walk.lies_within(row) else None

    async def _rest(self, number: int, after: RowKey | None) -> bool:
        stream, asked = self.streams[number], self.asked
        held = await asked.lookups.holders(stream.kind, asked.others)
        # What is in no text is in the name, and what is in none at all is in nothing.
        within = [other for other in asked.others if held[other] == frozenset()]
        named_only = _own(stream) and len(within) == len(asked.others)
        if named_only or not await asked.lookups.meet_in_names(stream, within):
            return True
        common = [other for other in asked.others if held[other] is None]
        texts = list((await asked.lookups.texts(stream.kind, common)).values())
        nameless = [asked.words[one] for one in asked.others if not await asked.lookups.meet_in_names(stream, [one])]
        sieve = holding(stream, {asked.words[other]: held[other] for other in asked.others}, nameless=nameless)
        while True:
            size = self._batch(texts)
            found = await self.walk.sift(stream, after, sieve, size if len(common) == len(asked.others) else _STRIDE)
            for start in range(0, len(found.rows), size):
                if not await self._met(number, found.rows[start : start + size]):
                    return False
            if found.reached is None:
                return True
            after = found.reached
            self.stop(number, after)
            if self.walk.spent:
                return False

    async def _met(self, number: int, rows: Sequence[PostingRow]) -> bool:
        if self.lookups_left <= 0:
            return False
        stream = self.streams[number]
        await self.walk.learn(rows)
        inside = [row for row in rows if await self.walk.lies_within(row)]
        found, cost = await met(self.walk, self.asked, stream, inside)
        self.lookups_left -= cost
        for row in rows:
            one = found.get(POSTINGS.key_of(row))
            if one is not None and not self.walk.take(one):
                return False
            self.stop(number, POSTINGS.key_of(row))
        return True

    def _batch(self, others: Sequence[Lanes]) -> int:
        """How many objects to look up together: many where they share segments, else about what the page needs."""
        needed = max(self.walk.limit - len(self.walk.found) + 1, 1)
        size = STEP
        while size > 1 and (cost := sum(price(lanes, size) for lanes in others)) > _CHEAP:
            if size <= needed and cost <= max(self.lookups_left, 1):
                break
            size //= 2
        return size


async def several_words(
    walk: Walk, query: tuple[str, Sequence[str]], kinds: Sequence[str], position: Position | None
) -> None:
    """Fill the page with what holds every word of a query."""
    asked = await _asked(walk, query, kinds, position)
    for number in range(position.stage if position else _CALLED, _REST + 1):
        stage = _Stage(walk, asked, number, kinds)
        for stream in range(position.stream if position else 0, len(stage.streams)):
            if not await stage.through(stream, start_of(stage.streams[stream], position)):
                return
            position = None
            if walk.spent:
                stage.stop(stream + 1, None)
                return
        position = None
    walk.stopped = None


async def _asked(
    walk: Walk, query: tuple[str, Sequence[str]], kinds: Sequence[str], position: Position | None
) -> Asked:
    text, words = query
    lookups = Lookups(walk.snapshot, words)
    if position is not None and 0 <= position.lead < len(words):
        return Asked(text, position.lead, lookups)
    counts = await asyncio.gather(*(_estimated(walk, lookups, number, kinds) for number in range(len(words))))
    # Of words that are common alike, the longest tells most.
    lead = min(range(len(words)), key=lambda number: (counts[number], -len(words[number]), number))
    return Asked(text, lead, lookups)


async def _estimated(walk: Walk, lookups: Lookups, number: int, kinds: Sequence[str]) -> int:
    """About how many postings a word has; segments count whole."""
    streams = leading_streams(lookups.words[number], kinds, whole=lookups.whole(number))
    return sum(await asyncio.gather(*(walk.snapshot.estimate(POSTINGS, *stream.range()) for stream in streams)))


def _own(stream: Stream) -> bool:
    """Whether the lane holds names of the very objects the stream finds."""
    return OWN_LANES.get(stream.lane) == stream.kind
