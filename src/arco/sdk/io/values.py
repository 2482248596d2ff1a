"""Between Arrow and the forms that user code works with. Every library is imported only for whom it is asked."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from arco.sdk.errors import ConfigurationFailed, TaskFailed
from arco.sdk.forms import Form

RETURNED: Final = (
    "a pyarrow.Table, RecordBatch or RecordBatchReader, a polars or pandas DataFrame, a polars LazyFrame, a list of "
    "dicts, a dict of lists, an iterator of any of these, arco.Output, or None for no table"
)
_BATCH_ROWS: Final = 65_536


class Output(msgspec.Struct, frozen=True):
    """A result with what is to be kept beside it.

    `column_lineage` says for a column which columns it was made of: `{"revenue": ["raw.orders.amount"]}`.
    """

    value: Any = None
    metadata: dict[str, Any] = {}
    column_lineage: Mapping[str, Iterable[str]] = {}


class InputTable:
    """An input that is read when its function asks: in any form, all of it or some columns."""

    def __init__(self, urls: list[str], source: Any) -> None:
        self.urls = urls
        self._source = source

    def arrow(self, columns: list[str] | None = None) -> Any:
        """Its rows as `pyarrow.Table`."""
        return self._source(columns)

    def polars(self, columns: list[str] | None = None) -> Any:
        """Its rows as `polars.DataFrame`."""
        return handed_over(self._source(columns), "polars")

    def pandas(self, columns: list[str] | None = None) -> Any:
        """Its rows as `pandas.DataFrame`."""
        return handed_over(self._source(columns), "pandas")


def handed_over(table: Any, form: Form) -> Any:
    """An Arrow table in the form a function wants. Raises `ConfigurationFailed` when its library is missing."""
    try:
        match form:
            case "polars" | "lazy":
                import polars as pl  # noqa: PLC0415  # only who asks for it needs it

                frame = pl.from_arrow(table)
                return frame.lazy() if form == "lazy" and isinstance(frame, pl.DataFrame) else frame
            case "pandas":
                return table.to_pandas()
            case "batches":
                return table.to_reader(max_chunksize=_BATCH_ROWS)
            case _:
                return table
    except ImportError as error:
        raise ConfigurationFailed(f"the function wants {form}, which is not installed here: {error}") from None


def made_of(value: Any) -> Any:
    """What a function returned, as `pyarrow.Table` or `RecordBatchReader`; None when it made no table.

    Generators and other iterators become a reader that runs them as it is read. Raises `TaskFailed` for anything
    that is no table.
    """
    if value is None:
        return None
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    if isinstance(value, pa.Table | pa.RecordBatchReader):
        return value
    if inspect.isgenerator(value) or (isinstance(value, Iterator) and not hasattr(value, "__arrow_c_stream__")):
        return _reader(value)
    return _table(value)


def _table(value: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    library = type(value).__module__.partition(".")[0]
    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if isinstance(value, pa.RecordBatchReader):
        return value.read_all()
    if library == "polars" and hasattr(value, "collect"):
        value = value.collect()
    if library == "polars" and hasattr(value, "to_arrow"):
        return _usual(value.to_arrow())
    if library == "pandas" and type(value).__name__ == "DataFrame":
        return _usual(pa.Table.from_pandas(value, preserve_index=False))
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return pa.Table.from_pylist(value)
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return pa.Table.from_pydict(value)
    if hasattr(value, "__arrow_c_stream__"):
        return pa.table(value)
    raise TaskFailed(
        f"the function returned {type(value).__name__}, which is no table; return {RETURNED}", retryable=False
    )


def _usual(table: Any) -> Any:
    """Frames make 64-bit texts, views and categories; readers elsewhere expect plain ones, few tables need others."""
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    fields = [pa.field(field.name, _usual_type(field.type), field.nullable) for field in table.schema]
    try:
        return table.cast(pa.schema(fields))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return table.replace_schema_metadata(None)  # more than 2 GiB of text in one piece: it stays as it is


def _usual_type(kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    types = pa.types
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    if types.is_dictionary(kind):
        return _usual_type(kind.value_type)
    if types.is_large_list(kind) or types.is_list(kind):
        return pa.list_(_usual_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(one.name, _usual_type(one.type), one.nullable) for one in kind])
    return kind


def _reader(values: Iterator[Any]) -> Any:
    """A reader over tables that a generator yields; their columns must be the same from the first on."""
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    first = next(values, None)
    head = pa.table({}) if first is None else _table(first)

    def batches() -> Iterator[Any]:
        yield from head.to_batches(max_chunksize=_BATCH_ROWS)
        for value in values:
            table = _table(value)
            if table.column_names != head.column_names:
                before, now = (", ".join(one.column_names) for one in (head, table))
                raise TaskFailed(f"the function yielded columns {now} after {before}", retryable=False)
            yield from table.cast(head.schema).to_batches(max_chunksize=_BATCH_ROWS)

    return pa.RecordBatchReader.from_batches(head.schema, batches())
