"""What a query is refused or ended for, each a fact of its own: `edge.problems` tells them apart by `error`."""

from collections.abc import Callable, Mapping
from typing import Final

from arco.core.errors import ArcoError, Conflict, InvalidInput, NotFound


class NotReadOnly(InvalidInput):
    """The statement is not one query: it writes, defines, sets, or is several (catalog.md 7.2)."""


class UnknownRelation(InvalidInput):
    """The statement names a relation that does not exist for its caller."""


class QueryTimedOut(InvalidInput):
    """The query did not finish in its time."""

    def __init__(self) -> None:
        super().__init__("query timed out")


class QueryExhausted(InvalidInput):
    """The query needed more memory than a query may use, or the engine died of it."""

    def __init__(self) -> None:
        super().__init__(
            "query needs more memory than a query may use; select fewer rows or columns, or aggregate less"
        )


class QueryCancelled(Conflict):
    """Somebody of the same scope cancelled the query."""

    def __init__(self) -> None:
        super().__init__("query was cancelled")


FACTS: Final[Mapping[str, Callable[[str], ArcoError]]] = {
    "invalid": InvalidInput,
    "not_read_only": NotReadOnly,
    "unknown_relation": UnknownRelation,
    "not_found": NotFound,
    "exhausted": lambda _message: QueryExhausted(),
}
"""What a child may refuse with, by name: the api makes the fact anew from the name and the text."""

EXHAUSTED_CODE: Final = 3
"""Exit code of a child that ran out of memory and noticed."""
