"""Counters, gauges and histograms, rendered as Prometheus text (operations.md 4).

Guarantees: nothing is global (a `Registry` is passed in); label names are fixed when a metric is declared; the
series of one metric are bounded in number, and what comes beyond the bound is counted under `other`, so that no input
of a caller can grow memory. Updates are one dictionary look-up and one addition; use `series` to save even that.

Not thread-safe by design: all updates happen on the event loop's thread.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

SERIES_MAX: Final = 2_000
"""Series of one metric: routes x methods x status classes fit many times; tenants and ids must not."""

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bucket bounds for durations in seconds (5 ms to 10 s)."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_OTHER: Final = "other"


class CounterSeries:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, by: float = 1.0) -> None:
        """Add `by`, which must not be negative."""
        if by < 0:
            raise ValueError("a counter only grows")
        self.value += by


class GaugeSeries:
    """A number that goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        """Replace the number."""
        self.value = value

    def add(self, by: float) -> None:
        """Change the number by `by`."""
        self.value += by


class HistogramSeries:
    """How many observations fell at or below each bound, their count and sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


S = TypeVar("S", CounterSeries, GaugeSeries, HistogramSeries)


class Family(Generic[S]):
    """All series of one metric, found by the values of its labels."""

    def __init__(self, name: str, kind: str, doc: str, *, labels: tuple[str, ...], make: Callable[[], S]) -> None:
        self.name = name
        self.kind = kind
        self.doc = doc
        self.labels = labels
        self.children: dict[tuple[str, ...], S] = {}
        self._make: Callable[[], S] = make

    def series(self, *values: str) -> S:
        """The series with these label values, in the order the labels were declared."""
        found = self.children.get(values)
        return found if found is not None else self._new(values)

    def _new(self, values: tuple[str, ...]) -> S:
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {', '.join(self.labels) or '(none)'}")
        if len(self.children) >= SERIES_MAX:
            values = (_OTHER,) * len(self.labels)
        return self.children.setdefault(values, self._make())


class Registry:
    """The metrics of one process or one role. `constant` labels are added to every series."""

    def __init__(self, constant: Sequence[tuple[str, str]] = ()) -> None:
        self._families: dict[str, Family[CounterSeries] | Family[GaugeSeries] | Family[HistogramSeries]] = {}
        self._constant = tuple(constant)
        self._before: list[Callable[[], None]] = []

    def counter(self, name: str, doc: str, labels: Sequence[str] = ()) -> Family[CounterSeries]:
        """Declare a counter, or find the one declared before."""
        return self._declare(Family(name, "counter", doc, labels=tuple(labels), make=CounterSeries))

    def gauge(self, name: str, doc: str, labels: Sequence[str] = ()) -> Family[GaugeSeries]:
        """Declare a gauge, or find the one declared before."""
        return self._declare(Family(name, "gauge", doc, labels=tuple(labels), make=GaugeSeries))

    def histogram(
        self, name: str, doc: str, labels: Sequence[str] = (), *, bounds: Sequence[float] = SECONDS
    ) -> Family[HistogramSeries]:
        """Declare a histogram with these bucket bounds, or find the one declared before."""
        make: Callable[[], HistogramSeries] = partial(HistogramSeries, bounds)
        return self._declare(Family(name, "histogram", doc, labels=tuple(labels), make=make))

    def has(self, name: str) -> bool:
        """True when a metric of this name was declared."""
        return name in self._families

    def before_render(self, refresh: Callable[[], None]) -> None:
        """Have `refresh` called before every rendering: for gauges that are cheap to read and dear to keep."""
        self._before.append(refresh)

    def render(self) -> str:
        """Every metric as Prometheus text, families and series in a stable order."""
        for refresh in self._before:
            refresh()
        lines: list[str] = []
        for name in sorted(self._families):
            family = self._families[name]
            lines += [f"# HELP {name} {_escaped_doc(family.doc)}", f"# TYPE {name} {family.kind}"]
            for values in sorted(family.children):
                pairs = [*self._constant, *zip(family.labels, values, strict=True)]
                lines += _sample_lines(name, pairs, family.children[values])
        return "\n".join(lines) + "\n"

    def _declare(self, family: Family[S]) -> Family[S]:
        known = self._families.setdefault(family.name, family)
        if (known.kind, known.labels) != (family.kind, family.labels):
            raise ValueError(f"{family.name} was declared before as a {known.kind} with labels {known.labels}")
        return known  # type: ignore[return-value]  # same kind, hence the same series type


def _sample_lines(
    name: str, pairs: list[tuple[str, str]], series: CounterSeries | GaugeSeries | HistogramSeries
) -> list[str]:
    if not isinstance(series, HistogramSeries):
        return [f"{name}{_labels(pairs)} {_number(series.value)}"]
    lines, below = [], 0
    for bound, count in zip([*series.bounds, float("inf")], series.counts, strict=True):
        below += count
        lines.append(f"{name}_bucket{_labels([*pairs, ('le', _number(bound))])} {below}")
    return [*lines, f"{name}_sum{_labels(pairs)} {_number(series.total)}", f"{name}_count{_labels(pairs)} {below}"]


def _labels(pairs: Sequence[tuple[str, str]]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escaped_doc(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
