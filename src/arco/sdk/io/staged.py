"""Results that wait to be published: in memory, or in a file of this machine when they came in pieces."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


class StagedTable:
    """A result in memory."""

    def __init__(self, table: Any) -> None:
        self._table = table

    @property
    def row_count(self) -> int:
        return int(self._table.num_rows)

    @property
    def column_names(self) -> Sequence[str]:
        return list(self._table.column_names)

    @property
    def schema(self) -> Any:
        return self._table.schema

    def table(self, columns: Sequence[str] | None = None) -> Any:
        return self._table if columns is None else self._table.select(list(columns))

    def batches(self) -> Iterator[Any]:
        return iter(self._table.to_batches())

    def close(self) -> None:
        """Nothing is left of it but memory."""


class StagedFile:
    """A result that came in pieces: a Parquet file of this machine, gone when it is closed."""

    def __init__(self, reader: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="arco-staged-")
        path = Path(self._folder.name) / "rows.parquet"
        try:
            with pq.ParquetWriter(path, reader.schema, compression="lz4") as writer:
                for batch in reader:
                    writer.write_batch(batch)
        except BaseException:
            self._folder.cleanup()
            raise
        self._file = pq.ParquetFile(path)

    @property
    def row_count(self) -> int:
        return int(self._file.metadata.num_rows)

    @property
    def column_names(self) -> Sequence[str]:
        return list(self.schema.names)

    @property
    def schema(self) -> Any:
        return self._file.schema_arrow

    def table(self, columns: Sequence[str] | None = None) -> Any:
        return self._file.read(columns=None if columns is None else list(columns))

    def batches(self) -> Iterator[Any]:
        return iter(self._file.iter_batches())

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
        self._folder.cleanup()


def staged_of(made: Any) -> StagedTable | StagedFile:
    """A result kept: a table as it is, a reader in a file."""
    return StagedFile(made) if hasattr(made, "read_next_batch") else StagedTable(made)
