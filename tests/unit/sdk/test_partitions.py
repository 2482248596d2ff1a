"""Typed partitions, and which parts of an upstream asset a mapping reads."""

import datetime as dt
from typing import Any

import pytest

from arco import AssetIn, DataQualityFailed, Partition, asset, daily, hourly, monthly, static, tenant, yearly
from arco.core.errors import InvalidInput
from arco.sdk.assets import Asset
from arco.sdk.io.extent import extent_of
from arco.sdk.io.port import Reading
from arco.sdk.partitions import Dimension, holding, partition_of, period_of, shifted

DAYS = [dt.date(2025, 1, 30) + dt.timedelta(days=days) for days in range(5)]


@pytest.mark.parametrize(
    ("dimension", "given", "value"),
    [
        (hourly("x"), "2025-02-03T04", dt.datetime(2025, 2, 3, 4, tzinfo=dt.UTC)),
        (hourly("x"), "2025-02-03T04:00:00+02:00", dt.datetime(2025, 2, 3, 2, tzinfo=dt.UTC)),
        (daily("x"), "2025-02-03", dt.date(2025, 2, 3)),
        (daily("x"), dt.date(2025, 2, 3), dt.date(2025, 2, 3)),
        (monthly("x"), "2025-02", dt.date(2025, 2, 1)),
        (yearly("x"), "2025", dt.date(2025, 1, 1)),
        (static("x", ["eu", "us"]), "eu", "eu"),
        (tenant("x"), "acme", "acme"),
    ],
)
def test_a_value_is_read_from_what_people_write_and_comes_back_from_its_key(
    dimension: Dimension, given: Any, value: Any
) -> None:
    partition = partition_of([dimension], {"x": given})
    assert partition["x"] == value
    assert partition_of([dimension], partition.key) == partition
    assert partition_of([dimension], partition) == partition


@pytest.mark.parametrize(
    ("dimension", "given", "because"),
    [
        (hourly("x"), "2025-02-03T04:30", "beginning of a hour"),
        (hourly("x"), dt.datetime(2025, 2, 3, 4), "beginning of a hour"),  # noqa: DTZ001  # a time without a zone is the case
        (hourly("x"), dt.date(2025, 2, 3), "such as 2025-01-15T10"),
        (daily("x"), "2025-02", "such as 2025-01-15"),
        (daily("x"), dt.datetime(2025, 2, 3, tzinfo=dt.UTC), "beginning of a day"),
        (daily("x"), "1969-12-31", "beginning of a day"),
        (daily("x"), 5, "beginning of a day"),
        (monthly("x"), dt.date(2025, 2, 3), "beginning of a month, such as 2025-01"),
        (yearly("x"), dt.date(2025, 2, 1), "beginning of a year"),
        (static("x", ["eu", "us"]), "cn", "one of eu, us"),
        (static("x", ["eu", "us"]), None, "one of eu, us"),
        (tenant("x"), "", "a text that is not empty"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(dimension: Dimension, given: Any, because: str) -> None:
    with pytest.raises(InvalidInput, match=because):
        partition_of([dimension], {"x": given})


def test_dimensions_that_are_missing_or_too_many_are_named() -> None:
    with pytest.raises(InvalidInput, match="it is partitioned by date, region: say region"):
        partition_of([daily("date"), static("region", ["eu"])], {"date": "2025-01-01"})
    with pytest.raises(InvalidInput, match="by date only: leave out region"):
        partition_of([daily("date")], {"date": "2025-01-01", "region": "eu"})
    with pytest.raises(InvalidInput, match="not at all: leave out date"):
        partition_of([], "date=d:2025-01-01")


def test_a_period_begins_and_ends() -> None:
    assert partition_of([monthly()], {"month": "2024-12"}).period == (
        dt.datetime(2024, 12, 1, tzinfo=dt.UTC),
        dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
    )
    with pytest.raises(InvalidInput, match="0 dimensions of time"):
        _ = partition_of([tenant()], {"tenant": "acme"}).period


@pytest.mark.parametrize("dimension", [hourly("x"), daily("x"), monthly("x"), yearly("x")])
def test_periods_follow_each_other_without_gap(dimension: Dimension) -> None:
    value = holding(dimension, dt.datetime(2023, 12, 31, 23, 59, 59, tzinfo=dt.UTC))
    for _ in range(50):
        following = shifted(dimension, value, 1)
        end = period_of(dimension, value)[1]
        assert period_of(dimension, following)[0] == end
        assert holding(dimension, end) == following
        assert holding(dimension, end - dt.timedelta(microseconds=1)) == value
        assert shifted(dimension, following, -1) == value
        value = following


def reader(upstream: list[Dimension], own: list[Dimension], given: dict[str, Any], reads: AssetIn) -> Reading:
    def made() -> None: ...

    partition = partition_of(own, given)
    read: Asset = asset(key="raw.events", partitions=upstream)(made)
    return Reading(asset=read, parameter="events", reads=reads, form="arrow", partition=partition)


def dates(reading: Reading, parts: list[Partition]) -> list[str]:
    return [str(next(iter(one.values()))) for one in extent_of(reading).chosen(parts)]


def days() -> list[Partition]:
    return [partition_of([daily("date")], {"date": one}) for one in DAYS]


DAY = [daily("date")]


@pytest.mark.parametrize(
    ("own", "given", "reads", "expected"),
    [
        (DAY, {"date": "2025-01-31"}, AssetIn(), ["2025-01-31"]),
        (DAY, {"date": "2025-03-31"}, AssetIn(), []),
        (DAY, {"date": "2025-01-31"}, AssetIn(mapping="all"), [str(one) for one in DAYS]),
        (DAY, {"date": "2025-02-01"}, AssetIn(mapping="latest"), ["2025-02-01"]),
        (DAY, {"date": "2025-04-01"}, AssetIn(mapping="latest"), ["2025-02-03"]),
        (DAY, {"date": "2025-01-01"}, AssetIn(mapping="latest"), []),
        (DAY, {"date": "2025-02-01"}, AssetIn(mapping="window", window=3), ["2025-01-30", "2025-01-31", "2025-02-01"]),
        (DAY, {"date": "2025-01-30"}, AssetIn(mapping="window", window=3), ["2025-01-30"]),
        ([], {}, AssetIn(), [str(one) for one in DAYS]),
        ([], {}, AssetIn(mapping="latest"), ["2025-02-03"]),
        ([], {}, AssetIn(mapping="window", window=2), ["2025-02-02", "2025-02-03"]),
        ([monthly("date")], {"date": "2025-01"}, AssetIn(), ["2025-01-30", "2025-01-31"]),
        ([monthly("date")], {"date": "2025-02"}, AssetIn(mapping="latest"), ["2025-02-03"]),
        ([hourly("date")], {"date": "2025-02-01T23"}, AssetIn(), ["2025-02-01"]),
        ([static("region", ["eu"])], {"region": "eu"}, AssetIn(), [str(one) for one in DAYS]),
    ],
)
def test_a_mapping_reads_these_days(own: list[Dimension], given: dict[str, Any], reads: AssetIn, expected: Any) -> None:
    assert dates(reader(DAY, own, given, reads), days()) == expected


def test_dimensions_meet_by_name_and_what_only_the_upstream_has_is_read_whole() -> None:
    upstream = [daily("date"), static("region", ["eu", "us"])]
    parts = [partition_of(upstream, {"date": one, "region": region}) for one in DAYS for region in ("eu", "us")]
    by_day = extent_of(reader(upstream, DAY, {"date": "2025-02-01"}, AssetIn())).chosen(parts)
    assert [(str(one["date"]), one["region"]) for one in by_day] == [("2025-02-01", "eu"), ("2025-02-01", "us")]
    region = [static("region", ["eu", "us"])]
    latest = extent_of(reader(upstream, region, {"region": "us"}, AssetIn(mapping="latest"))).chosen(parts)
    assert [(str(one["date"]), one["region"]) for one in latest] == [("2025-02-03", "us")]


def test_a_dimension_that_means_two_things_is_refused() -> None:
    with pytest.raises(InvalidInput, match="mean different things by date"):
        extent_of(reader(DAY, [tenant("date")], {"date": "acme"}, AssetIn()))


def test_failures_of_data_are_failures_of_tasks() -> None:
    assert DataQualityFailed("x").category == "DATA_QUALITY"
