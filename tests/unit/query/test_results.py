"""How rows are written."""

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from arco.core.errors import InvalidInput
from arco.query.encoding import encode_answer
from arco.query.json_rows import encode_rows
from arco.query.results import chosen_output
from arco.query.session import Answer


def _rows(table: pa.Table) -> list[dict]:
    return json.loads(encode_rows(table, 10_000_000))


def _one(values: list, kind: pa.DataType | None = None) -> list[dict]:
    return _rows(pa.table({"x": pa.array(values, kind)}))


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([1, None, -3], pa.int64(), [1, None, -3]),
        ([2**64 - 1], pa.uint64(), [2**64 - 1]),
        ([1.5, float("nan"), float("inf"), 2.0], pa.float64(), [1.5, None, None, 2.0]),
        ([True, None], pa.bool_(), [True, None]),
        (['q"\\\n', "é", ""], pa.string(), ['q"\\\n', "é", ""]),
        ([Decimal("1.20"), None], pa.decimal128(5, 2), ["1.20", None]),
        ([b"\xff", b""], pa.binary(), ["/w==", ""]),
        ([dt.date(2026, 1, 2)], pa.date32(), ["2026-01-02"]),
        (
            [0, 1_001, -1],
            pa.timestamp("ms", "UTC"),
            ["1970-01-01T00:00:00+00:00", "1970-01-01T00:00:01.001+00:00", "1969-12-31T23:59:59.999+00:00"],
        ),
        ([0, 5], pa.timestamp("s", "Europe/Berlin"), ["1970-01-01T00:00:00+00:00", "1970-01-01T00:00:05+00:00"]),
        ([1], pa.timestamp("ns"), ["1970-01-01T00:00:00.000000001"]),
        ([[1, None], None, []], pa.list_(pa.int64()), [[1, None], None, []]),
        ([{"a": 1, "b": None}, None], pa.struct({"a": pa.int64(), "b": pa.string()}), [{"a": 1}, None]),
        ([[("k", 1)]], pa.map_(pa.string(), pa.int64()), [{"k": 1}]),
        ([{"t": 1}], pa.struct({"t": pa.timestamp("ns", "UTC")}), [{"t": "1970-01-01T00:00:00Z"}]),
        ([(1, 2, 3_000_000_000)], pa.month_day_nano_interval(), ["P1M2DT3.000000S"]),
        ([None], pa.null(), [None]),
    ],
)
def test_values_are_written_as_promised_and_null_keys_are_left_out(values, kind, texts):
    assert _one(values, kind) == [{} if text is None else {"x": text} for text in texts]


def test_no_rows_are_an_empty_array():
    assert encode_rows(pa.table({"x": pa.array([], pa.int64())}), 100) == b"[]"


def test_columns_of_one_name_are_all_written():
    assert _rows(pa.table([[1], [2], [3]], names=["a", "a", "a_1"])) == [{"a": 1, "a_2": 2, "a_1": 3}]


def test_a_long_result_is_one_array():
    assert _one(list(range(25_000))) == [{"x": number} for number in range(25_000)]


@pytest.mark.parametrize("output", ["json", "arrow"])
def test_a_body_over_the_limit_is_refused(output):
    result = Answer(pa.table({"x": ["y" * 1_000] * 100}), False)
    with pytest.raises(InvalidInput, match=r"^query result exceeds max size \(5000 bytes\)$"):
        encode_answer(result, output, None, 5_000)
    assert encode_answer(result, output, None, 10_485_760)


def test_very_wide_rows_are_given_up_before_all_are_written():
    table = pa.table({f"column_{index}": [1] * 10_000 for index in range(300)})
    with pytest.raises(InvalidInput):
        encode_answer(Answer(table, False), "json", None, 1_000_000)


def test_an_arrow_stream_says_what_it_is_and_whether_it_is_cut():
    table = pa.table({"x": pa.array(["a"], pa.string_view()), "y": pa.array([b"b"], pa.binary_view())})
    body = encode_answer(Answer(table, True), "arrow", "7", 10_000)
    found = pa.ipc.open_stream(body).read_all()
    assert found.schema.metadata == {b"arco.truncated": b"true", b"arco.manifest_id": b"7"}
    assert found.schema.types == [pa.string(), pa.binary()]
    assert found.to_pylist() == [{"x": "a", "y": b"b"}]


@pytest.mark.parametrize(
    ("format_text", "accept", "output"),
    [
        (None, None, "arrow"),
        (None, "*/*", "arrow"),
        (None, "application/json", "json"),
        (None, "text/html, application/json;q=0.9", "json"),
        (" JSON ", None, "json"),
        ("Arrow", "application/json", "arrow"),
    ],
)
def test_the_format_is_chosen_by_parameter_then_by_accept(format_text, accept, output):
    assert chosen_output(format_text, accept) == output


@pytest.mark.parametrize("format_text", ["csv", "", "json,arrow"])
def test_another_format_is_refused(format_text):
    with pytest.raises(InvalidInput, match=r"^format must be one of: json, arrow$"):
        chosen_output(format_text, None)
