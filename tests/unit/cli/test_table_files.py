import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arco.cli.columns import parse_columns
from arco.cli.failures import UsageProblem
from arco.cli.files import UnreadableFiles, local_columns, local_format
from arco.clients.columns import arrow_columns, sql_type

ROWS = pa.table({"id": pa.array([1], pa.int64()), "at": pa.array([0], pa.timestamp("us", "UTC"))})
COLUMNS = [
    {"name": "id", "data_type": "BIGINT", "nullable": True},
    {"name": "at", "data_type": "TIMESTAMP", "nullable": True},
]


@pytest.mark.parametrize(
    ("arrow", "sql"),
    [
        (pa.int8(), "TINYINT"),
        (pa.uint32(), "BIGINT"),
        (pa.float32(), "FLOAT"),
        (pa.large_string(), "STRING"),
        (pa.string_view(), "STRING"),
        (pa.bool_(), "BOOLEAN"),
        (pa.date32(), "DATE"),
        (pa.timestamp("ns"), "TIMESTAMP_NTZ"),
        (pa.timestamp("us", "UTC"), "TIMESTAMP"),
        (pa.decimal128(10, 2), "DECIMAL(10,2)"),
        (pa.binary(16), "BINARY"),
        (pa.dictionary(pa.int32(), pa.string()), "STRING"),
        (pa.list_(pa.string()), "ARRAY<STRING>"),
        (pa.map_(pa.string(), pa.int32()), "MAP<STRING,INTEGER>"),
        (pa.struct([("a", pa.int64()), ("b", pa.list_(pa.float64()))]), "STRUCT<a:BIGINT,b:ARRAY<DOUBLE>>"),
    ],
)
def test_arrow_types_have_sql_names(arrow, sql):
    assert sql_type(arrow) == sql


def test_a_column_that_may_not_be_null_says_so():
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False)])
    assert arrow_columns(schema) == [{"name": "id", "data_type": "BIGINT", "nullable": False}]


def test_columns_of_a_parquet_file_come_from_its_footer(tmp_path):
    pq.write_table(ROWS, tmp_path / "t.parquet")
    assert local_format(tmp_path / "t.parquet") == "parquet"
    assert local_columns(tmp_path / "t.parquet", "parquet") == COLUMNS


def test_columns_of_a_directory_come_from_its_first_visible_file(tmp_path):
    (tmp_path / "month=1").mkdir()
    (tmp_path / "_hidden.parquet").touch()
    pq.write_table(ROWS, tmp_path / "month=1" / "t.parquet")
    assert local_format(tmp_path) == "parquet"
    assert local_columns(tmp_path, "parquet") == COLUMNS


def test_columns_of_a_delta_table_come_from_its_log(tmp_path):
    from deltalake import write_deltalake

    write_deltalake(tmp_path, ROWS)
    assert local_format(tmp_path) == "delta"
    assert local_columns(tmp_path, "delta") == COLUMNS


def test_files_that_are_not_what_they_are_called_say_so(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"id,at\n")
    with pytest.raises(UnreadableFiles, match=r"t\.parquet cannot be read as parquet"):
        local_columns(tmp_path / "t.parquet", "parquet")
    with pytest.raises(UnreadableFiles, match="cannot be read as delta"):
        local_columns(tmp_path, "delta")


def test_an_empty_directory_is_no_table(tmp_path):
    with pytest.raises(UnreadableFiles, match="there is no Parquet file below"):
        local_format(tmp_path)


def test_the_columns_flag_keeps_commas_inside_types():
    columns = parse_columns("id:BIGINT, price:DECIMAL(10,2),tags:MAP<STRING,ARRAY<STRING>>")
    assert [(column["name"], column["data_type"]) for column in columns] == [
        ("id", "BIGINT"),
        ("price", "DECIMAL(10,2)"),
        ("tags", "MAP<STRING,ARRAY<STRING>>"),
    ]


@pytest.mark.parametrize("text", ["", "id", "id:", ":BIGINT", "id:BIGINT,"])
def test_a_column_without_name_or_type_is_a_usage_error(text):
    with pytest.raises(UsageProblem, match="is not name:type"):
        parse_columns(text)
