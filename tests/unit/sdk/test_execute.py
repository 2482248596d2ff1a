"""One attempt at one task: what its function is given, what becomes of it, and that nothing else counts as success.

Numbers in names are items of orchestration.md 10.
"""

import asyncio
import datetime as dt
import os
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pytest

from arco import (
    AssetIn,
    Context,
    DataQualityFailed,
    InfrastructureFailed,
    Output,
    Partition,
    Resource,
    TaskCancelled,
    TaskFailed,
    asset,
    checks,
    daily,
    resource,
    static,
)
from arco.sdk.execute import AssetSet, TaskReport, TaskRun, run_task
from arco.sdk.io.memory import MemoryIo

ROWS = [{"id": 1, "amount": 5}, {"id": 2, "amount": 7}]


def run(*assets: Any, key: str | None = None, io: MemoryIo | None = None, **more: Any) -> TaskReport:
    task = TaskRun(
        task_key=key or assets[-1].key,
        run_id="run-1",
        attempt=2,
        attempt_id="att_af5c419a69061299a227e6a9",
        partition_key=more.pop("partition", None),
    )
    return run_task(task, AssetSet(assets), io=io or MemoryIo(), log=lambda *_: None, **more)


def failure(report: TaskReport) -> tuple[str, str]:
    assert report.outcome == "FAILED"
    assert report.error is not None
    assert report.output is None
    return report.error["category"], report.error["message"]


def test_a_table_that_is_made_is_published_and_told_in_the_words_of_the_contract() -> None:
    @asset
    def orders() -> list[dict[str, int]]:
        return ROWS

    io = MemoryIo()
    report = run(orders, io=io)
    assert report.outcome == "SUCCEEDED"
    assert report.output is not None
    assert report.output["materializationId"] == "mat_af5c419a69061299a227e6a9"
    assert report.output["rowCount"] == 2
    assert report.output["outputVisibilityState"] == "VISIBLE"
    assert [one["name"] for one in report.output["schema"]] == ["id", "amount"]
    assert io.table("default.orders").to_pylist() == ROWS
    assert report.metrics.keys() >= {"cpuTimeMs", "ioReadBytes", "ioWriteBytes"}
    assert msgspec.json.decode(msgspec.json.encode(report), type=TaskReport) == report


@pytest.mark.parametrize(
    "made",
    [
        pa.Table.from_pylist(ROWS),
        pa.Table.from_pylist(ROWS).to_batches()[0],
        pa.Table.from_pylist(ROWS).to_reader(),
        pl.DataFrame(ROWS),
        pl.LazyFrame(ROWS),
        pd.DataFrame(ROWS),
        {"id": [1, 2], "amount": [5, 7]},
        ROWS,
        Output(ROWS),
        iter([[ROWS[0]], pl.DataFrame(ROWS[1:])]),
    ],
    ids=lambda made: type(made).__name__,
)
def test_every_form_of_a_table_becomes_the_same_table(made: Any) -> None:
    @asset
    def orders() -> Any:
        return made

    io = MemoryIo()
    report = run(orders, io=io)
    assert report.error is None
    assert io.table("default.orders").to_pylist() == ROWS


def test_an_input_comes_in_the_form_its_annotation_asks_for() -> None:
    seen = {}

    @asset
    def orders() -> list[dict[str, int]]:
        return ROWS

    @asset(inputs={"c": orders, "d": orders, "e": orders, "f": AssetIn(orders, columns=["id"])})
    def read(orders: pa.Table, c: pl.DataFrame, d: "pl.LazyFrame", e: pd.DataFrame, f: pa.RecordBatchReader) -> None:
        seen.update(locals())

    io = MemoryIo()
    run(orders, io=io)
    report = run(orders, read, io=io)
    assert report.error is None
    assert [type(seen[name]).__name__ for name in "cdef"] == [
        "DataFrame",
        "LazyFrame",
        "DataFrame",
        "RecordBatchReader",
    ]
    assert seen["f"].read_all().to_pylist() == [{"id": 1}, {"id": 2}]
    assert report.output is not None
    assert [one["parameterName"] for one in report.output["inputs"]] == ["orders", "c", "d", "e", "f"]
    assert report.output["inputs"][0] == {
        "assetKey": "default.orders",
        "parameterName": "orders",
        "mapping": "identity",
        "version": "1",
        "rowCount": 2,
        "byteSize": seen["orders"].nbytes,
        "columns": ["id", "amount"],
    }


def test_async_functions_and_generators_of_both_kinds_make_tables() -> None:
    @asset
    async def waited() -> Any:
        await asyncio.sleep(0)
        return ROWS

    @asset
    def yielded() -> Iterator[Any]:
        yield ROWS[:1]
        yield ROWS[1:]

    @asset
    async def both() -> Any:
        yield ROWS[:1]
        await asyncio.sleep(0)
        yield ROWS[1:]

    for one in (waited, yielded, both):
        io = MemoryIo()
        assert run(one, io=io).error is None
        assert io.table(one.key).to_pylist() == ROWS


async def test_async_functions_run_where_a_loop_runs_already() -> None:
    @asset
    async def waited() -> Any:
        await asyncio.sleep(0)
        return ROWS

    assert run(waited).outcome == "SUCCEEDED"


def test_a_function_is_told_its_run_and_its_partition_with_typed_values() -> None:
    seen: dict[str, Any] = {}

    @asset(partitions=[daily("date"), static("region", ["eu", "us"])])
    def sales(context: Context, partition: Partition, date: dt.date, region: str) -> Any:
        seen.update(locals())
        context.report(rows_seen=3, at=dt.date(2025, 1, 1))
        return [{"amount": 1}]

    io = MemoryIo()
    report = run(sales, io=io, partition="date=d:2025-01-15,region=s:ZXU")
    assert report.error is None
    assert (seen["date"], seen["region"]) == (dt.date(2025, 1, 15), "eu")
    assert seen["partition"].key == "date=d:2025-01-15,region=s:ZXU"
    context = seen["context"]
    assert (context.run_id, context.attempt, context.partition) == ("run-1", 2, seen["partition"])
    assert report.output is not None
    assert report.output["metadata"] == {"rows_seen": 3, "at": "2025-01-01"}
    assert io.table(sales.key, seen["partition"]).to_pylist() == [
        {"amount": 1, "date": dt.date(2025, 1, 15), "region": "eu"}
    ]


@pytest.mark.parametrize(
    "key", [None, "", "date=d:2025-13-01", "date", "date=i:5", "day=d:2025-01-15", "date=tomorrow"]
)
def test_69_a_partitioned_asset_without_a_readable_partition_fails_and_is_not_called(key: str | None) -> None:
    called = []

    @asset(partitions=daily("date"))
    def sales() -> None:
        called.append(True)

    category, message = failure(run(sales, partition=key))
    assert category == "CONFIGURATION"
    assert "default.sales" in message
    assert not called


def test_a_partition_key_without_tags_is_read_too() -> None:
    seen = []

    @asset(partitions=daily("date"))
    def sales(date: dt.date) -> None:
        seen.append(date)

    assert run(sales, partition="date=2025-01-15").outcome == "SUCCEEDED"
    assert seen == [dt.date(2025, 1, 15)]


def test_an_unknown_asset_fails_and_names_what_may_be_meant() -> None:
    @asset
    def orders() -> None: ...

    category, message = failure(run(orders, key="default.order"))
    assert category == "CONFIGURATION"
    assert "did you mean default.orders?" in message


@pytest.mark.parametrize("code", [0, None, 1])
@pytest.mark.parametrize("how", ["exit", "interrupt", "generator_exit", "base"])
def test_whatever_leaves_a_function_is_no_success(how: str, code: int | None) -> None:
    class Odd(BaseException):
        pass

    raised = {"interrupt": KeyboardInterrupt(), "generator_exit": GeneratorExit(), "base": Odd()}

    @asset
    def orders() -> None:
        if how == "exit":
            sys.exit(code)
        raise raised[how]

    @asset
    def streamed() -> Iterator[Any]:
        yield ROWS
        if how == "exit":
            sys.exit(code)
        raise raised[how]

    io = MemoryIo()
    assert failure(run(orders))[0] == "USER_CODE"
    assert failure(run(streamed, io=io))[0] == "USER_CODE"
    assert io.table("default.streamed") is None


@pytest.mark.parametrize(
    ("error", "category", "retryable"),
    [
        (ValueError("boom"), "USER_CODE", None),
        (TaskFailed("no use", retryable=False), "USER_CODE", False),
        (DataQualityFailed("bad rows"), "DATA_QUALITY", None),
        (InfrastructureFailed("no line"), "INFRASTRUCTURE", None),
        (TaskCancelled("by myself"), "CANCELLED", False),
        (MemoryError(), "INFRASTRUCTURE", None),
        (TimeoutError("slow"), "USER_CODE", None),
    ],
)
def test_an_error_has_a_category_and_the_users_frames_only(
    error: BaseException, category: str, retryable: bool | None
) -> None:
    @asset
    def orders() -> None:
        _deep(error)

    report = run(orders)
    assert failure(report)[0] == category
    assert report.error is not None
    assert report.error.get("retryable") == retryable
    assert "in _deep" in report.error["stackTrace"]
    assert "sdk/execute.py" not in report.error["stackTrace"]
    assert report.phase == "run"


def _deep(error: BaseException) -> None:
    raise error


def test_a_result_that_is_no_table_fails_and_says_what_would_be_one() -> None:
    @asset
    def orders() -> int:
        return 3

    category, message = failure(run(orders))
    assert category == "USER_CODE"
    assert "returned int, which is no table; return a pyarrow.Table" in message


def test_an_input_that_was_never_made_fails_without_another_attempt() -> None:
    @asset
    def orders() -> None: ...

    @asset
    def read(orders: pa.Table) -> None: ...

    report = run(orders, read)
    assert failure(report)[0] == "CONFIGURATION"
    assert report.error is not None
    assert report.error["retryable"] is False
    assert "default.orders has no table" in report.error["message"]


def test_a_run_that_is_cancelled_ends_cancelled_and_publishes_nothing() -> None:
    wanted = []

    @asset
    def orders(context: Context) -> Any:
        wanted.append(True)
        assert context.cancelled
        return ROWS

    io = MemoryIo()
    report = run(orders, io=io, cancelled=lambda: bool(wanted))
    assert report.outcome == "CANCELLED"
    assert report.error is not None
    assert report.error["category"] == "CANCELLED"
    assert report.phase == "stage"
    assert not io.tables


def test_whatever_a_function_raises_when_it_is_told_to_stop_it_was_cancelled() -> None:
    told = []

    @asset
    def orders() -> Any:
        told.append(True)
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise RuntimeError("connection lost") from interrupt

    report = run(orders, cancelled=lambda: bool(told))
    assert report.outcome == "CANCELLED"
    assert report.error == {"category": "CANCELLED", "message": "RuntimeError: connection lost", "retryable": False}


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system keeps one peak a process")
def test_each_task_of_a_process_has_a_peak_of_its_own() -> None:
    @asset
    def large() -> None:
        bytearray(64 << 20)

    @asset
    def small() -> None: ...

    first, second = run(large).metrics, run(small).metrics
    assert first["peakMemoryBytes"] - second["peakMemoryBytes"] > 32 << 20


def test_a_blocking_check_keeps_a_table_from_being_published() -> None:
    @asset(checks=[checks.row_count(min=3), checks.unique("id", blocking=False), checks.not_null("id")])
    def orders() -> Any:
        return ROWS

    io = MemoryIo()
    report = run(orders, io=io)
    category, message = failure(report)
    assert category == "DATA_QUALITY"
    assert "row_count: 2 rows, and there should be at least 3" in message
    assert [(one["name"], one["passed"]) for one in report.checks] == [
        ("row_count", False),
        ("unique_id", True),
        ("not_null_id", True),
    ]
    assert not io.tables


def test_an_error_without_a_text_and_one_that_is_no_unicode_are_told_too() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @asset
    def mute() -> None:
        raise Mute

    @asset
    def odd() -> None:
        raise ValueError("\ud800" + "x" * 10_000)

    assert failure(run(mute))[1] == "Mute: (its text cannot be made: RuntimeError)"
    report = run(odd)
    assert failure(report)[1].startswith("ValueError: \\ud800xxx")
    assert len(failure(report)[1]) == 4_096
    msgspec.json.encode(report)


def test_columns_that_are_handed_on_untouched_are_lineage_and_others_as_far_as_they_are_said() -> None:
    @asset
    def orders() -> Any:
        return ROWS

    @asset
    def report(orders: pa.Table) -> Any:
        double = pa.compute.multiply(orders.column("amount"), 2)
        made = orders.rename_columns(["order_id", "amount"]).append_column("double", double)
        return Output(made.append_column("guess", double), column_lineage={"double": ["default.orders.amount"]})

    io = MemoryIo()
    run(orders, io=io)
    output = run(orders, report, io=io).output
    assert output is not None
    assert output["columnLineage"] == {
        "order_id": ["default.orders.id"],
        "amount": ["default.orders.amount"],
        "double": ["default.orders.amount"],
    }


def test_what_a_task_reports_is_bounded_and_plain() -> None:
    @asset
    def much(context: Context) -> None:
        context.report(a="x" * 70_000)

    @asset
    def strange(context: Context) -> None:
        context.report(a=object())

    @asset
    def scalars(context: Context) -> None:
        context.report(a=pa.scalar(5), b=pl.Series([1.5]).to_numpy()[0], c={"d": [1, None]})
        context.progress(50, "half")
        context.log.info("half way", rows=5)

    assert "are too many; keep it below 65536" in failure(run(much))[1]
    assert "keep text, numbers, lists and objects" in failure(run(strange))[1]
    said: list[Any] = []
    report = run(scalars, progress=lambda percent, message: said.append((percent, message)))
    assert report.output is not None
    assert report.output["metadata"] == {"a": 5, "b": 1.5, "c": {"d": [1, None]}}
    assert said == [(50, "half")]


def test_resources_are_made_once_and_closed_after_the_task_even_when_it_fails() -> None:
    events: list[str] = []

    @resource
    def warehouse() -> Iterator[str]:
        events.append("opened")
        yield "w"
        events.append("closed")

    @resource(name="broken")
    def made_wrong() -> Iterator[str]:
        yield "b"
        raise OSError("cannot close")

    @asset(resources=["warehouse", "broken"], inputs={})
    def orders(warehouse: str, broken: str, again: Annotated[str, Resource("warehouse")]) -> Any:
        assert (warehouse, broken, again) == ("w", "b", "w")
        return ROWS

    @asset(resources=["warehouse"])
    def failing(warehouse: str) -> None:
        raise ValueError(warehouse)

    lines: list[str] = []
    known = AssetSet([orders, failing], [], [warehouse, made_wrong])

    def task(key: str) -> TaskRun:
        return TaskRun(task_key=key, run_id="r", attempt=1, attempt_id="att_1")

    report = run_task(task("default.orders"), known, io=MemoryIo(), log=lambda level, text, fields: lines.append(text))
    assert report.outcome == "SUCCEEDED"
    assert lines == ["resource broken could not be closed"]
    assert run_task(task("default.failing"), known, io=MemoryIo(), log=lambda *_: None).outcome == "FAILED"
    assert events == ["opened", "closed"] * 2
    given = {"warehouse": "w", "broken": "b"}
    assert run_task(task("default.orders"), known, io=MemoryIo(), resources=given, log=lambda *_: None).error is None
    assert events == ["opened", "closed"] * 2


def test_a_resource_that_nobody_made_is_named() -> None:
    @asset(resources=["warehuse"])
    def orders(warehuse: str) -> None: ...

    category, message = failure(run(orders, resources={"warehouse": 1}))
    assert category == "CONFIGURATION"
    assert "no resource is called warehuse; did you mean warehouse?" in message
