"""What api and sandbox child say to each other: small structs, Arrow bytes by descriptor, one exchange at a time.

A frame is a header (length of the message, number of descriptors), one byte for every `DESCRIPTORS_AT_ONCE` descriptors
that carries them, and the message in MessagePack. The api trusts nothing a child says beyond these types: the body of
a result is passed on as bytes and never opened.
"""

import array
import socket
import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.limits import SQL_RESULT_BYTES_MAX, SQL_ROWS_MAX, SQL_TIMEOUT_S

HEADER: Final = struct.Struct("<II")
DESCRIPTORS_AT_ONCE: Final = 200
"""Linux takes at most 253 in one message."""

MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Longest message either side believes: a result of 10 MiB many times over."""


class RelationName(msgspec.Struct, frozen=True, order=True):
    """A relation as the engine resolved it; parts the query does not say are `UNSAID`."""

    catalog: str
    schema: str
    table: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts the query says, in order."""
        return tuple(part for part in (self.catalog, self.schema, self.table) if part != UNSAID)

    @property
    def text(self) -> str:
        """The name as people write it."""
        return ".".join(self.parts)


UNSAID: Final = "\x1f"
"""The default catalog and schema: a control character, which no accepted SQL text can hold."""


class QueryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one query may use: seconds, bytes of working memory, rows and encoded bytes of its result."""

    timeout_s: float = SQL_TIMEOUT_S
    memory_bytes: int = 512 * 1024 * 1024
    rows_max: int = SQL_ROWS_MAX
    result_bytes_max: int = SQL_RESULT_BYTES_MAX


class Slice(msgspec.Struct, frozen=True):
    """Bytes of a data file: `size` bytes at `offset` of the message's descriptor number `descriptor`."""

    path: str
    descriptor: int
    offset: int
    size: int


class BlockRelation(msgspec.Struct, frozen=True, tag="blocks"):
    """Rows of the catalog's own tables: blocks the child holds or is brought."""

    name: RelationName
    blocks: tuple[str, ...]


class ParquetRelation(msgspec.Struct, frozen=True, tag="parquet"):
    """Parquet files; `base` is the folder below which `key=value` folders are columns, or None."""

    name: RelationName
    files: tuple[Slice, ...]
    base: str | None


class DeltaRelation(msgspec.Struct, frozen=True, tag="delta"):
    """One version of a Delta table: its log, and the files that are live in it. Paths are relative to its folder."""

    name: RelationName
    location: str
    log: tuple[Slice, ...]
    files: tuple[Slice, ...]


Relation = BlockRelation | ParquetRelation | DeltaRelation


class Discover(msgspec.Struct, frozen=True, tag="discover"):
    """Which relations does this statement name? `query` is whether it can be a query at all."""

    sql: str
    query: bool


class ReadLog(msgspec.Struct, frozen=True, tag="log"):
    """Which data files are live in the Delta table with this log?"""

    location: str
    log: tuple[Slice, ...]


class Run(msgspec.Struct, frozen=True, tag="run", kw_only=True):
    """A query and all that it can see. The first descriptors are the blocks named by `bring`; `drop` are forgotten."""

    sql: str
    relations: tuple[Relation, ...]
    bring: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    limits: QueryLimits
    output: str | None
    explain: str | None = None
    manifest_id: str | None = None


Request = Discover | ReadLog | Run


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """A child's first word: it can be asked. `filtered` is whether the system-call filter holds."""

    filtered: bool


class Names(msgspec.Struct, frozen=True, tag="names"):
    """The relations a statement names, sorted."""

    names: tuple[RelationName, ...]


class Live(msgspec.Struct, frozen=True, tag="live"):
    """Paths of a Delta table's live files, relative to its folder."""

    paths: tuple[str, ...]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The answer to a `Run`: its encoded rows, how many, and whether there were more."""

    rows: int
    truncated: bool
    body: bytes


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Why not: the name of a fact (see `FACTS` in `query.errors`) and its public text."""

    fact: str
    message: str


Reply = Ready | Names | Live | Done | Refused

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def chunks(descriptors: Sequence[int]) -> list[Sequence[int]]:
    """The descriptors in as many parts as messages are needed to carry them."""
    return [descriptors[at : at + DESCRIPTORS_AT_ONCE] for at in range(0, len(descriptors), DESCRIPTORS_AT_ONCE)]


def receive(sock: socket.socket) -> tuple[Request, list[int]] | None:
    """The next request and its descriptors, on a blocking socket; None when the other side is gone."""
    header = _exactly(sock, HEADER.size)
    if header is None:
        return None
    length, count = HEADER.unpack(header)
    descriptors: list[int] = []
    while len(descriptors) < count:
        found = _carried(sock)
        if not found:
            return None
        descriptors += found
    body = _exactly(sock, length) if length <= MESSAGE_BYTES_MAX else None
    return None if body is None else (decode_request(body), descriptors)


def reply(sock: socket.socket, answer: Reply) -> None:
    """Send an answer on a blocking socket."""
    body = encode(answer)
    sock.sendall(HEADER.pack(len(body), 0))
    sock.sendall(body)


def _carried(sock: socket.socket) -> list[int]:
    # Not `socket.recv_fds`: descriptors must be closed on exec from the moment they are here.
    found = array.array("i")
    space = socket.CMSG_SPACE(DESCRIPTORS_AT_ONCE * found.itemsize)
    _, ancillary, _, _ = sock.recvmsg(1, space)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = sock.recv(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
