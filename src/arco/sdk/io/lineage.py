"""Which columns of a result are columns of an input, untouched: proved by the memory they lie in, never guessed.

Arrow hands columns on without copying them. A column of a result that shares all its memory with a column of an input
was taken from there as it is; of any other column nothing is said. It holds while the input is still referenced: freed
memory is given to others.
"""

from collections.abc import Mapping
from typing import Any

Signature = tuple[tuple[int, int, tuple[int, ...]], ...]


def signatures_of(key: str, table: Any) -> dict[Signature, str]:
    """`asset.column` by where the column lies in memory, for each column of an Arrow table that has rows."""
    if not hasattr(table, "itercolumns") or not table.num_rows:
        return {}
    pairs = (
        (_signature(column), f"{key}.{name}")
        for name, column in zip(table.column_names, table.itercolumns(), strict=True)
    )
    return {signature: name for signature, name in pairs if signature}


def passed_through(known: Mapping[Signature, str], made: Any) -> dict[str, list[str]]:
    """For each column of a result that is an input's, that column."""
    if not known or not hasattr(made, "itercolumns"):
        return {}
    pairs = zip(made.column_names, map(_signature, made.itercolumns()), strict=True)
    return {name: [known[signature]] for name, signature in pairs if signature in known}


def _signature(column: Any) -> Signature:
    """Where every piece of a column lies; empty when it lies nowhere."""
    pieces = tuple((one.offset, len(one), _addresses(one)) for one in column.chunks if len(one))
    return pieces if all(addresses for _, _, addresses in pieces) else ()


def _addresses(chunk: Any) -> tuple[int, ...]:
    return tuple(one.address for one in chunk.buffers() if one is not None and one.size)
