"""Blocks: runs of rows as Arrow bytes in shared memory, handed to sandbox children by descriptor.

A block is made once, sealed, and mapped by every child that needs it, so that rows are neither sent nor held twice.
It is named by what is in it; a commit makes new blocks only where it changed something. A scope's blocks are found
under that scope only. `bytes_max` bounds what is kept, not what one query may need.
"""

import contextlib
import os
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self

from arco.core.clock import Clock
from arco.core.scope import Scope

if TYPE_CHECKING:
    import pyarrow as pa

SHELF_BYTES_MAX: Final = 256 * 1024 * 1024
"""Arrow bytes kept between queries: one workspace of a million tables, or many small ones."""

SHELF_BLOCKS_MAX: Final = 512
"""Blocks kept: each holds a descriptor, of which a process may have about a thousand."""


SHELF_REST_MS: Final = 120_000
"""A block no query has used for so long most likely belongs to versions that were superseded."""


class SharedBytes:
    """Memory under a descriptor, which is closed when nobody holds this object any more; written, then sealed."""

    __slots__ = ("descriptor", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self.descriptor = _memory_file()
        self.size_bytes = size_bytes
        os.ftruncate(self.descriptor, size_bytes)

    def write(self, offset: int, body: "bytes | pa.Buffer") -> None:
        """Put bytes at a place."""
        view = memoryview(body)
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            offset, view = offset + written, view[written:]

    def seal(self) -> Self:
        """Let nobody change it any more, where the system can promise that."""
        if sys.platform == "linux":
            import fcntl  # noqa: PLC0415  # not everywhere

            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        return self

    def __del__(self) -> None:
        descriptor, self.descriptor = getattr(self, "descriptor", -1), -1
        if descriptor >= 0:
            os.close(descriptor)


class Shelf:
    """Blocks by scope and name: those that have rested for a while leave, then the least recently used ones."""

    def __init__(self, clock: Clock, *, bytes_max: int = SHELF_BYTES_MAX, blocks_max: int = SHELF_BLOCKS_MAX) -> None:
        self._clock = clock
        self._bytes_max, self._blocks_max = bytes_max, blocks_max
        self._blocks: OrderedDict[tuple[Scope, str], tuple[SharedBytes, int]] = OrderedDict()
        self.size_bytes = 0

    def get(self, scope: Scope, name: str) -> SharedBytes | None:
        """The block, if it is here."""
        kept = self._blocks.pop((scope, name), None)
        if kept is None:
            return None
        self._blocks[scope, name] = (kept[0], self._clock.steady_ms())
        return kept[0]

    def has(self, scope: Scope, name: str) -> bool:
        """True while the block is kept, without counting as a use."""
        return (scope, name) in self._blocks

    def put(self, scope: Scope, name: str, block: SharedBytes) -> None:
        """Keep a block; others may leave for it, and it does itself when it alone is too large."""
        if (scope, name) in self._blocks:
            return
        now_ms = self._clock.steady_ms()
        self._blocks[scope, name] = (block, now_ms)
        self.size_bytes += block.size_bytes
        while self._blocks and self._first_leaves(now_ms):
            _, (dropped, _) = self._blocks.popitem(last=False)
            self.size_bytes -= dropped.size_bytes

    def clear(self) -> None:
        """Keep nothing."""
        self._blocks.clear()
        self.size_bytes = 0

    def _first_leaves(self, now_ms: int) -> bool:
        _, used_ms = next(iter(self._blocks.values()))
        crowded = self.size_bytes > self._bytes_max or len(self._blocks) > self._blocks_max
        return crowded or now_ms - used_ms > SHELF_REST_MS


def shared_rows(tables: Sequence["pa.Table"]) -> SharedBytes:
    """Tables of one schema as one block of one batch: many small ones would each be handed to the engine."""
    import pyarrow as pa  # noqa: PLC0415  # only when rows are read

    whole = pa.concat_tables(tables).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    body = sink.getvalue()
    shared = SharedBytes(body.size)
    shared.write(0, body)
    return shared.seal()


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("arco-block", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:  # has no name
        return os.dup(file.fileno())
