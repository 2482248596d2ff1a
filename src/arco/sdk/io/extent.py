"""Which parts of an upstream asset a task reads, from the mapping and the task's own partition. Pure.

Dimensions meet by name. Where the upstream asset is cut finer in time, all parts within the task's period are read;
where it is cut coarser, the one that holds it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from arco.core.errors import InvalidInput
from arco.sdk.io.port import Reading
from arco.sdk.partitions import Dimension, Partition, holding, period_of, shifted

_LEAST = timedelta(microseconds=1)


class Wanted(msgspec.Struct, frozen=True):
    """What is wanted of one dimension: a text, or times from `start` to before `end`; None leaves it open."""

    dimension: Dimension
    text: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def holds(self, partition: Partition) -> bool:
        """Whether a part is among what is wanted."""
        value = partition[self.dimension.name]
        if self.dimension.kind != "time":
            return self.text is None or value == self.text
        begin, end = period_of(self.dimension, value)
        return (self.start is None or begin >= self.start) and (self.end is None or end <= self.end)


class Extent(msgspec.Struct, frozen=True):
    """What is wanted of each dimension; of all that fits only the `newest` periods, when that is said."""

    wanted: tuple[Wanted, ...] = ()
    newest: int | None = None

    def chosen(self, partitions: Sequence[Partition]) -> list[Partition]:
        """The parts to read, in the order of their keys."""
        fitting = [one for one in partitions if all(wanted.holds(one) for wanted in self.wanted)]
        time = next((one.dimension.name for one in self.wanted if one.dimension.kind == "time"), None)
        if self.newest is not None and time is not None:
            kept = sorted({str(one[time]) for one in fitting})[-self.newest :]
            fitting = [one for one in fitting if str(one[time]) in kept]
        return sorted(fitting, key=lambda one: one.key)


def extent_of(reading: Reading) -> Extent:
    """What a parameter reads. Raises `InvalidInput` where two dimensions of one name are of different kinds."""
    own = {one.name: one for one in reading.partition.dimensions}
    newest: int | None = None
    found: list[Wanted] = []
    for dimension in reading.asset.partitions:
        mine = own.get(dimension.name)
        if mine is not None and mine.kind != dimension.kind:
            raise InvalidInput(f"{reading.asset.key} and its reader mean different things by {dimension.name}")
        if reading.reads.mapping == "all":
            found.append(Wanted(dimension))
        elif dimension.kind != "time":
            text = None if mine is None else str(reading.partition[dimension.name])
            found.append(Wanted(dimension, text))
        else:
            wanted, count = _times(reading, dimension, mine)
            found.append(wanted)
            newest = count
    return Extent(tuple(found), newest)


def _times(reading: Reading, dimension: Dimension, mine: Dimension | None) -> tuple[Wanted, int | None]:
    """The times wanted of a dimension, and how many of the newest."""
    mapping, window = reading.reads.mapping, reading.reads.window
    if mine is None:
        return Wanted(dimension), {"latest": 1, "window": window}.get(mapping)
    begin, end = period_of(mine, reading.partition[mine.name])
    last = holding(dimension, end - _LEAST)
    end = period_of(dimension, last)[1]
    if mapping == "latest":
        return Wanted(dimension, end=end), 1
    first = shifted(dimension, last, 1 - (window or 1)) if mapping == "window" else holding(dimension, begin)
    return Wanted(dimension, start=period_of(dimension, first)[0], end=end), None
