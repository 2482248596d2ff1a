"""Whatever is published, repeated, refused or broken off: a table holds the last publication of each part, once."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from arco import Asset, AssetIn, asset, daily, monthly
from arco.sdk.execute import AssetSet, TaskRun, run_task
from arco.sdk.io.port import Registration
from arco.sdk.io.warehouse import WarehouseIo
from arco.sdk.partitions import partition_of

COLUMNS = pa.schema([("id", pa.int64()), ("on", pa.date32())])
CUTS = {"a column of its own": daily("day"), "a column of the table": monthly("month", column="on")}


class Step(NamedTuple):
    """A publication: of which part, with which rows, and what goes wrong."""

    part: int
    rows: Sequence[int]
    trouble: str


STEPS = st.builds(
    Step,
    st.integers(1, 3),
    st.lists(st.integers(0, 9), max_size=4),
    st.sampled_from(["", "", "", "twice", "catalog", "stream", "check", "stranger"]),
)


class Catalog:
    """Says nothing to those it fails."""

    def __init__(self) -> None:
        self.fails = False

    def register(self, registration: Registration) -> None:
        if self.fails:
            raise ConnectionError("no answer")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("form", ["parquet", "delta"])
@given(steps=st.lists(STEPS, max_size=7))
@settings(max_examples=6)
def test_a_table_is_what_was_published_last(form: str, cut: str, steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog()
        io = WarehouseIo(folder, registrar=catalog)
        current: list[Step] = []
        events = _events(form, cut, current)
        published: dict[int, list[int]] = {}
        for index, step in enumerate(steps):
            if step.trouble == "stranger" and cut == "a column of its own":
                continue  # the table says nothing of days: nobody is a stranger
            current[:] = [step]
            catalog.fails = step.trouble == "catalog"
            for repeated in range(2 if step.trouble == "twice" else 1):
                outcome = _run(io, events, part=step.part, attempt_id=f"att_{index}_{repeated}")
            fine = step.trouble in ("", "twice")
            assert outcome == ("SUCCEEDED" if fine else "FAILED")
            # A table that the catalog did not hear of is there all the same; the next attempt tells it.
            if step.trouble in ("", "twice", "catalog"):
                published[step.part] = list(step.rows)
        expected = sorted(row for rows in published.values() for row in rows)
        assert _seen_by_others(form, folder) == expected
        if published:
            assert _read(io, events) == expected


def _events(form: str, cut: str, current: list[Step]) -> Asset:
    @asset(key="raw.events", partitions=CUTS[cut], io=form)
    def events(partition: Any) -> Any:
        (step,) = current
        day = partition.period[0].date()
        rows = [{"id": row, "on": day} for row in step.rows]
        if step.trouble == "stranger":
            rows.append({"id": 99, "on": day.replace(year=1999)})
        yield pa.Table.from_pylist(rows, COLUMNS)
        if step.trouble == "stream":
            raise ValueError("broken off")
        if step.trouble == "check":
            yield [{"other": 1}]

    return events


def _run(io: WarehouseIo, events: Asset, *, part: int, attempt_id: str) -> str:
    (cut,) = events.partitions
    value = f"2025-0{part}" if cut.granularity == "month" else f"2025-01-0{part}"
    key = partition_of(events.partitions, {cut.name: value}).key
    task = TaskRun(task_key=events.key, run_id="r", attempt=1, attempt_id=attempt_id, partition_key=key)
    return run_task(task, AssetSet([events]), io=io, log=lambda *_: None).outcome


def _read(io: WarehouseIo, events: Asset) -> list[int]:
    seen: list[int] = []

    @asset(key="x.reader", inputs={"table": AssetIn(events, mapping="all")})
    def reader(table: pa.Table) -> None:
        seen.extend(sorted(table.column("id").to_pylist()))

    task = TaskRun(task_key=reader.key, run_id="r", attempt=1, attempt_id="att_read")
    report = run_task(task, AssetSet([events, reader]), io=io, log=lambda *_: None)
    assert report.error is None, report.error
    return seen


def _seen_by_others(form: str, folder: str) -> list[int]:
    """The rows as somebody sees them who knows nothing of arco."""
    if form == "parquet":
        found = ds.dataset(f"{folder}/raw/events", format="parquet") if Path(folder, "raw", "events").is_dir() else None
        table = found.to_table() if found is not None and found.files else COLUMNS.empty_table()
    elif DeltaTable.is_deltatable(f"{folder}/raw/events"):
        table = DeltaTable(f"{folder}/raw/events").to_pyarrow_table()
    else:
        table = COLUMNS.empty_table()
    return sorted(table.column("id").to_pylist())
