"""Which postings are worth making rows of, told from single fields of them. Pure.

A sieve lets pass whatever may count, and more; what counts is told from the rows.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from arco.domains.search.rank import Stream
from arco.domains.search.rows import COLUMN
from arco.domains.search.tokenize import normal
from arco.kernel.reading import Sieve

ALL: Final = Sieve(("lane",), lambda lanes: list(range(len(lanes))))


def named(words: Sequence[str]) -> Sieve:
    """Passes postings in whose name every word occurs."""

    def keep(tokens: list[str], names: list[str | None]) -> list[int]:
        texts = _names(tokens, names)
        passed = list(range(len(texts)))
        for word in words:
            passed = [index for index in passed if word in texts[index]]
        return passed

    return Sieve(("token", "name"), keep)


def holding(stream: Stream, held: Mapping[str, frozenset[str] | None]) -> Sieve:
    """Passes postings of objects that may hold every word; `held` are those that hold it in texts, where known."""
    known = {word: ids for word, ids in held.items() if ids is not None}
    if not known or not stream.tells_name:
        return ALL

    def keep(tokens: list[str], names: list[str | None], ids: list[str]) -> list[int]:
        texts = _names(tokens, names)
        passed = list(range(len(texts)))
        for word, holders in known.items():
            passed = [index for index in passed if ids[index] in holders or word in texts[index]]
        return passed

    return Sieve(("token", "name", id_field(stream.kind)), keep)


def id_field(kind: str) -> str:
    """The field of a posting that tells which object of a kind it finds."""
    return "doc_id" if kind == COLUMN else "object_id"


def _names(tokens: list[str], names: list[str | None]) -> list[str]:
    return [normal(name or token) for token, name in zip(tokens, names, strict=True)]
