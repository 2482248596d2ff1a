"""Searching finds what reading everything would find: each object once, over all pages, however long a page is."""

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import MemorySnapshot, State

from arco.domains.catalog.rows import (
    CatalogById,
    ColumnRow,
    NamespaceById,
    NamespaceRow,
    TableById,
    TableRow,
)
from arco.domains.catalog.rules import columns_json
from arco.domains.catalog.tables import (
    CATALOGS,
    CATALOGS_BY_ID,
    NAMESPACES,
    NAMESPACES_BY_ID,
    TABLES,
    TABLES_BY_ID,
)
from arco.domains.search.documents import columns_of, namespace_postings, table_postings, tag_texts
from arco.domains.search.queries import Search, search
from arco.domains.search.rank import KINDS
from arco.domains.search.results import Result
from arco.domains.search.rows import BUILDING, COLUMN, NAMESPACE, POSTINGS, TABLE
from arco.domains.search.tokenize import name_words, query_words, text_words

PARTS = ["orders", "daily", "order", "or", "id", "customer", "größe", "x"]
NAMES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from(["_".join(parts), "".join(part.title() for part in parts), "-".join(parts)])
)
TEXTS = st.none() | st.lists(st.sampled_from(PARTS), max_size=3).map(" ".join)
QUERIES = st.lists(
    st.sampled_from([*PARTS, "ord", "o", "cust", "orders_daily", "ordersdaily", "zz"]), min_size=1, max_size=3
)


@st.composite
def catalogs(draw: st.DrawFn) -> State:
    """Two catalogs with a schema each, a few tables whose words meet."""
    state: State = {BUILDING.name: {}}

    def put(spec: Any, row: Any) -> None:
        state.setdefault(spec.name, {})[spec.key_of(row)] = row

    for number in (1, 2):
        put(CATALOGS_BY_ID, CatalogById(id=f"c{number}", name=f"cat{number}"))
        schema = NamespaceRow(
            id=f"n{number}",
            name=draw(NAMES),
            description=draw(TEXTS),
            created_at=1,
            updated_at=1,
            catalog_key=f"c{number}",
            properties_json=_properties(draw(TEXTS)),
        )
        put(NAMESPACES, schema)
        put(NAMESPACES_BY_ID, NamespaceById(id=schema.id, catalog_key=schema.catalog_key, name=schema.name))
        for posting in namespace_postings(schema).values():
            put(POSTINGS, posting)
    for number, name in enumerate(draw(st.lists(NAMES, max_size=7, unique=True))):
        table_id = f"t{number}"
        columns = [
            ColumnRow(
                id=f"{table_id}c{at}",
                table_id=table_id,
                name=column,
                data_type="INT",
                is_nullable=True,
                ordinal=at,
                description=draw(TEXTS),
            )
            for at, column in enumerate(draw(st.lists(NAMES, max_size=3)))
        ]
        table = TableRow(
            id=table_id,
            namespace_id=f"n{1 + number % 2}",
            name=name,
            description=draw(TEXTS),
            created_at=1,
            updated_at=1,
            properties_json=_properties(draw(TEXTS)),
            columns_json=columns_json(columns),
        )
        put(TABLES, table)
        put(TABLES_BY_ID, TableById(id=table.id, namespace_id=table.namespace_id, name=table.name))
        for posting in table_postings(table).values():
            put(POSTINGS, posting)
    return state


def _properties(tags: str | None) -> str | None:
    return None if tags is None else msgspec.json.encode({"tags": tags}).decode()


def words_of_text(text: str | None) -> set[str]:
    return {word.normal for word in text_words(text or "", 256)}


def words_of(row: Any) -> set[str]:
    named = {word.normal for word in name_words(row.name)}
    tags = words_of_text("\n".join(tag_texts(getattr(row, "properties_json", None))))
    return named | words_of_text(row.description) | tags


def holders(state: State, text: str, kinds: tuple[str, ...], within: str | None) -> set[tuple[str, str]]:
    """What reading everything finds."""
    objects: dict[tuple[str, str], set[str]] = {}
    homes = {"n1": "cat1", "n2": "cat2"}
    for schema in state[NAMESPACES.name].values():
        if within in (None, homes[schema.id]):
            objects[NAMESPACE, schema.id] = words_of(schema)
    for table in state.get(TABLES.name, {}).values():
        if within not in (None, homes[table.namespace_id]):
            continue
        columns = columns_of(table)
        objects[TABLE, table.id] = words_of(table).union(*(words_of(column) for column in columns))
        objects.update({(COLUMN, column.id): words_of(column) for column in columns})
    *wholes, beginning = query_words(text)
    return {
        key
        for key, words in objects.items()
        if key[0] in kinds and words.issuperset(wholes) and any(word.startswith(beginning) for word in words)
    }


async def all_pages(state: State, asked: Search) -> list[Result]:
    snapshot = MemorySnapshot(state, 1, 1, 0)
    snapshot.state.setdefault(CATALOGS.name, {})
    results: list[Result] = []
    after: str | None = None
    for _ in range(200):
        page = await search(snapshot, asked, after)
        assert len(page.results) <= asked.limit
        results += page.results
        after = page.after
        if after is None:
            return results
    raise AssertionError("the pages do not end")


@settings(max_examples=200)
@given(catalogs(), QUERIES, st.lists(st.sampled_from(KINDS), min_size=1, unique=True), st.integers(1, 3))
def test_a_search_finds_each_object_that_holds_every_word_once_whatever_the_size_of_a_page(state, words, kinds, limit):
    text = " ".join(words)
    asked = Search(text=text, kinds=tuple(kind for kind in KINDS if kind in kinds), limit=limit)
    found = asyncio.run(all_pages(state, asked))
    keys = [(result.kind, result.id) for result in found]
    assert sorted(keys) == sorted(holders(state, text, asked.kinds, None))
    whole = asyncio.run(all_pages(state, msgspec.structs.replace(asked, limit=500)))
    assert found == whole


RANKS = ["exact_name", "name_prefix", "name_word", "description", "column", "tag"]


@given(catalogs(), st.sampled_from([*PARTS, "ord", "o", "orders_daily"]))
def test_the_results_of_one_word_are_in_order_of_rank(state, word):
    found = asyncio.run(all_pages(state, Search(text=word, kinds=KINDS, limit=500)))
    own = [RANKS.index(result.rank) for result in found if result.kind == TABLE]
    assert own == sorted(own)
    everything = [RANKS.index(result.rank) for result in found if result.rank != "column"]
    assert everything == sorted(everything)
