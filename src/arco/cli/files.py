"""Columns and format of a table read from its own files: Parquet footers and Delta logs on the local disk."""

from pathlib import Path
from typing import TYPE_CHECKING

from arco.clients.columns import Column, arrow_columns
from arco.core.errors import ArcoError

if TYPE_CHECKING:
    import pyarrow as pa


class UnreadableFiles(ArcoError):
    """Nothing can be learnt from these files."""


def local_format(path: Path) -> str:
    """The table format of a local file or directory. Raises `UnreadableFiles`."""
    if (path / "_delta_log").is_dir():
        return "delta"
    if (path / "metadata").is_dir() and any((path / "metadata").glob("*.metadata.json")):
        return "iceberg"
    if path.is_file() or first_parquet(path) is not None:
        return "parquet"
    raise UnreadableFiles(f"there is no Parquet file below {path}")


def local_columns(path: Path, table_format: str) -> list[Column]:
    """The columns of a local table, read from its files. Raises `UnreadableFiles`."""
    import pyarrow as pa  # noqa: PLC0415  # Arrow takes 0.15 s; failures of any command load this module

    if table_format == "iceberg":
        raise UnreadableFiles("the columns of Iceberg tables are not read from local files")
    try:
        schema = _delta_schema(path) if table_format == "delta" else _parquet_schema(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UnreadableFiles(f"{path} cannot be read as {table_format}: {reason}") from error
    return arrow_columns(schema)


def first_parquet(directory: Path) -> Path | None:
    """The first Parquet file below a directory in name order; names that start with `_` or `.` do not count."""
    found = (
        file
        for file in directory.rglob("*.parquet")
        if not any(part.startswith(("_", ".")) for part in file.relative_to(directory).parts)
    )
    return min(found, default=None)


def _parquet_schema(path: Path) -> "pa.Schema":
    import pyarrow.parquet as pq  # noqa: PLC0415  # Arrow takes 0.15 s; failures of any command load this module

    file = path if path.is_file() else first_parquet(path)
    if file is None:
        raise FileNotFoundError(f"no Parquet file below {path}")
    return pq.read_schema(file)


def _delta_schema(path: Path) -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415  # Arrow takes 0.15 s; failures of any command load this module
    from deltalake import DeltaTable  # noqa: PLC0415  # 0.1 s that tables of plain Parquet do without
    from deltalake.exceptions import DeltaError  # noqa: PLC0415  # comes with the line above

    try:
        return pa.schema(DeltaTable(path).schema().to_arrow())
    except DeltaError as error:
        raise OSError(str(error)) from error
