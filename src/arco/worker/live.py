"""What a task writes, sent on while it runs: in numbered pieces, soon, and never more than api and task can bear.

Guarantees: a task that ends at once costs nothing here; what is written is on its way within half a second, in pieces
of bounded size that come the more seldom the more of them there have been; a piece whose answer was lost is sent again
as it was, so that no line comes twice. Nothing here can fail a task. What cannot be sent is left out, and said to be.
"""

import asyncio
import codecs
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from arco.clients.callbacks import Answer, NoAnswer
from arco.core.clock import Clock
from arco.core.limits import LOG_PIECE_BYTES_MAX, LOG_PIECES_MAX
from arco.core.log import Log

LINGER_MS: Final = 500
"""From the first thing written to the first piece: most tasks are over by then, and their log comes whole."""

INTERVAL_MS: Final = 1_000
HURRIED_MS: Final = 250
"""Between two pieces: as a rule, and while more than a piece waits."""

PIECES_PER_SECOND: Final = 200
"""After so many pieces they come a second further apart, so that a day of talk is a few thousand of them."""

PENDING_BYTES_MAX: Final = 4 * LOG_PIECE_BYTES_MAX
"""What waits to be sent; what comes beyond it is left out."""

SENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""What is sent of one attempt: as much as an api shows at once."""

_SLICE_CHARS: Final = 4_096
_PARTS_MAX: Final = 500
_BACKOFF_MS: Final = (1_000, 10_000)
_CONFLICT: Final = 409

Deliver = Callable[[Mapping[str, Any]], Awaitable[Answer]]
"""Hands a piece to the api. Raises `NoAnswer`."""


class LiveLog:
    """The live log of one attempt. `hear` what is written, `run` beside the task, `end` when it has been reported."""

    def __init__(self, deliver: Deliver, clock: Clock, log: Log, writer: str) -> None:
        self._deliver = deliver
        self._clock = clock
        self._log = log
        self._writer = writer
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        self._waiting: deque[tuple[str, str, int]] = deque()
        self._waiting_bytes = 0
        self._lost_bytes = 0
        self._number = 1
        self._told = 0
        self._told_bytes = 0
        self._ending = False
        self._refused = False
        self._news = asyncio.Event()
        self._ends = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether anything was told: then the end has to be told too."""
        return self._told > 0

    def hear(self, stream: str, data: bytes) -> None:
        """Take what was written to a stream."""
        if self._refused:
            return
        text = self._decoders[stream].decode(data)
        for start in range(0, len(text), _SLICE_CHARS):
            self._take(stream, text[start : start + _SLICE_CHARS])
        if self._waiting:
            self._news.set()

    async def run(self) -> None:
        """Send what is heard, until the end is told or the api refuses."""
        await self._news.wait()
        await self._rest(LINGER_MS)
        if self._ending and not self.begun:
            return  # the whole log is on its way already
        while not self._refused:
            last = self._ending and len(self._waiting_parts()) == len(self._waiting)
            await self._send(last=last)
            if last:
                return
            await self._rest(self._interval_ms())
            await self._news.wait()

    def end(self) -> None:
        """Nothing comes any more: what waits is sent, if anything was, and that this was all."""
        for stream, decoder in self._decoders.items():
            if rest := decoder.decode(b"", final=True):
                self._take(stream, rest)
        self._ending = True
        self._news.set()
        self._ends.set()

    def _take(self, stream: str, text: str) -> None:
        size = len(text.encode("utf-8", "replace"))
        if self._waiting_bytes + size > PENDING_BYTES_MAX or self._told_bytes >= SENT_BYTES_MAX:
            self._lost_bytes += size
            return
        self._note_loss()
        previous = self._waiting[-1] if self._waiting else None
        if previous is not None and previous[0] == stream and len(previous[1]) + len(text) <= _SLICE_CHARS:
            self._waiting[-1] = (stream, previous[1] + text, previous[2] + size)
        else:
            self._waiting.append((stream, text, size))
        self._waiting_bytes += size

    def _note_loss(self) -> None:
        if self._lost_bytes:
            text = f"... {self._lost_bytes} bytes left out of the live log ...\n"
            self._waiting.append(("worker", text, len(text)))
            self._lost_bytes = 0

    def _waiting_parts(self) -> Sequence[tuple[str, str, int]]:
        """So many of the waiting parts as one piece holds."""
        found: list[tuple[str, str, int]] = []
        size = 0
        for part in self._waiting:
            size += part[2]
            if size > LOG_PIECE_BYTES_MAX or len(found) == _PARTS_MAX:
                break
            found.append(part)
        return found

    def _interval_ms(self) -> int:
        full = self._waiting_bytes >= LOG_PIECE_BYTES_MAX
        return HURRIED_MS if full else INTERVAL_MS + 1_000 * self._told // PIECES_PER_SECOND

    async def _rest(self, for_ms: int) -> None:
        """Wait so long; whoever ends does not."""
        if self._ends.is_set():
            return
        sleeping = asyncio.ensure_future(self._clock.sleep_ms(for_ms))
        ending = asyncio.ensure_future(self._ends.wait())
        try:
            await asyncio.wait({sleeping, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            ending.cancel()

    async def _send(self, *, last: bool) -> None:
        if last:
            self._note_loss()
        parts = self._waiting_parts()
        for _, _, size in parts:
            self._waiting.popleft()
            self._waiting_bytes -= size
        if not self._waiting:
            self._news.clear()
        told = [{"stream": stream, "text": text} for stream, text, _ in parts]
        if not last and self._number >= LOG_PIECES_MAX - 1:
            self._told_bytes = SENT_BYTES_MAX  # no room for more than the last word
        if not told and not last:
            return
        self._told_bytes += sum(size for _, _, size in parts)
        await self._delivered({"writer": self._writer, "parts": told, "last": last})

    async def _delivered(self, piece: Mapping[str, Any]) -> None:
        """Have a piece taken under the next number, as it is, however often that has to be tried."""
        pause_ms = _BACKOFF_MS[0]
        while True:
            answer = None
            try:
                answer = await self._deliver({**piece, "piece": self._number})
            except NoAnswer as error:
                told = str(error)
            if answer is not None:
                if answer.accepted:
                    self._number, self._told = self._number + 1, self._told + 1
                    return
                free = answer.body.get("nextPiece")
                if answer.status == _CONFLICT and isinstance(free, int) and free > self._number:
                    self._number = free
                    continue
                told = str(answer.status)
                if not answer.transient:
                    self._refuse(told)
                    return
            self._log.info("live_log_delayed", reason=told)
            # Not shortened by the end of the task: an api that is away gets no more calls for it.
            await self._clock.sleep_ms(max(pause_ms, answer.retry_after_s * 1000 if answer else 0))
            pause_ms = min(2 * pause_ms, _BACKOFF_MS[1])

    def _refuse(self, reason: str) -> None:
        """An api that does not take pieces, of an older build perhaps: the log comes whole at the end."""
        self._refused = True
        self._waiting.clear()
        self._log.warning("live_log_refused", reason=reason)
