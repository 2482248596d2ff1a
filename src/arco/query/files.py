"""How the bytes of registered tables are reached: in place on this machine, or copied here for one query.

`DataFiles` is the port, `FolderFiles` and `StoreFiles` are its two forms. Keys are relative to the scope. Nothing here
writes to a store: copies go to a private temporary folder that is gone when the query is.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Protocol, Self

from arco.core.errors import InvalidInput, NotFound
from arco.core.paths import Key
from arco.storage.port import ObjectInfo, ObjectStore

LISTED_FILES_MAX: Final = 10_000
"""Files below one table's folder: beyond it a listing alone would take the query's time."""

_COPIES_AT_ONCE: Final = 8
_PAGE: Final = 1_000


class DataFiles(Protocol):
    """The files of one scope that registered tables may lie in."""

    @property
    def local_root(self) -> str | None:
        """The folder of this machine that holds the scope's files, or None when they are not on this machine."""
        ...

    async def info(self, key: str) -> ObjectInfo | None:
        """What is known of a file, or None when there is none."""
        ...

    async def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """All files below `prefix`, in key order. Raises `InvalidInput` beyond `LISTED_FILES_MAX`."""
        ...

    def local_path(self, key: str) -> str | None:
        """Where the file or folder lies on this machine, or None; never outside the scope's folder."""
        ...

    async def read(self, key: str) -> bytes | None:
        """The bytes of a file, or None when there is none."""
        ...


class FolderFiles:
    """`DataFiles` over a folder of this machine: files are read where they lie, links out of it are not followed."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)

    @property
    def local_root(self) -> str | None:
        return self._root

    async def info(self, key: str) -> ObjectInfo | None:
        return await asyncio.to_thread(self._info, key)

    async def list(self, prefix: str) -> Sequence[ObjectInfo]:
        return await asyncio.to_thread(self._walk, prefix)

    def local_path(self, key: str) -> str | None:
        path = os.path.realpath(os.path.join(self._root, key))
        return path if path.startswith(self._root + os.sep) else None

    async def read(self, key: str) -> bytes | None:
        path = self.local_path(key)
        return None if path is None else await asyncio.to_thread(_bytes, path)

    def _info(self, key: str) -> ObjectInfo | None:
        path = self.local_path(key)
        if path is None or not os.path.isfile(path):
            return None
        seen = os.stat(path)
        return ObjectInfo(Key(key), str(seen.st_mtime_ns), seen.st_size, seen.st_mtime_ns // 1_000_000)

    def _walk(self, prefix: str) -> Sequence[ObjectInfo]:
        keys: list[str] = []
        for folder, _, names in os.walk(os.path.join(self._root, prefix)):
            below = os.path.relpath(folder, self._root)
            keys.extend(f"{below}/{name}" for name in names)
            _check_count(len(keys), prefix)
        return [info for key in sorted(keys) if (info := self._info(key)) is not None]


class StoreFiles:
    """`DataFiles` over the store of one scope, wherever it is; files are copied here for the time of a query."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @property
    def local_root(self) -> str | None:
        return None

    async def info(self, key: str) -> ObjectInfo | None:
        return await self._store.head(Key(key))

    async def list(self, prefix: str) -> Sequence[ObjectInfo]:
        found: list[ObjectInfo] = []
        while True:
            page = await self._store.list_page(prefix, after=found[-1].key if found else "", limit=_PAGE)
            found.extend(page)
            _check_count(len(found), prefix)
            if len(page) < _PAGE:
                return found

    def local_path(self, key: str) -> str | None:
        return None

    async def read(self, key: str) -> bytes | None:
        found = await self._store.get(Key(key))
        return None if found is None else found.body


def _check_count(count: int, prefix: str) -> None:
    if count > LISTED_FILES_MAX:
        raise InvalidInput(f"table location holds more than {LISTED_FILES_MAX} files: {prefix}")


def _bytes(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None


class Spool:
    """A private folder for copies of remote files; made when the first copy comes, removed at the end."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._tables = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def table_folder(self) -> Path:
        """A new empty folder for one table."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="arco-query-", ignore_cleanup_errors=True)
        self._tables += 1
        folder = Path(self._folder.name) / str(self._tables)
        folder.mkdir()
        return folder

    async def copy(self, files: DataFiles, base: str, keys: Sequence[str], folder: Path) -> tuple[str, ...]:
        """Copy files below `base` into `folder`; their new paths, in order. Raises `NotFound` when one is gone."""
        gate = asyncio.Semaphore(_COPIES_AT_ONCE)
        targets = [folder / key[len(base) :].strip("/") for key in keys]
        copies = [_copy(files, key, target, gate) for key, target in zip(keys, targets, strict=True)]
        return tuple(await asyncio.gather(*copies))


async def _copy(files: DataFiles, key: str, target: Path, gate: asyncio.Semaphore) -> str:
    async with gate:
        body = await files.read(key)
        if body is None:
            raise NotFound(f"table location not found: {key}")
        await asyncio.to_thread(_write, target, body)
    return str(target)


def _write(target: Path, body: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(body)
