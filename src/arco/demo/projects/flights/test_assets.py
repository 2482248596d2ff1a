"""Assets are functions: test them as such, or together in memory. No server is needed."""

import pyarrow as pa
from assets import clean_flights, few_are_cancelled, no_flight_is_there_twice, raw_flights

from arco.testing import materialize

DATE = {"year": 2013, "month": 2, "day": 1}
NAMES = ["carrier", "flight", "tailnum", "origin", "dest", "dep_time", "dep_delay", "arr_delay"]


def flights(*rows: tuple[object, ...]) -> pa.Table:
    """Departures of February 1st."""
    return pa.Table.from_pylist([DATE | dict(zip(NAMES, row, strict=True)) for row in rows])


LEFT = ("UA", 1018, "N24211", "EWR", "DFW", 457, -5, -4)
NEVER_LEFT = ("AA", 791, "N3EHAA", "LGA", "DFW", None, None, None)


def test_a_flight_without_departure_is_cancelled() -> None:
    """A function, called."""
    assert clean_flights(flights(LEFT, NEVER_LEFT)).value["cancelled"].to_pylist() == [False, True]


def test_a_flight_that_is_there_twice_is_found() -> None:
    """A check is a function too."""
    table = clean_flights(flights(LEFT, LEFT)).value
    assert not no_flight_is_there_twice(table).passed


def test_a_month_with_many_cancelled_flights_warns() -> None:
    """A task as a worker runs it, with all its checks."""
    went = [(LEFT[0], number, *LEFT[2:]) for number in range(1_100)]
    stayed = [(NEVER_LEFT[0], number, *NEVER_LEFT[2:]) for number in range(100)]
    made = materialize(
        [clean_flights, few_are_cancelled, no_flight_is_there_twice],
        partition={"month": "2013-02"},
        inputs={raw_flights: flights(*went, *stayed)},
    )
    assert made.checks(clean_flights)["few_are_cancelled"] is False
    assert made.table(clean_flights).num_rows == 1_200
