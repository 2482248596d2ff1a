"""Which postings are worth making rows of, told from single fields of them. Pure.

A sieve lets pass whatever may count, and more; what counts is told from the rows.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from arco.domains.search.rank import Stream
from arco.domains.search.rows import COLUMN
from arco.domains.search.tokenize import normal
from arco.kernel.reading import Sieve

ALL: Final = Sieve(("lane",), lambda lanes: list(range(len(lanes))))


def named(words: Sequence[str]) -> Sieve:
    """Passes postings in whose name every word occurs."""

    def keep(tokens: list[str], names: list[str | None]) -> list[int]:
        if not _occur(words, tokens, names):
            return []
        texts = _names(tokens, names)
        passed = list(range(len(texts)))
        for word in words:
            passed = [index for index in passed if word in texts[index]]
        return passed

    return Sieve(("token", "name"), keep)


def holding(stream: Stream, held: Mapping[str, frozenset[str] | None], *, nameless: Collection[str] = ()) -> Sieve:
    """Passes postings of objects that may hold every word; `held` are those that hold it in texts, where known.

    Of `nameless` words it is known that no name of the stream holds them.
    """
    known = {word: ids for word, ids in held.items() if ids is not None}
    if not known or not (stream.tells_name or known.keys() <= set(nameless)):
        return ALL
    if known.keys() <= set(nameless):
        in_all = frozenset.intersection(*known.values())

        def among(ids: list[str]) -> list[int]:
            return [] if in_all.isdisjoint(ids) else [index for index, one in enumerate(ids) if one in in_all]

        return Sieve((id_field(stream.kind),), among)

    def keep(tokens: list[str], names: list[str | None], ids: list[str]) -> list[int]:
        passed = list(range(len(ids)))
        texts: list[str] = []
        for word, holders in known.items():
            if not _occur([word], tokens, names):
                passed = [] if holders.isdisjoint(ids) else [index for index in passed if ids[index] in holders]
                continue
            texts = texts or _names(tokens, names)
            passed = [index for index in passed if ids[index] in holders or word in texts[index]]
        return passed

    return Sieve(("token", "name", id_field(stream.kind)), keep)


def id_field(kind: str) -> str:
    """The field of a posting that tells which object of a kind it finds."""
    return "doc_id" if kind == COLUMN else "object_id"


def _occur(words: Sequence[str], tokens: list[str], names: list[str | None]) -> bool:
    """False when one of the words is surely in no name: told from all of them in one piece, which takes no time."""
    text = "\n".join([*filter(None, names), *set(tokens)])
    if not text.isascii():
        return True
    text = text.lower()
    return all(word in text for word in words)


def _names(tokens: list[str], names: list[str | None]) -> list[str]:
    return [normal(name or token) for token, name in zip(tokens, names, strict=True)]
