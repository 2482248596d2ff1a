"""The rows of one partition within a table: they say which they belong to, and none belongs to another.

Every dimension has a column. Where a result has none, the column is added; where it has one, its values must lie in the
partition, or publishing would replace one part and fill another.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from arco.core.errors import InvalidInput
from arco.core.partitions import Value
from arco.sdk.errors import DataQualityFailed, TaskFailed
from arco.sdk.io.port import Staged, Writing
from arco.sdk.partitions import Dimension, period_of, value_of


class Fitted(msgspec.Struct, frozen=True):
    """The schema of a result with its partition's columns, and what makes its batches so."""

    schema: Any
    writing: Writing
    added: Mapping[str, Value]
    present: tuple[Dimension, ...]

    def checked(self, staged: Staged) -> None:
        """Raise `DataQualityFailed` for a row of another partition, `TaskFailed` for a value of another type."""
        for batch in staged.batches():
            for dimension in self.present:
                self._check(dimension, batch.column(dimension.column))
            self.batch(batch)

    def batch(self, batch: Any) -> Any:
        """A batch with all columns, in the types of the table. Raises `TaskFailed` for a value that has none there."""
        kept = [name for name in batch.schema.names if name in self.schema.names]
        columns = [_cast(batch.column(name), self.schema.field(name)) for name in kept]
        for name, value in self.added.items():
            columns.append(pa.repeat(pa.scalar(value, self.schema.field(name).type), batch.num_rows))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def without_nulls(self) -> "Fitted":
        """The same without columns that have no value and therefore no type: whoever has one adds the column."""
        fields = [field for field in self.schema if not pa.types.is_null(field.type)]
        return msgspec.structs.replace(self, schema=pa.schema(fields))

    def with_texts_for_nulls(self) -> "Fitted":
        """The same with texts where a column has no value and therefore no type."""
        fields = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in self.schema]
        return msgspec.structs.replace(self, schema=pa.schema(fields))

    def conformed(self, table: Any) -> "Fitted":
        """The same in the types that the table has for the columns it knows."""
        known = {field.name: field.type for field in table}
        fields = [field.with_type(known.get(field.name, field.type)) for field in self.schema]
        return msgspec.structs.replace(self, schema=pa.schema(fields))

    def _check(self, dimension: Dimension, values: Any) -> None:
        wanted = self.writing.partition[dimension.name]
        extremes = pa.types.is_temporal(values.type) and not values.null_count and len(values)
        seen = pc.min_max(values).as_py().values() if extremes else pc.unique(values).to_pylist()
        strangers = [one for one in seen if not _within(dimension, wanted, one)]
        if strangers:
            raise DataQualityFailed(
                f"{self.writing.asset.key}: rows with {dimension.column} = {strangers[0]} are not of its partition "
                f"{dimension.name} = {wanted}; leave them out, or say which column tells the parts apart (column=...)",
                retryable=False,
            )


def fitted(writing: Writing, schema: Any) -> Fitted:
    """How results of this schema become the partition that is written."""
    present = tuple(one for one in writing.asset.partitions if one.column in schema.names)
    absent = [one for one in writing.asset.partitions if one.column not in schema.names]
    added = {one.column: writing.partition[one.name] for one in absent}
    fields = [pa.field(name, _type(value)) for name, value in added.items()]
    return Fitted(pa.schema([*schema.remove_metadata(), *fields]), writing, added, present)


def _cast(values: Any, field: Any) -> Any:
    if values.type == field.type:
        return values
    try:
        return values.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise TaskFailed(
            f"column {field.name} is {values.type}, and {field.type} in the table: {reason}", retryable=False
        ) from None


def _within(dimension: Dimension, wanted: Value, found: Any) -> bool:
    """Whether a value of the column belongs to the partition; times do that lie in its period."""
    if dimension.kind != "time":
        return bool(found == wanted)
    if isinstance(found, date):
        begin, end = period_of(dimension, wanted)
        return begin <= _moment(found) < end
    try:
        return value_of(dimension, str(found)) == wanted
    except InvalidInput:
        return False


def _moment(value: date) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _type(value: Value) -> Any:
    if isinstance(value, datetime):
        return pa.timestamp("us", tz="UTC")
    return pa.date32() if isinstance(value, date) else pa.string()
