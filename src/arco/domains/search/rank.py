"""In which order results come, and which lanes of the index hold them. Pure.

A query is words, the last of which may be the beginning of one; an object is found when every word is in it. Results
are ranked: whole name, beginning of the name, word of the name, description, column, tag; then by word, then by id.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from arco.domains.search.rows import (
    COLUMN,
    COLUMN_DESCRIPTION,
    COLUMN_NAME,
    COLUMN_WORD,
    NAMESPACE,
    NAMESPACE_DESCRIPTION,
    NAMESPACE_NAME,
    NAMESPACE_TAG,
    NAMESPACE_WORD,
    TABLE,
    TABLE_DESCRIPTION,
    TABLE_NAME,
    TABLE_TAG,
    TABLE_WORD,
    PostingRow,
)
from arco.domains.search.tokenize import name_words, normal
from arco.kernel.spec import RowKey

KINDS: Final = (NAMESPACE, TABLE, COLUMN)
DEFAULT_KINDS: Final = (NAMESPACE, TABLE)

EXACT: Final = "exact"
BEYOND: Final = "beyond"
BEGINS: Final = "begins"

NAME_LANES: Final[Mapping[int, str]] = {NAMESPACE_NAME: NAMESPACE, TABLE_NAME: TABLE, COLUMN_NAME: COLUMN}
WORD_LANES: Final[Mapping[int, str]] = {NAMESPACE_WORD: NAMESPACE, TABLE_WORD: TABLE, COLUMN_WORD: COLUMN}
FIELDS: Final[Mapping[int, str]] = {
    NAMESPACE_NAME: "name",
    TABLE_NAME: "name",
    NAMESPACE_WORD: "name",
    TABLE_WORD: "name",
    NAMESPACE_DESCRIPTION: "description",
    TABLE_DESCRIPTION: "description",
    COLUMN_NAME: "column",
    COLUMN_WORD: "column",
    COLUMN_DESCRIPTION: "column_description",
    NAMESPACE_TAG: "tag",
    TABLE_TAG: "tag",
}
"""What a posting of a lane says of a schema or table."""

_LANE_OF_NAMES: Final = {kind: lane for lane, kind in NAME_LANES.items()}
_LANE_OF_WORDS: Final = {kind: lane for lane, kind in WORD_LANES.items()}

OWN_LANES: Final[Mapping[int, str]] = {**NAME_LANES, **WORD_LANES}
"""Whose names a lane holds."""

_COLUMN_FIELDS: Final[Mapping[int, str]] = {
    COLUMN_NAME: "name",
    COLUMN_WORD: "name",
    COLUMN_DESCRIPTION: "description",
}
_RANKS: Final = ("exact_name", "name_prefix", "name_word", "description", "column", "tag")
_RANK_OF_FIELD: Final = {"description": 3, "column": 4, "column_description": 4, "tag": 5}


class Stream(msgspec.Struct, frozen=True):
    """A range of one lane, in key order: the postings of `word`, of all words longer than it, or both.

    `kind` is what its results are: a column's postings can find its table or itself. With `whole` a posting counts only
    when the word is a whole word of the name.
    """

    kind: str
    lane: int
    mode: str
    word: str
    whole: bool = False

    def holds(self, posting: PostingRow) -> bool:
        """Whether a posting at or after the start of the range is in it."""
        if self.mode == EXACT:
            return posting.token_norm == self.word
        return posting.token_norm.startswith(self.word)

    def start(self) -> tuple[RowKey, RowKey | None]:
        """The key prefix to scan, and what to begin after."""
        if self.mode == EXACT:
            return (self.lane, self.word), None
        if self.mode == BEYOND:
            return (self.lane,), (self.lane, self.word)
        return (self.lane,), (self.lane, self.word, "")

    def range(self) -> tuple[RowKey, RowKey]:
        """Keys in `[low, high)` are in the range."""
        return (self.lane, self.word), (self.lane, self.word + ("\0" if self.mode == EXACT else "\U0010ffff"))

    @property
    def tells_name(self) -> bool:
        """Whether its postings hold the names of what they find: those of columns do not hold their tables'."""
        return self.kind == COLUMN or self.lane not in _COLUMN_FIELDS

    def wanted(self, posting: PostingRow) -> bool:
        """Whether a posting in the range counts."""
        return not self.whole or self.word in words_of(name_of(posting))


def streams_of(word: str, kinds: Iterable[str]) -> list[Stream]:
    """Where objects that hold a word with this beginning are found, best first."""
    asked = [kind for kind in KINDS if kind in kinds]
    found = [Stream(kind, _LANE_OF_NAMES[kind], EXACT, word) for kind in asked]
    found += [Stream(kind, _LANE_OF_NAMES[kind], BEYOND, word) for kind in asked]
    found += [Stream(kind, _LANE_OF_WORDS[kind], BEGINS, word) for kind in asked]
    return [*found, *_texts(word, asked, BEGINS)]


def leading_streams(word: str, kinds: Iterable[str], *, whole: bool) -> list[Stream]:
    """The same for a word among several: `whole` for all but the last; exact names are not told apart."""
    asked = [kind for kind in KINDS if kind in kinds]
    mode = EXACT if whole else BEGINS
    found = [Stream(kind, _LANE_OF_NAMES[kind], BEGINS, word, whole) for kind in asked]
    found += [Stream(kind, _LANE_OF_WORDS[kind], mode, word) for kind in asked]
    return [*found, *_texts(word, asked, mode, whole=whole)]


def begins_names(kind: str, word: str) -> Stream:
    """The names of a kind of object that begin with a word."""
    return Stream(kind, _LANE_OF_NAMES[kind], BEGINS, word)


def words_within(kind: str, word: str, *, whole: bool) -> Stream:
    """The names of a kind of object that have a word further on."""
    return Stream(kind, _LANE_OF_WORDS[kind], EXACT if whole else BEGINS, word)


def text_streams(word: str, kind: str, *, whole: bool) -> list[Stream]:
    """Where a word stands in an object of this kind but not in its name."""
    return list(_texts(word, (kind,), EXACT if whole else BEGINS, whole=whole))


def _texts(word: str, asked: Iterable[str], mode: str, *, whole: bool = False) -> Iterator[Stream]:
    own = {
        NAMESPACE: (NAMESPACE_DESCRIPTION, NAMESPACE_TAG),
        TABLE: (TABLE_DESCRIPTION, TABLE_TAG),
        COLUMN: (COLUMN_DESCRIPTION, None),
    }
    for kind in asked:
        yield Stream(kind, own[kind][0], mode, word)
    if TABLE in asked:
        yield Stream(TABLE, COLUMN_NAME, BEGINS if whole else mode, word, whole)
        yield Stream(TABLE, COLUMN_WORD, mode, word)
        yield Stream(TABLE, COLUMN_DESCRIPTION, mode, word)
    for kind in asked:
        tag = own[kind][1]
        if tag is not None:
            yield Stream(kind, tag, mode, word)


def found_before(stream: Stream, posting: PostingRow) -> bool:
    """Whether an object found by a beginning was found by a better posting of it already."""
    repeats = posting.repeats_column if stream.kind == COLUMN else posting.repeats
    return repeats >= len(stream.word)


def name_of(posting: PostingRow) -> str:
    """The name of the object a posting is of."""
    return posting.token if posting.name is None else posting.name


def words_of(name: str) -> set[str]:
    """The words of a name as they are looked up."""
    return {word.normal for word in name_words(name)}


def in_name(name: str, word: str, *, whole: bool) -> bool:
    """Whether a word, or something that begins with it, is in a name."""
    if word not in normal(name):  # what does not occur in it is no word of it, and most names end here
        return False
    words = words_of(name)
    return word in words if whole else any(one.startswith(word) for one in words)


def answers(posting: PostingRow, word: str, *, whole: bool) -> bool:
    """Whether a posting shows that its object holds the word."""
    if not whole:
        return posting.token_norm.startswith(word)
    if posting.token_norm == word:
        return True
    # The first word of a name has no posting of its own.
    return posting.lane in NAME_LANES and posting.token_norm.startswith(word) and word in words_of(posting.token)


def object_of(posting: PostingRow, kind: str) -> str:
    """The id of the object of this kind that a posting finds."""
    return posting.doc_id if kind == COLUMN else posting.object_id


def field_of(posting: PostingRow, kind: str) -> str:
    """Where in an object of this kind the word of a posting stands."""
    return _COLUMN_FIELDS[posting.lane] if kind == COLUMN else FIELDS[posting.lane]


def rank_of(postings: Iterable[PostingRow], query: str, kind: str) -> str:
    """The rank of an object that was found by these postings: that of the worst of them."""
    return _RANKS[max(_rank(posting, query, kind) for posting in postings)]


def _rank(posting: PostingRow, query: str, kind: str) -> int:
    field = field_of(posting, kind)
    if field != "name":
        return _RANK_OF_FIELD[field]
    if posting.lane not in NAME_LANES:
        return 2
    return 0 if normal(posting.token) == query else 1
