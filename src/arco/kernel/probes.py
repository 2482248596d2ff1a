"""Single values of Arrow columns, read from their buffers: bisection asks for ten of them per look-up.

Texts are compared as their UTF-8 bytes, which sort like the texts themselves; making a Python text of each would cost
three times as much. Columns of keys hold no nulls.
"""

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

Probe = Callable[[int], Any]
"""The value at an index, comparable with what `probed` makes of a wanted one."""

_LETTERS: Final = {pa.int64(): "q", pa.int32(): "i", pa.uint32(): "I"}


def probed(value: Any) -> Any:
    """A wanted value as probes compare it."""
    # Nothing stored holds lone surrogates; whoever asks for one is told that it is not there.
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def probe_of(column: pa.Array) -> Probe:
    """How single values of a column without nulls are read."""
    if pa.types.is_dictionary(column.type):
        values = [probed(value) for value in column.dictionary.to_pylist()]
        indexes = probe_of(column.indices)
        return lambda index: values[indexes(index)]
    if pa.types.is_string(column.type):
        return _texts(column)
    letter = _LETTERS.get(column.type)
    if letter is None:
        return lambda index: column[index].as_py()
    return _numbers(column, letter)


def _numbers(column: pa.Array, letter: str) -> Probe:
    raw: Any = memoryview(column.buffers()[1])
    numbers = raw.cast("B").cast(letter)[column.offset : column.offset + len(column)]
    return lambda index: numbers[index]


def _texts(column: pa.Array) -> Probe:
    _, ends, body = column.buffers()
    offsets = memoryview(ends).cast("B").cast("i")[column.offset : column.offset + len(column) + 1]
    data = memoryview(body if body is not None else b"").cast("B")

    def text(index: int) -> bytes:
        return data[offsets[index] : offsets[index + 1]].tobytes()

    return text
