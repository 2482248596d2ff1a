"""What an attempt writes, in pieces while it runs: numbered without gaps, each written once and never again.

Numbers are the order, whoever writes: a worker that takes an attempt over goes on behind the last piece, and a piece
that is sent twice is the same object. Because they are dense, who has read up to one asks for the next and for nothing
else; nothing is listed. The log itself (`paths.task_log`) is whole and comes once, at the end.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Final, Literal

import msgspec

from arco.core import paths
from arco.core.clock import Clock
from arco.core.errors import CorruptData, InvalidInput
from arco.core.limits import ASSET_KEY_CHARS_MAX, LOG_PIECE_BYTES_MAX, LOG_PIECES_MAX
from arco.storage.create_only import CreateOutcome, create_only
from arco.storage.port import ObjectStore

_TOGETHER: Final = 8
_TASK: Final = re.compile(r"(?!\.+\Z)[a-z0-9_.]+\Z")
_RUN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class LogPart(msgspec.Struct, frozen=True):
    """Text of one stream; `worker` is what the worker itself has to say, such as what is missing here."""

    stream: Literal["stdout", "stderr", "worker"]
    text: Annotated[str, msgspec.Meta(max_length=LOG_PIECE_BYTES_MAX)]


class LogPiece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Some of what an attempt wrote, in order. `writer` is the very execution; after the `last` one nothing comes."""

    writer: str
    parts: list[LogPart]
    last: bool = False


class LogPlace(msgspec.Struct, frozen=True):
    """Whose pieces: an attempt at a task of a run."""

    run_id: str
    task_key: str
    attempt: int

    def check(self) -> None:
        """Raise `InvalidInput` for names that no key is made of (orchestration.md 6.3)."""
        if not _TASK.match(self.task_key) or len(self.task_key) > ASSET_KEY_CHARS_MAX:
            raise InvalidInput(
                f"taskKey must have 1 to {ASSET_KEY_CHARS_MAX} of a-z, 0-9, _ and dots, and not dots alone"
            )
        if not _RUN.match(self.run_id):
            raise InvalidInput("runId must be made of letters, digits, - and _")

    def key(self, number: int) -> paths.Key:
        """Where a piece lies."""
        return paths.live_log_piece(self.run_id, self.task_key, self.attempt, number)

    @property
    def whole(self) -> paths.Key:
        """Where the whole log lies once the attempt has ended."""
        return paths.task_log(self.run_id, self.task_key, self.attempt)


async def keep_piece(store: ObjectStore, clock: Clock, place: LogPlace, numbered: tuple[int, bytes]) -> CreateOutcome:
    """Write a piece under its number, once. Raises `WriteRefused`."""
    number, body = numbered
    return await create_only(store, clock, place.key(number), body)


async def next_number(store: ObjectStore, place: LogPlace, taken: int) -> int:
    """The first number that is free, given one that is not: the existence of dense numbers is monotone."""
    low, step = taken, 1
    while low + step <= LOG_PIECES_MAX and await store.head(place.key(low + step)) is not None:
        low, step = low + step, step * 2
    high = min(low + step, LOG_PIECES_MAX + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if await store.head(place.key(middle)) is None:
            high = middle
        else:
            low = middle
    return high


async def pieces_after(store: ObjectStore, place: LogPlace, number: int) -> AsyncIterator[LogPiece]:
    """The pieces beyond one, in order; who is up to date pays one read that finds nothing."""
    together = 1
    while number < LOG_PIECES_MAX:
        some = range(number + 1, min(number + together, LOG_PIECES_MAX) + 1)
        together = min(2 * together, _TOGETHER)
        for found in await asyncio.gather(*(store.get(place.key(one)) for one in some)):
            if found is None:
                return
            yield decoded(found.body)
        number = some[-1]


def encoded(piece: LogPiece) -> bytes:
    """A piece as it is kept: the same piece is always the same bytes."""
    return msgspec.json.encode(piece)


def decoded(body: bytes) -> LogPiece:
    """A piece that was kept. Raises `CorruptData`."""
    try:
        return msgspec.json.decode(body, type=LogPiece)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptData(f"a piece of a log cannot be read: {error}") from error


def whole_text(stdout: str, stderr: str) -> bytes:
    """Both streams as a log is kept (orchestration.md 6.3)."""
    return f"=== stdout ===\n{stdout}\n=== stderr ===\n{stderr}\n".encode("utf-8", "replace")


def streams_of(body: bytes) -> tuple[str, str]:
    """What was written to output and to errors, of a log as it is kept."""
    text = body.decode("utf-8", "replace").removeprefix("=== stdout ===\n")
    stdout, _, stderr = text.partition("\n=== stderr ===\n")
    return stdout, stderr.removesuffix("\n")
