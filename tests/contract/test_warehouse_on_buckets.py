"""Tables of assets in a bucket: what holds on a folder holds on S3, written by processes at the same time too."""

import subprocess
import sys
from typing import Any

import pytest
from tests.contract.warehouse_writer import EVENTS, READERS
from tests.emulators.processes import AWS_VARIABLES, BUCKET, Emulator

from arco.sdk.execute import AssetSet, TaskRun, run_task
from arco.sdk.io.warehouse import WarehouseIo


def bucket(s3: Emulator, name: str) -> WarehouseIo:
    options = {"client_kwargs": {"endpoint_url": s3.endpoint}}
    delta = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_CONDITIONAL_PUT": "etag", **AWS_VARIABLES}
    return WarehouseIo(f"s3://{BUCKET}/{name}", options=options, delta_options=delta)


def run(io: WarehouseIo, key: str, day: int | None = None) -> dict[str, Any]:
    task = TaskRun(
        task_key=key,
        run_id="r",
        attempt=1,
        attempt_id=f"att_{day or 0}",
        partition_key=None if day is None else f"date=d:2025-01-{day}",
    )
    report = run_task(task, AssetSet([*EVENTS.values(), *READERS.values()]), io=io, log=lambda *_: None)
    assert report.error is None, report.error
    assert report.output is not None
    return report.output


@pytest.mark.slow
@pytest.mark.usefixtures("aws_credentials")
@pytest.mark.parametrize("form", ["delta", "parquet"])
def test_parts_in_a_bucket_are_replaced_and_read(s3: Emulator, form: str) -> None:
    io = bucket(s3, f"tables-{form}")
    for day in (15, 16, 15):
        output = run(io, f"raw.{form}_events", day)
    assert output["outputPath"].startswith(f"s3://{BUCKET}/tables-{form}/raw/{form}_events")
    read = run(io, f"mart.{form}_sum")
    assert read["metadata"] == {"ids": [15, 16]}
    assert read["inputs"][0]["partitions"] == ["date=d:2025-01-15", "date=d:2025-01-16"]
    assert read["inputs"][0]["byteSize"] > 0


@pytest.mark.slow
def test_parts_that_processes_write_at_the_same_time_are_all_there(tmp_path: Any) -> None:
    days = (10, 11, 12)
    command = [sys.executable, "-m", "tests.contract.warehouse_writer", str(tmp_path)]
    children = [subprocess.Popen([*command, str(day)], stderr=subprocess.PIPE, text=True) for day in days]
    for child in children:
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said
    assert run(WarehouseIo(str(tmp_path)), "mart.delta_sum")["metadata"] == {"ids": list(days)}
