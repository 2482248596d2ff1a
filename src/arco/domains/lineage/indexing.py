"""From an Arrow table of edges to an `EdgeIndex`: Arrow numbers, sorts and counts; the result holds no Arrow.

Relies on the table being in key order (by source). Pure computation, fit for a thread: Arrow releases the interpreter
while it works.
"""

from array import array
from itertools import accumulate
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from arco.core.errors import invariant
from arco.domains.lineage.columns import Digests, Repeats, Texts
from arco.domains.lineage.graph import Adjacency, EdgeColumns, EdgeIndex

_NARROW: Final = ((1 << 8, pa.uint8(), "B"), (1 << 16, pa.uint16(), "H"), (1 << 31, pa.int32(), "i"))
"""Number types by how many different values they hold."""


def indexed(table: pa.Table) -> EdgeIndex:
    """The index of the whole `lineage_edges` table, given in key order."""
    edges = table.num_rows
    ends = pa.chunked_array([*table["source_id"].chunks, *table["target_id"].chunks], type=pa.string())
    names, codes = _numbered(ends)
    sources, targets = codes.slice(0, edges), codes.slice(edges)
    order = pc.array_sort_indices(targets)
    links = Adjacency(
        sources=_numbers(sources, "i"),
        targets=_numbers(targets, "i"),
        out_starts=_starts(sources, len(names)),
        in_starts=_starts(targets.take(order), len(names)),
        by_target=_numbers(order.cast(pa.int32()), "i"),
    )
    columns = EdgeColumns(
        ids=_ids(table["id"]),
        types=_repeats(table["edge_type"]),
        runs=_repeats(table["run_id"]),
        created=_numbers(_joined(table["created_at"]), "q"),
    )
    return EdgeIndex(_texts(names), links, columns)


def _numbered(column: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """The distinct texts in byte order, and for every row the number (int32) of its text."""
    encoded = _joined(column.dictionary_encode())
    order = pc.array_sort_indices(encoded.dictionary)
    ranks = pc.array_sort_indices(order).cast(pa.int32())  # sorting a permutation inverts it
    return encoded.dictionary.take(order), ranks.take(encoded.indices)


def _starts(ordered: pa.Array, count: int) -> "array[int]":
    """Where the run of each of `count` numbers begins in `ordered`, and the end of the last."""
    runs = pc.run_end_encode(ordered)
    ends = array("i", bytes(4 * (count + 1)))
    numbers = runs.values
    ascending = pc.all(pc.less(numbers.slice(0, max(len(numbers) - 1, 0)), numbers.slice(1)))
    invariant(ascending.as_py(), "edges come in the order of the node they are kept under")
    for number, end in zip(_numbers(numbers, "i"), _numbers(runs.run_ends, "i"), strict=True):
        ends[number + 1] = end
    # A number without a run ends where the one before it ended.
    return array("i", accumulate(ends, max))


def _ids(column: pa.ChunkedArray) -> Digests | Texts:
    """Digests at half size; one older id (catalog.md 1.3) among them, and all are kept as text."""
    texts = _texts(_joined(column))
    return texts.digests() or texts


def _repeats(column: pa.ChunkedArray) -> Repeats:
    encoded = _joined(column.dictionary_encode())
    none = len(encoded.dictionary)
    type_, code = next((type_, code) for most, type_, code in _NARROW if none < most)
    return Repeats(_numbers(pc.fill_null(encoded.indices, none).cast(type_), code), _texts(encoded.dictionary))


def _texts(column: pa.Array) -> Texts:
    # Copied so that offsets begin at zero and nothing of the table stays alive.
    whole = pa.concat_arrays([column, pa.array([], column.type)]) if column.offset else column
    _, offsets, data = whole.buffers()
    starts = array("i", bytes(memoryview(offsets)[: 4 * (len(whole) + 1)]) if offsets else bytes(4))
    return Texts(starts, bytes(memoryview(data)[: starts[-1]]) if data else b"")


def _numbers(column: pa.Array, code: str) -> "array[int]":
    numbers = array(code)
    if len(column):
        width, begin, end = numbers.itemsize, column.offset, column.offset + len(column)
        numbers.frombytes(memoryview(column.buffers()[1])[width * begin : width * end])
    return numbers


def _joined(column: pa.ChunkedArray) -> Any:
    return column.combine_chunks()
