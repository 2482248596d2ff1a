"""What a sandbox child keeps from query to query: blocks of its scope's own tables, and the relations made of them.

Handing a relation to the engine costs as much as it has blocks and columns: 2 ms for half a million rows. So it is done
once, and the same relation is shown to every query that sees the same blocks. Sessions are not kept, and nothing a
query may do changes a relation (`query.guard`).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import pyarrow as pa

if TYPE_CHECKING:
    from datafusion.catalog import Table

T = TypeVar("T")

RELATIONS_KEPT: Final = 32
"""Relations kept: all public ones, and some of them at other moments (AS OF)."""


class Holdings(Generic[T]):
    """Blocks by name, and relations, made by `make`, by the names of their blocks."""

    def __init__(self, make: Callable[[Sequence[pa.Table]], T]) -> None:
        self._make = make
        self._blocks: dict[str, pa.Table] = {}
        self._relations: OrderedDict[tuple[str, ...], T] = OrderedDict()
        self.mapped_bytes = 0

    def __len__(self) -> int:
        """How many relations are kept."""
        return len(self._relations)

    def bring(self, name: str, body: pa.Buffer) -> None:
        """Keep a block: the Arrow stream that `query.shelf` wrote."""
        self._blocks[name] = pa.ipc.open_stream(body).read_all()
        self.mapped_bytes += self._blocks[name].nbytes

    def drop(self, names: Sequence[str]) -> None:
        """Forget blocks, and every relation that has one of them."""
        for name in names:
            self.mapped_bytes -= self._blocks.pop(name).nbytes
        gone = set(names)
        for blocks in [blocks for blocks in self._relations if not gone.isdisjoint(blocks)]:
            del self._relations[blocks]

    def relation(self, blocks: tuple[str, ...]) -> T:
        """The rows of these blocks, in this order, as the engine reads them."""
        found = self._relations.get(blocks)
        if found is None:
            found = self._relations[blocks] = self._make([self._blocks[name] for name in blocks])
            if len(self._relations) > RELATIONS_KEPT:
                self._relations.popitem(last=False)
        self._relations.move_to_end(blocks)
        return found


def relation_of(tables: Sequence[pa.Table]) -> "Table":
    """Tables of one schema as one relation of the engine."""
    from datafusion import SessionContext  # noqa: PLC0415  # loads the engine

    context = SessionContext()
    batches = [batch for table in tables for batch in table.to_batches() if batch.num_rows]
    # The engine learns the schema from the first batch, so an empty table needs one too.
    context.register_record_batches("t", [batches or [pa.RecordBatch.from_pylist([], schema=tables[0].schema)]])
    return context.catalog().schema().table("t")
