"""A real disk that records its calls and fails those it is told to."""

import errno
import os

from arco.storage.local_disk import Disk


class FaultyDisk(Disk):
    """`calls` holds the names of the writing calls in order; `fail` makes one of them raise before it does anything."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._failing: dict[str, int] = {}
        self._directories: set[int] = set()

    def fail(self, call: str, code: int = errno.EIO) -> None:
        self._failing[call] = code

    def heal(self) -> None:
        self._failing.clear()

    def open_directory(self, path: str) -> int:
        fd = super().open_directory(path)
        self._directories.add(fd)
        return fd

    def make_directory(self, path: str) -> bool:
        self._called("make_directory")
        return super().make_directory(path)

    def create_unnamed(self, directory: int) -> int | None:
        self._called("open")
        fd = super().create_unnamed(directory)
        self._directories.discard(-1 if fd is None else fd)
        return fd

    def create_named(self, path: str) -> int:
        self._called("open")
        fd = super().create_named(path)
        self._directories.discard(fd)
        return fd

    def write(self, fd: int, body: bytes) -> None:
        self._called("write")
        super().write(fd, body)

    def stamp(self, fd: int, modified_ns: int) -> None:
        self._called("stamp")
        super().stamp(fd, modified_ns)

    def sync(self, fd: int) -> None:
        self._called("sync_directory" if fd in self._directories else "sync_file")
        super().sync(fd)

    def link_unnamed(self, fd: int, directory: int, name: str) -> None:
        self._called("link")
        super().link_unnamed(fd, directory, name)

    def link(self, path: str, directory: int, name: str) -> None:
        self._called("link")
        super().link(path, directory, name)

    def rename(self, path: str, directory: int, name: str) -> None:
        self._called("rename")
        super().rename(path, directory, name)

    def unlink(self, path: str) -> None:
        self._called("unlink")
        super().unlink(path)

    def close(self, fd: int) -> None:
        self._directories.discard(fd)
        super().close(fd)

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if call in self._failing:
            raise OSError(self._failing[call], os.strerror(self._failing[call]))


class NamedFilesOnly(FaultyDisk):
    """A file system without nameless files, as on macOS and on network shares."""

    def create_unnamed(self, directory: int) -> int | None:
        return None


class CoarseTimes(FaultyDisk):
    """A file system that keeps whole seconds."""

    def stamp(self, fd: int, modified_ns: int) -> None:
        super().stamp(fd, modified_ns // 1_000_000_000 * 1_000_000_000)


class RepeatingLinks(NamedFilesOnly):
    """A network file system that repeats a link whose answer was lost."""

    def link(self, path: str, directory: int, name: str) -> None:
        super().link(path, directory, name)
        super().link(path, directory, name)
