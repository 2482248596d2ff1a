"""What is indexed of a schema and of a table: a pure function from its row to its postings.

The index is at every moment exactly the union of these over the rows of the catalog; commits only apply differences.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from arco.core.limits import SEARCH_WORDS_MAX
from arco.domains.catalog.rows import NamespaceRow, TableRow
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
from arco.domains.search.tokenize import Word, name_words, text_words
from arco.kernel.spec import RowKey

Postings = dict[RowKey, PostingRow]

NAME_SCORE: Final = 1.0
WORD_SCORE: Final = 0.75
DESCRIPTION_SCORE: Final = 0.5
TAG_SCORE: Final = 0.25
"""The contract's scores of names and descriptions; our additions score less than what they are parts of."""

_TAGS: Final = "tags"
_TAG_PREFIXES: Final = ("tag.", "tag:")


class Lanes(NamedTuple):
    """The lanes of one kind of object."""

    name: int
    word: int
    description: int
    tag: int


NAMESPACE_LANES: Final = Lanes(NAMESPACE_NAME, NAMESPACE_WORD, NAMESPACE_DESCRIPTION, NAMESPACE_TAG)
TABLE_LANES: Final = Lanes(TABLE_NAME, TABLE_WORD, TABLE_DESCRIPTION, TABLE_TAG)


_FIELDS: Final[Mapping[int, str]] = {
    **dict.fromkeys((NAMESPACE_NAME, NAMESPACE_WORD, TABLE_NAME, TABLE_WORD, COLUMN_NAME, COLUMN_WORD), "name"),
    **dict.fromkeys((NAMESPACE_DESCRIPTION, TABLE_DESCRIPTION, COLUMN_DESCRIPTION), "description"),
    **dict.fromkeys((NAMESPACE_TAG, TABLE_TAG), "tag"),
}


class Column(msgspec.Struct, frozen=True):
    """What of a column is indexed; `TableRow.columns_json` holds it."""

    id: str
    name: str
    description: str | None = None


_COLUMNS: Final = msgspec.json.Decoder(list[Column])


class _Object(NamedTuple):
    kind: str
    id: str
    parent_id: str
    name: str

    @property
    def object_id(self) -> str:
        """What a posting of it finds: a column's, its table."""
        return self.parent_id if self.kind == COLUMN else self.id


class _Entry(NamedTuple):
    """A posting in the making; entries sort like their keys."""

    lane: int
    token_norm: str
    object_id: str
    doc_id: str
    token: str
    score: float
    about: _Object


_NAME_LANES: Final[Mapping[str, tuple[int, int]]] = {
    NAMESPACE: (NAMESPACE_NAME, NAMESPACE_WORD),
    TABLE: (TABLE_NAME, TABLE_WORD),
    COLUMN: (COLUMN_NAME, COLUMN_WORD),
}


def namespace_postings(row: NamespaceRow) -> Postings:
    """The postings of a schema by key."""
    about = _Object(NAMESPACE, row.id, row.catalog_key, row.name)
    return _postings(_own(about, NAMESPACE_LANES, description=row.description, properties=row.properties_json), {})


def name_postings(kind: str, ids: tuple[str, str], name: str) -> list[PostingRow]:
    """The postings of the name of an object alone, best first; `ids` are its own and its parent's."""
    about = _Object(kind, *ids, name)
    return list(_postings(_named(about, *_NAME_LANES[kind]), {}).values())


def table_postings(row: TableRow) -> Postings:
    """The postings of a table and its columns by key."""
    about = _Object(TABLE, row.id, row.namespace_id, row.name)
    entries = _own(about, TABLE_LANES, description=row.description, properties=row.properties_json)
    among_column: dict[_Entry, int] = {}
    for column in columns_of(row):
        mine = _column(column, row.id)
        entries += mine
        if len(mine) > 1:
            mine.sort()
            among_column.update(zip(mine, _repeats(mine), strict=True))
    return _postings(entries, among_column)


def columns_of(row: TableRow) -> list[Column]:
    """The columns of a table."""
    return _COLUMNS.decode(row.columns_json)


def tag_texts(properties_json: str | None) -> list[str]:
    """What of an object's properties is a tag: `tags` (a text or a list), and everything called `tag.…` or `tag:…`."""
    if properties_json is None or _TAGS[:3] not in properties_json:
        return []
    texts: list[str] = []
    for key, value in sorted(msgspec.json.decode(properties_json, type=dict[str, object]).items()):
        if key == _TAGS:
            texts += _texts(value)
        elif key.startswith(_TAG_PREFIXES):
            texts += [key[len(_TAG_PREFIXES[0]) :], *_texts(value)]
    return texts


def _texts(value: object) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def _own(about: _Object, lanes: Lanes, *, description: str | None, properties: str | None) -> list[_Entry]:
    entries = _named(about, lanes.name, lanes.word)
    entries += _texted(about, lanes.description, description, DESCRIPTION_SCORE)
    entries += _texted(about, lanes.tag, "\n".join(tag_texts(properties)), TAG_SCORE)
    return entries


def _column(column: Column, table_id: str) -> list[_Entry]:
    about = _Object(COLUMN, column.id, table_id, column.name)
    entries = _named(about, COLUMN_NAME, COLUMN_WORD)
    entries += _texted(about, COLUMN_DESCRIPTION, column.description, DESCRIPTION_SCORE)
    return entries


def _named(about: _Object, name_lane: int, word_lane: int) -> list[_Entry]:
    whole, *words = posted_words(about.name)
    found = [_Entry(name_lane, whole.normal, about.object_id, about.id, whole.text, NAME_SCORE, about)]
    for word in words:
        score = NAME_SCORE if word.contracted else WORD_SCORE
        found.append(_Entry(word_lane, word.normal, about.object_id, about.id, word.text, score, about))
    return found


def _texted(about: _Object, lane: int, text: str | None, score: float) -> list[_Entry]:
    if not text:
        return []
    return [
        _Entry(lane, word.normal, about.object_id, about.id, word.text, score, about)
        for word in text_words(text, SEARCH_WORDS_MAX)
    ]


@lru_cache(maxsize=4096)
def posted_words(name: str) -> tuple[Word, ...]:
    """The words of a name that get a posting, the name first: its beginning is found by the name, unless contracted."""
    whole, *words = name_words(name)
    return (whole, *(word for word in words if word.contracted or not whole.normal.startswith(word.normal)))


def _postings(entries: list[_Entry], among_column: Mapping[_Entry, int]) -> Postings:
    entries.sort()
    found: Postings = {}
    for entry, repeats in zip(entries, _repeats(entries), strict=True):
        about = entry.about
        found[entry[:4]] = PostingRow(
            token=entry.token,
            token_norm=entry.token_norm,
            doc_type=about.kind,
            doc_id=entry.doc_id,
            field=_FIELDS[entry.lane],
            score=entry.score,
            lane=entry.lane,
            object_id=entry.object_id,
            parent_id="" if about.kind == COLUMN else about.parent_id,
            name=None if entry.token == about.name else about.name,
            repeats=repeats,
            repeats_column=among_column.get(entry, 0) if among_column else 0,
        )
    return found


def _repeats(ordered: Sequence[_Entry]) -> list[int]:
    """For each posting the longest beginning it shares with one before it."""
    seen: list[str] = []
    repeats: list[int] = []
    for entry in ordered:
        word = entry.token_norm
        at = bisect_left(seen, word)
        # The word that shares most of its beginning stands next to it.
        before = _shared(word, seen[at - 1]) if at else 0
        after = _shared(word, seen[at]) if at < len(seen) else 0
        repeats.append(max(before, after))
        seen.insert(at, word)
    return repeats


def _shared(first: str, second: str) -> int:
    if first[:1] != second[:1]:
        return 0
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    return next(index for index in range(length) if first[index] != second[index])


def differences(old: Postings, new: Postings) -> Iterator[tuple[RowKey, PostingRow | None, bool]]:
    """What turns `old` into `new`, in key order: key, row (None to remove it), whether the key is in `old`."""
    for key in sorted(old.keys() | new.keys()):
        row = new.get(key)
        if old.get(key) != row:
            yield key, row, key in old
