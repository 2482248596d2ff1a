"""Checks: what each kind finds, what a function may answer, and that only blocking ones keep a table back."""

import datetime as dt
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from tests.fakes import FrozenClock

from arco import CheckResult, Context, Partition, asset, asset_check, checks, daily
from arco.sdk.checks import Check
from arco.sdk.io.staged import staged_of
from arco.testing import RunFailed, materialize

NOW = dt.datetime(2025, 1, 15, 10, tzinfo=dt.UTC)
TABLE = pa.table(
    {
        "id": [1, 2, 2],
        "region": ["eu", "eu", "us"],
        "name": ["a", None, None],
        "at": [NOW - dt.timedelta(hours=hours) for hours in (5, 3, 9)],
        "day": [dt.date(2025, 1, day) for day in (13, 14, 12)],
        "never": pa.nulls(3, pa.timestamp("us")),
    }
)


@pytest.mark.parametrize(
    ("check", "passed", "words"),
    [
        (checks.row_count(min=3), True, ""),
        (checks.row_count(max=3), True, ""),
        (checks.row_count(min=4), False, "3 rows, and there should be at least 4"),
        (checks.row_count(min=1, max=2), False, "3 rows, and there should be at most 2"),
        (checks.not_null("id", "region"), True, ""),
        (checks.not_null("id", "name"), False, "2 rows without name"),
        (checks.unique("id", "region"), True, ""),
        (checks.unique("id"), False, "1 rows repeat the id of another"),
        (checks.unique("idd"), False, "there is no column idd"),
        (checks.freshness("at", max_age_hours=3), True, ""),
        (
            checks.freshness("at", max_age_hours=2),
            False,
            "the newest at, 2025-01-15T07:00:00+00:00, is more than 2 h old",
        ),
        (checks.freshness("day", max_age_hours=34), True, ""),
        (checks.freshness("never", max_age_hours=1), False, "never has no value at all"),
        (checks.freshness("id", max_age_hours=1), False, "id holds no times but int"),
    ],
)
def test_a_check_says_what_it_found(check: Check, passed: bool, words: str) -> None:
    for kept in (staged_of(TABLE), staged_of(TABLE.to_reader())):
        found = check.examine(kept, NOW)
        assert found.passed is passed
        assert found.description.startswith(words)
        kept.close()


@asset
def orders() -> Any:
    return TABLE.drop_columns(["never"])


def checked(answer: Any, *, blocking: bool) -> Any:
    @asset_check(asset=orders, blocking=blocking)
    def fine(table: pl.DataFrame, context: Context) -> Any:
        assert table.height == 3
        if isinstance(answer, Exception):
            raise answer
        return answer

    return materialize([orders, fine], raise_on_failure=False)


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        (True, True),
        (None, True),
        (pl.Series([True]).to_numpy()[0], True),
        (CheckResult(passed=True, metadata={"seen": 3}), True),
        (False, False),
        (CheckResult(passed=False, description="no"), False),
        (AssertionError("not so"), False),
    ],
)
def test_a_function_may_answer_in_several_ways(answer: Any, passed: bool) -> None:
    assert checked(answer, blocking=True).success is passed
    warned = checked(answer, blocking=False)
    assert warned.success
    assert warned.checks(orders) == {"fine": passed}
    assert bool(warned.logs["default.orders"]) is not passed


@pytest.mark.parametrize("answer", ["yes", 1, ValueError("boom")])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_check_that_breaks_or_says_nothing_fails_the_task(answer: Any, blocking: bool) -> None:
    result = checked(answer, blocking=blocking)
    report = result.reports["default.orders"]
    assert report.error is not None
    assert (report.error["category"], report.phase) == ("USER_CODE", "check")
    with pytest.raises(KeyError):
        result.table(orders)


def test_every_check_is_made_before_a_table_is_refused() -> None:
    @asset(checks=[checks.row_count(min=9), checks.unique("id")])
    def orders() -> Any:
        return TABLE

    with pytest.raises(
        RunFailed, match=r"default\.orders failed \(DATA_QUALITY\): .*row_count: 3 rows.*; unique_id: 1 rows"
    ):
        materialize([orders])


def test_freshness_is_measured_from_the_clock_of_the_task() -> None:
    @asset(checks=[checks.freshness("at", max_age_hours=4)])
    def orders() -> Any:
        return TABLE

    at = int(NOW.timestamp() * 1000)
    assert materialize([orders], clock=FrozenClock(at)).success
    assert not materialize([orders], clock=FrozenClock(at + 3_600_000 * 2), raise_on_failure=False).success


def test_a_check_knows_the_partition() -> None:
    seen = []

    @asset(partitions=daily())
    def sales() -> Any:
        return [{"id": 1}]

    @asset_check(asset="default.sales", name="by_day")
    def by_day(partition: Partition) -> bool:
        seen.append(partition.key)
        return True

    assert materialize([sales, by_day], partition={"date": "2025-01-15"}).checks(sales) == {"by_day": True}
    assert seen == ["date=d:2025-01-15"]
