"""What a sandbox child gives up before it meets a stranger's SQL: memory, time, files, sockets, new programs.

Limits of the operating system hold everywhere; on Linux (x86-64 and arm64) a system-call filter is added, after which
the process can compute, use the memory and the descriptors it was given, and make threads, but can open no file, make
no socket and start no program, whatever the engine is talked into. Where the kernel offers no filter the rest holds.
Source: abuse-cases A-25 to A-29; measurements.md 4 says what the engine's own memory limit does not count.
"""

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Any, Final

from arco.query.syscalls import ALLOWED, CLONE, CLONE3, LOOKS, MACHINES, OPENAT

HEADROOM_BYTES: Final = 128 * 1024 * 1024
"""Memory beyond the engine's pool: stacks, the rows being encoded, what the pool does not count."""

CPU_SPARE_S: Final = 2
"""Seconds of processor time beyond the wall time: a backstop, for the api kills at the deadline."""

PRIORITY: Final = 5
"""Added niceness: other routes are answered first when there are not processors for everybody."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 4, 38, 22
_SIGKILL: Final = 9
_CLONE_THREAD: Final = 0x10000
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FLAGS: Final = 32
"""Where the filter finds the third argument: the flags of `openat`."""

_X32_BIT: Final = 0x40000000
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def confine(parent: int, *, strict: bool = False) -> bool:
    """Give up what a child does not need, for good; True when the system-call filter holds too.

    `parent` is the process whose end is ours. With `strict` a forbidden call ends the process instead of failing, but
    for those that only read: for proving that there is none.
    """
    import resource  # noqa: PLC0415  # not everywhere

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):
        os.nice(PRIORITY)
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as first_to_go:
        first_to_go.write("1000")
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # the parent ended before it could be bound to
    return _filter(prctl, strict=strict)


class Allowance:
    """The memory and processor time of the queries of one child, set anew for each."""

    def __init__(self) -> None:
        self._data_bytes, self._size_bytes = _memory_now()

    def grant(self, memory_bytes: int, mapped_bytes: int, timeout_s: float) -> None:
        """Allow one query this much beyond what the idle process had; `mapped_bytes` are shared and only addressed."""
        import resource  # noqa: PLC0415  # not everywhere

        private = memory_bytes + HEADROOM_BYTES
        _soft(resource.RLIMIT_DATA, self._data_bytes + private)
        _soft(resource.RLIMIT_AS, self._size_bytes + 4 * private + mapped_bytes)
        used = resource.getrusage(resource.RUSAGE_SELF)
        _soft(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + 2 * timeout_s) + CPU_SPARE_S)


def _soft(kind: int, value: int) -> None:
    import resource  # noqa: PLC0415  # not everywhere

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _memory_now() -> tuple[int, int]:
    """Bytes of private data and of address space, before the filter closes the file that tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = [int(text) for text in file.read().split()]
    except OSError:
        return 1 << 40, 1 << 40
    page = os.sysconf("SC_PAGE_SIZE")
    return pages[5] * page, pages[0] * page


def _filter(prctl: Any, *, strict: bool) -> bool:
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return False
    code = _program(*machine, strict=strict)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    held = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.cast(held, ctypes.c_void_p))
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return int(prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0)) == 0


def _program(column: int, architecture: int, *, strict: bool) -> bytes:
    """The filter in the kernel's little language (it sees: call number, architecture, instruction, six arguments)."""

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    refused = _ERRNO | errno.EACCES
    refusal = _KILL if strict else refused
    load, equal, at_least, has_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    lines = [step(load, 4), step(equal, architecture, yes=1), step(answer, _KILL), step(load, 0)]
    # Numbers with this bit belong to another calling convention and mean other calls.
    lines += [step(at_least, _X32_BIT, no=1), step(answer, _KILL)]
    # The arguments of clone3 lie in memory, where no filter looks: libraries fall back to `clone` without it.
    lines += [step(equal, CLONE3[column], no=1), step(answer, _ERRNO | errno.ENOSYS)]
    lines += [step(equal, CLONE[column], no=4), step(load, 16), step(has_bit, _CLONE_THREAD, no=1)]
    lines += [step(answer, _ALLOW), step(answer, refusal)]
    # Strict or not: who opens for reading or looks at a path is told no, for libraries do both to learn of the machine.
    lines += [step(equal, OPENAT[column], no=4), step(load, _FLAGS), step(has_bit, _WRITES, yes=1)]
    lines += [step(answer, refused), step(answer, refusal)]
    for calls, verdict in ((ALLOWED, _ALLOW), (LOOKS, refused)):
        for number in (numbers[column] for numbers in calls.values()):
            if number is not None:
                lines += [step(equal, number, no=1), step(answer, verdict)]
    return b"".join([*lines, step(answer, refusal)])
