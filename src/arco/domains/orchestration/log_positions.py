"""Where a follower of a run's logs is: for each task how many attempts, pieces and slices have been told. Pure.

As text it is the id of an event: short however many tasks there are, because most of them stand at their beginning or
their end.
"""

import base64
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

_PACKED_PER_TASK_MAX: Final = 24
_BITS: Final = 7
_MORE: Final = 1 << _BITS


class LogPosition(msgspec.Struct, frozen=True):
    """Of one task: `attempt` is the one that is being told, of which so many pieces, or slices of the whole, were."""

    attempt: int = 1
    piece: int = 0
    slices: int = 0

    def next_attempt(self) -> "LogPosition":
        """The beginning of the attempt after this one."""
        return LogPosition(self.attempt + 1)


def packed(positions: Sequence[LogPosition]) -> str:
    """Positions of all tasks, in the order of their keys, as text."""
    body = bytearray()
    for one in positions:
        for number in (one.attempt - 1, one.piece, one.slices):
            body += _varint(number)
    return base64.urlsafe_b64encode(zlib.compress(bytes(body))).rstrip(b"=").decode()


def unpacked(text: str, count: int) -> list[LogPosition] | None:
    """The positions of `count` tasks; None for a text that is not of these."""
    try:
        opened = zlib.decompressobj()
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        body = opened.decompress(raw, count * _PACKED_PER_TASK_MAX + 1)
        numbers = list(_numbers(body))
    except (ValueError, zlib.error):
        return None
    if len(numbers) != 3 * count or not opened.eof:
        return None
    triples = zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True)
    return [LogPosition(attempt + 1, piece, slices) for attempt, piece, slices in triples]


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= _MORE:
        found.append(number % _MORE + _MORE)
        number >>= _BITS
    found.append(number)
    return bytes(found)


def _numbers(body: bytes) -> Iterator[int]:
    """The numbers of a body. Raises `ValueError` for half a number, or one that is too long."""
    number = shift = 0
    for byte in body:
        number |= (byte % _MORE) << shift
        if byte < _MORE:
            yield number
            number = shift = 0
        else:
            shift += _BITS
            if shift > 5 * _BITS:
                raise ValueError("a number is too long")
    if shift:
        raise ValueError("the last number has no end")
