"""Tables of assets in memory: what `arco.testing` runs with. Every publication replaces its partition."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from arco.sdk.errors import ConfigurationFailed
from arco.sdk.io.extent import extent_of
from arco.sdk.io.parts import fitted
from arco.sdk.io.port import Column, InputFacts, Loaded, OutputFacts, Reading, Staged, Writing
from arco.sdk.io.source import Handing, Source
from arco.sdk.io.staged import staged_of
from arco.sdk.partitions import NO_PARTITION, Partition


class MemoryIo:
    """`IoManager` over a dict; `tables` are by key and partition."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Partition, Any]] = {}
        self._versions: dict[str, int] = {}
        self._handing = Handing(None)

    def put(self, key: str, table: Any, partition: Partition = NO_PARTITION) -> None:
        """Have this table, or this part of one, from now on."""
        self.tables.setdefault(key, {})[partition] = table
        self._versions[key] = self._versions.get(key, 0) + 1

    def table(self, key: str, partition: Partition = NO_PARTITION) -> Any:
        """A table, or a part of one; None when there is none."""
        return self.tables.get(key, {}).get(partition)

    def read(self, reading: Reading) -> Loaded:
        key = reading.asset.key
        parts: Mapping[Partition, Any] = self.tables.get(key, {})
        whole = not reading.asset.partitions or NO_PARTITION in parts
        chosen = [NO_PARTITION] * (NO_PARTITION in parts) if whole else extent_of(reading).chosen(list(parts))
        if not chosen:
            raise ConfigurationFailed(
                f"{key} has no table{_where(reading)}: make it first, or hand it over with inputs={{...}}"
            )
        table = pa.concat_tables([parts[one] for one in chosen], promote_options="permissive")
        source = Source(
            dataset=ds.dataset(table),
            location=key,
            urls=[],
            format="memory",
            version=str(self._versions[key]),
            byte_size=table.nbytes,
            local=False,
        )
        if reading.form in ("url", "urls"):
            raise ConfigurationFailed(f"parameter {reading.parameter}: a table in memory has no URL; take a Path")
        value, rows = self._handing.value(source, reading.form, reading.reads.columns)
        facts = InputFacts(
            asset_key=key,
            parameter_name=reading.parameter,
            mapping=reading.reads.mapping,
            partitions=[one.key for one in chosen if one.key],
            partition_count=len([one for one in chosen if one.key]),
            version=source.version,
            row_count=rows,
            byte_size=source.byte_size,
            columns=source.known(reading.reads.columns),
        )
        return Loaded(value, facts)

    def stage(self, writing: Writing, made: Any) -> Staged:
        return staged_of(made)

    def publish(self, writing: Writing, staged: Staged) -> OutputFacts:
        fit = fitted(writing, staged.schema)
        fit.checked(staged)
        table = pa.Table.from_batches([fit.batch(one) for one in staged.batches()], schema=fit.schema)
        self.put(writing.asset.key, table, writing.partition)
        return OutputFacts(
            row_count=table.num_rows,
            byte_size=table.nbytes,
            partition=writing.partition.key or None,
            format="memory",
            schema=columns_of(table.schema),
        )

    def discard(self, staged: Staged) -> None:
        staged.close()

    def release(self) -> None:
        self._handing.close()


def columns_of(schema: Any) -> list[Column]:
    """The columns of an Arrow schema."""
    return [Column(name=one.name, type=str(one.type), nullable=one.nullable) for one in schema]


def _where(reading: Reading) -> str:
    return f" for {reading.partition.key}" if reading.partition.key and reading.asset.partitions else ""
