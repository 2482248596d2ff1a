"""Locks by key, held against every other holder: threads of this process and other processes alike.

Replacing and deleting need them; creating, the hot path, does not. There is a fixed number of lock files, each shared
by many keys, and none is ever removed: a lock on a removed file would exclude nobody. A lock ends with its process.
A taken lock is not waited for here, so that no thread ever hangs on a process that was stopped.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from arco.storage.local_disk import Disk

STRIPES: Final = 256
"""Lock files of one store: enough that two busy keys rarely share one."""


class LockTaken(Exception):
    """Somebody else holds the lock of this key; nothing was done."""


def stripe_of(key: str) -> int:
    """Which lock file a key belongs to; the same in every process."""
    return zlib.crc32(key.encode()) % STRIPES


class KeyLocks:
    """The lock files of one directory, which exists before the first `held`."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Hold the lock of `key`. Raises `LockTaken`, `OSError`."""
        fd = self._disk.open_beside(f"{self._directory}/{stripe_of(key):02x}")
        try:
            if not self._disk.try_lock(fd):
                raise LockTaken
            yield
        finally:
            self._disk.close(fd)
