"""`/search`: find schemas, tables and columns by the words in them (ours; catalog.md 8.3 has the index only)."""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.core.limits import PAGE_ROWS_MAX, SEARCH_PAGE_DEFAULT
from arco.domains.catalog.tables import CATALOG_TABLES
from arco.domains.search.queries import READY, Search, checked_kinds, checked_words, index_state, search
from arco.domains.search.rank import DEFAULT_KINDS
from arco.domains.search.results import Result
from arco.domains.search.rows import SEARCH_TABLES
from arco.edge.codec import query_params, reply
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.routes.public.clerks import READ_ERRORS, cursor_after, listed, pinned


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for, where, and which page of it."""

    q: Annotated[
        str | None, msgspec.Meta(description="Words that must all occur; the last may be the beginning of one.")
    ] = None
    type: Annotated[
        str | None, msgspec.Meta(description="What to find: namespace, table, column, separated by commas.")
    ] = None
    catalog: Annotated[str | None, msgspec.Meta(description="Only what lies in this catalog.")] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_ROWS_MAX, description="Results of a page.")] = SEARCH_PAGE_DEFAULT
    cursor: Annotated[str | None, msgspec.Meta(description="Where the last page ended: its `next_cursor`.")] = None


class SearchMatchView(msgspec.Struct, frozen=True):
    """Where a word of the query was found: name, description, column, column_description or tag, and the word there."""

    field: str
    text: str


class SearchResultView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object. `rank` is exact_name, name_prefix, name_word, description, column or tag; `table` is a column's."""

    type: str
    id: str
    name: str
    full_name: str
    catalog: str
    schema: str
    table: str | None = None
    rank: str
    matches: list[SearchMatchView]


class SearchView(msgspec.Struct, frozen=True, kw_only=True):
    """One page of results. `index` is `building` while a catalog made before search existed is being indexed."""

    results: list[SearchResultView]
    next_cursor: str | None
    index: str


async def show(request: Request) -> Response:
    """Best first: whole name, beginning of the name, word of the name, description, column, tag.

    A table is found by its columns too; columns themselves are results when `type` says so. A page that would take too
    much reading is short: go on as long as there is a `next_cursor`. All pages show the same moment.
    """
    found, page = await pinned(request)
    asked = _asked(query_params(request, SearchQuery))
    if found is None:
        return reply(SearchView(results=[], next_cursor=None, index=READY))
    snapshot = found
    if index_state(snapshot) != READY:
        # Whoever writes wakes the compactor by writing; a catalog that is only read would be without an index for ever.
        services_of(request).index_owed(context_of(request).scope)

    async def build() -> SearchView:
        results = await search(snapshot, asked, page.after)
        return SearchView(
            results=[_view(result) for result in results.results],
            next_cursor=cursor_after(request, snapshot, results.after),
            index=results.index,
        )

    return await listed(request, snapshot, build, of=[*SEARCH_TABLES, *CATALOG_TABLES])


def _asked(query: SearchQuery) -> Search:
    if query.q is None:
        raise InvalidInput("q is missing: the words to look for")
    checked_words(query.q)
    return Search(
        text=query.q, kinds=checked_kinds(query.type, DEFAULT_KINDS), catalog=query.catalog, limit=query.limit
    )


def _view(result: Result) -> SearchResultView:
    parts = [result.catalog, result.schema, *([] if result.kind == "namespace" else [result.table or result.name])]
    return SearchResultView(
        type=result.kind,
        id=result.id,
        name=result.name,
        full_name=".".join([*parts, *([result.name] if result.table else [])]),
        catalog=result.catalog,
        schema=result.schema,
        table=result.table,
        rank=result.rank,
        matches=[SearchMatchView(field, text) for field, text in result.matches],
    )


routes = [
    Endpoint(
        method="GET",
        path="/search",
        handler=show,
        summary="Search names, descriptions, columns and tags",
        tag="search",
        query=SearchQuery,
        responses={200: SearchView, 304: None},
        errors=READ_ERRORS,
        headers=("If-None-Match",),
    )
]
