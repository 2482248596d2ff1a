"""What a soak is told and says: the series it watches, their verdict, and a table for people."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from tests.process.soak_party import CLIENTS, Party, Plan
from tests.process.soak_watch import Trend, by_period, objects_below, trend_of

from arco.core.scope import Scope

RESIDENT_MB_MAX: Final = 300.0
FLOORS: Final = {"fds": 2.0, "threads": 1.0, "children": 0.5}
MEMORY_FLOOR_MB: Final = 6.0
"""What a series may grow in an hour when three hundredths of it are less."""

REST_FDS: Final = CLIENTS
"""How many descriptors more there may be at rest: connections from the api to the compactor wait for the next."""


class Watch:
    """The series of a run, and what is said about them."""

    def __init__(self, party: Party, folder: Path, plan: Plan) -> None:
        self._party = party
        self._store = folder / Scope("local", "default").prefix
        self._plan = plan
        self._began = time.monotonic()
        self.series: dict[str, list[tuple[float, float]]] = {}
        self.store: list[tuple[float, dict[str, int], dict[str, int]]] = []

    def look(self) -> None:
        """Add one point to every series of the processes."""
        at = time.monotonic() - self._began
        for name, family in self._party.families().items():
            for what, value in family.series():
                self.series.setdefault(f"{name} {what}", []).append((at, value))

    def count(self) -> None:
        """Add one point to the store's."""
        at = time.monotonic() - self._began
        counts, sizes = objects_below(self._store)
        self.store.append((at, dict(counts), dict(sizes)))
        self.series.setdefault("store objects", []).append((at, float(counts.total())))

    def trends(self) -> dict[str, Trend]:
        """The trend of every series after the warm-up."""
        found: dict[str, Trend] = {}
        for name, points in self.series.items():
            late = [point for point in by_period(points, self._plan.period_s) if point[0] >= self._plan.warm_up_s]
            if late:
                floor = FLOORS.get(name.rpartition(" ")[2], MEMORY_FLOOR_MB)
                found[name] = trend_of(late, floor=floor)
        return found

    def line(self) -> str:
        """The last look, shortly."""
        said = []
        for name in self._party.servers:
            last = {what: self.series[f"{name} {what}"][-1][1] for what in ("rss", "uss", "fds", "threads", "blocks")}
            said.append(f"{name} " + " ".join(f"{what} {value:.0f}" for what, value in last.items()))
        return "  ".join(said)


class Report(msgspec.Struct, kw_only=True):
    """What a run has seen."""

    plan: Plan
    seconds: float
    requests: int
    statuses: dict[str, int]
    answers: dict[str, int]
    surprises: list[str]
    late: int
    lost: int
    processor_share: float
    rest: dict[str, dict[str, float]]
    trends: dict[str, Trend]
    marks: dict[str, dict[str, float]]
    store: list[tuple[float, dict[str, int], dict[str, int]]]
    complaints: dict[str, int]
    counts: dict[str, float]
    verified: str
    growing: list[str]
    series: dict[str, list[tuple[float, float]]]

    @property
    def fine(self) -> bool:
        """True when nothing grew, nothing surprised, and what is published replays."""
        return not self.growing and not self.surprises and self.verified == "ok"


def growing(trends: dict[str, Trend], before: dict[str, float], after: dict[str, float]) -> list[str]:
    """The series that are not as flat as they must be, with what is wrong with them."""
    found = [
        f"{name}: {trend.per_hour:+.1f} an hour, {trend.allowed:.1f} allowed"
        for name, trend in trends.items()
        if name.endswith(("rss", "uss", "fds", "threads", "children")) and not trend.flat
    ]
    found += [
        f"{name}: {trend.peak:.0f} MB"
        for name, trend in trends.items()
        if name.endswith(" rss") and "helpers" not in name and trend.peak > RESIDENT_MB_MAX
    ]
    found += [
        f"{name} at rest: {before[name]:.0f} before, {after[name]:.0f} after"
        for name in before
        if name.endswith("fds") and "helpers" not in name and after[name] > before[name] + REST_FDS
    ]
    return found


def marks(watch: Watch, plan: Plan) -> dict[str, dict[str, float]]:
    """Medians of the first minute, of the one after the warm-up, and of the last."""
    found: dict[str, dict[str, float]] = {}
    for name, points in watch.series.items():
        medians = by_period(points, plan.period_s)
        warm = [value for at, value in medians if at >= plan.warm_up_s] or [medians[-1][1]]
        found[name] = {"start": medians[0][1], "warm": warm[0], "end": medians[-1][1]}
    return found


def table(report: Report) -> Iterator[str]:
    """The report for people."""
    yield f"{'series':<28}{'start':>9}{'warm':>9}{'end':>9}{'peak':>9}{'an hour':>9}{'allowed':>9}"
    for name, trend in sorted(report.trends.items()):
        mark = report.marks[name]
        numbers = (mark["start"], mark["warm"], mark["end"], trend.peak, trend.per_hour, trend.allowed)
        yield f"{name:<28}" + "".join(f"{number:>9.1f}" for number in numbers)
    yield f"{report.requests} requests in {report.seconds:.0f} s, {report.processor_share:.2f} processors"
    yield f"statuses {report.statuses}, late {report.late}, lost {report.lost}"
    yield f"logged {report.complaints}; replay {report.verified}"
    yield from (f"{name} {count:.0f}" for name, count in sorted(report.counts.items()) if "http_requests" not in name)
    for _, counts, _ in report.store[:: max(len(report.store) // 4, 1)]:
        yield f"store {sum(counts.values())}: {counts}"
    yield from (f"surprise: {one}" for one in report.surprises[:20])
    yield "flat" if report.fine else "NOT FLAT: " + "; ".join(report.growing or ["see above"])
