"""Which of the objects that hold the leading word hold the others too, and by which postings."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from arco.domains.catalog.tables import NAMESPACES, NAMESPACES_BY_ID, TABLES
from arco.domains.search.documents import name_postings, namespace_postings, table_postings
from arco.domains.search.lookups import READING, Lanes, Lookups, price, shown_by, suffix_of
from arco.domains.search.rank import (
    NAME_LANES,
    OWN_LANES,
    Stream,
    in_name,
    name_of,
    object_of,
    words_of,
)
from arco.domains.search.results import Found
from arco.domains.search.rows import COLUMN, NAMESPACE, POSTINGS, PostingRow
from arco.domains.search.tokenize import normal
from arco.domains.search.walk import Walk
from arco.kernel.spec import RowKey

_BETWEEN: Final = ("_", "")
"""What stands between the words of a name: nothing where the case changes."""

_TWO: Final = 2
"""Of so many words both orders are tried; of more, the one they are asked in."""


class Asked:
    """The words of a query and which of them leads."""

    def __init__(self, query: str, lead: int, lookups: Lookups) -> None:
        self.query = query
        self.lead = lead
        self.lookups = lookups
        self.words = lookups.words
        self.others = [number for number in range(len(self.words)) if number != lead]
        orders = [self.words, self.words[::-1]] if len(self.words) == _TWO else [self.words]
        self.beginnings = [between.join(words) for words in orders for between in _BETWEEN]

    @property
    def word(self) -> str:
        """The leading word."""
        return self.words[self.lead]

    def whole(self, number: int) -> bool:
        """Whether a word must be a whole one."""
        return self.lookups.whole(number)

    def called(self, name: str) -> bool:
        """Whether that is exactly what was asked for."""
        return normal(name) == self.query

    def begun(self, name: str) -> bool:
        """Whether a name begins with the words side by side."""
        return normal(name).startswith(tuple(self.beginnings))

    def named(self, name: str) -> bool:
        """Whether every word is in a name."""
        return all(in_name(name, word, whole=self.whole(number)) for number, word in enumerate(self.words))


class _Candidate(NamedTuple):
    """A posting of the leading word, and what is known of its object by its name."""

    row: PostingRow
    key: RowKey
    ids: tuple[str, str]
    name: str
    leads: bool
    """Whether it surely is the best posting of the leading word in its object."""


def first_in_name(asked: Asked, stream: Stream, row: PostingRow) -> bool:
    """Whether this is the best posting of the leading word in the name: the others find the same object again."""
    word = asked.word
    if row.lane in NAME_LANES:
        return stream.wanted(row)
    name = normal(name_of(row))
    if name.startswith(word):
        return False
    return asked.whole(asked.lead) or row.token_norm == min(
        one for one in words_of(name_of(row)) if one != name and one.startswith(word)
    )


async def met(walk: Walk, asked: Asked, stream: Stream, rows: Sequence[PostingRow]) -> tuple[dict[RowKey, Found], int]:
    """What these postings of the leading word find, by their keys, and what finding out cost, in look-ups."""
    if stream.kind != COLUMN:
        await walk.names.learn_tables(row.object_id for row in rows if row.doc_type == COLUMN)
    candidates = [one for row in rows if (one := await _candidate(walk, asked, stream, row)) is not None]
    if not candidates:
        return {}, 0
    repeated = [] if all(one.leads for one in candidates) else [asked.lead]
    lanes = await asked.lookups.texts(stream.kind, [*repeated, *asked.others])
    # One that is in hardly any text leaves the fewest to be looked up for the next.
    order = sorted(asked.others, key=lambda number: (not lanes[number].known, price(lanes[number], len(rows))))
    found: dict[RowKey, dict[int, PostingRow]] = {}
    cost = 0
    for number in [asked.lead, *order]:
        candidates, spent = await _narrowed(asked, number, (stream, candidates), (lanes, found))
        cost += spent
    results: dict[RowKey, Found] = {}
    for one in candidates:
        key = POSTINGS.key_of(one.row)
        if len(found[key]) == len(asked.words):
            results[key] = Found(stream.kind, (one.row, *(found[key][number] for number in asked.others)))
            continue
        cost += READING
        whole = _among(await _postings(walk, stream.kind, one.row), asked, stream, one.row)
        if whole is not None:
            results[key] = whole
    return results, cost


async def _candidate(walk: Walk, asked: Asked, stream: Stream, row: PostingRow) -> _Candidate | None:
    """None when the object is found elsewhere: by an earlier stage, or by a better posting."""
    if not stream.wanted(row):
        return None
    if row.doc_type == stream.kind:
        ids, name = (row.doc_id, row.parent_id or row.object_id), name_of(row)
    else:
        place = await walk.names.table(row.object_id)
        if place is None:
            return None
        ids, name = (row.object_id, place.namespace_id), place.name
    if asked.called(name) or asked.named(name):
        return None
    whole = asked.whole(asked.lead)
    own = OWN_LANES.get(row.lane) == stream.kind
    if own and not first_in_name(asked, stream, row):
        return None
    if not own and in_name(name, asked.word, whole=whole):
        return None
    repeats = row.repeats_column if stream.kind == COLUMN else row.repeats
    repeated = not own and repeats >= len(asked.word)
    if repeated and not whole:
        return None
    return _Candidate(row, suffix_of(row, stream.kind), ids, name, not repeated)


async def _narrowed(
    asked: Asked,
    number: int,
    what: tuple[Stream, list[_Candidate]],
    known: tuple[dict[int, Lanes], dict[RowKey, dict[int, PostingRow]]],
) -> tuple[list[_Candidate], int]:
    """Those that hold the word or may hold it, and what asking cost. Notes the posting that shows it, where known."""
    stream, candidates = what
    lanes, found = known
    open_ones: list[_Candidate] = []
    kept: list[_Candidate] = []
    for one in candidates:
        noted = found.setdefault(POSTINGS.key_of(one.row), {})
        shown = _shown(asked, number, stream.kind, one)
        if shown is None:
            open_ones.append(one)
        else:
            noted[number] = shown
    if not open_ones:
        return candidates, 0
    if not lanes[number].known:
        return candidates, 0
    firsts = await asked.lookups.best(number, lanes[number], [one.key for one in open_ones])
    best = firsts.rows
    for one in candidates:
        noted = found[POSTINGS.key_of(one.row)]
        if number not in noted and one.key in best:
            noted[number] = best[one.key]
        # The leading word is in it for sure: the question is whether another posting of it finds the object before.
        led = number != asked.lead or POSTINGS.key_of(noted[number]) == POSTINGS.key_of(one.row)
        if number in noted and led:
            kept.append(one)
    return kept, firsts.segments


def _shown(asked: Asked, number: int, kind: str, one: _Candidate) -> PostingRow | None:
    """The posting that shows a word, as far as the name tells."""
    if number == asked.lead:
        return one.row if one.leads else None
    word, whole = asked.words[number], asked.whole(number)
    if not in_name(one.name, word, whole=whole):
        return None
    return shown_by(name_postings(kind, one.ids, one.name), word, whole=whole)


def _among(postings: list[PostingRow], asked: Asked, stream: Stream, row: PostingRow) -> Found | None:
    """What is found by this posting, given all of the object; None if a word is missing or another one is better."""
    best: list[PostingRow] = []
    for number in [asked.lead, *asked.others]:
        one = shown_by(postings, asked.words[number], whole=asked.whole(number))
        if one is None:
            return None
        best.append(one)
    return Found(stream.kind, tuple(best)) if POSTINGS.key_of(best[0]) == POSTINGS.key_of(row) else None


async def _postings(walk: Walk, kind: str, row: PostingRow) -> list[PostingRow]:
    """All postings of the object a posting finds, best first."""
    snapshot = walk.snapshot
    if kind == NAMESPACE:
        where = await snapshot.get(NAMESPACES_BY_ID, (row.doc_id,))
        namespace = where and await snapshot.get(NAMESPACES, (where.catalog_key, where.name))
        return sorted(namespace_postings(namespace).values(), key=POSTINGS.key_of) if namespace else []
    if row.doc_type == COLUMN:
        place = await walk.names.table(row.object_id)
        key = None if place is None else (place.namespace_id, place.name)
    else:
        key = (row.parent_id, name_of(row))
    table = key and await snapshot.get(TABLES, key)
    postings = sorted(table_postings(table).values(), key=POSTINGS.key_of) if table else []
    return [one for one in postings if object_of(one, kind) == object_of(row, kind)]
