"""The relations of `POST /query-data`: registered Parquet and Delta tables, and the checks before they are read.

A location may only lead into the scope it is registered in, and never into the control plane's own folders, which hold
what no query may see. Sources: catalog.md 7.5, compatibility.md (Parquet folders and Delta beside single files).
"""

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from arco.core.errors import InvalidInput, NotFound
from arco.core.limits import SQL_DATA_FILE_BYTES_MAX, SQL_DATA_TABLES_MAX, SQL_DATA_TOTAL_BYTES_MAX
from arco.core.paths import InvalidKey, Key
from arco.core.scope import Scope
from arco.kernel.reading import Snapshot
from arco.query.delta_names import LOG_FOLDER, telling
from arco.query.files import LISTED_FILES_MAX, DataFiles, Handed
from arco.query.wire import DeltaRelation, ParquetRelation, RelationName, Slice
from arco.storage.names import object_key
from arco.storage.port import ObjectInfo

READABLE_FORMATS: Final = ("parquet", "delta")
CONTROL_FOLDERS: Final = frozenset(
    {
        *("manifests", "ledger", "snapshots", "state", "commits", "locks", "quarantine", "sequence", "transactions"),
        *("_catalog", "__arco", "retention", "definitions", "delta"),
    }
)
"""Families of catalog.md 2.2 that no registered table may lie in (`delta/` is the commit coordinator's)."""

_NAME_PARTS: Final = 3
_ASKED_SINGLY_MAX: Final = 64
_FOLDER: Final = "table"
"""What a child knows a table's folder as; `key=value` folders below it are columns."""

_URI_REFUSED: Final = "query-data currently supports only scoped paths (not URI locations)"


class RegisteredTable(Protocol):
    """What a catalog row tells of a table's data."""

    @property
    def format(self) -> str | None:
        """`parquet`, `delta`, `iceberg`, or None in rows older than the field."""
        ...

    @property
    def location(self) -> str | None:
        """Where the data lies, as it was registered."""
        ...


Resolve = Callable[[Snapshot, str, str, str], Awaitable[RegisteredTable | None]]
"""Finds a table by catalog, schema and name (exact case), or None."""


ReadLog = Callable[[str, tuple[Slice, ...]], Awaitable[Sequence[str]]]
"""Asks a sandbox child for the live files of the table at a location, from its log."""


class Reach(NamedTuple):
    """The files of a scope, the descriptors collected for a child, and the child that reads logs."""

    files: DataFiles
    handed: Handed
    read_log: ReadLog


class _Place(NamedTuple):
    """A table to load: its name, its location as people wrote it, and the key it stands for."""

    name: RelationName
    location: str
    key: str


class _Budget:
    """Bytes of data files: each file, and all of one query."""

    def __init__(self) -> None:
        self._total = 0

    def spend(self, file: str, size_bytes: int) -> None:
        """Count a file. Raises `InvalidInput` when it, or all of them, are too large."""
        if size_bytes > SQL_DATA_FILE_BYTES_MAX:
            raise InvalidInput(f"data file exceeds max size ({SQL_DATA_FILE_BYTES_MAX} bytes): {file}")
        self._total += size_bytes
        if self._total > SQL_DATA_TOTAL_BYTES_MAX:
            raise InvalidInput(f"data files of one query exceed max total size ({SQL_DATA_TOTAL_BYTES_MAX} bytes)")


class DataRelations:
    """Finds and checks what a `POST /query-data` statement names."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    async def load(
        self, snapshot: Snapshot | None, names: Sequence[RelationName], scope: Scope, reach: Reach
    ) -> tuple[ParquetRelation | DeltaRelation, ...]:
        """The named tables as slices of files. Raises `InvalidInput` and `NotFound` as catalog.md 7.5 lists."""
        for name in names:
            if len(name.parts) != _NAME_PARTS:
                raise InvalidInput(
                    f"table references must be fully qualified as <catalog>.<schema>.<table>; got {name.text}"
                )
        if len(names) > SQL_DATA_TABLES_MAX:
            raise InvalidInput(f"query names {len(names)} tables, more than the limit of {SQL_DATA_TABLES_MAX}")
        places = [await self._place(snapshot, name, scope, reach.files) for name in names]
        budget = _Budget()
        return tuple([await _relation(place, table_format, reach, budget) for place, table_format in places])

    async def _place(
        self, snapshot: Snapshot | None, name: RelationName, scope: Scope, files: DataFiles
    ) -> tuple[_Place, str]:
        row = None if snapshot is None else await self._resolve(snapshot, name.catalog, name.schema, name.table)
        if row is None:
            raise NotFound(f"table not found: {name.text}")
        if row.format not in READABLE_FORMATS:
            got = f"{name.text} ({json.dumps(row.format)})"
            raise InvalidInput(f"query-data currently supports only parquet and delta tables; got {got}")
        location = (row.location or "").strip()
        if not location:
            raise InvalidInput(f"table has no location: {name.text}")
        return _Place(name, location, scoped_key(location, scope, files.local_root)), row.format


def scoped_key(location: str, scope: Scope, local_root: str | None) -> str:
    """The scope-relative key of a location. Raises `InvalidInput` unless it is data of the scope (catalog.md 7.5)."""
    path = _file_path(location, local_root) if location.lower().startswith("file:") else location
    if "://" in path:
        raise InvalidInput(_URI_REFUSED)
    path = path.removeprefix(scope.prefix)
    if path.startswith("tenant="):
        raise InvalidInput("scoped location must match the request tenant/workspace")
    try:
        key = str(object_key(path.removesuffix("/")))
    except InvalidKey as error:
        raise InvalidInput(f"table location is not a scoped path: {error.reason}") from None
    if key.partition("/")[0] in CONTROL_FOLDERS:
        raise InvalidInput(f"table location lies in a folder of the control plane: {key.partition('/')[0]}/")
    return key


def _file_path(location: str, local_root: str | None) -> str:
    """The path of a `file://` location relative to the scope's folder on this machine."""
    split = urlsplit(location)
    path = os.path.normpath(unquote(split.path))
    if local_root is None or split.netloc not in ("", "localhost") or split.query or split.fragment:
        raise InvalidInput(_URI_REFUSED)
    if not path.startswith(local_root + os.sep):
        raise InvalidInput(_URI_REFUSED)
    return path[len(local_root) + 1 :]


async def _relation(place: _Place, table_format: str, reach: Reach, budget: _Budget) -> ParquetRelation | DeltaRelation:
    return await (_parquet if table_format == "parquet" else _delta)(place, reach, budget)


async def _parquet(place: _Place, reach: Reach, budget: _Budget) -> ParquetRelation:
    found, in_folder = await _parquet_files(place, reach.files)
    for info in found:
        budget.spend(info.key, info.size_bytes)
    if not in_folder:
        return ParquetRelation(place.name, await reach.handed.take(reach.files, [("file.parquet", found[0])]), None)
    named = [(f"{_FOLDER}/{info.key[len(place.key) + 1 :]}", info) for info in found]
    return ParquetRelation(place.name, await reach.handed.take(reach.files, named), _FOLDER)


async def _delta(place: _Place, reach: Reach, budget: _Budget) -> DeltaRelation:
    """The latest version of a Delta table: its log is read by a child, its live files are found and handed over."""
    folder = f"{place.key}/{LOG_FOLDER}"
    log = {info.key[len(folder) :]: info for info in await reach.files.list(folder)}
    names = telling(log)
    if not names:
        raise NotFound(f"table location not found: {place.location}")
    for name in names:
        budget.spend(log[name].key, log[name].size_bytes)
    slices = await reach.handed.take(reach.files, [(name, log[name]) for name in names])
    live = await _live_files(place, await reach.read_log(place.location, slices), reach.files)
    for _, info in live:
        budget.spend(info.key, info.size_bytes)
    return DeltaRelation(place.name, place.location, slices, await reach.handed.take(reach.files, live))


async def _live_files(place: _Place, paths: Sequence[str], files: DataFiles) -> list[tuple[str, ObjectInfo]]:
    if len(paths) > LISTED_FILES_MAX:
        raise InvalidInput(f"table holds more than {LISTED_FILES_MAX} files: {place.location}")
    for path in paths:
        # The child that read the log saw to this too; but it met a stranger's bytes, and we did not.
        if path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise InvalidInput(
                f"table cannot be read as Delta: {place.location}; its log names files outside its folder"
            )
    if len(paths) <= _ASKED_SINGLY_MAX:
        infos = [await files.info(f"{place.key}/{path}") for path in paths]
    else:
        below = {info.key: info for info in await files.list(place.key + "/")}
        infos = [below.get(Key(f"{place.key}/{path}")) for path in paths]
    found = [(path, info) for path, info in zip(paths, infos, strict=True) if info is not None]
    if len(found) < len(paths):
        raise NotFound(f"table location not found: {place.location}; its log names a file that is not there")
    return found


async def _parquet_files(place: _Place, files: DataFiles) -> tuple[list[ObjectInfo], bool]:
    """The data files of a location, and whether it is a folder."""
    if place.key.endswith(".parquet"):
        single = await files.info(place.key)
        if single is not None:
            return [single], False
    below = await files.list(place.key + "/")
    if not below:
        raise NotFound(f"table location not found: {place.location}")
    names = [str(info.key)[len(place.key) + 1 :] for info in below]
    if any(name.startswith("_delta_log/") for name in names):
        raise InvalidInput(f"table is registered as parquet but its location holds a Delta table: {place.name.text}")
    found = [info for info, name in zip(below, names, strict=True) if _is_data(name)]
    if not found:
        raise InvalidInput(f"table location holds no .parquet file: {place.location}")
    return found, True


def _is_data(name: str) -> bool:
    # Names that begin with "_" or "." are other tools' logs, markers and unfinished files.
    return name.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in name.split("/"))
