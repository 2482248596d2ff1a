"""Tables on files: each publication replaces its part in one step, whatever is repeated; inputs come in every form."""

import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from tests.fakes import FrozenClock

from arco import Asset, AssetIn, InputTable, Partition, asset, daily, hourly, monthly, static, tenant, yearly
from arco.sdk.execute import AssetSet, TaskReport, TaskRun, run_task
from arco.sdk.io.port import Registration
from arco.sdk.io.warehouse import WarehouseIo
from arco.sdk.partitions import partition_of

ATTEMPTS = itertools.count(1)


class Catalog:
    """Remembers what it was told, and fails as often as it should."""

    def __init__(self, failures: int = 0) -> None:
        self.told: list[Registration] = []
        self._failures = failures

    def register(self, registration: Registration) -> None:
        if self._failures:
            self._failures -= 1
            raise ConnectionError("no answer")
        self.told.append(registration)


@pytest.fixture(params=["delta", "parquet", "parquet in memory://"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WarehouseIo]:
    root = str(tmp_path)
    if "memory" in request.param:
        root = f"memory://{tmp_path.name}-{next(ATTEMPTS)}"
    io = WarehouseIo(root, clock=FrozenClock(1_736_931_600_000))
    yield io
    assert io._handing._folder is None
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    return "delta" if request.node.callspec.params["warehouse"] == "delta" else "parquet"


def run(
    io: WarehouseIo, *assets: Asset, partition: str | None = None, attempt: int = 1, run_id: str = "r"
) -> TaskReport:
    task = TaskRun(
        task_key=assets[-1].key,
        run_id=run_id,
        attempt=attempt,
        attempt_id=f"att_{next(ATTEMPTS):024x}",
        partition_key=partition,
    )
    return run_task(task, AssetSet(assets), io=io, log=lambda *_: None)


def done(report: TaskReport) -> dict[str, Any]:
    assert report.error is None, report.error
    assert report.output is not None
    return report.output


def read(io: WarehouseIo, upstream: Asset, reads: AssetIn | None = None, **more: Any) -> Any:
    """What a reader that is not partitioned is given."""
    seen: list[Any] = []

    @asset(key="x.reader", inputs={"table": reads or AssetIn(upstream, mapping="all")}, partitions=more.pop("cut", []))
    def reader(table: pa.Table) -> None:
        seen.append(table)

    done(run(io, upstream, reader, **more))
    return seen[0]


def a_source(form: str, rows: Any, **settings: Any) -> Asset:
    """An asset that returns what `rows` holds at the time."""

    def events() -> Any:
        return rows[0] if isinstance(rows, list) and rows and not isinstance(rows[0], dict) else rows

    return asset(namespace="raw", io=form, **settings)(events)


def test_a_table_is_replaced_as_a_whole(warehouse: WarehouseIo, form: str) -> None:
    rows: list[Any] = [[{"id": 1}, {"id": 2}]]
    events = a_source(form, rows)
    first = done(run(warehouse, events))
    assert read(warehouse, events).to_pylist() == rows[0]
    rows[0] = [{"id": 3, "name": "x"}]
    second = done(run(warehouse, events))
    assert read(warehouse, events).to_pylist() == rows[0]
    assert (first["rowCount"], second["rowCount"]) == (2, 1)
    assert [(one["name"], one["type"]) for one in second["schema"]] == [("id", "int64"), ("name", "string")]
    assert second["byteSize"] > 0
    assert second["publishedAt"] == "2025-01-15T09:00:00Z"


def test_a_part_is_replaced_and_the_others_stay(warehouse: WarehouseIo, form: str) -> None:
    rows: list[Any] = [[{"id": 1}, {"id": 2}]]
    events = a_source(form, rows, partitions=[daily("date"), static("region", ["eu", "u_s"])])
    one, other = "date=d:2025-01-15,region=s:ZXU", "date=d:2025-01-16,region=s:dV9z"
    done(run(warehouse, events, partition=one))
    rows[0] = [{"id": 3}]
    done(run(warehouse, events, partition=other))
    rows[0] = [{"id": 4}]
    for _ in range(3):
        output = done(run(warehouse, events, partition=one))
    assert output["partition"] == one
    table = read(warehouse, events).sort_by("id").to_pylist()
    assert table == [
        {"id": 3, "date": dt.date(2025, 1, 16), "region": "u_s"},
        {"id": 4, "date": dt.date(2025, 1, 15), "region": "eu"},
    ]
    rows[0] = pa.table({"id": pa.array([], pa.int64())})
    done(run(warehouse, events, partition=other))
    assert read(warehouse, events).column("id").to_pylist() == [4]


@pytest.mark.parametrize(
    ("cut", "values", "inside", "outside"),
    [
        (
            monthly("month", column="at"),
            ["month=d:2025-01-01", "month=d:2025-02-01"],
            [dt.date(2025, 1, 31), dt.date(2025, 2, 1)],
            dt.date(2025, 3, 1),
        ),
        (
            daily("day", column="at"),
            ["day=d:2025-01-01", "day=d:2025-01-02"],
            [dt.datetime(2025, 1, 1, 23, 59, tzinfo=dt.UTC), dt.datetime(2025, 1, 2, tzinfo=dt.UTC)],
            dt.datetime(2025, 1, 3, tzinfo=dt.UTC),
        ),
        (
            hourly("hour", column="at"),
            ["hour=t:2025-01-01T00:00:00.000000Z", "hour=t:2025-01-01T01:00:00.000000Z"],
            [dt.datetime(2025, 1, 1, 0, 59), dt.datetime(2025, 1, 1, 1)],  # noqa: DTZ001  # times without a zone are common
            dt.datetime(2025, 1, 1, 2),  # noqa: DTZ001  # times without a zone are common
        ),
        (
            monthly("month", column="at"),
            ["month=d:2025-01-01", "month=d:2025-02-01"],
            ["2025-01", "2025-02-01"],
            "2025-03",
        ),
        (yearly("year", column="at"), ["year=d:2024-01-01", "year=d:2025-01-01"], [2024, 2025], 2026),
        (static("kind", ["a", "b"], column="at"), ["kind=s:YQ", "kind=s:Yg"], ["a", "b"], "c"),
    ],
    ids=lambda value: getattr(value, "granularity", None) or getattr(value, "kind", None) or "",
)
def test_a_part_may_be_told_by_a_column_of_the_table(
    warehouse: WarehouseIo, form: str, cut: Any, values: list[str], inside: list[Any], outside: Any
) -> None:
    rows: list[Any] = [None]
    events = a_source(form, rows, partitions=cut)
    for index in (0, 1, 0):
        rows[0] = [{"id": index, "at": inside[index]}]
        done(run(warehouse, events, partition=values[index]))
    assert read(warehouse, events).sort_by("id").column("id").to_pylist() == [0, 1]
    mine = read(warehouse, events, AssetIn(events), cut=cut, partition=values[1])
    assert mine.column("id").to_pylist() == [1]
    rows[0] = [{"id": 9, "at": inside[0]}, {"id": 9, "at": outside}]
    report = run(warehouse, events, partition=values[0])
    assert report.error is not None
    assert report.error["category"] == "DATA_QUALITY"
    assert "are not of its partition" in report.error["message"]
    assert read(warehouse, events).sort_by("id").column("id").to_pylist() == [0, 1]


def test_a_part_without_rows_is_there_and_one_that_was_never_made_is_not(warehouse: WarehouseIo, form: str) -> None:
    events = a_source(form, [pa.table({"id": pa.array([], pa.int64())})], partitions=daily("date"))
    done(run(warehouse, events, partition="date=d:2025-01-15"))
    cut = daily("date")
    assert read(warehouse, events, AssetIn(events), cut=cut, partition="date=d:2025-01-15").num_rows == 0

    @asset(key="x.reader", inputs={"table": events}, partitions=cut)
    def reader(table: pa.Table) -> None: ...

    report = run(warehouse, events, reader, partition="date=d:2025-01-16")
    assert report.error is not None
    assert report.error["category"] == "CONFIGURATION"
    assert report.error["retryable"] is False
    assert "raw.events has no table of date=d:2025-01-16 yet (1 other parts are there)" in report.error["message"]


def test_what_was_read_is_told_with_its_version(warehouse: WarehouseIo, form: str) -> None:
    events = a_source(form, [[{"id": 1, "name": "x"}]], partitions=daily("date"))
    made = [done(run(warehouse, events, partition=f"date=d:2025-01-{day}")) for day in (15, 16)]

    @asset(key="x.reader", inputs={"table": AssetIn(events, mapping="latest", columns=["id"])})
    def reader(table: pa.Table) -> None:
        assert table.column_names == ["id"]

    (facts,) = done(run(warehouse, events, reader))["inputs"]
    assert facts.pop("byteSize") > 0
    assert facts.pop("location").endswith("/raw/events")
    assert facts == {
        "assetKey": "raw.events",
        "parameterName": "table",
        "mapping": "latest",
        "partitions": ["date=d:2025-01-16"],
        "partitionCount": 1,
        "format": form,
        "version": str(made[1]["deltaVersion"]) if form == "delta" else made[1]["materializationId"],
        "rowCount": 1,
        "columns": ["id"],
    }


def test_an_input_comes_as_files_urls_batches_and_handles(warehouse: WarehouseIo, form: str) -> None:
    events = a_source(form, [[{"id": 1}, {"id": 2}]])
    done(run(warehouse, events))
    seen: dict[str, Any] = {}

    @asset(key="x.reader", inputs=dict.fromkeys(["path", "paths", "url", "urls", "batches", "handle", "lazy"], events))
    def reader(
        path: Path,
        paths: list[Path],
        url: str,
        urls: list[str],
        batches: pa.RecordBatchReader,
        handle: InputTable,
        lazy: pl.LazyFrame,
    ) -> None:
        seen["path"] = pq.read_table(path).to_pylist()
        seen["paths"] = [row for one in paths for row in pq.read_table(one).to_pylist()]
        seen["batches"] = batches.read_all().to_pylist()
        seen["handle"] = handle.polars().to_dicts()
        seen["some"] = handle.arrow(["id"]).to_pylist()
        seen["lazy"] = lazy.collect().to_dicts()
        assert url.endswith("/raw/events")
        assert all(one.startswith(url) for one in urls)

    done(run(warehouse, events, reader))
    assert all(rows == [{"id": 1}, {"id": 2}] for rows in seen.values())
    assert len(seen) == 6


def test_a_column_that_is_not_there_is_named(warehouse: WarehouseIo, form: str) -> None:
    events = a_source(form, [[{"id": 1}]])
    done(run(warehouse, events))

    @asset(key="x.reader", inputs={"table": AssetIn(events, columns=["idd"])})
    def reader(table: pa.Table) -> None: ...

    report = run(warehouse, events, reader)
    assert report.error is not None
    assert "has no column idd; it has id" in report.error["message"]


def test_a_table_keeps_its_shape(warehouse: WarehouseIo, form: str) -> None:
    done(run(warehouse, a_source(form, [[{"id": 1}]])))
    report = run(warehouse, a_source(form, [[{"id": 1}]], partitions=daily("date")), partition="date=d:2025-01-15")
    assert report.error is not None
    assert report.error["category"] == "CONFIGURATION"
    assert (
        f"holds {form} without partitions, and raw.events is {form} partitioned by date (day) now"
        in report.error["message"]
    )


def test_an_attempt_that_was_overtaken_publishes_nothing(warehouse: WarehouseIo, form: str) -> None:
    rows: list[Any] = [[{"id": 2}]]
    events = a_source(form, rows)
    done(run(warehouse, events, attempt=2))
    rows[0] = [{"id": 1}]
    report = run(warehouse, events, attempt=1)
    assert report.error is not None
    assert report.error["message"] == "attempt 2 has published already, this is 1"
    assert read(warehouse, events).to_pylist() == [{"id": 2}]
    done(run(warehouse, events, attempt=1, run_id="another"))
    assert read(warehouse, events).to_pylist() == [{"id": 1}]


def test_a_publication_whose_registration_failed_is_repeated_without_doubled_rows(tmp_path: Path) -> None:
    catalog = Catalog(failures=1)
    io = WarehouseIo(str(tmp_path), registrar=catalog)
    events = a_source("delta", [[{"id": 1}]], partitions=daily("date"), description="Events.", owners=["ann"])
    report = run(io, events, partition="date=d:2025-01-15")
    assert report.error is not None
    assert report.error["category"] == "INFRASTRUCTURE"
    assert report.phase == "publish"
    done(run(io, events, partition="date=d:2025-01-15", attempt=2))
    assert read(io, events).num_rows == 1
    (told,) = catalog.told
    assert (told.asset_key, told.location, told.format) == ("raw.events", str(tmp_path / "raw" / "events"), "delta")
    assert [(one.name, one.type) for one in told.columns] == [("id", "int64"), ("date", "date32[day]")]
    assert (told.description, list(told.owners)) == ("Events.", ["ann"])


def test_a_stream_that_breaks_off_publishes_nothing(warehouse: WarehouseIo, form: str) -> None:
    broken = [True]

    @asset(namespace="raw", io=form)
    def events() -> Iterator[Any]:
        yield [{"id": 1}]
        if broken[0]:
            raise ValueError("boom")
        yield pl.DataFrame({"id": [2]})

    report = run(warehouse, events)
    assert report.error is not None
    assert (report.error["category"], report.error["message"]) == ("USER_CODE", "ValueError: boom")
    broken[0] = False
    done(run(warehouse, events))
    assert read(warehouse, events).to_pylist() == [{"id": 1}, {"id": 2}]


def test_a_column_whose_type_changes_between_parts_is_named(tmp_path: Path) -> None:
    io = WarehouseIo(str(tmp_path))
    rows: list[Any] = [[{"amount": 1}]]
    events = a_source("delta", rows, partitions=daily("date"))
    done(run(io, events, partition="date=d:2025-01-15"))
    rows[0] = [{"amount": "many"}]
    report = run(io, events, partition="date=d:2025-01-16")
    assert report.error is not None
    assert (report.error["category"], report.error["retryable"]) == ("USER_CODE", False)
    assert "column amount is string, and int64 in the table" in report.error["message"]
    rows[0] = [{"amount": 2, "more": "x"}]
    done(run(io, events, partition="date=d:2025-01-16"))
    assert sorted(read(io, events).column_names) == ["amount", "date", "more"]


def test_other_readers_of_the_folder_see_each_row_once(tmp_path: Path) -> None:
    """As the server's SQL reads it: every Parquet file whose path has no part that begins with `_` or `.`."""
    io = WarehouseIo(str(tmp_path))
    events = a_source("parquet", [[{"id": 1}]], partitions=[hourly("hour"), static("kind", [".a", "_b"])])
    for hour, kind in itertools.product(("00", "01"), ("LmE", "X2I")):
        for _ in range(2):
            done(run(io, events, partition=f"hour=t:2025-01-01T{hour}:00:00.000000Z,kind=s:{kind}"))
    folder = tmp_path / "raw" / "events"
    files = [
        path
        for path in folder.rglob("*.parquet")
        if not any(part[0] in "_." for part in path.relative_to(folder).parts)
    ]
    assert sorted(path.relative_to(folder).as_posix() for path in files) == [
        "2025-01-01T00/~2ea/data.parquet",
        "2025-01-01T00/~5fb/data.parquet",
        "2025-01-01T01/~2ea/data.parquet",
        "2025-01-01T01/~5fb/data.parquet",
    ]
    assert not list(folder.rglob(".*"))
    assert sum(pq.read_metadata(path).num_rows for path in files) == 4


def test_delta_cuts_its_files_by_the_columns_of_parts(tmp_path: Path) -> None:
    io = WarehouseIo(str(tmp_path))
    events = a_source("delta", [[{"id": 1}]], partitions=daily("date"))
    output = done(run(io, events, partition="date=d:2025-01-15"))
    assert output["deltaTable"] == "events"
    assert output["deltaPartition"] == "date=d:2025-01-15"
    assert output["outputPath"] == str(tmp_path / "raw" / "events")
    table = DeltaTable(output["outputPath"])
    assert table.version() == output["deltaVersion"]
    assert table.metadata().partition_columns == ["date"]


def test_no_rows_and_no_columns_empty_a_table_that_is_known_and_are_refused_for_one_that_is_not(
    warehouse: WarehouseIo, form: str
) -> None:
    rows: list[Any] = [[]]
    events = a_source(form, rows)
    report = run(warehouse, events)
    assert report.error is not None
    assert report.error["category"] == "USER_CODE"
    assert "neither rows nor columns" in report.error["message"]
    rows[0] = [{"id": 1, "name": "x"}]
    done(run(warehouse, events))
    rows[0] = []
    assert done(run(warehouse, events))["rowCount"] == 0
    assert read(warehouse, events).to_pydict() == {"id": [], "name": []}


def test_a_part_without_rows_and_columns_is_an_empty_part(warehouse: WarehouseIo, form: str) -> None:
    @asset(namespace="raw", io=form, partitions=daily("date"))
    def events(date: dt.date) -> Iterator[Any]:
        if date.day == 16:
            yield [{"id": 1}]

    for day in (15, 16, 17):
        done(run(warehouse, events, partition=f"date=d:2025-01-{day}"))
    assert read(warehouse, events).to_pylist() == [{"id": 1, "date": dt.date(2025, 1, 16)}]


def test_a_column_without_values_takes_its_type_from_the_first_that_has_one(warehouse: WarehouseIo, form: str) -> None:
    rows: list[Any] = [None]
    events = a_source(form, rows, partitions=daily("date"))
    for day, note in ((15, None), (16, 5), (17, None)):
        rows[0] = [{"id": day, "note": note}]
        done(run(warehouse, events, partition=f"date=d:2025-01-{day}"))
    table = read(warehouse, events).sort_by("id")
    assert table.column("note").to_pylist() == [None, 5, None]
    rows[0] = [{"id": 1, "note": None}]
    whole = a_source(form, rows, name="whole")
    done(run(warehouse, whole))
    assert read(warehouse, whole).to_pylist() == [{"id": 1, "note": None}]


def test_a_declared_schema_is_what_the_table_has(warehouse: WarehouseIo, form: str) -> None:
    rows: list[Any] = [[]]
    declared = {"name": "string", "id": "int32", "price": "decimal(9, 2)", "at": "timestamp"}
    events = a_source(form, rows, schema=declared)
    output = done(run(warehouse, events))
    assert [(one["name"], one["type"]) for one in output["schema"]] == [
        ("name", "string"),
        ("id", "int32"),
        ("price", "decimal128(9, 2)"),
        ("at", "timestamp[us, tz=UTC]"),
    ]
    at = dt.datetime(2025, 1, 15, tzinfo=dt.UTC)
    rows[0] = pl.DataFrame({"id": [1], "at": [at], "name": ["x"], "price": [1.5]})
    done(run(warehouse, events))
    (row,) = read(warehouse, events).to_pylist()
    assert (list(row), row["id"], str(row["price"]), row["at"]) == (list(declared), 1, "1.50", at)
    for wrong, because in (
        ([{"id": 1}], "has no column name, which its schema declares"),
        (
            [{"id": 1, "name": "x", "at": at, "price": 1, "more": 1}],
            "has a column more, which its schema does not declare",
        ),
        ([{"id": "many", "name": "x", "at": at, "price": 1}], "column id is declared int32: Failed to parse"),
    ):
        rows[0] = wrong
        report = run(warehouse, events)
        assert report.error is not None
        assert because in report.error["message"]
        assert report.error["retryable"] is False


def test_frames_make_plain_types(tmp_path: Path) -> None:
    io = WarehouseIo(str(tmp_path))
    naive = dt.datetime(2025, 1, 1)  # noqa: DTZ001  # times without a zone are common
    category = pl.Series(["q"], dtype=pl.Categorical)
    frame = pl.DataFrame({"s": ["a"], "l": [["x"]], "c": category, "r": [{"a": "b"}], "t": [naive]})
    plain = ["string", "list<element: string>", "string", "struct<a: string>", "timestamp[us]"]
    for made in (frame, frame.to_pandas()):
        output = done(run(io, a_source("delta", [made])))
        assert [one["type"] for one in output["schema"]] == plain
        assert read(io, a_source("delta", [made])).to_pylist() == frame.to_dicts()


def test_a_type_that_delta_does_not_have_is_named(tmp_path: Path) -> None:
    io = WarehouseIo(str(tmp_path))
    report = run(io, a_source("delta", [pl.DataFrame({"d": [dt.timedelta(1)]})]))
    assert report.error is not None
    assert report.error["message"] == "column d is duration[us], which Delta has no type for"
    done(run(io, a_source("parquet", [pl.DataFrame({"d": [dt.timedelta(1)]})], name="other")))


def test_hostile_values_of_a_partition_stay_in_their_part(warehouse: WarehouseIo, form: str) -> None:
    values = [
        "../../x",
        "/etc/passwd",
        "a/b",
        "_b",
        ".",
        "x' OR '1'='1",
        'y" OR "a"="a',
        "c%2Fd",
        "é🎉",
        "tenant=z",
        "\\",
    ]
    seen: list[str] = []
    cut = tenant("tenant")

    @asset(namespace="raw", io=form, partitions=cut)
    def events(partition: Partition) -> Any:
        seen.append(str(partition["tenant"]))
        return [{"id": len(seen)}]

    for value in [*values, *values]:
        done(run(warehouse, events, partition=partition_of([cut], {"tenant": value}).key))
    table = read(warehouse, events)
    assert dict(zip(table["tenant"].to_pylist(), table["id"].to_pylist(), strict=True)) == {
        value: len(values) + index + 1 for index, value in enumerate(values)
    }
    for value in values:
        part = partition_of([cut], {"tenant": value}).key
        assert read(warehouse, events, AssetIn(events), cut=cut, partition=part)["tenant"].to_pylist() == [value]
    if not warehouse.root.startswith("memory:"):
        above = Path(warehouse.root)
        assert [path.name for path in above.iterdir()] == ["raw"]
        assert [path.name for path in (above / "raw").iterdir()] == ["events"]


def test_a_value_that_is_too_long_to_name_a_file_is_refused(warehouse: WarehouseIo, form: str) -> None:
    cut = tenant("tenant")
    events = a_source(form, [[{"id": 1}]], partitions=cut)
    report = run(warehouse, events, partition=partition_of([cut], {"tenant": "x" * 300}).key)
    assert report.error is not None
    assert (report.error["category"], report.error["retryable"]) == ("CONFIGURATION", False)
    assert "too long to name a file" in report.error["message"]


def test_files_of_several_materializations_are_told_each_with_its_own(tmp_path: Path) -> None:
    io = WarehouseIo(str(tmp_path))
    events = a_source("parquet", [[{"id": 1}]], partitions=daily("date"))
    parts = [f"date=d:2025-01-{day}" for day in (15, 16)]
    made = {part: done(run(io, events, partition=part))["materializationId"] for part in parts}

    @asset(key="x.reader", inputs={"table": AssetIn(events, mapping="all")})
    def reader(table: pa.Table) -> None: ...

    (facts,) = done(run(io, events, reader))["inputs"]
    assert facts["versions"] == made
    assert "version" not in facts
    assert facts["partitionCount"] == 2
