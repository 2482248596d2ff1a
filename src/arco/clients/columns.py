"""Columns as the api takes them, made from Arrow schemas.

Type names are the SQL names of Spark and Delta, because catalogs and engines of the lakehouse read those.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

Column = dict[str, Any]
"""`{"name", "data_type", "nullable"}` as the api takes it."""

_NAMES: Final = {
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "SMALLINT",
    "uint16": "INTEGER",
    "uint32": "BIGINT",
    "uint64": "DECIMAL(20,0)",
    "halffloat": "FLOAT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "STRING",
    "large_string": "STRING",
    "string_view": "STRING",
    "binary": "BINARY",
    "large_binary": "BINARY",
    "binary_view": "BINARY",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "date64[ms]": "DATE",
    "null": "VOID",
}
"""Arrow type text -> SQL name; unsigned integers take the next wider type that holds them."""


def arrow_columns(schema: "pa.Schema") -> list[Column]:
    """The columns of an Arrow schema."""
    return [{"name": field.name, "data_type": sql_type(field.type), "nullable": field.nullable} for field in schema]


def sql_type(arrow: "pa.DataType") -> str:
    """The SQL name of an Arrow type: `int64` is `BIGINT`, `list<item: string>` is `ARRAY<STRING>`."""
    from pyarrow import types as kinds  # noqa: PLC0415  # 0.15 s that most commands do without

    if kinds.is_dictionary(arrow):
        return sql_type(arrow.value_type)
    if kinds.is_nested(arrow):
        return _nested_type(arrow)
    if kinds.is_timestamp(arrow):
        return "TIMESTAMP" if arrow.tz else "TIMESTAMP_NTZ"
    if kinds.is_decimal(arrow):
        return f"DECIMAL({arrow.precision},{arrow.scale})"
    text = str(arrow)
    return "BINARY" if kinds.is_fixed_size_binary(arrow) else _NAMES.get(text, text.upper())


def _nested_type(arrow: "pa.DataType") -> str:
    from pyarrow import types as kinds  # noqa: PLC0415  # 0.15 s that most commands do without

    if kinds.is_map(arrow):
        return f"MAP<{sql_type(arrow.key_type)},{sql_type(arrow.item_type)}>"
    if kinds.is_struct(arrow):
        return f"STRUCT<{','.join(f'{field.name}:{sql_type(field.type)}' for field in arrow)}>"
    if kinds.is_union(arrow):
        return str(arrow).upper()
    return f"ARRAY<{sql_type(arrow.value_type)}>"
