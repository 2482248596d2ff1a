"""Rows to the body of a response, in a sandbox child (catalog.md 7.4)."""

import pyarrow as pa

from arco.query.json_rows import TooLarge, encode_rows
from arco.query.results import MANIFEST_KEY, TRUNCATED_KEY
from arco.query.session import Answer, too_large


def encode_answer(answer: Answer, output: str, manifest_id: str | None, bytes_max: int) -> bytes:
    """The body, in a sandbox child. Raises `InvalidInput` when it would be longer than `bytes_max` (catalog.md 7.3)."""
    try:
        if output == "json":
            return encode_rows(answer.table, bytes_max)
        return _arrow_stream(answer, manifest_id, bytes_max)
    except TooLarge:
        raise too_large(bytes_max) from None


def _arrow_stream(answer: Answer, manifest_id: str | None, bytes_max: int) -> bytes:
    table = answer.table
    table = table.cast(pa.schema([field.with_type(_widely_read(field.type)) for field in table.schema]))
    metadata = dict(table.schema.metadata or {})
    if manifest_id is not None:
        metadata[MANIFEST_KEY] = manifest_id.encode()
    if answer.truncated:
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
