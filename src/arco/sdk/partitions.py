"""Partitions as user code sees them: how an asset is cut, and the typed values of one part (orchestration.md 1.6, 9.1).

A dimension of time has a granularity and values that begin a period: a `date` for days, months and years, a `datetime`
in UTC for hours. Static and tenant dimensions have texts. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from arco.core.errors import InvalidInput
from arco.core.partitions import Value, parse_partition_key, partition_key
from arco.sdk.errors import DefinitionError

Granularity = Literal["year", "month", "day", "hour"]

_TAGS: Final = ("s:", "i:", "b:", "d:", "t:", "n:")
_HOUR_CHARS: Final = len("2025-01-15T10")
_YEARS: Final = (1970, 9998)
"""A period of the year 9999 would have no end."""
_EXAMPLES: Final = {"year": "2025", "month": "2025-01", "day": "2025-01-15", "hour": "2025-01-15T10"}


class Dimension(msgspec.Struct, frozen=True):
    """One way an asset is cut. `column` is the column of its table that tells the parts apart."""

    name: str
    kind: Literal["time", "static", "tenant"]
    granularity: Granularity | None = None
    values: tuple[str, ...] = ()
    column: str = ""

    @property
    def wanted(self) -> str:
        """What a value of this dimension looks like, in words."""
        if self.kind == "static":
            return f"one of {', '.join(self.values)}"
        if self.granularity is None:
            return "a text that is not empty"
        return f"the beginning of a {self.granularity}, such as {self.example}"

    @property
    def example(self) -> str:
        """A value of this dimension, as people write it."""
        if self.kind == "static":
            return self.values[0]
        return _EXAMPLES[self.granularity] if self.granularity is not None else "acme"


def hourly(name: str = "hour", *, column: str | None = None) -> Dimension:
    """A part for every hour; its value is a `datetime` in UTC."""
    return _dimension(Dimension(name, "time", "hour", column=column or name))


def daily(name: str = "date", *, column: str | None = None) -> Dimension:
    """A part for every day; its value is a `date`."""
    return _dimension(Dimension(name, "time", "day", column=column or name))


def monthly(name: str = "month", *, column: str | None = None) -> Dimension:
    """A part for every month; its value is the `date` of the first day."""
    return _dimension(Dimension(name, "time", "month", column=column or name))


def yearly(name: str = "year", *, column: str | None = None) -> Dimension:
    """A part for every year; its value is the `date` of the first day."""
    return _dimension(Dimension(name, "time", "year", column=column or name))


def static(name: str, values: Sequence[str], *, column: str | None = None) -> Dimension:
    """A part for each of these texts."""
    found = () if isinstance(values, str) else tuple(values)
    if not found or not all(found) or not all(type(value) is str for value in found) or len(set(found)) < len(found):
        raise DefinitionError(f'static("{name}", ...): give a list of different texts, such as ["eu", "us"]')
    return _dimension(Dimension(name, "static", values=found, column=column or name))


def tenant(name: str = "tenant", *, column: str | None = None) -> Dimension:
    """A part for every tenant; nobody lists them beforehand."""
    return _dimension(Dimension(name, "tenant", column=column or name))


class Partition(Mapping[str, Value]):
    """The part a task makes: the typed value of each dimension, and its canonical `key` (empty without dimensions)."""

    def __init__(self, values: Mapping[str, Value], dimensions: Sequence[Dimension] = ()) -> None:
        self._values = {name: values[name] for name in sorted(values)}
        self.dimensions = tuple(dimensions)
        self.key = partition_key(self._values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Partition({self.key!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Partition) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def period(self) -> tuple[datetime, datetime]:
        """Beginning and end of the time this part is about, in UTC. Raises `InvalidInput` unless there is one."""
        times = [one for one in self.dimensions if one.kind == "time"]
        if len(times) != 1:
            raise InvalidInput(f"a partition with {len(times)} dimensions of time has no period of its own")
        return period_of(times[0], self._values[times[0].name])


NO_PARTITION: Final = Partition({})


def partition_of(dimensions: Sequence[Dimension], given: "str | Mapping[str, Any] | Partition | None") -> Partition:
    """The partition somebody means: a key, or a value for each dimension (typed, or as text). Raises `InvalidInput`."""
    values = read_key(given) if isinstance(given, str) else dict(given or {})
    names = [one.name for one in dimensions]
    if missing := sorted(set(names) - values.keys()):
        raise InvalidInput(f"it is partitioned by {', '.join(sorted(names))}: say {missing[0]}")
    if surplus := sorted(values.keys() - set(names)):
        such = f"by {', '.join(sorted(names))} only" if names else "not at all"
        raise InvalidInput(f"it is partitioned {such}: leave out {surplus[0]}")
    return Partition({one.name: value_of(one, values[one.name]) for one in dimensions}, dimensions)


def read_key(text: str) -> dict[str, Any]:
    """The values of a key. A value without a known tag is a plain text: workers read more than planners write (1.6)."""
    values: dict[str, Any] = {}
    for pair in text.split(",") if text else ():
        name, equals, value = pair.partition("=")
        if not equals or name in values:
            raise InvalidInput(f"partition key {text!r}: {pair!r} is not name=value, or is there twice")
        values[name] = parse_partition_key(f"{name}={value}")[name] if value.startswith(_TAGS) else value
    return values


def value_of(dimension: Dimension, given: Any) -> Value:
    """The value of a dimension from what somebody gave; texts of times are read. Raises `InvalidInput`."""
    found = _time(dimension, given) if dimension.kind == "time" else _text(dimension, given)
    if found is None:
        raise InvalidInput(f"partition {dimension.name}={given}: it must be {dimension.wanted}")
    return found


def period_of(dimension: Dimension, value: Value) -> tuple[datetime, datetime]:
    """Beginning and end (exclusive) of a value of a dimension of time, in UTC."""
    return _moment(value), _moment(shifted(dimension, value, 1))


def shifted(dimension: Dimension, value: Value, periods: int) -> Value:
    """The value so many periods later; earlier for a negative number."""
    if isinstance(value, datetime):
        return value + timedelta(hours=periods)
    if not isinstance(value, date):
        raise InvalidInput(f"{dimension.name} is no dimension of time")
    if dimension.granularity == "day":
        return value + timedelta(days=periods)
    if dimension.granularity == "year":
        return value.replace(year=value.year + periods)
    months = value.year * 12 + value.month - 1 + periods
    return date(months // 12, months % 12 + 1, 1)


def holding(dimension: Dimension, moment: datetime) -> Value:
    """The value of a dimension of time whose period holds this moment."""
    moment = moment.astimezone(UTC)
    if dimension.granularity == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.date()
    if dimension.granularity == "day":
        return day
    return day.replace(day=1) if dimension.granularity == "month" else day.replace(month=1, day=1)


def _dimension(dimension: Dimension) -> Dimension:
    try:
        partition_key({dimension.name: ""})
    except InvalidInput as error:
        raise DefinitionError(f"partitions: {error.message}") from None
    return dimension


def _text(dimension: Dimension, given: Any) -> str | None:
    if not isinstance(given, str) or not given:
        return None
    return given if dimension.kind == "tenant" or given in dimension.values else None


def _time(dimension: Dimension, given: Any) -> Value:
    """The beginning of a period as a value; None when it is none."""
    if isinstance(given, str):
        try:
            given = _time_of_text(dimension, given)
        except ValueError:
            return None
    if dimension.granularity == "hour":
        if not isinstance(given, datetime) or given.tzinfo is None:
            return None
        given = given.astimezone(UTC)
    elif isinstance(given, datetime) or not isinstance(given, date):
        return None
    return given if _YEARS[0] <= given.year <= _YEARS[1] and holding(dimension, _moment(given)) == given else None


def _time_of_text(dimension: Dimension, text: str) -> date | datetime:
    """A time as people write it: `2025`, `2025-01`, `2025-01-15`, `2025-01-15T10`. Raises `ValueError`."""
    if dimension.granularity == "hour":
        moment = datetime.fromisoformat(text if len(text) > _HOUR_CHARS else f"{text}:00")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    parts = text.split("-")
    least = {"year": 1, "month": 2}.get(dimension.granularity or "", 3)
    if len(parts) < least:
        raise ValueError(f"{text} is too short")
    return date.fromisoformat("-".join([*parts, *["01"] * (3 - len(parts))]))


def _moment(value: Value) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise InvalidInput(f"{value!r} is no time")
