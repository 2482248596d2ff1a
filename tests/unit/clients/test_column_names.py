"""SQL names of Arrow types, from the types and from their text: both must say the same."""

import pyarrow as pa
import pytest

from arco.clients.columns import sql_name, sql_type

TYPES = [
    pa.int8(),
    pa.uint64(),
    pa.float16(),
    pa.string(),
    pa.large_string(),
    pa.date32(),
    pa.bool_(),
    pa.null(),
    pa.binary(16),
    pa.decimal128(10, 2),
    pa.decimal256(40, 3),
    pa.timestamp("us"),
    pa.timestamp("ns", "Europe/Berlin"),
    pa.list_(pa.int64()),
    pa.large_list(pa.list_(pa.string())),
    pa.list_(pa.int8(), 3),
    pa.map_(pa.string(), pa.list_(pa.timestamp("us", "UTC"))),
    pa.struct([("a", pa.int32()), ("b", pa.struct([("c", pa.decimal128(5, 1)), ("d", pa.list_(pa.bool_()))]))]),
    pa.struct([pa.field("a", pa.int32(), nullable=False)]),
    pa.dictionary(pa.int32(), pa.string()),
    pa.time64("us"),
    pa.duration("s"),
]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_the_text_of_a_type_has_the_name_of_the_type(kind: pa.DataType):
    assert sql_name(str(kind)) == sql_type(kind)
