"""What a task writes, kept within a bound: all of it up to there, beyond it the beginning and the end."""

import os
from collections.abc import Callable
from typing import Final

HEAD_BYTES: Final = 600 * 1024
TAIL_BYTES: Final = 300 * 1024
"""Together with the other stream and JSON's escapes a body that the api takes (2 MiB, orchestration.md 6.1)."""

_PIECE: Final = 64 * 1024
_PIECES_AT_ONCE: Final = 16
"""Of one stream before the event loop gets its turn."""


class Capture:
    """The beginning and the end of a stream of bytes; `heard` gets all of it as it comes."""

    def __init__(
        self, head: int = HEAD_BYTES, tail: int = TAIL_BYTES, *, heard: Callable[[bytes], None] | None = None
    ) -> None:
        self._head_max, self._tail_max = head, tail
        self._heard = heard
        self.size = 0
        """Bytes that came, kept or not."""
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Take what came next."""
        self.size += len(data)
        if self._heard is not None:
            self._heard(data)
        room = self._head_max - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._tail_max:
            self._trim()

    def text(self) -> str:
        """All that is kept, with a line where something is missing."""
        self._trim()
        head, tail = bytes(self._head), bytes(self._tail)
        if not self._dropped:
            return (head + tail).decode("utf-8", "replace")
        gap = f"\n... {self._dropped} bytes left out ...\n"
        return head.decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace")

    def _trim(self) -> None:
        over = len(self._tail) - self._tail_max
        if over > 0:
            del self._tail[:over]
            self._dropped += over


class Pipe:
    """The reading end of a child's output, drained into whatever capture there is at the moment."""

    def __init__(self, add_reader: Callable[..., object], remove_reader: Callable[[int], object]) -> None:
        self.ours, self.theirs = os.pipe()
        os.set_blocking(self.ours, False)
        self.capture: Capture | None = None
        self._remove_reader = remove_reader
        self._open = True
        add_reader(self.ours, self.drain)

    def drain(self, pieces: int = _PIECES_AT_ONCE) -> bool:
        """Take what was written until now, so many pieces at most; True when there may be more."""
        for _ in range(pieces):
            if not self._open:
                return False
            try:
                piece = os.read(self.ours, _PIECE)
            except BlockingIOError:
                return False
            if not piece:
                self.close()
                return False
            if self.capture is not None:
                self.capture.feed(piece)
        return True

    def drain_all(self) -> None:
        """Take everything that was written until now: the writer has stopped, or is waited for."""
        while self.drain():
            continue

    def close(self) -> None:
        """Read no more."""
        if self._open:
            self._open = False
            self._remove_reader(self.ours)
            os.close(self.ours)
