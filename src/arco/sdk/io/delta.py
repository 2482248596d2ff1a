"""Assets as Delta tables: a part is replaced by one commit, whatever else is committed at the same time."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from arco.core.partitions import Value
from arco.sdk.errors import TaskFailed
from arco.sdk.io.parts import Fitted
from arco.sdk.io.places import Place
from arco.sdk.io.port import Staged, Writing
from arco.sdk.io.source import Source
from arco.sdk.partitions import Dimension, Partition, period_of

COMMIT_KEY: Final = "arco.materializationId"
_COMMITS_LOOKED_AT: Final = 50
"""Commits since ours when we look for its number: as many parts may end at the same moment."""


def delta_table(place: Place, *, options: dict[str, str]) -> Any:
    """The table as `DeltaTable`; None when there is none. Reading its log is what opening costs: do it once."""
    from deltalake import DeltaTable  # noqa: PLC0415  # slow to import
    from deltalake.exceptions import TableNotFoundError  # noqa: PLC0415  # slow to import

    try:
        return DeltaTable(place.url, storage_options=options)
    except TableNotFoundError:
        return None


def known_schema(table: Any) -> Any:
    """The columns of a table, as `pyarrow.Schema`."""
    return pa.schema(table.schema().to_arrow())


def write_delta(
    place: Place, writing: Writing, staged: Staged, *, fit: Fitted, table: Any, options: dict[str, str]
) -> tuple[int, Any]:
    """Make a result the table (None when there is none yet), or its part of it.

    Returns the commit's version, and the table as it is then.
    """
    from deltalake import CommitProperties, WriterProperties, write_deltalake  # noqa: PLC0415  # slow to import

    asset = writing.asset
    whole = not asset.partitions
    fit = fit.with_texts_for_nulls() if whole else fit.without_nulls()
    _check_types(fit.schema)
    if table is None:
        table = _created(place, writing, fit, options)
    target = fit if whole else fit.conformed(known_schema(table))
    if not target.schema.equals(fit.schema):
        # Looked at before the commit begins: what goes wrong within comes out as a sentence of the engine's.
        target.checked(staged)
    batches = (target.batch(batch) for batch in staged.batches())
    told = {COMMIT_KEY: writing.task.materialization_id, "arco.runId": writing.task.run_id}
    write_deltalake(
        table,
        pa.RecordBatchReader.from_batches(target.schema, batches),
        mode="overwrite",
        schema_mode="overwrite" if whole else "merge",
        partition_by=_cut(writing, fit) if whole else None,
        predicate=None if whole else predicate_of(asset.partitions, writing.partition, target.schema),
        writer_properties=WriterProperties(compression=_codec(asset.io.compression)),
        commit_properties=CommitProperties(custom_metadata=told),
    )
    return _version_of(table, writing.task.materialization_id), table


def delta_source(
    place: Place, table: Any, dimensions: Sequence[Dimension], chosen: Sequence[Partition] | None
) -> Source:
    """The rows of these parts of a table, of all when None is said."""
    dataset = table.to_pyarrow_dataset()
    wanted = None if chosen is None else _filter(dimensions, chosen, dataset.schema)
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


def _created(place: Place, writing: Writing, fit: Fitted, options: dict[str, str]) -> Any:
    """The table, created empty and on its own: a first part that brought it along would replace a neighbour's."""
    from deltalake import DeltaTable  # noqa: PLC0415  # slow to import

    return DeltaTable.create(
        place.url,
        schema=fit.schema,
        mode="ignore",
        partition_by=_cut(writing, fit),
        name=writing.asset.key,
        storage_options=options,
    )


def predicate_of(dimensions: Sequence[Dimension], partition: Partition, schema: Any) -> str:
    """SQL that is true for the rows of a part and for no others."""
    return " AND ".join(_predicate(one, partition[one.name], schema.field(one.column).type) for one in dimensions)


def _predicate(dimension: Dimension, value: Value, kind: Any) -> str:
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
    found = None
    for partition in chosen:
        one = None
        for dimension in dimensions:
            test = _test(dimension, partition[dimension.name], schema.field(dimension.column).type)
            one = test if one is None else one & test
        found = one if found is None else found | one
    return pc.scalar(False) if found is None else found


def _test(dimension: Dimension, value: Value, kind: Any) -> Any:
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
    if pa.types.is_date(kind):
        return moment.date().isoformat()
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + ("Z" if kind.tz else "")


def _scalar(moment: datetime, kind: Any) -> Any:
    if pa.types.is_date(kind):
        return pa.scalar(moment.date(), kind)
    return pa.scalar(moment if kind.tz else moment.replace(tzinfo=None), kind)


def _check_types(schema: Any) -> None:
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
    return bool(pa.types.is_date32(fit.schema.field(column).type))


def _version_of(table: Any, materialization: str) -> int:
    """The version our commit got: the one the table is at, or others have followed already."""
    for looked_at in (1, _COMMITS_LOOKED_AT):
        for commit in table.history(looked_at):
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
