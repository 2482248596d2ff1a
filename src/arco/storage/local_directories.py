"""Directories that exist durably: made when missing, each name synced in its parent once per process.

A directory that another process just made is visible before it is durable, so existing is not enough: the first use
by this process syncs the parents, later uses cost nothing. After one failed sync none is believed any more: a second
sync may report success for names that the first one dropped.
"""

import os
from typing import Final

from arco.storage.local_disk import Disk

KNOWN_MAX: Final = 65_536
"""Directories remembered as durable; forgetting them costs a few syncs."""


class SyncFailed(Exception):
    """Names in a directory may not be durable, now or ever, as far as this process can tell."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class DurableDirectories:
    """The directories at and below one root, an absolute path."""

    def __init__(self, disk: Disk, root: str) -> None:
        self._disk = disk
        self._root = root
        self._known: set[str] = set()
        self._damage: str | None = None

    def check(self) -> None:
        """Raise `SyncFailed` when a sync failed before."""
        if self._damage is not None:
            raise SyncFailed(self._damage)

    def sync(self, fd: int) -> None:
        """Make the names in an open directory durable. Raises `SyncFailed`."""
        self.check()
        try:
            self._disk.sync(fd)
        except OSError as error:
            self._damage = f"syncing a directory failed ({error.strerror}); restart when the disk is healthy"
            raise SyncFailed(self._damage) from error

    def open(self, path: str) -> int:
        """The open directory at `path`, at or below the root; made if missing. Raises `OSError`, `SyncFailed`."""
        if path in self._known:
            try:
                return self._disk.open_directory(path)
            except FileNotFoundError:
                # Somebody removed the tree under a running process.
                self._known.clear()
        self.ensure(path)
        return self._disk.open_directory(path)

    def ensure(self, path: str) -> None:
        """Let `path` exist durably; a link or a file in its place is refused. Raises `OSError`, `SyncFailed`."""
        if path in self._known:
            return
        if path == self._root:
            self._ensure_root()
        else:
            parent = os.path.dirname(path)
            self.ensure(parent)
            self._disk.make_directory(path)
            self._sync_path(parent)
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known.add(path)

    def _ensure_root(self) -> None:
        missing: list[str] = []
        path = self._root
        while self._disk.stat(path) is None:
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            self._disk.make_directory(path)
            self._sync_path(os.path.dirname(path))
        if not missing:
            try:
                self._sync_path(os.path.dirname(self._root))
            except PermissionError:
                # An operator made the root inside a directory that this process may not read.
                return

    def _sync_path(self, path: str) -> None:
        fd = self._disk.open_directory(path)
        try:
            self.sync(fd)
        finally:
            self._disk.close(fd)
