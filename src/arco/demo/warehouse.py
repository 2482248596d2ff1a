"""The demo's files: Parquet and Delta tables below the workspace's `warehouse/`.

Guarantees: a table that is already there with the right number of rows is left alone; a half-written one is
written again; a single file appears whole or not at all.
"""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arco.demo.tables import DemoTable


class Warehouse:
    """The files of one workspace on the local disk."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    def path_of(self, table: DemoTable) -> Path:
        """The file or directory of a table."""
        return self._workspace / table.location

    def holds(self, table: DemoTable) -> bool:
        """True when the table is there with all its rows."""
        path = self.path_of(table)
        try:
            return _rows_at(path, table.format) == table.rows
        except (OSError, pa.ArrowException, ValueError):
            return False

    def schema_of(self, table: DemoTable) -> pa.Schema:
        """The table's Arrow schema as its files say."""
        path = self.path_of(table)
        if table.format == "delta":
            from deltalake import DeltaTable  # noqa: PLC0415  # slow to import, only for Delta tables

            return pa.schema(DeltaTable(path).schema().to_arrow())
        return pq.read_schema(_parquet_files(path)[0])

    def write(self, table: DemoTable, rows: pa.Table) -> None:
        """Write a table, in place of whatever is there."""
        path = self.path_of(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        if table.format == "delta":
            _write_delta(path, _plain(rows))
        elif table.is_directory:
            _write_months(path, _plain(rows))
        else:
            _write_file(path, _plain(rows))


def _rows_at(path: Path, table_format: str) -> int:
    if table_format == "delta":
        if not (path / "_delta_log").is_dir():
            return 0
        from deltalake import DeltaTable  # noqa: PLC0415  # slow to import, only for Delta tables

        return int(DeltaTable(path).count())
    return sum(pq.read_metadata(file).num_rows for file in _parquet_files(path))


def _parquet_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _write_delta(path: Path, rows: pa.Table) -> None:
    from deltalake import write_deltalake  # noqa: PLC0415  # slow to import, only for Delta tables

    write_deltalake(path, rows, mode="overwrite", schema_mode="overwrite")


def _write_months(path: Path, rows: pa.Table) -> None:
    """One file a month, in a directory that is swapped in whole."""
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for month in range(1, 13):
        chosen = rows.filter(pc.equal(rows["month"], month))
        pq.write_table(chosen, fresh / f"2013-{month:02d}.parquet", compression="zstd")
    if path.exists():
        shutil.rmtree(path)
    fresh.rename(path)


def _write_file(path: Path, rows: pa.Table) -> None:
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    pq.write_table(rows, fresh, compression="zstd")
    fresh.replace(path)


def _plain(table: pa.Table) -> pa.Table:
    """The engine's string views as plain strings, which every reader of Parquet and Delta knows."""
    fields = [
        pa.field(field.name, pa.string(), field.nullable) if pa.types.is_string_view(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
