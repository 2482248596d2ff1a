"""The rows a parameter reads, before they take a form: a lazy relation and what is known of it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from arco.sdk.errors import ConfigurationFailed
from arco.sdk.forms import Form
from arco.sdk.io.values import InputTable, handed_over


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """`dataset` is a `pyarrow.dataset.Dataset`, `filter` what of it is meant; `urls` are files, or Delta's folder."""

    dataset: Any
    filter: Any = None
    location: str
    urls: list[str]
    format: str
    version: str
    versions: Sequence[str] = ()
    byte_size: int
    local: bool

    def table(self, columns: Sequence[str] | None) -> Any:
        """The rows as `pyarrow.Table`. Raises `ConfigurationFailed` for a column that is not there."""
        return self.dataset.to_table(columns=self.known(columns), filter=self.filter)

    def reader(self, columns: Sequence[str] | None) -> Any:
        """The rows as `pyarrow.RecordBatchReader`, read as they are needed."""
        return self.dataset.scanner(columns=self.known(columns), filter=self.filter).to_reader()

    def rows(self) -> int:
        """How many rows there are."""
        return int(self.dataset.count_rows(filter=self.filter))

    def known(self, columns: Sequence[str] | None) -> list[str]:
        """These columns, or all. Raises `ConfigurationFailed` for one that is not there."""
        names = list(self.dataset.schema.names)
        if missing := [name for name in columns or () if name not in names]:
            raise ConfigurationFailed(f"{self.location} has no column {missing[0]}; it has {', '.join(names)}")
        return names if columns is None else list(columns)


class Handing:
    """Gives sources their forms. Files made for it are gone when it is closed."""

    def __init__(self, scratch: Path | None) -> None:
        self._scratch = scratch
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._made = 0

    def value(self, source: Source, form: Form, columns: Sequence[str] | None) -> tuple[Any, int]:
        """The rows in a form, and how many there are."""
        match form:
            case "batches":
                return source.reader(columns), source.rows()
            case "handle":
                return InputTable(source.urls, source.table), source.rows()
            case "url":
                return source.location, source.rows()
            case "urls":
                return source.urls, source.rows()
            case "path" | "paths":
                paths = self._paths(source, columns)
                return (paths if form == "paths" else self._one(source, paths, columns)), source.rows()
        table = source.table(columns)
        return handed_over(table, form), table.num_rows

    def close(self) -> None:
        """Delete what was made."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _paths(self, source: Source, columns: Sequence[str] | None) -> list[Path]:
        """Parquet files of this machine: the table's own where that is possible, otherwise a copy."""
        if source.local and source.format == "parquet" and columns is None:
            return [Path(url) for url in source.urls]
        return [self._copied(source, columns)]

    def _one(self, source: Source, paths: list[Path], columns: Sequence[str] | None) -> Path:
        return paths[0] if len(paths) == 1 else self._copied(source, columns)

    def _copied(self, source: Source, columns: Sequence[str] | None) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="arco-inputs-", dir=self._scratch)
        self._made += 1
        path = Path(self._folder.name) / f"input-{self._made}.parquet"
        reader = source.reader(columns)
        with pq.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        return path
