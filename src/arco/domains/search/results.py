"""What a search finds, and what is told of it."""

import msgspec

from arco.domains.search.names import Names
from arco.domains.search.rank import name_of, object_of
from arco.domains.search.rows import COLUMN, NAMESPACE, PostingRow


class Found(msgspec.Struct, frozen=True):
    """An object by the postings that show each word of the query in it."""

    kind: str
    postings: tuple[PostingRow, ...]

    @property
    def id(self) -> str:
        """The id of the object."""
        return object_of(self.postings[0], self.kind)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One object with its names. `matches` are (field, word as it is written there), one for each word of the query."""

    kind: str
    id: str
    name: str
    catalog: str
    schema: str
    table: str | None = None
    rank: str = ""
    matches: list[tuple[str, str]] = []


async def resolved(found: Found, names: Names) -> Result:
    """The object with its names."""
    posting = found.postings[0]
    if found.kind == NAMESPACE:
        name, catalog = name_of(posting), await names.catalog(posting.parent_id)
        return Result(kind=found.kind, id=found.id, name=name, catalog=catalog, schema=name)
    if posting.doc_type != COLUMN:
        namespace_id, table = posting.parent_id, name_of(posting)
    else:
        row = await names.table(posting.object_id)
        namespace_id, table = ("", posting.object_id) if row is None else (row.namespace_id, row.name)
    place = await names.place(namespace_id)
    return Result(
        kind=found.kind,
        id=found.id,
        name=name_of(posting) if found.kind == COLUMN else table,
        catalog=place.catalog if place else "",
        schema=place.schema if place else "",
        table=table if found.kind == COLUMN else None,
    )
