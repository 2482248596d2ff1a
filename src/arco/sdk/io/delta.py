"""Assets as Delta tables: a part is replaced by one commit, whatever else is committed at the same time."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import unquote

from arco.core.partitions import Value
from arco.sdk.errors import ConfigurationFailed, TaskFailed
from arco.sdk.io.parts import Fitted
from arco.sdk.io.places import Place
from arco.sdk.io.port import Staged, Writing
from arco.sdk.io.source import Source
from arco.sdk.partitions import Dimension, Partition, period_of

COMMIT_KEY: Final = "arco.materializationId"
_COMMITS_LOOKED_AT: Final = 50
"""Commits since ours when we look for its number: as many parts may end at the same moment."""


def write_delta(
    place: Place, writing: Writing, staged: Staged, *, fit: Fitted, version: str, options: dict[str, str]
) -> tuple[int, Any]:
    """Make a result the table, or its part of it. Returns the commit's version and the table's Arrow schema."""
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it
    from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake  # noqa: PLC0415  # slow to import

    asset = writing.asset
    fit = fit.without_nulls() if asset.partitions else fit.with_texts_for_nulls()
    _check_types(fit.schema)
    # Created empty and on its own: a first part that brought the table along would replace what a neighbour just wrote.
    DeltaTable.create(
        place.url,
        schema=fit.schema,
        mode="ignore",
        partition_by=_cut(writing, fit),
        name=asset.key,
        storage_options=options,
    )
    present = _schema(DeltaTable(place.url, storage_options=options))
    whole = not asset.partitions
    target = fit if whole else fit.conformed(present)
    if not target.schema.equals(fit.schema):
        # Looked at before the commit begins: what goes wrong within comes out as a sentence of the engine's.
        target.checked(staged)
    batches = (target.batch(batch) for batch in staged.batches())
    write_deltalake(
        place.url,
        pa.RecordBatchReader.from_batches(target.schema, batches),
        mode="overwrite",
        schema_mode="overwrite" if whole else "merge",
        partition_by=_cut(writing, fit) if whole else None,
        predicate=None if whole else predicate_of(asset.partitions, writing.partition, target.schema),
        storage_options=options,
        writer_properties=WriterProperties(compression=_codec(asset.io.compression)),
        commit_properties=CommitProperties(custom_metadata={COMMIT_KEY: version, "arco.runId": writing.task.run_id}),
    )
    table = DeltaTable(place.url, storage_options=options)
    return _version_of(table, version), _schema(table)


def known_schema(place: Place, *, options: dict[str, str]) -> Any:
    """The columns of the table, as `pyarrow.Schema`; None when there is none."""
    from deltalake import DeltaTable  # noqa: PLC0415  # slow to import

    if not DeltaTable.is_deltatable(place.url, options):
        return None
    return _schema(DeltaTable(place.url, storage_options=options))


def delta_source(
    place: Place, asset_partitions: Sequence[Dimension], chosen: Sequence[Partition] | None, *, options: dict[str, str]
) -> Source:
    """The rows of these parts, of all when None is said. Raises `ConfigurationFailed` when there is no table."""
    from deltalake import DeltaTable  # noqa: PLC0415  # slow to import
    from deltalake.exceptions import TableNotFoundError  # noqa: PLC0415  # slow to import

    try:
        table = DeltaTable(place.url, storage_options=options)
    except TableNotFoundError:
        raise ConfigurationFailed(f"there is no Delta table at {place.url}: make it first") from None
    dataset = table.to_pyarrow_dataset()
    wanted = None if chosen is None else _filter(asset_partitions, chosen, dataset.schema)
    return Source(
        dataset=dataset,
        filter=wanted,
        location=place.url,
        urls=[place.url],
        format="delta",
        version=str(table.version()),
        byte_size=_bytes(table, dataset, wanted),
        local=place.local,
    )


def predicate_of(dimensions: Sequence[Dimension], partition: Partition, schema: Any) -> str:
    """SQL that is true for the rows of a part and for no others."""
    return " AND ".join(_predicate(one, partition[one.name], schema.field(one.column).type) for one in dimensions)


def _predicate(dimension: Dimension, value: Value, kind: Any) -> str:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    column = '"' + dimension.column.replace('"', '""') + '"'
    if dimension.kind == "time" and pa.types.is_temporal(kind):
        begin, end = (_literal(one, kind) for one in period_of(dimension, value))
        return f"{column} >= '{begin}' AND {column} < '{end}'"
    texts = _texts(dimension, value)
    if pa.types.is_integer(kind):
        return f"{column} = {int(texts[0])}"
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    return f"{column} IN ({quoted})"


def _filter(dimensions: Sequence[Dimension], chosen: Sequence[Partition], schema: Any) -> Any:
    """The parts as an expression over columns."""
    import pyarrow.compute as pc  # noqa: PLC0415  # only a task that reads a table needs it

    found = None
    for partition in chosen:
        one = None
        for dimension in dimensions:
            test = _test(dimension, partition[dimension.name], schema.field(dimension.column).type)
            one = test if one is None else one & test
        found = one if found is None else found | one
    return pc.scalar(False) if found is None else found


def _test(dimension: Dimension, value: Value, kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # only a task that reads a table needs it
    import pyarrow.compute as pc  # noqa: PLC0415  # only a task that reads a table needs it

    column = pc.field(dimension.column)
    if dimension.kind == "time" and pa.types.is_temporal(kind):
        begin, end = (_scalar(one, kind) for one in period_of(dimension, value))
        return (column >= begin) & (column < end)
    texts = _texts(dimension, value)
    return column.isin(pa.array([int(texts[0])] if pa.types.is_integer(kind) else texts, kind))


def _texts(dimension: Dimension, value: Value) -> list[str]:
    """How a column of texts or numbers may say a value: of a month, `2025-01` and `2025-01-01`."""
    if not isinstance(value, date):
        return [str(value)]
    if isinstance(value, datetime):
        return [value.strftime("%Y-%m-%dT%H"), value.isoformat(), value.strftime("%Y-%m-%dT%H:%M:%SZ")]
    full = value.isoformat()
    chars = {"year": 4, "month": 7}.get(dimension.granularity or "", 10)
    return list(dict.fromkeys([full[:chars], full[:7], full])) if chars < 10 else [full]


def _literal(moment: datetime, kind: Any) -> str:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    if pa.types.is_date(kind):
        return moment.date().isoformat()
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + ("Z" if kind.tz else "")


def _scalar(moment: datetime, kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # only a task that reads a table needs it

    if pa.types.is_date(kind):
        return pa.scalar(moment.date(), kind)
    return pa.scalar(moment if kind.tz else moment.replace(tzinfo=None), kind)


def _check_types(schema: Any) -> None:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    for field in schema:
        if pa.types.is_duration(field.type) or pa.types.is_time(field.type) or pa.types.is_interval(field.type):
            raise TaskFailed(f"column {field.name} is {field.type}, which Delta has no type for", retryable=False)


def _cut(writing: Writing, fit: Fitted) -> list[str]:
    """The columns Delta sorts files by: of dimensions whose parts have one value each, then what was asked for."""
    constant = [
        one.column
        for one in writing.asset.partitions
        if one.column in fit.added or one.kind != "time" or (one.granularity == "day" and _is_date(fit, one.column))
    ]
    asked = [name for name in writing.asset.io.partition_by if name not in constant]
    if missing := [name for name in asked if name not in fit.schema.names]:
        raise TaskFailed(f"io: partition_by names {missing[0]}, which the result has no column of", retryable=False)
    return [*constant, *asked]


def _is_date(fit: Fitted, column: str) -> bool:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    return bool(pa.types.is_date32(fit.schema.field(column).type))


def _schema(table: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    return pa.schema(table.schema().to_arrow())


def _version_of(table: Any, materialization: str) -> int:
    """The version our commit got; others may have followed."""
    for commit in table.history(_COMMITS_LOOKED_AT):
        if commit.get(COMMIT_KEY) == materialization:
            return int(commit["version"])
    return int(table.version())


def _bytes(table: Any, dataset: Any, wanted: Any) -> int:
    """Bytes of the files that can hold what is wanted; the log knows them, no file is opened."""
    actions = table.get_add_actions(flatten=True)
    paths, sizes = (actions.column(name).to_pylist() for name in ("path", "size_bytes"))
    size_of = {unquote(unquote(path)): size for path, size in zip(paths, sizes, strict=True)}
    fragments = dataset.get_fragments() if wanted is None else dataset.get_fragments(filter=wanted)
    return sum(size_of.get(unquote(one.path), 0) for one in fragments)


def _codec(compression: str) -> Any:
    return {"none": "UNCOMPRESSED"}.get(compression, compression.upper())
