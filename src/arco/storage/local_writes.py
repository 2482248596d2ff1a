"""How the local store creates, replaces and deletes: blocking, run on threads, correct across processes.

An object is visible whole or not at all, and durable before its write is answered: its bytes are written and synced
under no name (or a hidden one), get their name in one step, and the directory is synced.

**Versions never return.** A version is inode number and modification time; the time is ours, not the kernel's:

- replacing and deleting, under the key's lock, first raise the *floor* of the key's stripe to the time of the object
  that goes (the floor is the modification time of a mark file that is never removed);
- creating and replacing take an inode first, then read the floor, then choose a greater time.

So a file that shares its inode number with an earlier object of the key got that number after the earlier object had
gone, hence has a greater time, whatever the clock did. Power cuts take the floor but also everybody who knew a
version. A reader pays one `fstat`, which it needs for the size anyway, and the bytes on disk are exactly the body.
Dropped: extended attributes (a second call per read, lost by copies, missing on some file systems) and ctime (coarse,
and changed by backups that link).
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from arco.core.clock import Clock
from arco.core.entropy import Entropy
from arco.core.paths import Key
from arco.storage.local_directories import DurableDirectories, SyncFailed
from arco.storage.local_disk import Disk
from arco.storage.local_locks import KeyLocks, stripe_of
from arco.storage.port import Deleted, DeleteOutcome, Lost, PutOutcome, StorageUnavailable, Stored, Unsure, WriteRefused

T = TypeVar("T")

LOCKS: Final = ".locks"
"""Below the root: lock files and floor marks."""

TEMPORARY: Final = ".tmp"
"""Below the root: bytes that wait for their name, where a file cannot be nameless."""

TEMPORARY_AGE_MS_MAX: Final = 24 * 60 * 60 * 1000
"""After this a temporary file's writer is taken to be dead; if it is not, its write is refused."""

_STEP_NS: Final = 1_000
"""Times are whole microseconds: kept by every file system we accept."""

_CERTAIN: Final = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMFILE,
        errno.EMLINK,
        errno.ENAMETOOLONG,
        errno.ENFILE,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
        errno.EXDEV,
    }
)  # fmt: skip  names read better in rows than in a column
"""Errors of link, rename and unlink after which the name surely did not change. After others nobody knows."""


def version_of(found: os.stat_result) -> str:
    """The version of the object that is this file."""
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}"


class _Undecided(Exception):
    """The step that gives or takes a name failed, and may have happened."""


class LocalWriter:
    """Writes objects below one root, an absolute path without links. Methods block; any thread may call them."""

    def __init__(self, root: str, disk: Disk, clock: Clock, entropy: Entropy) -> None:
        self._root = root
        self._disk = disk
        self._clock = clock
        self._entropy = entropy
        self._directories = DurableDirectories(disk, root)
        self._locks = KeyLocks(disk, f"{root}/{LOCKS}")

    def create(self, key: Key, body: bytes) -> PutOutcome:
        """Give `body` the name `key` if the name is free. Raises `WriteRefused`."""
        return self._attempt(key, None, lambda: self._create(key, body))

    def replace(self, key: Key, body: bytes, expected: str) -> PutOutcome:
        """Replace the object if it has this version. Raises `WriteRefused`, `LockTaken`."""
        return self._attempt(key, expected, lambda: self._if_matches(key, expected, lambda: self._replace(key, body)))

    def delete(self, key: Key, expected: str) -> DeleteOutcome:
        """Remove the object if it has this version. Raises `WriteRefused`, `LockTaken`."""
        return self._attempt(key, expected, lambda: self._if_matches(key, expected, lambda: self._delete(key)))

    def settle(self, key: Key) -> None:
        """Make the names of the key's directory, and the way to it, durable. Raises `StorageUnavailable`."""
        try:
            self._directories.check()
            if self._disk.stat(os.path.dirname(self._path(key))) is not None:
                with self._directory_of(key) as (directory, _):
                    self._directories.sync(directory)
        except OSError as error:
            raise StorageUnavailable(f"{key}: {error.strerror}") from error
        except SyncFailed as failed:
            raise StorageUnavailable(failed.cause) from failed

    def sweep_temporary(self) -> None:
        """Remove what writers that died left behind. What cannot be removed is left for the next time."""
        oldest_ms = self._clock.now_ms() - TEMPORARY_AGE_MS_MAX
        with contextlib.suppress(OSError):
            for entry in self._disk.names(f"{self._root}/{TEMPORARY}"):
                found = self._disk.stat(entry.path)
                if found is not None and found.st_mtime_ns // 1_000_000 < oldest_ms:
                    self._disk.unlink(entry.path)

    def _attempt(self, key: Key, expected: str | None, work: Callable[[], T]) -> T | Unsure:
        try:
            try:
                self._directories.check()
            except SyncFailed as failed:
                found = self._disk.stat(self._path(key))
                if (found and version_of(found)) == expected:
                    raise
                # What is there may be an earlier attempt of the caller, visible and perhaps not durable.
                return Unsure(failed.cause)
            return work()
        except _Undecided as undecided:
            return Unsure(f"{key}: {undecided}")
        except OSError as error:
            raise WriteRefused(f"{key}: {error.strerror}") from error
        except SyncFailed as failed:
            raise WriteRefused(failed.cause) from failed

    def _create(self, key: Key, body: bytes) -> PutOutcome:
        taken = self._disk.stat(self._path(key))
        if taken is not None:
            return Lost(_object_version(key, taken))
        with self._directory_of(key) as (directory, name), self._nameless(directory) as (fd, path):
            version = self._fill(fd, key, body)
            try:
                self._link(fd, path, directory, name)
            except FileExistsError:
                # A network file system may answer so to its own repetition of a link that worked.
                if self._disk.stat_open(fd).st_nlink < (1 if path is None else 2):
                    taken = self._disk.stat(self._path(key))
                    return Lost(None if taken is None else _object_version(key, taken))
            return self._synced(directory, Stored(version))

    def _if_matches(self, key: Key, expected: str, work: Callable[[], T]) -> T | Lost:
        # Without the lock first: versions never return, so a mismatch stays one, and losers do not queue.
        lost = self._mismatch(key, expected)
        if lost is not None:
            return lost
        self._directories.ensure(f"{self._root}/{LOCKS}")
        with self._locks.held(key):
            lost = self._mismatch(key, expected)
            return lost if lost is not None else work()

    def _replace(self, key: Key, body: bytes) -> PutOutcome:
        self._raise_floor(key)
        # One name per key, under the key's lock: a writer that died leaves one file, and the next one uses it up.
        path = self._temporary(f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.cas")
        fd = self._disk.create_named(path)
        try:
            version = self._fill(fd, key, body)
        finally:
            self._disk.close(fd)
        with self._directory_of(key) as (directory, name):
            with _naming():
                self._disk.rename(path, directory, name)
            return self._synced(directory, Stored(version))

    def _delete(self, key: Key) -> DeleteOutcome:
        self._raise_floor(key)
        with self._directory_of(key) as (directory, _):
            with _naming():
                self._disk.unlink(self._path(key))
            return self._synced(directory, Deleted())

    def _link(self, fd: int, path: str | None, directory: int, name: str) -> None:
        with _naming():
            if path is None:
                self._disk.link_unnamed(fd, directory, name)
            else:
                self._disk.link(path, directory, name)

    def _fill(self, fd: int, key: Key, body: bytes) -> str:
        self._disk.write(fd, body)
        floor = self._disk.stat(self._floor_path(key))
        least = (floor.st_mtime_ns if floor else 0) // _STEP_NS + 1
        stamp_ns = max(self._clock.now_ms() * 1_000_000 // _STEP_NS, least) * _STEP_NS
        self._disk.stamp(fd, stamp_ns)
        written = self._disk.stat_open(fd)
        if written.st_mtime_ns != stamp_ns:
            raise WriteRefused("the file system of the storage directory does not keep modification times to 1 µs")
        self._disk.sync(fd)
        return version_of(written)

    def _synced(self, directory: int, outcome: T) -> T | Unsure:
        try:
            self._directories.sync(directory)
        except SyncFailed as failed:
            return Unsure(failed.cause)
        return outcome

    def _mismatch(self, key: Key, expected: str) -> Lost | None:
        found = self._disk.stat(self._path(key))
        if found is None or not stat.S_ISREG(found.st_mode):
            return Lost(None)
        current = version_of(found)
        return None if current == expected else Lost(current)

    def _raise_floor(self, key: Key) -> None:
        going = self._disk.stat(self._path(key))
        mark = self._disk.stat(self._floor_path(key))
        if going is None or (mark is not None and mark.st_mtime_ns >= going.st_mtime_ns):
            return
        fd = self._disk.open_beside(self._floor_path(key))
        try:
            self._disk.stamp(fd, going.st_mtime_ns)
        finally:
            self._disk.close(fd)

    @contextmanager
    def _nameless(self, directory: int) -> Iterator[tuple[int, str | None]]:
        fd = self._disk.create_unnamed(directory)
        path = None
        if fd is None:
            path = self._temporary(f"{self._entropy.bytes(16).hex()}.new")
            fd = self._disk.create_named(path)
        try:
            yield fd, path
        finally:
            self._disk.close(fd)
            if path is not None:
                with contextlib.suppress(OSError):
                    self._disk.unlink(path)

    @contextmanager
    def _directory_of(self, key: Key) -> Iterator[tuple[int, str]]:
        parent, _, name = self._path(key).rpartition("/")
        directory = self._directories.open(parent)
        try:
            yield directory, name
        finally:
            self._disk.close(directory)

    def _temporary(self, name: str) -> str:
        self._directories.ensure(f"{self._root}/{TEMPORARY}")
        return f"{self._root}/{TEMPORARY}/{name}"

    def _floor_path(self, key: Key) -> str:
        return f"{self._root}/{LOCKS}/{stripe_of(key):02x}.floor"

    def _path(self, key: Key) -> str:
        return f"{self._root}/{key}"


def _object_version(key: Key, found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        raise WriteRefused(f"{key}: what has this name is no object but the directory of others, or a link")
    return version_of(found)


@contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _CERTAIN:
            raise
        raise _Undecided(str(error.strerror)) from error
