"""Flights out of New York: from one file a month to answers.

raw    what the files say, with types
clean  one row a flight, with a date
marts  answers
"""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from arco import (
    AssetIn,
    CheckResult,
    Context,
    InfrastructureFailed,
    Output,
    RetryPolicy,
    asset,
    asset_check,
    checks,
    monthly,
)

FILES = Path(__file__).parent / "data"
MONTHS = monthly("month", column="flight_month")
"""Tasks make one month each, and find the rows of a month in this column of their table."""

AGAIN = RetryPolicy(max_retries=2, delay_seconds=1)
"""How often and how soon a task that failed is tried again; unless said, twice, after 30 and 60 seconds."""

LATE_MINUTES = 15


def rows_of(file: str) -> pa.Table:
    """A file of the data set, with types as its values are; NA is null."""
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    return csv.read_csv(FILES / file, convert_options=options)


def date_of(table: pa.Table) -> pa.ChunkedArray:
    """The date that a table has as year, month and day."""
    parts = [table[name].cast(pa.string()) for name in ("year", "month", "day")]
    return pc.strptime(pc.binary_join_element_wise(*parts, "-"), "%Y-%m-%d", "s").cast(pa.date32())


@asset(key="raw.flights", partitions=MONTHS, io="parquet", retries=AGAIN)
def raw_flights(month: dt.date, context: Context) -> pa.Table:
    """Every departure of a month, as its file says."""
    file = f"flights-{month:%Y-%m}.csv"
    found = rows_of(file)
    context.log.info("read", file=file, rows=found.num_rows)
    return found


@asset(namespace="raw", io="parquet", retries=AGAIN)
def airlines() -> pa.Table:
    """Carrier codes and names."""
    return rows_of("airlines.csv")


@asset(namespace="raw", io="parquet", retries=AGAIN)
def airports() -> pa.Table:
    """Airports and where they are."""
    return rows_of("airports.csv")


@asset(namespace="raw", io="delta", retries=AGAIN)
def planes() -> pa.Table:
    """Planes by tail number."""
    return rows_of("planes.csv")


@asset(namespace="raw", io="parquet", retries=AGAIN)
def weather(context: Context) -> pa.Table:
    """Weather of every hour by airport, from a service that never answers the first time: what retries are for."""
    if context.attempt == 1:
        raise InfrastructureFailed("the weather service did not answer")
    return rows_of("weather.csv")


@asset(
    key="clean.flights",
    partitions=MONTHS,
    inputs={"flights": raw_flights},
    checks=[checks.row_count(min=1_000), checks.not_null("flight_date", "carrier", "origin")],
    io="parquet",
    retries=AGAIN,
)
def clean_flights(flights: pa.Table) -> Output:
    """One row a flight: its date, whether it left at all, and how late it was."""
    cancelled = pc.is_null(flights["dep_time"])
    kept = flights.select(["carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay"])
    return Output(
        kept.append_column("flight_date", date_of(flights)).append_column("cancelled", cancelled),
        metadata={"cancelled": pc.sum(cancelled).as_py()},
        column_lineage={
            "flight_date": ["raw.flights.year", "raw.flights.month", "raw.flights.day"],
            "cancelled": ["raw.flights.dep_time"],
        },
    )


@asset_check(asset=clean_flights)
def no_flight_is_there_twice(flights: pa.Table) -> CheckResult:
    """A file that was delivered twice must not be counted twice: this check keeps the table from being published."""
    what_a_flight_is = ["flight_date", "carrier", "flight", "origin"]
    twice = flights.num_rows - flights.group_by(what_a_flight_is).aggregate([]).num_rows
    return CheckResult(passed=twice == 0, description=f"{twice} flights are there twice")


@asset_check(asset=clean_flights, blocking=False)
def few_are_cancelled(flights: pa.Table) -> CheckResult:
    """Many cancelled flights are a storm or bad data: somebody should look, and nothing has to stop for it."""
    share = pc.mean(flights["cancelled"].cast(pa.int8())).as_py()
    return CheckResult(passed=share < 0.05, description=f"{share:.1%} never left", metadata={"share": share})


@asset(
    namespace="marts",
    inputs={"flights": AssetIn(clean_flights, mapping="all"), "airlines": airlines},
    retries=AGAIN,
)
def delays_by_carrier(flights: pa.Table, airlines: pa.Table) -> Output:
    """Flights, cancellations and delays of each airline, over all months there are."""
    late = pc.greater_equal(flights["arr_delay"], LATE_MINUTES)
    counted = (
        flights.select(["carrier", "dep_delay", "arr_delay"])
        .append_column("gone", flights["cancelled"].cast(pa.int64()))
        .append_column("late", late.cast(pa.int8()))
        .group_by("carrier")
        .aggregate([([], "count_all"), ("gone", "sum"), ("dep_delay", "mean"), ("arr_delay", "mean"), ("late", "mean")])
        .join(airlines, "carrier")
        .sort_by([("count_all", "descending")])
    )
    return Output(
        pa.table(
            {
                "carrier": counted["carrier"],
                "airline": counted["name"],
                "flights": counted["count_all"],
                "cancelled": counted["gone_sum"],
                "avg_dep_delay": pc.round(counted["dep_delay_mean"], 2),
                "avg_arr_delay": pc.round(counted["arr_delay_mean"], 2),
                "late_percent": pc.round(pc.multiply(counted["late_mean"], 100), 1),
            }
        ),
        column_lineage={
            "carrier": ["clean.flights.carrier"],
            "airline": ["raw.airlines.name"],
            "cancelled": ["clean.flights.cancelled"],
            "avg_dep_delay": ["clean.flights.dep_delay"],
            "avg_arr_delay": ["clean.flights.arr_delay"],
            "late_percent": ["clean.flights.arr_delay"],
        },
    )


@asset(
    namespace="marts",
    inputs={"flights": AssetIn(clean_flights, mapping="all"), "weather": weather},
    io="parquet",
    retries=AGAIN,
)
def daily_weather_delays(flights: pa.Table, weather: pa.Table) -> pa.Table:
    """Delays and weather of each day and airport."""
    day = ["origin", "flight_date"]
    delays = flights.append_column("gone", flights["cancelled"].cast(pa.int64())).group_by(day)
    skies = weather.append_column("flight_date", date_of(weather)).group_by(day)
    both = (
        delays.aggregate([([], "count_all"), ("gone", "sum"), ("dep_delay", "mean")])
        .join(
            skies.aggregate([("temp", "mean"), ("precip", "sum"), ("wind_speed", "max"), ("visib", "min")]),
            day,
            join_type="inner",
        )
        .sort_by([("flight_date", "ascending"), ("origin", "ascending")])
    )
    return pa.table(
        {
            "origin": both["origin"],
            "flight_date": both["flight_date"],
            "flights": both["count_all"],
            "cancelled": both["gone_sum"],
            "avg_dep_delay": pc.round(both["dep_delay_mean"], 2),
            "avg_temp_f": pc.round(both["temp_mean"], 1),
            "rain_inches": pc.round(both["precip_sum"], 2),
            "max_wind_mph": pc.round(both["wind_speed_max"], 1),
            "min_visibility": both["visib_min"],
        }
    )


@asset(namespace="marts", inputs={"days": daily_weather_delays, "airports": airports}, io="parquet", retries=AGAIN)
def worst_days(days: pa.Table, airports: pa.Table) -> pa.Table:
    """The days with the longest delays, and what the sky looked like."""
    worst = days.sort_by([("avg_dep_delay", "descending")]).slice(0, 25)
    named = worst.join(airports.select(["faa", "name"]), "origin", "faa").rename_columns({"name": "airport"})
    return named.sort_by([("avg_dep_delay", "descending")])
