"""Objects as plain files below a directory: durable, crash-safe, atomic across processes of one machine.

Guarantees what the port promises. A key is the path of its file and the file holds exactly the body, so that any
engine reads it. Names that begin with a dot are ours (`.locks`, `.tmp`); a key that is the directory of other keys is
refused; empty directories stay.

Relies on a POSIX file system that links, renames and locks atomically and keeps microsecond times; file names that
differ only in case or Unicode form are different keys only where the file system says so. Reads of small objects run
inline, in microseconds; what waits for the disk runs on threads; a taken lock is waited for on the event loop.
"""

import asyncio
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from arco.core.clock import Clock, SystemClock
from arco.core.entropy import Entropy, SystemEntropy
from arco.core.errors import invariant
from arco.core.paths import Key
from arco.storage.local_disk import Disk
from arco.storage.local_listing import walk
from arco.storage.local_locks import LockTaken
from arco.storage.local_writes import LocalWriter, version_of
from arco.storage.names import list_limit, list_prefix, object_key
from arco.storage.port import (
    Absent,
    DeleteOutcome,
    Matches,
    ObjectInfo,
    PutOutcome,
    StorageUnavailable,
    Stored,
    StoredObject,
    WriteRefused,
)

T = TypeVar("T")

WRITE_THREADS: Final = 16
"""Durable writes at once: where the rate of overlapping syncs peaks."""

READ_THREADS: Final = 4
"""Large reads and listings at once."""

INLINE_BYTES_MAX: Final = 256 * 1024
"""Reads up to this size run on the event loop: a thread hop costs more."""

LOCK_WAIT_MS_MAX: Final = 10_000
"""How long a key's lock is waited for: a stopped process may hold it, and callers have deadlines."""

LOCK_PAUSE_MS_MAX: Final = 8
"""The longest pause between two tries for a lock; the first pause is 1 ms."""

SETTLED_MAX: Final = 4_096
"""Objects whose durability is remembered."""


class _TooLarge:
    """The object is too large to be read on the event loop."""


class LocalStore:
    """An `ObjectStore` of the files below `root`, which is made by the first write."""

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._root = str(root.expanduser().resolve())
        self._clock = clock or SystemClock()
        self._disk = disk or Disk()
        self._writer = LocalWriter(self._root, self._disk, self._clock, entropy or SystemEntropy())
        self._writing = ThreadPoolExecutor(WRITE_THREADS, thread_name_prefix="arco-write")
        self._reading = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="arco-read")
        self._settled: dict[Key, str] = {}
        self._swept = False

    @property
    def root(self) -> Path:
        """The directory, absolute, links resolved."""
        return Path(self._root)

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None. Raises `StorageUnavailable`."""
        return await self._read(object_key(key), 0, None)

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped. Raises `StorageUnavailable`."""
        invariant(0 <= start <= end, "a range begins at or after 0 and does not end before it begins")
        return await self._read(object_key(key), start, end)

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None. Raises `StorageUnavailable`."""
        name = object_key(key)
        try:
            found = self._disk.stat(f"{self._root}/{name}")
        except OSError as error:
            raise _unavailable(name, error) from error
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        return ObjectInfo(name, version_of(found), found.st_size, found.st_mtime_ns // 1_000_000)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object durably if the condition holds. Raises `WriteRefused`."""
        name, copied, writer = object_key(key), bytes(body), self._writer
        if not self._swept:
            self._swept = True
            await self._on(self._writing, writer.sweep_temporary)
        if isinstance(when, Matches):
            expected = when.version
            outcome = await self._locked(name, lambda: writer.replace(name, copied, expected))
        else:
            outcome = await self._on(self._writing, lambda: writer.create(name, copied))
        if isinstance(outcome, Stored):
            self._remember(name, outcome.version)
        return outcome

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version. Raises `WriteRefused`."""
        name = object_key(key)
        return await self._locked(name, lambda: self._writer.delete(name, when.version))

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """Up to `limit` objects with this prefix and keys greater than `after`, in key order."""
        within, size = list_prefix(prefix), list_limit(limit)

        def page() -> list[ObjectInfo]:
            return list(islice(walk(self._disk, self._root, within, after), size))

        try:
            return await self._on(self._reading, page)
        except OSError as error:
            raise _unavailable(within, error) from error

    async def settle(self, key: Key) -> None:
        """Sync the way to the object this process sees, unless it knows it is durable. Raises `StorageUnavailable`."""
        name = object_key(key)
        seen = await self.head(name)
        if seen is not None and self._settled.get(name) == seen.version:
            return
        await self._on(self._writing, lambda: self._writer.settle(name))
        if seen is not None:
            self._remember(name, seen.version)

    def close(self) -> None:
        """Let running writes finish and accept no more."""
        for pool in (self._writing, self._reading):
            pool.shutdown(wait=True, cancel_futures=True)

    async def _read(self, key: Key, start: int, end: int | None) -> StoredObject | None:
        try:
            found = self._read_now(key, start, end, INLINE_BYTES_MAX)
            if not isinstance(found, _TooLarge):
                return found
            # Opened again on the thread: a cancelled caller must not leave it with a file that somebody closes.
            found = await self._on(self._reading, lambda: self._read_now(key, start, end, None))
        except OSError as error:
            raise _unavailable(key, error) from error
        invariant(not isinstance(found, _TooLarge), "a read without a limit is never too large")
        return found if isinstance(found, StoredObject) else None

    def _read_now(
        self, key: Key, start: int, end: int | None, bytes_max: int | None
    ) -> "StoredObject | _TooLarge | None":
        # A file never changes once it has its name, so what is open stays one version.
        fd = self._disk.open_file(f"{self._root}/{key}")
        if fd is None:
            return None
        try:
            found = self._disk.stat_open(fd)
            if not stat.S_ISREG(found.st_mode):
                return None
            first = min(start, found.st_size)
            count = (found.st_size if end is None else min(end, found.st_size)) - first
            if bytes_max is not None and count > bytes_max:
                return _TooLarge()
            return StoredObject(self._disk.read(fd, first, count), version_of(found))
        finally:
            self._disk.close(fd)

    def _remember(self, key: Key, version: str) -> None:
        if len(self._settled) >= SETTLED_MAX:
            self._settled.clear()
        self._settled[key] = version

    async def _locked(self, key: Key, work: Callable[[], T]) -> T:
        pause_ms, waited_ms = 1, 0
        while True:
            try:
                return await self._on(self._writing, work)
            except LockTaken:
                if waited_ms >= LOCK_WAIT_MS_MAX:
                    raise WriteRefused(f"{key}: its lock is held by another writer that does not end") from None
            await self._clock.sleep_ms(pause_ms)
            waited_ms += pause_ms
            pause_ms = min(pause_ms * 2, LOCK_PAUSE_MS_MAX)

    async def _on(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _unavailable(key: str, error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"{key}: {error.strerror}")
