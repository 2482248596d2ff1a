"""The helper process that sandbox children are forked from: `python -m arco.query.nursery <descriptor>`.

It loads the engine once and starts no thread, because a fork of a process with a running engine is not safe; a child
is then there in milliseconds. On its socket it is told `fork`, with the child's own socket, and `kill`, and it is asked
how a child ended; it ends, and all children with it, when the socket does. It holds no secret: it is started with a
bare environment and never sees a configuration, a catalog or a query.
"""

import array
import gc
import os
import select
import signal
import socket
import struct
import sys
from collections import OrderedDict
from typing import Final

from arco.query.pandas_free import load_no_pandas

COMMAND: Final = struct.Struct("<cI")
"""`F` (a descriptor comes with it) or `S` (the same, strict); `K` or `W` and a process id."""

ANSWER: Final = struct.Struct("<i")
"""To a fork the child's process id, to `W` how it ended: an exit code, or a signal's number below zero."""

_ENDS_KEPT: Final = 64
_OWN: Final = 3
"""The descriptor of a child's socket, after input, output and errors, which lead nowhere."""


def main(descriptor: int) -> None:
    """Fork and kill as told until the socket ends."""
    control = socket.socket(fileno=descriptor)
    for ignored in (signal.SIGINT, signal.SIGTERM):
        # A Ctrl-C goes to the whole group; the api decides when we end.
        signal.signal(ignored, signal.SIG_IGN)
    _preload()
    children = _Children()
    while True:
        readable = select.select([control], [], [], 1.0)[0]
        children.bury()
        if not readable:
            continue
        kind, number, found = _command(control)
        if kind == b"":
            break
        if kind == b"K":
            children.kill(number)
        elif kind == b"W":
            control.sendall(ANSWER.pack(children.end_of(number)))
        elif found:
            control.sendall(ANSWER.pack(children.fork(control, found[0], strict=kind == b"S")))
    for child in tuple(children.living):
        children.kill(child)


def _preload() -> None:
    load_no_pandas()
    from arco.query import worker  # noqa: PLC0415  # loads the engine: only here

    worker.preload()
    # What is loaded stays: children neither look at it when they collect nor copy it because they did.
    gc.collect()
    gc.freeze()


def _command(control: socket.socket) -> tuple[bytes, int, list[int]]:
    found = array.array("i")
    data, ancillary, _, _ = control.recvmsg(COMMAND.size, socket.CMSG_SPACE(found.itemsize))
    for level, kind, carried in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(carried[: len(carried) - len(carried) % found.itemsize])
    if len(data) < COMMAND.size:
        return b"", 0, []
    told, number = COMMAND.unpack(data)
    return told, number, list(found)


class _Children:
    """The children that live, and how the last ones ended."""

    def __init__(self) -> None:
        self.living: set[int] = set()
        self._ends: OrderedDict[int, int] = OrderedDict()

    def fork(self, control: socket.socket, descriptor: int, *, strict: bool) -> int:
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                _become_a_child(control, descriptor, parent, strict=strict)
            finally:
                os._exit(1)
        os.close(descriptor)
        self.living.add(child)
        return child

    def kill(self, child: int) -> None:
        # Only what we have not buried: the number of a buried one may be anybody's.
        if child in self.living:
            os.kill(child, signal.SIGKILL)

    def end_of(self, child: int) -> int:
        """How a child whose socket has ended did end; one that only closed it is killed."""
        if child in self.living:
            os.kill(child, signal.SIGKILL)
            self._buried(*os.waitpid(child, 0))
        return self._ends.get(child, 0)

    def bury(self) -> None:
        while self.living:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            self._buried(child, status)

    def _buried(self, child: int, status: int) -> None:
        self.living.discard(child)
        self._ends[child] = os.waitstatus_to_exitcode(status)
        if len(self._ends) > _ENDS_KEPT:
            self._ends.popitem(last=False)


def _become_a_child(control: socket.socket, descriptor: int, parent: int, *, strict: bool) -> None:
    control.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    if descriptor != _OWN:
        os.dup2(descriptor, _OWN, inheritable=False)
    os.closerange(_OWN + 1, 4096)
    from arco.query import worker  # noqa: PLC0415  # loaded before the fork

    worker.serve(socket.socket(fileno=_OWN), parent, strict=strict)


if __name__ == "__main__":
    main(int(sys.argv[1]))
