"""What a query answers with: which rows, from which manifest, and the two ways they are written (catalog.md 7.4)."""

from typing import Final, Literal

import msgspec
import pyarrow as pa

from arco.core.errors import InvalidInput
from arco.query.json_rows import TooLarge, encode_rows

Output = Literal["json", "arrow"]
"""How rows are written."""

MEDIA: Final[dict[Output, str]] = {"json": "application/json", "arrow": "application/vnd.apache.arrow.stream"}
TRUNCATED_KEY: Final = b"arco.truncated"
"""Schema metadata of an Arrow stream whose rows are not all there."""

MANIFEST_KEY: Final = b"arco.manifest_id"
"""Schema metadata of an Arrow stream: the manifest that was read."""


class QueryResult(msgspec.Struct, frozen=True, kw_only=True):
    """The rows, the manifest they are of (None in a workspace that has none yet), and whether some are missing."""

    table: pa.Table
    manifest_id: str | None
    truncated: bool

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.table.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """Their columns."""
        return self.table.schema


def chosen_output(format_text: str | None, accept: str | None) -> Output:
    """JSON or Arrow, as `?format=` or else `Accept` asks. Raises `InvalidInput` for another format (catalog.md 7.4)."""
    if format_text is not None:
        wanted = format_text.strip().lower()
        if wanted not in ("json", "arrow"):
            raise InvalidInput("format must be one of: json, arrow")
        return "json" if wanted == "json" else "arrow"
    return "json" if "application/json" in (accept or "").lower() else "arrow"


def encode(result: QueryResult, output: Output, bytes_max: int) -> bytes:
    """The body. Raises `InvalidInput` when it would be longer than `bytes_max` bytes (catalog.md 7.3)."""
    try:
        return encode_rows(result.table, bytes_max) if output == "json" else _arrow_stream(result, bytes_max)
    except TooLarge:
        raise InvalidInput(f"query result exceeds max size ({bytes_max} bytes)") from None


def _arrow_stream(result: QueryResult, bytes_max: int) -> bytes:
    table = result.table.cast(pa.schema([field.with_type(_widely_read(field.type)) for field in result.table.schema]))
    metadata = dict(table.schema.metadata or {})
    if result.manifest_id is not None:
        metadata[MANIFEST_KEY] = result.manifest_id.encode()
    if result.truncated:
        metadata[TRUNCATED_KEY] = b"true"
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.with_metadata(metadata or None)) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
            if sink.tell() > bytes_max:
                raise TooLarge
    body = sink.getvalue()
    if body.size > bytes_max:
        raise TooLarge
    return bytes(body.to_pybytes())


def _widely_read(kind: pa.DataType) -> pa.DataType:
    """The type without the view layouts, which many Arrow readers do not know."""
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_widely_read(kind.value_type)))
    if pa.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return pa.struct([field.with_type(_widely_read(field.type)) for field in fields])
    return kind
