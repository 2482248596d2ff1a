"""A disk in memory whose power can be cut: what was not synced may be lost, in any combination a kernel allows.

Bytes and times of a file are durable once the file is synced; a name (made, moved, removed) is durable once its
directory is. At the cut every directory keeps its synced names and any *subset* of what happened to it since, and a
file that was not synced holds any prefix of its bytes, or zeros: worse than every journalling file system in use.
"""

import errno
import os
import random
import stat
import threading
from collections.abc import Sequence
from typing import Any

from arco.storage.local_disk import Disk


class Inode:
    """A file or a directory."""

    def __init__(self, number: int, mode: int) -> None:
        self.number = number
        self.mode = mode
        self.data = b""
        self.modified_ns = 0
        self.synced: tuple[bytes, int] | None = None
        self.names: dict[str, Inode] = {}
        self.synced_names: dict[str, Inode] = {}
        self.since_sync: list[tuple[str, Inode | None]] = []
        self.locked_by: int | None = None

    def name(self, name: str, inode: "Inode | None") -> None:
        """Give or take a name, not durably."""
        if inode is None:
            del self.names[name]
        else:
            self.names[name] = inode
        self.since_sync.append((name, inode))


class _Entry:
    def __init__(self, path: str, name: str, inode: Inode) -> None:
        self.path = path
        self.name = name
        self._directory = stat.S_ISDIR(inode.mode)

    def is_symlink(self) -> bool:
        return False

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        assert not follow_symlinks
        return self._directory


class CutDisk(Disk):
    """A disk whose power goes at its `calls_left`-th call from now (never when None)."""

    def __init__(self, *, unnamed: bool = True, calls_left: int | None = None) -> None:
        super().__init__()
        self._unnamed = unnamed
        self.calls_left = calls_left
        self.dead = False
        self._lock = threading.RLock()
        self._count = 1
        self._open: dict[int, Inode] = {}
        self._fds = 100
        self.root = self._new(stat.S_IFDIR | 0o777)

    # --- the cut ------------------------------------------------------------------------------------------------------

    def cut(self, chance: random.Random) -> "CutDisk":
        """The disk as the next boot finds it; this one answers nobody any more."""
        with self._lock:
            self.dead = True
            after = CutDisk(unnamed=self._unnamed)
            after._count = self._count  # inode numbers go on
            after.root = self._survivor(self.root, chance, {})
            return after

    def _survivor(self, inode: Inode, chance: random.Random, done: dict[int, Inode]) -> Inode:
        if inode.number in done:
            return done[inode.number]
        kept = Inode(inode.number, inode.mode)
        done[inode.number] = kept
        if not stat.S_ISDIR(inode.mode):
            kept.data, kept.modified_ns = inode.synced or self._torn(inode, chance)
            kept.synced = (kept.data, kept.modified_ns)
            return kept
        names = dict(inode.synced_names)
        for name, change in inode.since_sync:
            if chance.random() < 0.5:
                continue
            if change is None:
                names.pop(name, None)
            else:
                names[name] = change
        kept.names = {name: self._survivor(child, chance, done) for name, child in names.items()}
        kept.synced_names = dict(kept.names)
        return kept

    def _torn(self, inode: Inode, chance: random.Random) -> tuple[bytes, int]:
        length = chance.randint(0, len(inode.data))
        return chance.choice((inode.data[:length], bytes(length))), inode.modified_ns

    def _tick(self) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left <= 0:
                self.dead = True
        if self.dead:
            raise OSError(errno.EIO, "the power is off")

    # --- the calls ----------------------------------------------------------------------------------------------------

    def _new(self, mode: int) -> Inode:
        self._count += 1
        return Inode(self._count, mode)

    def _find(self, path: str) -> Inode | None:
        inode: Inode | None = self.root
        for name in path.strip("/").split("/"):
            inode = inode.names.get(name) if inode is not None and name else inode
        return inode

    def _parent(self, path: str) -> tuple[Inode, str]:
        parent, _, name = path.rpartition("/")
        found = self._find(parent)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such directory", path)
        return found, name

    def _opened(self, inode: Inode) -> int:
        self._fds += 1
        self._open[self._fds] = inode
        return self._fds

    def _stat(self, inode: Inode) -> os.stat_result:
        times: Any = {"st_mtime_ns": inode.modified_ns}
        return os.stat_result((inode.mode, inode.number, 0, 1, 0, 0, len(inode.data), 0, 0, 0), times)

    def stat(self, path: str) -> os.stat_result | None:
        with self._lock:
            self._tick()
            inode = self._find(path)
            return None if inode is None else self._stat(inode)

    def stat_open(self, fd: int) -> os.stat_result:
        with self._lock:
            self._tick()
            return self._stat(self._open[fd])

    def open_file(self, path: str) -> int | None:
        with self._lock:
            self._tick()
            inode = self._find(path)
            return None if inode is None else self._opened(inode)

    def read(self, fd: int, start: int, count: int) -> bytes:
        with self._lock:
            self._tick()
            return self._open[fd].data[start : start + count]

    def names(self, path: str) -> Sequence["os.DirEntry[str]"]:
        with self._lock:
            self._tick()
            inode = self._find(path)
            found: Any = [_Entry(f"{path}/{name}", name, one) for name, one in (inode.names if inode else {}).items()]
            return found

    def open_directory(self, path: str) -> int:
        with self._lock:
            self._tick()
            inode = self._find(path)
            if inode is None:
                raise FileNotFoundError(errno.ENOENT, "no such directory", path)
            return self._opened(inode)

    def make_directory(self, path: str) -> bool:
        with self._lock:
            self._tick()
            parent, name = self._parent(path)
            if name in parent.names:
                return False
            parent.name(name, self._new(stat.S_IFDIR | 0o777))
            return True

    def create_unnamed(self, directory: int) -> int | None:
        with self._lock:
            self._tick()
            return self._opened(self._new(stat.S_IFREG | 0o666)) if self._unnamed else None

    def create_named(self, path: str) -> int:
        with self._lock:
            self._tick()
            parent, name = self._parent(path)
            inode = self._new(stat.S_IFREG | 0o666)
            parent.name(name, inode)
            return self._opened(inode)

    def open_beside(self, path: str) -> int:
        with self._lock:
            self._tick()
            parent, name = self._parent(path)
            if name not in parent.names:
                parent.name(name, self._new(stat.S_IFREG | 0o666))
            return self._opened(parent.names[name])

    def write(self, fd: int, body: bytes) -> None:
        with self._lock:
            self._tick()
            self._open[fd].data += bytes(body)
            self._open[fd].synced = None

    def stamp(self, fd: int, modified_ns: int) -> None:
        with self._lock:
            self._tick()
            self._open[fd].modified_ns = modified_ns

    def sync(self, fd: int) -> None:
        with self._lock:
            self._tick()
            inode = self._open[fd]
            inode.synced = (inode.data, inode.modified_ns)
            inode.synced_names = dict(inode.names)
            inode.since_sync = []

    def link_unnamed(self, fd: int, directory: int, name: str) -> None:
        with self._lock:
            self._tick()
            self._link(self._open[fd], self._open[directory], name)

    def link(self, path: str, directory: int, name: str) -> None:
        with self._lock:
            self._tick()
            inode = self._find(path)
            assert inode is not None
            self._link(inode, self._open[directory], name)

    def _link(self, inode: Inode, directory: Inode, name: str) -> None:
        if name in directory.names:
            raise FileExistsError(errno.EEXIST, "the name is taken", name)
        directory.name(name, inode)

    def rename(self, path: str, directory: int, name: str) -> None:
        with self._lock:
            self._tick()
            parent, old = self._parent(path)
            inode = parent.names[old]
            parent.name(old, None)
            self._open[directory].name(name, inode)

    def unlink(self, path: str) -> None:
        with self._lock:
            self._tick()
            parent, name = self._parent(path)
            if name not in parent.names:
                raise FileNotFoundError(errno.ENOENT, "no such file", path)
            parent.name(name, None)

    def try_lock(self, fd: int) -> bool:
        with self._lock:
            self._tick()
            inode = self._open[fd]
            if inode.locked_by is not None:
                return False
            inode.locked_by = fd
            return True

    def close(self, fd: int) -> None:
        with self._lock:
            inode = self._open.pop(fd, None)
            if inode is not None and inode.locked_by == fd:
                inode.locked_by = None


class NoDirectorySync(CutDisk):
    """A defect: the names of directories are never synced."""

    def sync(self, fd: int) -> None:
        with self._lock:
            if stat.S_ISDIR(self._open[fd].mode):
                self._tick()
                return
        super().sync(fd)


class NoFileSync(CutDisk):
    """A defect: files get their name before their bytes are durable."""

    def sync(self, fd: int) -> None:
        with self._lock:
            if stat.S_ISREG(self._open[fd].mode):
                self._tick()
                return
        super().sync(fd)


class HeldSync(CutDisk):
    """The next sync of a directory by a writer is held up in the middle, the name being visible already."""

    def __init__(self) -> None:
        super().__init__()
        self.hold_next = False
        self.is_held = threading.Event()
        self.release = threading.Event()

    def sync(self, fd: int) -> None:
        with self._lock:
            held = self.hold_next and stat.S_ISDIR(self._open[fd].mode)
            self.hold_next = self.hold_next and not held
        if held:
            self.is_held.set()
            self.release.wait(20)
        super().sync(fd)
