"""The process that children are forked from: `python -m arco.worker.nursery <descriptor> <mode> <target>...`.

It loads the user's code once, so that a child is there in milliseconds and shares its memory. Code that starts threads
while it is imported must not be forked: then it says so, and another nursery is started in `bare` mode, whose children
load the code for themselves. It ends, and all children with it, when its socket does. It never sees a secret of the
worker: those are taken out of its environment before it starts.
"""

import array
import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback
from typing import Final

from arco.worker import words
from arco.worker.child import Code, become_child, load_code

BARE: Final = "bare"
LOADING: Final = "loading"
_DESCRIPTORS: Final = 3


def main(descriptor: int, mode: str, targets: tuple[str, ...]) -> None:
    """Fork and signal as told until the socket ends."""
    control = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # a Ctrl-C goes to the whole group; the supervisor decides when we end
    code: Code | words.Broken | None = load_code(targets) if mode == LOADING else None
    if isinstance(code, words.Broken):
        words.send(control, code)
        return
    if _threads() > 1:
        words.send(control, words.Threaded())
        return
    nursery = _Nursery(control, code, targets)
    try:
        words.send(control, words.Loaded(tuple(code.assets) if code else ()))
        nursery.serve()
    except OSError:
        return  # the supervisor is gone, and takes our children with it as we end
    finally:
        nursery.end_all()


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        import threading  # noqa: PLC0415  # only where there is no /proc

        return threading.active_count()


class _Nursery:
    """The children that live."""

    def __init__(self, control: socket.socket, code: Code | None, targets: tuple[str, ...]) -> None:
        self._control = control
        self._code = code
        self._targets = targets
        self._living: set[int] = set()
        self._bell, wake = socket.socketpair()
        for end in (self._bell, wake):
            end.setblocking(False)
        self._wake = wake

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()  # what is there now is shared with all children, and counting references must not copy it
        while True:
            readable = select.select([self._control, self._bell], [], [])[0]
            if self._bell in readable:
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(4096)
            self._bury()
            if self._control in readable and not self._obey():
                return

    def end_all(self) -> None:
        for child in tuple(self._living):
            _signal(child, signal.SIGKILL, whole=True)

    def _obey(self) -> bool:
        """Carry out one command; False when there are no more."""
        try:
            found = array.array("i")
            first, ancillary, _, _ = self._control.recvmsg(
                words.HEADER.size, socket.CMSG_SPACE(_DESCRIPTORS * found.itemsize)
            )
        except OSError:
            return False
        for level, kind, carried in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(carried[: len(carried) - len(carried) % found.itemsize])
        if len(first) < words.HEADER.size:
            return False
        body = self._control.recv(words.HEADER.unpack(first)[0], socket.MSG_WAITALL)
        command = words.to_nursery.decode(body)
        if isinstance(command, words.Signal):
            if command.pid in self._living:  # only who is not buried: the number of a buried one may be anybody's
                _signal(command.pid, command.number, whole=command.whole)
        elif len(found) == _DESCRIPTORS:
            words.send(self._control, words.Forked(self._fork(list(found))))
        return True

    def _fork(self, descriptors: list[int]) -> int:
        parent = os.getpid()
        try:
            child = os.fork()
        except OSError:
            child = -1
        if child == 0:
            try:
                signal.set_wakeup_fd(-1)
                for mine in (self._control, self._bell, self._wake):
                    mine.close()
                become_child(descriptors, parent, self._code, self._targets)
                os._exit(0)
            except BaseException:  # noqa: BLE001  # a child never becomes a second nursery, whatever happens
                traceback.print_exc()
                os._exit(1)
        for descriptor in descriptors:
            os.close(descriptor)
        if child > 0:
            self._living.add(child)
        return max(child, 0)

    def _bury(self) -> None:
        while self._living:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            # What it started goes with it: nobody is left to watch over that.
            _signal(child, signal.SIGKILL, whole=True)
            self._living.discard(child)
            words.send(self._control, words.Ended(child, os.waitstatus_to_exitcode(status)))


def _signal(child: int, number: int, *, whole: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, number) if whole else os.kill(child, number)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], tuple(sys.argv[3:]))
