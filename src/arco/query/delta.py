"""The latest version of a Delta table as a folder of this machine, within the limits of a query.

The log is read by delta-rs, which keeps every path it names below the table's folder; what is read is given by version,
so that the files checked here are the files queried later.
"""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from arco.core.errors import InvalidInput, NotFound
from arco.query.files import DataFiles, Spool

if TYPE_CHECKING:
    from deltalake import DeltaTable

_GONE: Final = "table location not found: {location}; its log names a file that is not there"

Spend = Callable[[str, int], None]
"""Counts a file's bytes against a query's limits."""


async def open_delta(key: str, location: str, reach: tuple[DataFiles, Spool], spend: Spend) -> tuple[str, int]:
    """The folder and the latest version of the Delta table at `key`. Raises `NotFound`, `InvalidInput`."""
    files, _ = reach
    if files.local_root is None:
        return await _copied(key, location, reach, spend)
    path = files.local_path(key)
    if path is None or not await asyncio.to_thread(os.path.isdir, os.path.join(path, "_delta_log")):
        raise NotFound(f"table location not found: {location}")
    table = await asyncio.to_thread(_open, path, location)
    for file, size_bytes in await asyncio.to_thread(_sizes, table, path, location):
        spend(file, size_bytes)
    return path, table.version()


async def _copied(key: str, location: str, reach: tuple[DataFiles, Spool], spend: Spend) -> tuple[str, int]:
    """Copy the log, see which files are live, copy those."""
    files, spool = reach
    below = {str(info.key): info.size_bytes for info in await files.list(key + "/")}
    log = [name for name in below if name.startswith(f"{key}/_delta_log/")]
    if not log:
        raise NotFound(f"table location not found: {location}")
    for name in log:
        spend(name, below[name])
    folder = spool.table_folder()
    await spool.copy(files, key, log, folder)
    table = await asyncio.to_thread(_open, str(folder), location)
    live = [f"{key}/{name}" for name in _live(table, str(folder), location)]
    for name in live:
        if name not in below:
            raise NotFound(_GONE.format(location=location))
        spend(name, below[name])
    await spool.copy(files, key, live, folder)
    return str(folder), table.version()


def _open(path: str, location: str) -> "DeltaTable":
    from deltalake import DeltaTable  # noqa: PLC0415  # only for Delta tables
    from deltalake.exceptions import DeltaError, TableNotFoundError  # noqa: PLC0415  # comes with the engine

    try:
        table = DeltaTable(path)
        # Refuses, for instance, deletion vectors and column mapping: better than rows that are not there.
        table.to_pyarrow_dataset()
    except TableNotFoundError:
        raise NotFound(f"table location not found: {location}") from None
    except (DeltaError, OSError, ValueError):
        raise InvalidInput(
            f"table cannot be read as Delta: {location}; its log is damaged or needs features that are not supported"
        ) from None
    return table


def _live(table: "DeltaTable", path: str, location: str) -> list[str]:
    """Names of the live data files, relative to the table's folder."""
    root = os.path.realpath(path)
    names = [os.path.relpath(file, root) for file in table.file_uris()]
    if any(name.startswith("..") or "://" in name for name in names):
        raise InvalidInput(f"table cannot be read as Delta: {location}; its log names files outside its folder")
    return names


def _sizes(table: "DeltaTable", path: str, location: str) -> list[tuple[str, int]]:
    found = []
    for name in _live(table, path, location):
        file = os.path.join(path, name)
        if not os.path.realpath(file).startswith(os.path.realpath(path) + os.sep) or not os.path.isfile(file):
            raise NotFound(_GONE.format(location=location))
        found.append((name, os.path.getsize(file)))
    return found
