"""`arco.testing`: a project's assets in memory, in the order of their dependencies."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arco import AssetIn, Context, DefinitionError, InputTable, Partition, asset, daily, resource, static
from arco.sdk.loading import AssetSet
from arco.testing import RunFailed, a_context, materialize

RAN: list[str] = []


@asset(namespace="raw", partitions=daily("date"))
def events(date: dt.date, context: Context) -> Any:
    RAN.append("events")
    context.log.info("reading", day=date.day)
    return [{"id": date.day, "amount": 2}]


@asset(namespace="mart", partitions=daily("date"), inputs={"events": events})
def sales(events: pl.DataFrame) -> pl.DataFrame:
    RAN.append("sales")
    return events.select(pl.col("amount").sum())


@asset(namespace="mart", inputs={"sales": AssetIn(sales, mapping="all")})
def summary(sales: pa.Table) -> Any:
    RAN.append("summary")
    return {"days": [sales.num_rows]}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    RAN.clear()


def test_assets_run_in_the_order_of_what_they_read() -> None:
    result = materialize([summary, sales, events], partition={"date": "2025-01-15"})
    assert RAN == ["events", "sales", "summary"]
    assert result.success
    assert result.table(sales).to_pylist() == [{"amount": 2, "date": dt.date(2025, 1, 15)}]
    assert result.table("mart.summary").to_pylist() == [{"days": 1}]
    assert result.output(summary)["inputs"][0]["partitions"] == ["date=d:2025-01-15"]
    assert result.logs["raw.events"] == [("info", "reading", {"day": 15})]


def test_what_is_handed_over_does_not_run() -> None:
    result = materialize([sales], partition="date=d:2025-01-15", inputs={events: [{"amount": 3}, {"amount": 4}]})
    assert RAN == ["sales"]
    assert result.table(sales).column("amount").to_pylist() == [7]
    by_key = materialize(
        [sales], partition={"date": dt.date(2025, 1, 15)}, inputs={"raw.events": pl.DataFrame({"amount": [1]})}
    )
    assert by_key.table(sales).column("amount").to_pylist() == [1]
    whole = materialize(AssetSet([events, sales, summary]), inputs={sales: [{"amount": 1}] * 3, events: [{"a": 1}]})
    assert whole.table(summary).to_pylist() == [{"days": 3}]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(DefinitionError, match=r"parameter events reads raw\.events, which is no asset here"):
        materialize([sales], partition={"date": "2025-01-15"})
    with pytest.raises(DefinitionError, match=r"partition: raw\.events: it is partitioned by date: say date"):
        materialize([events])
    with pytest.raises(DefinitionError, match=r"inputs: raw\.event is no asset here; did you mean raw\.events\?"):
        materialize(AssetSet([events]), inputs={"raw.event": []})
    with pytest.raises(DefinitionError, match="is no asset, check or resource"):
        materialize([print])  # type: ignore[list-item]  # as users would


def test_a_failure_is_raised_with_its_cause_or_skips_what_depends_on_it() -> None:
    @asset(namespace="raw", name="events")
    def broken() -> Any:
        raise ValueError("boom")

    @asset(deps=["raw.events"])
    def after() -> None: ...

    @asset
    def besides() -> Any:
        return [{"id": 1}]

    with pytest.raises(RunFailed, match=r"raw\.events failed \(USER_CODE\): ValueError: boom") as failed:
        materialize([broken, after])
    assert isinstance(failed.value.__cause__, ValueError)
    result = materialize([broken, after, besides], raise_on_failure=False)
    assert not result.success
    assert result.skipped == ["default.after"]
    assert result.reports["default.besides"].outcome == "SUCCEEDED"


def test_an_interrupt_stops_it() -> None:
    @asset
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        materialize([stopped], raise_on_failure=False)


def test_resources_are_handed_over_or_made() -> None:
    @resource
    def rate() -> int:
        return 2

    @asset(resources=["rate"])
    def prices(rate: int) -> Any:
        return [{"price": rate}]

    assert materialize([prices, rate]).table(prices).to_pylist() == [{"price": 2}]
    assert materialize([prices, rate], resources={"rate": 9}).table(prices).to_pylist() == [{"price": 9}]


async def test_it_runs_where_a_loop_runs() -> None:
    @asset
    async def later() -> Any:
        return [{"id": 1}]

    assert materialize([later]).table(later).num_rows == 1


def test_a_function_can_be_called_by_hand_with_a_context() -> None:
    partition = Partition({"date": dt.date(2025, 1, 15)})
    lines: list[Any] = []
    context = a_context(partition=partition, attempt=3, log=lambda *line: lines.append(line))
    assert events(date=dt.date(2025, 1, 15), context=context) == [{"id": 15, "amount": 2}]
    assert (context.partition, context.attempt, context.cancelled) == (partition, 3, False)
    assert lines == [("info", "reading", {"day": 15})]
    assert a_context(cancelled=True).cancelled


def test_several_dimensions_each_asset_takes_its_own() -> None:
    @asset(partitions=[daily("date"), static("region", ["eu"])])
    def both(region: str, date: dt.date) -> Any:
        return [{"at": f"{region} {date}"}]

    result = materialize([events, both], partition={"date": "2025-01-15", "region": "eu"})
    assert result.table(both).column("at").to_pylist() == ["eu 2025-01-15"]


def test_a_function_that_wants_a_file_gets_one() -> None:
    @asset
    def counted(orders: Path, rows: InputTable, pieces: list[Path]) -> Any:
        assert rows.arrow().num_rows == 1
        return [{"files": len(pieces), **row} for row in pq.read_table(orders).to_pylist()]

    handed = {"default.orders": [{"id": 5}], "default.rows": [{"id": 6}], "default.pieces": [{"id": 7}]}
    assert materialize([counted], inputs=handed).table(counted).to_pylist() == [{"files": 1, "id": 5}]

    @asset
    def located(orders: str) -> None: ...

    with pytest.raises(RunFailed, match="a table in memory has no URL; take a Path"):
        materialize([located], inputs={"default.orders": [{"id": 5}]})
