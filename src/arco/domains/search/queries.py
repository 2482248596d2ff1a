"""Searching one snapshot: by one word, by several, page after page. Nothing here writes.

A page reads a bounded number of postings and segments (core.limits), however common its words are: it may be short, or
even empty, and say where the next one goes on. What is read together is asked for together, so that a page takes few
rounds.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.errors import InvalidInput
from arco.core.limits import SEARCH_QUERY_CHARS_MAX, SEARCH_QUERY_WORDS_MAX
from arco.domains.catalog.queries import catalog_key
from arco.domains.search.names import Names
from arco.domains.search.rank import KINDS, field_of, name_of, rank_of
from arco.domains.search.results import Found, Result, resolved
from arco.domains.search.rows import BUILDING, COLUMN, NAMESPACE, TABLE, PostingRow
from arco.domains.search.several import several_words
from arco.domains.search.tokenize import normal, query_words
from arco.domains.search.walk import Position, Walk, one_word
from arco.kernel.reading import Snapshot

READY: Final = "ready"
BUILDING_STATE: Final = "building"
_MARK_CHARS: Final = 12


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for: words, kinds of objects, and one catalog or all."""

    text: str
    kinds: tuple[str, ...]
    catalog: str | None = None
    limit: int


class Results(msgspec.Struct, frozen=True):
    """One page of results, best first. `after` is where the next page begins, None on the last."""

    results: list[Result]
    after: str | None
    index: str


class _After(msgspec.Struct, frozen=True, array_like=True):
    position: Position
    mark: str


_AFTER: Final = msgspec.json.Decoder(_After)


async def search(snapshot: Snapshot | None, asked: Search, after: str | None) -> Results:
    """One page of what is asked for, those beyond `after`. Raises `InvalidInput`, and `NotFound` for the catalog."""
    words = checked_words(asked.text)
    position = _position(asked, after)
    if snapshot is None:
        return Results([], None, READY)
    names = Names(snapshot)
    within = None if asked.catalog is None else await catalog_key(snapshot, asked.catalog)
    walk = Walk(snapshot, names, within=within, limit=asked.limit)
    if len(words) == 1:
        await one_word(walk, words[0], asked.kinds, position)
    else:
        await several_words(walk, (normal(asked.text.strip()), words), asked.kinds, position)
    results = await _results(walk.found, names, normal(asked.text.strip()))
    more = None if walk.stopped is None else msgspec.json.encode(_After(walk.stopped, _mark(asked))).decode()
    return Results(results, more, index_state(snapshot))


def checked_words(text: str) -> list[str]:
    """The words of a query. Raises `InvalidInput` when there are none, or too many."""
    if len(text) > SEARCH_QUERY_CHARS_MAX:
        raise InvalidInput(f"q must not be longer than {SEARCH_QUERY_CHARS_MAX} characters")
    words = query_words(text)
    if not words:
        raise InvalidInput("q must hold a letter or a digit")
    if len(words) > SEARCH_QUERY_WORDS_MAX:
        raise InvalidInput(f"q must not have more than {SEARCH_QUERY_WORDS_MAX} words")
    return words


def checked_kinds(text: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds of objects a comma-separated list names. Raises `InvalidInput`."""
    if text is None:
        return default
    given = {part.strip() for part in text.split(",")}
    if not given <= set(KINDS):
        raise InvalidInput(f"type must be a comma-separated list of {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in given)


def index_state(snapshot: Snapshot) -> str:
    """`ready`, or `building` while a catalog that is older than search is being indexed."""
    return READY if snapshot.counted(BUILDING) == 0 else BUILDING_STATE


def _position(asked: Search, after: str | None) -> Position | None:
    if after is None:
        return None
    try:
        read = _AFTER.decode(after)
    except (msgspec.MsgspecError, ValueError):
        raise InvalidInput("invalid cursor") from None
    if read.mark != _mark(asked):
        raise InvalidInput("invalid cursor")
    return read.position


def _mark(asked: Search) -> str:
    """A cursor goes on in the same search only."""
    same = msgspec.json.encode([asked.text, asked.kinds, asked.catalog])
    return sha256_hex(same)[:_MARK_CHARS]


async def _results(found: Sequence[Found], names: Names, query: str) -> list[Result]:
    # What names need is looked up together; after that nothing is read.
    tables = [posting.object_id for one in found if (posting := one.postings[0]).doc_type == COLUMN]
    await names.learn_tables(tables)
    places = [await names.table(one) for one in tables]
    schemas = [posting.parent_id for one in found if (posting := one.postings[0]).doc_type == TABLE]
    await names.learn_schemas([*schemas, *(place.namespace_id for place in places if place is not None)])
    await names.learn_catalogs(posting.parent_id for one in found if (posting := one.postings[0]).doc_type == NAMESPACE)
    results = [await resolved(one, names) for one in found]
    return [
        msgspec.structs.replace(
            result,
            rank=rank_of(one.postings, query, one.kind),
            matches=[(field_of(posting, one.kind), _shown(posting, one.kind)) for posting in one.postings],
        )
        for one, result in zip(found, results, strict=True)
    ]


def _shown(posting: PostingRow, kind: str) -> str:
    """The word as it is written; of a table's column its whole name."""
    return name_of(posting) if posting.doc_type == COLUMN and kind != COLUMN else posting.token
