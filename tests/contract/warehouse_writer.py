"""Assets that tests of buckets write and read; as a program it writes a part, twice, as a worker would."""

import datetime as dt
import sys
from typing import Any

import pyarrow as pa

from arco import Asset, AssetIn, Context, asset, daily
from arco.sdk.execute import AssetSet, TaskRun, run_task
from arco.sdk.io.warehouse import WarehouseIo


def _events(form: str) -> Asset:
    @asset(name=f"{form}_events", namespace="raw", partitions=daily("date"), io=form)
    def made(date: dt.date) -> Any:
        return [{"id": date.day}]

    return made


def _sum(form: str) -> Asset:
    @asset(name=f"{form}_sum", namespace="mart", inputs={"table": AssetIn(EVENTS[form], mapping="all")})
    def made(table: pa.Table, context: Context) -> None:
        context.report(ids=sorted(table.column("id").to_pylist()))

    return made


EVENTS = {form: _events(form) for form in ("delta", "parquet")}
READERS = {form: _sum(form) for form in EVENTS}


def main(root: str, day: str) -> None:
    """Write a day of the Delta table, over and over."""
    io = WarehouseIo(root)
    for attempt in (1, 2):
        task = TaskRun(
            task_key="raw.delta_events",
            run_id="r",
            attempt=attempt,
            attempt_id=f"att_{day}_{attempt}",
            partition_key=f"date=d:2025-01-{day}",
        )
        report = run_task(task, AssetSet([EVENTS["delta"]]), io=io, log=lambda *_: None)
        assert report.error is None, report.error


if __name__ == "__main__":
    main(*sys.argv[1:])
