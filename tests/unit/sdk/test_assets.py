"""Definitions: what a decorated function is, and that a wrong one is refused with its place and the fix."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pytest

from arco import (
    Asset,
    AssetIn,
    Compute,
    Context,
    DefinitionError,
    Io,
    Output,
    Partition,
    Resource,
    RetryPolicy,
    Schedule,
    asset,
    asset_check,
    checks,
    daily,
    hourly,
    monthly,
    resource,
    static,
    tenant,
    yearly,
)
from arco.sdk.loading import AssetSet

if TYPE_CHECKING:
    import pandas as pd


def roles(one: Asset) -> dict[str, tuple[str, str]]:
    return {parameter.name: (parameter.role, parameter.source) for parameter in one.parameters}


def test_a_function_alone_is_an_asset_named_after_it_and_can_still_be_called() -> None:
    @asset
    def orders() -> list[int]:
        """All orders.

        Every one.
        """
        return [1]

    assert (orders.key, orders.namespace, orders.name) == ("default.orders", "default", "orders")
    assert orders.description.startswith("All orders.")
    assert orders() == [1]
    assert orders.file == __file__
    assert repr(orders) == "Asset('default.orders')"


def test_a_key_is_said_by_its_parts_or_as_a_whole() -> None:
    def made() -> None: ...

    assert asset(name="a.b", namespace="raw")(made).key == "raw.a.b"
    assert asset(namespace="raw")(made).key == "raw.made"
    assert asset(key="raw/made")(made).key == asset(key="raw.made")(made).key == "raw.made"


def test_everything_a_parameter_can_be() -> None:
    @asset(namespace="raw")
    def users() -> None: ...

    @asset(
        namespace="raw",
        partitions=[daily("date"), static("region", ["eu", "us"])],
        inputs={"history": AssetIn("raw.events", mapping="window", window=7), "people": users},
        deps=[users, "mart.prices", "mart.notes"],
        resources={"client": "warehouse"},
    )
    def sales(
        context: Context,
        partition: Partition,
        date: dt.date,
        region: str,
        orders: pa.Table,
        prices: "pd.DataFrame",
        history: pa.Table,
        people: list[Path],
        latest: Annotated[pa.Table, AssetIn("raw.rates", mapping="latest")],
        client: object,
        mail: Annotated[object, Resource("smtp")],
        threshold: int = 5,
    ) -> None: ...

    assert roles(sales) == {
        "context": ("context", ""),
        "partition": ("partition", ""),
        "date": ("dimension", "date"),
        "region": ("dimension", "region"),
        "orders": ("input", "raw.orders"),
        "prices": ("input", "mart.prices"),
        "history": ("input", "raw.events"),
        "people": ("input", "raw.users"),
        "latest": ("input", "raw.rates"),
        "client": ("resource", "warehouse"),
        "mail": ("resource", "smtp"),
    }
    assert {one.name: one.form for one in sales.parameters if one.role == "input"} == {
        "orders": "arrow",
        "prices": "pandas",
        "history": "arrow",
        "people": "paths",
        "latest": "arrow",
    }
    assert sales.upstreams == ("raw.orders", "mart.prices", "raw.events", "raw.users", "raw.rates", "mart.notes")


def test_every_setting_is_kept() -> None:
    @asset(
        owners=["data@acme.io"],
        tags={"tier": "gold"},
        io=Io(format="delta", compression="zstd", partition_by=("id",)),
        retries=RetryPolicy(5, delay_seconds=1),
        timeout=dt.timedelta(minutes=5),
        heartbeat_timeout=60,
        queue="gpu",
        priority=7,
        concurrency="warehouse",
        compute=Compute(cpu_millicores=500, memory_mib=256),
        checks=[checks.row_count(min=1)],
    )
    def orders() -> None: ...

    assert (orders.timeout_seconds, orders.heartbeat_timeout_seconds) == (300, 60)
    assert orders.retries == RetryPolicy(5, delay_seconds=1)
    assert orders.io.compression == "zstd"
    assert orders.concurrency == "warehouse"


def a_function(**parameters: Any) -> Callable[..., None]:
    def made() -> None: ...

    return made


@pytest.mark.parametrize(
    ("settings", "because"),
    [
        ({"name": "Orders"}, r'is no asset key.*give the asset a name: @asset\(name="..."\)'),
        ({"key": "a.b", "name": "c"}, "say key, or name and namespace, not both"),
        ({"retires": 3}, r"@asset takes no retires; did you mean retries\?"),
        ({"retries": -1}, "retries must be a whole number from 0 to 99, not -1"),
        ({"retries": True}, "neither a number nor a RetryPolicy"),
        ({"retries": RetryPolicy(1, delay_seconds=100_000)}, "delay_seconds must be"),
        ({"timeout": 0}, r"timeout \(seconds\) must be a whole number from 1"),
        ({"timeout": dt.timedelta(days=2)}, "timeout"),
        ({"heartbeat_timeout": 10}, "from 30 to"),
        ({"priority": 5_000}, "priority must be"),
        ({"concurrency": "*"}, "stands for the whole workspace"),
        ({"queue": ""}, "queue is a text of 1 to 128"),
        ({"io": "csv"}, "format 'csv' is none of delta, parquet"),
        ({"io": Io(format="parquet", partition_by=("a",))}, "sorts the files of a Delta table"),
        ({"owners": "me"}, "owners is a list of texts"),
        ({"tags": ["a"]}, "tags are texts with a name each"),
        ({"partitions": "daily"}, "is none; write daily"),
        ({"partitions": [daily(), daily()]}, "date is there twice"),
        ({"checks": [print]}, "use @asset_check"),
        ({"checks": [checks.row_count(min=1), checks.row_count(max=9)]}, "row_count is there twice"),
        ({"inputs": {"order": "raw.orders"}}, "the function has no parameter order"),
        ({"deps": ["orders"]}, "is no asset key"),
        ({"deps": [len]}, "is no asset: give the decorated function"),
        ({"deps": ["default.made"]}, "it reads itself"),
        ({"resources": "db"}, r'write a list, resources=\["db"\]'),
        ({"compute": 5}, "compute: 5 is none"),
        ({"schema": ["id"]}, "schema: write columns with their types"),
        ({"schema": {}}, "schema: name at least one column"),
        ({"schema": {"id": "int"}}, "schema: id has type 'int'; use one of int8"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(settings: dict[str, Any], because: str) -> None:
    with pytest.raises(DefinitionError, match=because) as refused:
        asset(**settings)(a_function())
    assert f"{__file__}:" in refused.value.message
    assert "asset made: " in refused.value.message


def test_a_wrong_parameter_is_refused_with_what_it_may_be() -> None:
    def numbers(orders: int) -> None: ...
    def rest(*orders: Any) -> None: ...
    def keywords(**orders: Any) -> None: ...

    with pytest.raises(
        DefinitionError, match=r"parameter orders: a table is not handed over as int; use pyarrow\.Table"
    ):
        asset(numbers)
    for one in (rest, keywords):
        with pytest.raises(DefinitionError, match="everything a function is given has a name"):
            asset(one)


@pytest.mark.parametrize(
    ("made", "because"),
    [
        (lambda: AssetIn("raw.a", mapping="identty"), "is none of identity, all, latest, window"),  # type: ignore[arg-type]  # as users would
        (lambda: AssetIn("raw.a", mapping="window"), "goes with window=n"),
        (lambda: AssetIn("raw.a", window=3), "goes with window=n"),
        (lambda: AssetIn("raw.a", columns="id"), "columns is a list"),
        (lambda: daily("Date"), "partitions: .* is no name of a dimension"),
        (lambda: static("region", "eu"), "give a list of different texts"),
        (lambda: static("region", []), "give a list of different texts"),
        (lambda: static("region", ["eu", "eu"]), "give a list of different texts"),
        (checks.row_count, "say min, max or both"),
        (lambda: checks.row_count(min=5, max=3), "no table has 5 to 3 rows"),
        (checks.not_null, "name at least one column"),
        (lambda: checks.freshness("at", max_age_hours=0), "at least 1"),
        (lambda: Schedule("s", cron="* *", assets=["a.b"]), r"test_assets\.py:\d+: schedule 's': cron needs 5 fields"),
        (lambda: Schedule("s", cron="* * * * *", assets=[]), "assets is empty"),
        (lambda: Schedule("s", cron="* * * * *", assets=["a.b"], timezone="Wien"), "is no IANA time zone"),
    ],
)
def test_what_goes_with_assets_is_checked_where_it_is_written(made: Callable[[], Any], because: str) -> None:
    with pytest.raises(DefinitionError, match=because):
        made()


def test_a_check_takes_one_table_and_a_resource_no_argument() -> None:
    with pytest.raises(DefinitionError, match="parameter b: a check is given one table, and that is a"):

        @asset_check(asset="default.orders")
        def both(a: pa.Table, b: pa.Table) -> None: ...

    with pytest.raises(DefinitionError, match="what is not published yet has no path"):

        @asset_check(asset="default.orders")
        def files(orders: Path) -> None: ...

    with pytest.raises(DefinitionError, match="resource db: it is called without arguments, and url has no default"):

        @resource  # type: ignore[arg-type]  # a type checker says so too
        def db(url: str) -> None: ...


def test_assets_that_do_not_fit_together_are_named_all_of_them() -> None:
    @asset
    def orders() -> None: ...

    @asset(name="orders")
    def others() -> None: ...

    @asset
    def report(order: pa.Table) -> None: ...

    @asset_check(asset="default.ordres")
    def fine() -> bool:
        return True

    nightly = Schedule("nightly", cron="0 3 * * *", assets=["default.reports"])
    with pytest.raises(DefinitionError) as refused:
        AssetSet([orders, others, report], [fine], [], [nightly])
    first, second, third, fourth = refused.value.message.splitlines()
    assert "default.orders is defined at" in first
    assert "parameter order reads default.order, which is no asset here; did you mean default.orders?" in second
    assert "fine checks default.ordres, which is no asset here; did you mean default.orders?" in third
    assert "nightly makes default.reports, which is no asset here; did you mean default.report?" in fourth


def test_a_circle_is_refused() -> None:
    @asset
    def one(two: pa.Table) -> None: ...

    @asset
    def two(one: pa.Table) -> None: ...

    with pytest.raises(DefinitionError, match=r"in a circle: default\.\w+ -> default\.\w+ -> "):
        AssetSet([one, two])


def test_what_a_value_of_each_dimension_is() -> None:
    assert [(one().kind, one().granularity) for one in (hourly, daily, monthly, yearly, tenant)] == [
        ("time", "hour"),
        ("time", "day"),
        ("time", "month"),
        ("time", "year"),
        ("tenant", None),
    ]
    assert monthly("month", column="flight_date").column == "flight_date"
    assert daily().column == "date"


def test_an_output_names_what_is_kept_beside_it() -> None:
    assert Output([1], {"a": 1}) == Output(value=[1], metadata={"a": 1})


def test_a_function_under_another_decorator_is_read_as_it_was_written() -> None:
    from tests.unit.sdk.wrapped import timed_report

    assert roles(timed_report) == {"orders": ("input", "default.orders"), "context": ("context", "")}
    assert timed_report.file.endswith("wrapped.py")
    assert timed_report.line == 24
