"""Which partition a run is for: what a caller may say, and its canonical key (orchestration.md 6.3). Pure."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final, NoReturn

from arco.core.errors import InvalidInput
from arco.core.partitions import Value, parse_partition_key, partition_key
from arco.domains.orchestration.plan.graph import Graph
from arco.domains.orchestration.plan.manifest import Dimension

_TIME: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?)?)?\Z")
_HOUR_CHARS: Final = len("2025-01-15T10")


def dimensions_of(graph: Graph, roots: Sequence[str]) -> list[Dimension]:
    """The dimensions all roots share. Raises `InvalidInput` when they are partitioned differently."""
    shapes = {root: sorted(_dimensions(graph, root), key=lambda one: one.name) for root in roots}
    first = roots[0]
    for root, shape in shapes.items():
        if shape != shapes[first]:
            raise InvalidInput(f"{root} and {first} are partitioned differently: trigger them in runs of their own")
    return shapes[first]


def checked_key(dimensions: Sequence[Dimension], key: str, *, time_texts: bool = True) -> str | None:
    """A partition key somebody gave, if it fits; None for an empty one. Raises `InvalidInput`.

    A time that was written as a text, as older clients do, becomes the time it names, unless `time_texts` is false.
    """
    values = parse_partition_key(key)
    _check_names(dimensions, values)
    fitting: dict[str, Value] = {}
    for dimension in dimensions:
        value = values[dimension.name]
        text = _text_of(dimension, value)
        if text is None:
            raise InvalidInput(f"partition key: {dimension.name} must be {_wanted(dimension)}")
        if dimension.kind == "time" and isinstance(value, str):
            if not time_texts:
                tag = "t" if dimension.granularity == "hour" else "d"
                raise InvalidInput(f"partition key: {dimension.name} is a text; write the time with the tag {tag}:")
            value = _time(dimension, text)
        fitting[dimension.name] = value
    return partition_key(fitting) or None


def key_of_texts(dimensions: Sequence[Dimension], texts: Mapping[str, str]) -> str | None:
    """The partition key of what somebody wrote for each dimension: times become times. Raises `InvalidInput`."""
    _check_names(dimensions, texts)
    return partition_key({one.name: _value(one, texts[one.name]) for one in dimensions}) or None


def _dimensions(graph: Graph, key: str) -> list[Dimension]:
    partitioning = graph.assets[key].partitioning
    return partitioning.dimensions if partitioning.is_partitioned else []


def _check_names(dimensions: Sequence[Dimension], given: Mapping[str, object]) -> None:
    wanted = {dimension.name for dimension in dimensions}
    if missing := sorted(wanted - given.keys()):
        raise InvalidInput(f"the selected assets are partitioned by {', '.join(sorted(wanted))}: say {missing[0]}")
    if surplus := sorted(given.keys() - wanted):
        such = f"by {', '.join(sorted(wanted))} only" if wanted else "not at all"
        raise InvalidInput(f"the selected assets are partitioned {such}: leave out {surplus[0]}")


def _value(dimension: Dimension, text: str) -> Value:
    """The typed value of a text; the text may carry its tag."""
    for tag, value in _readings(text):
        fits = _text_of(dimension, value)
        if fits is not None:
            return value if tag != "s" or dimension.kind != "time" else _time(dimension, fits)
    raise InvalidInput(f"partition {dimension.name}={text}: it must be {_wanted(dimension)}")


def _readings(text: str) -> list[tuple[str, Value]]:
    found: list[tuple[str, Value]] = []
    if text[1:2] == ":":
        with suppress(InvalidInput):
            found.append((text[0], parse_partition_key(f"x={text}")["x"]))
    return [*found, ("s", text)]


def _text_of(dimension: Dimension, value: Value) -> str | None:
    """The value as it is written when it fits the dimension; None when it does not."""
    if dimension.kind == "static":
        return value if isinstance(value, str) and value in dimension.values else None
    if dimension.kind == "tenant":
        return value if isinstance(value, str) and value else None
    return _fitting_time(dimension, value)


def _fitting_time(dimension: Dimension, value: Value) -> str | None:
    if isinstance(value, str):
        try:
            value = _time(dimension, value)
        except ValueError:
            return None
    if dimension.granularity == "hour":
        if not isinstance(value, datetime) or value.minute or value.second or value.microsecond:
            return None
        return value.strftime("%Y-%m-%dT%H")
    if isinstance(value, datetime) or not isinstance(value, date):
        return None
    first_of_month = value.day == 1 or dimension.granularity == "day"
    first_of_year = value.month == 1 or dimension.granularity != "year"
    return value.isoformat() if first_of_month and first_of_year else None


def _time(dimension: Dimension, text: str) -> date | datetime:
    """A time as people write it: `2025`, `2025-01`, `2025-01-15`, `2025-01-15T10`. Raises `ValueError`."""
    if not _TIME.match(text):
        return _no(text)
    if dimension.granularity == "hour":
        full = text if len(text) > _HOUR_CHARS else f"{text}:00"
        moment = datetime.fromisoformat(full)
        try:
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except OverflowError:
            return _no(text)
    parts = text.split("-")
    short = {"year": 1, "month": 2}.get(dimension.granularity or "", 3)
    return date.fromisoformat("-".join([*parts, *["01"] * (3 - len(parts))])) if len(parts) >= short else _no(text)


def _no(text: str) -> NoReturn:
    raise ValueError(f"{text} is no such time")


def _wanted(dimension: Dimension) -> str:
    match dimension.kind:
        case "static":
            return f"one of {', '.join(dimension.values)}"
        case "tenant":
            return "a text that is not empty"
    examples = {"year": "2025", "month": "2025-01", "day": "2025-01-15", "hour": "2025-01-15T10"}
    return f"the beginning of a {dimension.granularity}, such as {examples[dimension.granularity or 'day']}"
