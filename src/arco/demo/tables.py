"""What the demo puts into the catalog `nyc`: raw tables from the data set, marts made from them by the server's SQL."""

from typing import Final

import msgspec

CATALOG: Final = "nyc"
CATALOG_DESCRIPTION: Final = "Every flight that left New York City in 2013"
SCHEMAS: Final = {"raw": "The data set as it was published", "marts": "Answers made from raw"}
RUN_ID: Final = "arco-demo"
"""The run that the demo's lineage edges name; fixed, so that a second demo records nothing new."""


class DemoTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table: its files below the workspace, and for a mart the SQL and the tables it is made from."""

    schema: str
    name: str
    format: str
    rows: int
    description: str
    sql: str | None = None
    sources: tuple[str, ...] = ()

    @property
    def is_directory(self) -> bool:
        """True when the table is many files."""
        return self.format == "delta" or self.name == "flights"

    @property
    def location(self) -> str:
        """Where its files lie, relative to the workspace."""
        end = "/" if self.is_directory else ".parquet"
        return f"warehouse/{self.schema}/{self.name}{end}"

    @property
    def label(self) -> str:
        """Its name in the catalog."""
        return f"{CATALOG}.{self.schema}.{self.name}"


DELAYS_BY_CARRIER: Final = """\
SELECT f.carrier, a.name AS airline, count(*) AS flights,
       count(*) FILTER (WHERE f.dep_time IS NULL) AS cancelled,
       round(avg(f.dep_delay), 2) AS avg_dep_delay, round(avg(f.arr_delay), 2) AS avg_arr_delay,
       round(100.0 * count(*) FILTER (WHERE f.arr_delay >= 15) / count(f.arr_delay), 1) AS late_percent
FROM nyc.raw.flights f JOIN nyc.raw.airlines a ON a.carrier = f.carrier
GROUP BY f.carrier, a.name ORDER BY flights DESC"""

DAILY_WEATHER_DELAYS: Final = """\
WITH daily_flights AS (
  SELECT origin, make_date(year, month, day) AS flight_date, count(*) AS flights,
         count(*) FILTER (WHERE dep_time IS NULL) AS cancelled, round(avg(dep_delay), 2) AS avg_dep_delay
  FROM nyc.raw.flights GROUP BY origin, year, month, day),
daily_weather AS (
  SELECT origin, make_date(year, month, day) AS flight_date, round(avg(temp), 1) AS avg_temp_f,
         round(sum(precip), 2) AS rain_inches, round(max(wind_speed), 1) AS max_wind_mph, min(visib) AS min_visibility
  FROM nyc.raw.weather GROUP BY origin, year, month, day)
SELECT f.origin, f.flight_date, f.flights, f.cancelled, f.avg_dep_delay,
       w.avg_temp_f, w.rain_inches, w.max_wind_mph, w.min_visibility
FROM daily_flights f JOIN daily_weather w ON w.origin = f.origin AND w.flight_date = f.flight_date
ORDER BY f.flight_date, f.origin"""

WORST_DAYS: Final = """\
SELECT d.flight_date, d.origin, a.name AS airport, d.flights, d.cancelled, d.avg_dep_delay, d.rain_inches,
       d.max_wind_mph
FROM nyc.marts.daily_weather_delays d JOIN nyc.raw.airports a ON a.faa = d.origin
ORDER BY d.avg_dep_delay DESC LIMIT 25"""

RAW: Final = (
    DemoTable(schema="raw", name="airlines", format="parquet", rows=16, description="Carrier codes and names"),
    DemoTable(schema="raw", name="airports", format="parquet", rows=1_458, description="Airports and where they are"),
    DemoTable(schema="raw", name="planes", format="delta", rows=3_322, description="Planes by tail number"),
    DemoTable(schema="raw", name="weather", format="parquet", rows=26_115, description="Hourly weather by airport"),
    DemoTable(schema="raw", name="flights", format="parquet", rows=336_776, description="Every departure of 2013"),
)

MARTS: Final = (
    DemoTable(
        schema="marts",
        name="delays_by_carrier",
        format="delta",
        rows=16,
        description="Delays and cancellations of each airline",
        sql=DELAYS_BY_CARRIER,
        sources=("flights", "airlines"),
    ),
    DemoTable(
        schema="marts",
        name="daily_weather_delays",
        format="parquet",
        rows=1_092,
        description="Delays and weather of each day and airport",
        sql=DAILY_WEATHER_DELAYS,
        sources=("flights", "weather"),
    ),
    DemoTable(
        schema="marts",
        name="worst_days",
        format="parquet",
        rows=25,
        description="The days with the longest delays",
        sql=WORST_DAYS,
        sources=("daily_weather_delays", "airports"),
    ),
)

TABLES: Final = RAW + MARTS
