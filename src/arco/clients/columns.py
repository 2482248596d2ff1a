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


def sql_name(text: str) -> str:
    """The SQL name of an Arrow type given as its text, for who has no Arrow at hand: `list<item: int8>` is an array."""
    text = text.removesuffix(" not null").strip()
    head, _, rest = text.partition("<")
    if head.startswith("timestamp["):
        return "TIMESTAMP" if "tz=" in head else "TIMESTAMP_NTZ"
    if head.startswith("decimal"):
        return "DECIMAL" + head[head.index("(") :].replace(" ", "")
    if not rest:
        return "BINARY" if head.startswith("fixed_size_binary") else _NAMES.get(head, head.upper())
    inner = _parts(rest[: rest.rindex(">")])
    match head:
        case "dictionary":
            return sql_name(inner[0].removeprefix("values="))
        case "map":
            return f"MAP<{','.join(map(sql_name, inner[:2]))}>"
        case "struct":
            fields = [part.partition(": ") for part in inner]
            return f"STRUCT<{','.join(f'{name}:{sql_name(kind)}' for name, _, kind in fields)}>"
        case _ if head.endswith(("list", "list_view")):
            return f"ARRAY<{sql_name(inner[0].partition(': ')[2])}>"
    return text.upper()


def _parts(text: str) -> list[str]:
    """Cut at the commas that are within no bracket."""
    found, depth = [""], 0
    for char in text:
        depth += (char in "<([") - (char in ">)]")
        if char == "," and depth == 0:
            found.append("")
        else:
            found[-1] += char
    return [part.strip() for part in found]
