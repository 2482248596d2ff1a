"""Assets as tables of a warehouse: Delta or Parquet below a root, on this machine or in a bucket.

A publication goes: shape checked, data replaced in one step, receipt, catalog. Whatever is repeated after a crash or an
unknown answer ends in the same state, so an attempt may be tried again from any point.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from arco.core.clock import Clock, SystemClock
from arco.core.errors import InvalidInput
from arco.core.instant import stored_text
from arco.sdk.errors import ConfigurationFailed, TaskFailed
from arco.sdk.io.delta import delta_source, delta_table, known_schema, write_delta
from arco.sdk.io.extent import extent_of
from arco.sdk.io.memory import columns_of
from arco.sdk.io.parquet import known_columns, parquet_source, write_parquet
from arco.sdk.io.parts import Fitted, fitted
from arco.sdk.io.places import Place
from arco.sdk.io.port import (
    PARTITIONS_TOLD_MAX,
    InputFacts,
    Loaded,
    OutputFacts,
    Reading,
    Registrar,
    Registration,
    Staged,
    Writing,
)
from arco.sdk.io.receipts import Receipt, check_not_overtaken, checked_shape, keep_receipt, published_parts
from arco.sdk.io.source import Handing, Source
from arco.sdk.io.staged import staged_of
from arco.sdk.partitions import Partition


class WarehouseIo:
    """`IoManager` below a root: a folder, or any URL that fsspec knows (`gs://`, `s3://`).

    `registrar` tells the catalog of each publication. `options` are fsspec's for this root, `delta_options` those of
    delta-rs. Copies of inputs lie in `scratch` while their
    task runs.
    """

    def __init__(
        self,
        root: str,
        *,
        registrar: Registrar | None = None,
        options: Mapping[str, Any] | None = None,
        delta_options: Mapping[str, str] | None = None,
        scratch: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.root = root
        self._registrar = registrar
        self._options = dict(options or {})
        self._delta_options = dict(delta_options or {})
        self._clock = clock or SystemClock()
        self._handing = Handing(scratch)

    def read(self, reading: Reading) -> Loaded:
        place = Place(self.root, reading.asset.key, self._options)
        chosen = _chosen(place, reading)
        source = self._source(place, reading, chosen)
        keys = [one.key for one in chosen if one.key]
        value, rows = self._handing.value(source, reading.form, reading.reads.columns)
        facts = InputFacts(
            asset_key=reading.asset.key,
            parameter_name=reading.parameter,
            mapping=reading.reads.mapping,
            partitions=keys[:PARTITIONS_TOLD_MAX],
            partition_count=len(keys),
            location=source.location,
            format=source.format,
            version=source.version or None,
            versions={} if source.version else dict(zip(keys[:PARTITIONS_TOLD_MAX], source.versions, strict=False)),
            row_count=rows,
            byte_size=source.byte_size,
            columns=source.known(reading.reads.columns),
        )
        return Loaded(value, facts)

    def stage(self, writing: Writing, made: Any) -> Staged:
        return staged_of(made)

    def publish(self, writing: Writing, staged: Staged) -> OutputFacts:
        place = Place(self.root, writing.asset.key, self._options)
        checked_shape(place, writing)
        check_not_overtaken(place, writing)
        table = delta_table(place, options=self._delta_options) if writing.asset.io.format == "delta" else None
        if not staged.column_names:
            staged = _empty(place, writing, table)
        fit = fitted(writing, staged.schema)
        fit.checked(staged)
        if writing.asset.io.format == "delta":
            facts = self._delta(place, writing, staged, fit=fit, table=table)
        else:
            facts = self._parquet(place, writing, staged, fit=fit)
        self._keep(place, writing, facts)
        self._register(place, writing, facts)
        return facts

    def discard(self, staged: Staged) -> None:
        staged.close()

    def release(self) -> None:
        self._handing.close()

    def _source(self, place: Place, reading: Reading, chosen: list[Partition]) -> Source:
        if reading.asset.io.format == "parquet":
            return parquet_source(place, chosen)
        table = delta_table(place, options=self._delta_options)
        if table is None:
            raise ConfigurationFailed(f"there is no Delta table at {place.url}: make it again")
        return delta_source(place, table, reading.asset.partitions, chosen if reading.asset.partitions else None)

    def _parquet(self, place: Place, writing: Writing, staged: Staged, *, fit: Fitted) -> OutputFacts:
        path, size = write_parquet(place, writing, staged, fit=fit, version=writing.task.materialization_id)
        return OutputFacts(
            row_count=staged.row_count,
            byte_size=size,
            output_path=place.url_of(path),
            published_at=stored_text(self._clock.now_ms()),
            format="parquet",
            partition=writing.partition.key or None,
            schema=columns_of(fit.schema),
        )

    def _delta(self, place: Place, writing: Writing, staged: Staged, *, fit: Fitted, table: Any) -> OutputFacts:
        number, table = write_delta(place, writing, staged, fit=fit, table=table, options=self._delta_options)
        parts = [writing.partition] if writing.partition else None
        return OutputFacts(
            row_count=staged.row_count,
            byte_size=delta_source(place, table, writing.asset.partitions, parts).byte_size,
            output_path=place.url,
            delta_table=writing.asset.name,
            delta_version=number,
            delta_partition=writing.partition.key or None,
            published_at=stored_text(self._clock.now_ms()),
            format="delta",
            partition=writing.partition.key or None,
            schema=columns_of(known_schema(table)),
        )

    def _keep(self, place: Place, writing: Writing, facts: OutputFacts) -> None:
        version = writing.task.materialization_id
        receipt = Receipt(
            partition=writing.partition.key,
            run_id=writing.task.run_id,
            attempt=writing.task.attempt,
            attempt_id=writing.task.attempt_id,
            version=version if facts.delta_version is None else str(facts.delta_version),
            rows=facts.row_count or 0,
            published_at=facts.published_at or "",
        )
        keep_receipt(place, receipt, writing.partition)

    def _register(self, place: Place, writing: Writing, facts: OutputFacts) -> None:
        if self._registrar is None:
            return
        asset = writing.asset
        self._registrar.register(
            Registration(
                asset_key=asset.key,
                location=place.url,
                format=asset.io.format,
                columns=facts.schema,
                description=asset.description,
                owners=asset.owners,
                tags=asset.tags,
                materialization_id=writing.task.materialization_id,
                facts=facts,
            )
        )


def _empty(place: Place, writing: Writing, table: Any) -> Staged:
    """No rows, in the columns that the table has already. Raises `TaskFailed` when nobody knows any."""
    if writing.asset.io.format == "parquet":
        schema = known_columns(place, writing.partition)
    else:
        schema = None if table is None else known_schema(table)
    if schema is None and not writing.partition:
        raise TaskFailed(
            "the function returned neither rows nor columns; return a table with columns, or declare them: "
            '@asset(schema={"id": "int64"})',
            retryable=False,
        )
    return staged_of((schema or _no_columns()).empty_table())


def _no_columns() -> Any:
    return pa.schema([])


def _chosen(place: Place, reading: Reading) -> list[Partition]:
    """The parts to read. Raises `ConfigurationFailed` when nothing of what is wanted was ever published."""
    try:
        wanted = extent_of(reading)
        parts = published_parts(place, reading.asset.partitions)
    except InvalidInput as error:
        raise ConfigurationFailed(f"{reading.asset.key}: {error.message}") from None
    chosen = wanted.chosen(parts) if reading.asset.partitions else parts
    if chosen:
        return chosen
    which = f" of {reading.partition.key}" if parts and reading.partition.key else ""
    how = f"{len(parts)} other parts are there" if parts else f"nothing is at {place.url}"
    raise ConfigurationFailed(
        f"parameter {reading.parameter}: {reading.asset.key} has no table{which} yet ({how}); make it first, "
        f"or together with what reads it"
    )
