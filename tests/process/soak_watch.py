"""What a soak looks at: processes with all below them by `/proc`, a store's files, and whether a series is flat."""

import contextlib
import os
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

PROC = Path("/proc")
MEGABYTE = 1 << 20


class Use(msgspec.Struct, frozen=True):
    """What one process uses at one moment; bytes. Blocks of rows in shared memory are not among its descriptors."""

    resident: int = 0
    proportional: int = 0
    own: int = 0
    descriptors: int = 0
    threads: int = 0
    blocks: int = 0
    blocks_bytes: int = 0


class Family(msgspec.Struct, frozen=True):
    """A server, the helpers below it taken together, and how many they are."""

    server: Use
    below: Use
    children: int

    def series(self) -> Iterator[tuple[str, float]]:
        """Names of what is watched, and values; memory in MB."""
        for part, use in (("", self.server), ("helpers ", self.below)):
            yield f"{part}rss", use.resident / MEGABYTE
            yield f"{part}pss", use.proportional / MEGABYTE
            yield f"{part}uss", use.own / MEGABYTE
            yield f"{part}fds", use.descriptors
            yield f"{part}threads", use.threads
            yield f"{part}blocks", use.blocks
        yield "blocks size", self.server.blocks_bytes / MEGABYTE
        yield "children", self.children


def use_of(pid: int) -> Use:
    """What a process uses. Raises `OSError` when it is gone."""
    folder = PROC / str(pid)
    sizes: dict[str, int] = {}
    for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    threads = int((folder / "stat").read_text().rpartition(")")[2].split()[17])
    blocks = list(_blocks(folder / "fd"))
    return Use(
        resident=sizes["Rss"],
        proportional=sizes["Pss"],
        own=sizes["Private_Clean"] + sizes["Private_Dirty"],
        descriptors=len(os.listdir(folder / "fd")) - len(blocks),
        threads=threads,
        blocks=len(blocks),
        blocks_bytes=sum(blocks),
    )


def _blocks(descriptors: Path) -> Iterator[int]:
    """The sizes of the blocks of rows a process has open: `query.shelf` bounds how many there are."""
    for one in descriptors.iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(one).startswith("/memfd:"):
                yield one.stat().st_size


def below(pid: int) -> list[int]:
    """The processes below a process, in no order."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = list(children.get(pid, ()))
    for child in found:
        found.extend(children.get(child, ()))
    return found


def family_of(pid: int) -> Family:
    """A server and what is below it. Raises `OSError` when the server is gone."""
    helpers: list[Use] = []
    for child in below(pid):
        with contextlib.suppress(OSError, KeyError):  # gone meanwhile, or a zombie
            helpers.append(use_of(child))
    total = Use(*(sum(values) for values in zip(*map(msgspec.structs.astuple, helpers), strict=True)))
    return Family(use_of(pid), total, len(helpers))


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and of the children it has waited for."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[at]) for at in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def objects_below(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """How many files a scope's store has, and bytes, by the first part of their key."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for place, _, names in os.walk(folder):
        prefix = Path(place).relative_to(folder).parts[:1]
        for name in names:
            with contextlib.suppress(OSError):
                sizes["/".join(prefix)] += os.stat(os.path.join(place, name)).st_size
                counts["/".join(prefix)] += 1
    return counts, sizes


class Trend(msgspec.Struct, frozen=True):
    """How a series went: medians of its first and last fifth, its slope an hour, and whether that counts as flat."""

    first: float
    last: float
    peak: float
    per_hour: float
    allowed: float

    @property
    def flat(self) -> bool:
        """True when it does not grow by more than is allowed in an hour."""
        return self.per_hour <= self.allowed


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (Theil & Sen): outliers do not move it."""
    found = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(points)
        for later in points[index + 1 :]
        if later[0] > earlier[0]
    ]
    return statistics.median(found) if found else 0.0


def trend_of(points: Sequence[tuple[float, float]], *, floor: float, share: float = 0.03) -> Trend:
    """The trend of points (seconds, value). Flat is less than `share` of the first fifth, or `floor`, an hour."""
    values = [value for _, value in points]
    part = max(len(values) // 5, 1)
    first = statistics.median(values[:part])
    return Trend(
        first=first,
        last=statistics.median(values[-part:]),
        peak=max(values),
        per_hour=slope(points) * 3600,
        allowed=max(first * share, floor),
    )


def by_period(points: Sequence[tuple[float, float]], period_s: float) -> list[tuple[float, float]]:
    """The median of each period: what happens to run at the moment of one look does not count."""
    groups: dict[int, list[float]] = {}
    for at, value in points:
        groups.setdefault(int(at // period_s), []).append(value)
    return [(number * period_s, statistics.median(values)) for number, values in sorted(groups.items())]
