"""What supervisor, nursery and children say to each other: small structs in MessagePack, each after its length.

Three parties, two conversations. The supervisor tells its nursery to fork and to signal, and hears who was forked and
how each one ended. With a child it speaks over the child's own socket: a task, how far it is, and its report.
"""

import socket
import struct
from typing import Any, Final

import msgspec

HEADER: Final = struct.Struct("<I")
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Longest message anybody believes: reports are a few kilobytes, their outputs at most what an api takes."""


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """To a nursery, with three descriptors (socket, output, errors): make a child."""


class Signal(msgspec.Struct, frozen=True, tag="signal"):
    """To a nursery: send a signal to a child and, with `whole`, to everything it started."""

    pid: int
    number: int
    whole: bool = False


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """From a nursery, first: the user's code is there, with these assets."""

    assets: tuple[str, ...]


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """From a nursery or a child, first: the user's code cannot be loaded, and why."""

    message: str


class Threaded(msgspec.Struct, frozen=True, tag="threaded"):
    """From a nursery, first: loading started threads, so it must not fork; a bare nursery does instead."""


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """From a nursery: the child of the oldest `Fork` that was not answered; pid 0 when it could not be made."""

    pid: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """From a nursery: a child is no more; an exit code, or a signal's number below zero."""

    pid: int
    code: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """From a child: it has what it needs and waits for a task. `resident` is its size in bytes."""

    resident: int


class Do(msgspec.Struct, frozen=True, tag="do"):
    """To a child: run this task (the members of the SDK's `TaskRun`)."""

    task: dict[str, Any]


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """From a child: how far its task is."""

    percent: int | None = None
    message: str | None = None


class Register(msgspec.Struct, frozen=True, tag="register"):
    """From a child: make this table known (the SDK's `Registration`), and say how that went."""

    table: dict[str, Any]


class Registered(msgspec.Struct, frozen=True, tag="registered"):
    """To a child: its table is known; `problem` says why it is not."""

    problem: str = ""


class Report(msgspec.Struct, frozen=True, tag="report", kw_only=True):
    """From a child: how its task ended (the SDK's `TaskReport`), and what it left behind."""

    outcome: str
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    phase: str | None = None
    resident: int = 0
    """Its size in bytes afterwards."""
    litter: str = ""
    """What the task left running, threads or processes, in words; nothing when nothing."""


ToNursery = Fork | Signal
FromNursery = Loaded | Broken | Threaded | Forked | Ended
FromChild = Ready | Broken | Progress | Register | Report
ToChild = Do | Registered

_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=str)
"""A member that MessagePack does not know, in a report of user code, is told as text."""

to_nursery: Final = msgspec.msgpack.Decoder(ToNursery)
from_nursery: Final = msgspec.msgpack.Decoder(FromNursery)
from_child: Final = msgspec.msgpack.Decoder(FromChild)
to_child: Final = msgspec.msgpack.Decoder(ToChild)


def framed(message: msgspec.Struct) -> bytes:
    """The bytes of a message."""
    body = _ENCODER.encode(message)
    return HEADER.pack(len(body)) + body


def send(sock: socket.socket, message: msgspec.Struct) -> None:
    """Send a message on a blocking socket. Raises `OSError`."""
    sock.sendall(framed(message))


def receive(sock: socket.socket) -> bytes | None:
    """The bytes of the next message on a blocking socket; None when the other side is gone."""
    header = _exactly(sock, HEADER.size)
    if header is None:
        return None
    (length,) = HEADER.unpack(header)
    return _exactly(sock, length) if length <= MESSAGE_BYTES_MAX else None


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        try:
            piece = sock.recv(count - len(found))
        except InterruptedError:
            continue
        except OSError:
            return None
        if not piece:
            return None
        found += piece
    return bytes(found)
