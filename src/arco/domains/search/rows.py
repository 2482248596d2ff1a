"""Search tables: the postings, and how far an index is built (catalog.md 2.11, 8.3).

A posting says that a word occurs in an object. The key begins with the *lane*: what kind of object it is and where in
it the word stands, best first. So every lane is sorted by word, a search reads the lanes in order and stops when a
page is full, however often the word occurs, and nothing of it depends on the names of schemas and catalogs above.
"""

from typing import Final

from arco.kernel.spec import Float32, Row, TableSpec

SEARCH: Final = "search"
"""The domain: pointer name."""

NAMESPACE: Final = "namespace"
TABLE: Final = "table"
COLUMN: Final = "column"

NAMESPACE_NAME: Final = 10
TABLE_NAME: Final = 11
NAMESPACE_WORD: Final = 20
TABLE_WORD: Final = 21
NAMESPACE_DESCRIPTION: Final = 30
TABLE_DESCRIPTION: Final = 31
COLUMN_NAME: Final = 40
COLUMN_WORD: Final = 41
COLUMN_DESCRIPTION: Final = 42
NAMESPACE_TAG: Final = 50
TABLE_TAG: Final = 51
"""Lanes in the order of ranks: whole name, word of the name, description, column, tag."""


class PostingRow(Row, frozen=True, kw_only=True, gc=False, array_like=True):
    """A word of an object. The public fields are the contract's; deltas hold a posting as an array, for its size.

    `object_id` is the schema or table that is found: of a column, its table; so the postings of one word are in order
    of what they find, and are met with those of another. `parent_id` is the catalog key of a namespace, the namespace
    of a table, nothing for a column. `name` is that of the object where it is not the word.

    `repeats` is the longest beginning this posting shares with one of the same object that ranks before it (for a
    column: of its table); `repeats_column` is the same among those of the column alone. A search for a beginning no
    longer than that has found the object already.
    """

    token: str
    token_norm: str
    doc_type: str
    doc_id: str
    field: str
    score: Float32
    lane: int
    object_id: str
    parent_id: str
    name: str | None = None
    repeats: int = 0
    repeats_column: int = 0


class BuildingRow(Row, frozen=True, kw_only=True):
    """How far the index of a catalog that is older than search is built: up to a key of `source`, inclusive.

    It is there while the index is being built, and not afterwards.
    """

    index: str
    source: str
    parent: str
    name: str


POSTINGS: Final = TableSpec(
    "token_postings",
    PostingRow,
    key=("lane", "token_norm", "object_id", "doc_id"),
    domain=SEARCH,
    private=frozenset({"lane", "object_id", "parent_id", "name", "repeats", "repeats_column"}),
)
BUILDING: Final = TableSpec("search_building", BuildingRow, key=("index",), domain=SEARCH)

SEARCH_TABLES: Final = (POSTINGS, BUILDING)
