"""The system calls of the local store, one method each: the seam where a test cuts the power or fails a call.

Paths are absolute, names are relative to an open directory. Every method raises `OSError` and nothing else.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from typing import Final

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_DIRECTORY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_UNNAMED: Final[int | None] = getattr(os, "O_TMPFILE", None)
_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)
_OWN_FILES: Final = "/proc/self/fd"
_MODE: Final = 0o666
_NO_UNNAMED: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK})


class Disk:
    """The file system of this machine."""

    def __init__(self) -> None:
        self._unnamed = _UNNAMED is not None and os.path.isdir(_OWN_FILES)

    def stat(self, path: str) -> os.stat_result | None:
        """What is at `path`, links not followed; None when nothing is."""
        try:
            return os.stat(path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def stat_open(self, fd: int) -> os.stat_result:
        """What is known of an open file."""
        return os.fstat(fd)

    def open_file(self, path: str) -> int | None:
        """The file at `path`, for reading; None when there is none, or a link."""
        try:
            return os.open(path, _READ)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise

    def read(self, fd: int, start: int, count: int) -> bytes:
        """`count` bytes from `start`, fewer only at the end of the file."""
        body = os.pread(fd, count, start)
        if len(body) == count or not body:
            return body
        parts = [body]
        got = len(body)
        while got < count and (body := os.pread(fd, count - got, start + got)):
            parts.append(body)
            got += len(body)
        return b"".join(parts)

    def names(self, path: str) -> Sequence["os.DirEntry[str]"]:
        """The entries of a directory in any order; none when it does not exist."""
        try:
            with os.scandir(path) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def open_directory(self, path: str) -> int:
        """The directory at `path`."""
        return os.open(path, _DIRECTORY)

    def make_directory(self, path: str) -> bool:
        """Make one directory; False when a directory is there already."""
        try:
            os.mkdir(path)
        except FileExistsError:
            found = self.stat(path)
            if found is None or not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
            return False
        return True

    def create_unnamed(self, directory: int) -> int | None:
        """A file without a name, which vanishes with its process; None where the system has no such thing."""
        if not self._unnamed or _UNNAMED is None:
            return None
        try:
            return os.open(".", os.O_WRONLY | os.O_CLOEXEC | _UNNAMED, _MODE, dir_fd=directory)
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            self._unnamed = False
            return None

    def create_named(self, path: str) -> int:
        """A new file of this name; what a dead writer left there loses its name and keeps its bytes."""
        try:
            return os.open(path, _NEW, _MODE)
        except FileExistsError:
            # Never truncated: it may be the second name of an object.
            os.unlink(path)
            return os.open(path, _NEW, _MODE)

    def open_beside(self, path: str) -> int:
        """The file at `path`, made empty if it is missing: for locks and marks, never for objects."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)

    def write(self, fd: int, body: bytes) -> None:
        """Write all of `body`."""
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(fd, rest) :]

    def stamp(self, fd: int, modified_ns: int) -> None:
        """Set the modification time."""
        os.utime(fd, ns=(modified_ns, modified_ns))

    def sync(self, fd: int) -> None:
        """Make a file or the names of a directory durable."""
        if _FULL_SYNC is not None:
            with contextlib.suppress(OSError):
                # macOS: fsync stops at the drive's cache. Not every file system has the real one.
                fcntl.fcntl(fd, _FULL_SYNC)
                return
        os.fsync(fd)

    def link_unnamed(self, fd: int, directory: int, name: str) -> None:
        """Give an unnamed file its name, if the name is free."""
        # src_dir_fd is ignored for an absolute path, but only with it does CPython call linkat with
        # AT_SYMLINK_FOLLOW; plain link fails with EXDEV.
        os.link(f"{_OWN_FILES}/{fd}", name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=True)

    def link(self, path: str, directory: int, name: str) -> None:
        """Give the file at `path` a second name, if the name is free."""
        os.link(path, name, dst_dir_fd=directory, follow_symlinks=False)

    def rename(self, path: str, directory: int, name: str) -> None:
        """Move the file at `path` over whatever has the name."""
        os.rename(path, name, dst_dir_fd=directory)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def try_lock(self, fd: int) -> bool:
        """Lock an open file against every other opening of it; False when it is locked."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self, fd: int) -> None:
        """Close a file; a lock on it ends. Never fails: what had to be durable was synced before."""
        with contextlib.suppress(OSError):
            os.close(fd)
