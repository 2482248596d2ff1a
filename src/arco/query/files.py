"""How the bytes of registered tables are reached: in place on this machine, or copied into memory for one query.

`DataFiles` is the port, `FolderFiles` and `StoreFiles` are its two forms. Keys are relative to the scope. Nothing here
looks into a file: what a stranger wrote is opened by a sandbox child only, which is handed descriptors, never names.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from arco.core.errors import InvalidInput, NotFound
from arco.core.paths import Key
from arco.query.shelf import SharedBytes
from arco.query.wire import Slice
from arco.storage.port import ObjectInfo, ObjectStore

LISTED_FILES_MAX: Final = 10_000
"""Files below one table's folder: beyond it a listing alone would take the query's time."""

_COPIES_AT_ONCE: Final = 8
_IN_PLACE_MAX: Final = 64
"""Files of this machine that one query has open; more are copied, for a process may have about a thousand."""

_ALIGNED: Final = 64
"""Where a file begins in a copy of many: Arrow reads aligned memory without copying it."""

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


class Handed:
    """Descriptors of data files for one sandbox child: files of this machine as they lie, others copied into memory."""

    def __init__(self) -> None:
        self._held: list[int | SharedBytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for held in self._held:
            if isinstance(held, int):
                os.close(held)
        self._held.clear()

    @property
    def descriptors(self) -> list[int]:
        """All of them, in the order slices count them."""
        return [held if isinstance(held, int) else held.descriptor for held in self._held]

    async def take(self, files: DataFiles, found: Sequence[tuple[str, ObjectInfo]]) -> tuple[Slice, ...]:
        """Slices of files, each under the name it is given. Raises `NotFound` when one is gone or has changed."""
        if files.local_root is not None and len(self._held) + len(found) <= _IN_PLACE_MAX:
            return tuple([await self._in_place(files, name, info) for name, info in found])
        return await self._copied(files, found)

    async def _in_place(self, files: DataFiles, name: str, info: ObjectInfo) -> Slice:
        opened = await asyncio.to_thread(_opened, files.local_path(str(info.key)))
        if opened is None:
            raise _gone(info)
        self._held.append(opened)
        return Slice(name, len(self._held) - 1, 0, info.size_bytes)

    async def _copied(self, files: DataFiles, found: Sequence[tuple[str, ObjectInfo]]) -> tuple[Slice, ...]:
        number, offset = len(self._held), 0
        slices: list[Slice] = []
        for name, info in found:
            slices.append(Slice(name, number, offset, info.size_bytes))
            offset += -(-info.size_bytes // _ALIGNED) * _ALIGNED
        shared = SharedBytes(offset)
        gate = asyncio.Semaphore(_COPIES_AT_ONCE)
        infos = [info for _, info in found]
        await asyncio.gather(
            *(_copy(files, info, (shared, one.offset), gate) for info, one in zip(infos, slices, strict=True))
        )
        self._held.append(shared.seal())
        return tuple(slices)


async def _copy(files: DataFiles, info: ObjectInfo, place: tuple[SharedBytes, int], gate: asyncio.Semaphore) -> None:
    async with gate:
        body = await files.read(str(info.key))
        # Another size than was counted against the limits: it was replaced meanwhile.
        if body is None or len(body) != info.size_bytes:
            raise _gone(info)
        shared, offset = place
        await asyncio.to_thread(shared.write, offset, body)


def _opened(path: str | None) -> int | None:
    try:
        return None if path is None else os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None


def _gone(info: ObjectInfo) -> NotFound:
    return NotFound(f"table location not found: {info.key}")
