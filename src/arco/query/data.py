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
from arco.core.paths import InvalidKey
from arco.core.scope import Scope
from arco.kernel.reading import Snapshot
from arco.query.delta import open_delta
from arco.query.files import DataFiles, Spool
from arco.query.guard import RelationName
from arco.query.session import DeltaRelation, ParquetRelation
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
        self, snapshot: Snapshot | None, names: Sequence[RelationName], scope: Scope, reach: tuple[DataFiles, Spool]
    ) -> tuple[ParquetRelation | DeltaRelation, ...]:
        """The named tables as files of this machine. Raises `InvalidInput` and `NotFound` as catalog.md 7.5 lists."""
        for name in names:
            if len(name.parts) != _NAME_PARTS:
                raise InvalidInput(
                    f"table references must be fully qualified as <catalog>.<schema>.<table>; got {name.text}"
                )
        if len(names) > SQL_DATA_TABLES_MAX:
            raise InvalidInput(f"query names {len(names)} tables, more than the limit of {SQL_DATA_TABLES_MAX}")
        places = [await self._place(snapshot, name, scope, reach[0]) for name in names]
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


async def _relation(
    place: _Place, table_format: str, reach: tuple[DataFiles, Spool], budget: _Budget
) -> ParquetRelation | DeltaRelation:
    if table_format == "parquet":
        return await _parquet(place, reach, budget)
    path, version = await open_delta(place.key, place.location, reach, budget.spend)
    return DeltaRelation(place.name, path, version)


async def _parquet(place: _Place, reach: tuple[DataFiles, Spool], budget: _Budget) -> ParquetRelation:
    files, spool = reach
    found, in_folder = await _parquet_files(place, files)
    for info in found:
        budget.spend(info.key, info.size_bytes)
    keys = [str(info.key) for info in found]
    base = place.key if in_folder else os.path.dirname(place.key)
    if files.local_root is None:
        folder = spool.table_folder()
        paths = await spool.copy(files, base, keys, folder)
        return ParquetRelation(place.name, paths, str(folder) if in_folder else None)
    paths = tuple(_local(files, key) for key in keys)
    return ParquetRelation(place.name, paths, files.local_path(base) if in_folder else None)


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


def _local(files: DataFiles, key: str) -> str:
    path = files.local_path(key)
    if path is None:
        raise NotFound(f"table location not found: {key}")
    return path
