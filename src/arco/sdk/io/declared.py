"""Declared columns: what a result must have, in order, whatever rows a run happens to make.

Types have short names: `bool`, `int8` to `int64`, `uint8` to `uint64`, `float32`, `float64`, `string`, `binary`,
`date`, `time`, `timestamp` (microseconds, UTC), `timestamp_ntz` (without a zone), `decimal(p, s)`. A `pyarrow.DataType`
is a type too.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from arco.sdk.errors import DefinitionError, TaskFailed

_NUMBERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
_OTHERS: Final = ("bool", "string", "binary", "date", "time", "timestamp", "timestamp_ntz")
_DECIMAL: Final = re.compile(r"decimal\(\s*([0-9]{1,2})\s*,\s*([0-9]{1,2})\s*\)\Z")


def declared(given: Any) -> dict[str, Any] | None:
    """Columns and types somebody declared: by name, or as `pyarrow.Schema`. Raises `DefinitionError`."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        columns = dict(given)
    elif _of_arrow(given) and hasattr(given, "types"):
        columns = dict(zip(given.names, given.types, strict=True))
    else:
        raise DefinitionError('schema: write columns with their types, such as {"id": "int64", "name": "string"}')
    if not columns or not all(isinstance(name, str) and name for name in columns):
        raise DefinitionError("schema: name at least one column, each with a text")
    for name, kind in columns.items():
        known = isinstance(kind, str) and (kind in (*_NUMBERS, *_OTHERS) or _DECIMAL.match(kind))
        if not known and not _of_arrow(kind):
            choices = ", ".join((*_NUMBERS, *_OTHERS, "decimal(p, s)"))
            raise DefinitionError(f"schema: {name} has type {kind!r}; use one of {choices}, or a pyarrow type")
    return columns


def shaped(made: Any, columns: Mapping[str, Any], besides: frozenset[str]) -> Any:
    """A result with exactly the declared columns, and those of `besides` that it has. Raises `TaskFailed`."""
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    wanted = pa.schema([(name, _type(kind)) for name, kind in columns.items()])
    if not made.schema.names:
        return wanted.empty_table()
    target = _target(made.schema, wanted, besides)
    if isinstance(made, pa.Table):
        return pa.Table.from_batches([_cast(one, target) for one in made.to_batches()], target)

    def batches() -> Iterator[Any]:
        for one in made:
            yield _cast(one, target)

    return pa.RecordBatchReader.from_batches(target, batches())


def _target(found: Any, wanted: Any, besides: frozenset[str]) -> Any:
    names = set(found.names)
    if missing := [name for name in wanted.names if name not in names]:
        raise TaskFailed(f"the result has no column {missing[0]}, which its schema declares", retryable=False)
    rest = [name for name in found.names if name not in wanted.names]
    if surplus := [name for name in rest if name not in besides]:
        raise TaskFailed(f"the result has a column {surplus[0]}, which its schema does not declare", retryable=False)
    for name in rest:
        wanted = wanted.append(found.field(name))
    return wanted


def _cast(batch: Any, target: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    arrays = []
    for field in target:
        try:
            arrays.append(batch.column(field.name).cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise TaskFailed(f"column {field.name} is declared {field.type}: {reason}", retryable=False) from None
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def _type(kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # only a task that made a table needs it

    if not isinstance(kind, str):
        return kind
    if digits := _DECIMAL.match(kind):
        return pa.decimal128(int(digits[1]), int(digits[2]))
    named = {
        "bool": pa.bool_(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "timestamp_ntz": pa.timestamp("us"),
    }
    return named[kind] if kind in named else pa.type_for_alias(kind)


def _of_arrow(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pyarrow"
