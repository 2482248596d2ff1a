"""What may be given up: pure functions of the record, the head, the pointers, the policy and the storage's time.

The rules, each with a test: nothing at or above what any pointer names, the head's parent, the newest `keepSnapshots`;
nothing a grace has not gone over since the pointers passed it; nothing pinned; of the rest one version a minute and
later one a day outlive their names as copies. Age counts from when a thing was superseded, never from when it was made.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.retention import Horizons
from arco.kernel.retention.record import Kept, RetentionRecord, Sample

SAMPLES_PER_GRACE: Final = 128
"""How finely a grace is told: a thing may stay this fraction of it longer."""


class Sight(msgspec.Struct, frozen=True):
    """What a run saw before it decided: the head, its valid parent, and the lowest manifest that a pointer names."""

    head: int
    parent: int
    lowest_pointer: int

    @property
    def bound(self) -> int:
        """Manifests below this are named by no pointer and are neither the head nor its parent."""
        return max(0, min(self.lowest_pointer, self.parent, self.head - 1))


class Removal(msgspec.Struct, frozen=True):
    """An object to be deleted, and why."""

    key: str
    reason: str
    bytes: int = 0


def timed(samples: Sequence[Sample], written_ms: int) -> tuple[Sample, ...]:
    """Looks that were written with the record at `written_ms` get that time: never earlier than they were taken."""
    return tuple(one if one.seen_ms else Sample(one.number, written_ms) for one in samples)


def with_look(samples: Sequence[Sample], bound: int, grace_ms: int) -> tuple[Sample, ...]:
    """The timed samples with a look at `bound`, taken now, if it tells anything new.

    Where looks lie close together the older one goes: what it told is told by a later one, only later.
    """
    known = list(samples)
    if bound <= (known[-1].number if known else 0):
        return tuple(known)
    if len(known) > 1 and known[-1].seen_ms - known[-2].seen_ms < grace_ms // SAMPLES_PER_GRACE:
        known.pop()
    return (*known, Sample(bound))


def floor_to(record: RetentionRecord, sight: Sight, horizons: Horizons, *, now_ms: int) -> int:
    """The number below which everything may be given up; never lower than before."""
    passed = [one.number for one in record.samples if one.seen_ms and now_ms - one.seen_ms >= horizons.grace_ms]
    newest_kept = sight.head - horizons.keep_newest + 1
    return max(record.floor, min(max(passed, default=0), sight.bound, newest_kept))


def fresh_samples(record: RetentionRecord, floor: int) -> tuple[Sample, ...]:
    """The samples that still tell something once everything below `floor` is given up."""
    return tuple(one for one in record.samples if one.number > floor)


def bounds_a(period_ms: int, version: Kept) -> bool:
    """True when the version was the newest as a period of this length began."""
    return version.since_ms // period_ms != version.until_ms // period_ms


def outlives(version: Kept, *, now_ms: int, horizons: Horizons) -> bool:
    """True when the history wants this version, by how long ago it was superseded."""
    age_ms = now_ms - version.until_ms
    if age_ms <= horizons.fine_ms:
        return bounds_a(horizons.fine_period_ms, version)
    return age_ms <= horizons.coarse_ms and bounds_a(horizons.coarse_period_ms, version)


def history(versions: Sequence[Kept], *, now_ms: int, horizons: Horizons, pinned: frozenset[int]) -> tuple[Kept, ...]:
    """Which of the versions outlive their names."""
    return tuple(one for one in versions if one.number in pinned or outlives(one, now_ms=now_ms, horizons=horizons))


def released(record: RetentionRecord, *, now_ms: int, horizons: Horizons) -> tuple[int, ...]:
    """The copies nobody wants any longer."""
    stays = {one.number for one in history(record.kept, now_ms=now_ms, horizons=horizons, pinned=record.pinned(now_ms))}
    return tuple(one.number for one in record.kept if one.number not in stays)


def removable(record: RetentionRecord, *, now_ms: int, horizons: Horizons) -> tuple[int, ...]:
    """The copies that were given up a grace ago."""
    return tuple(one.number for one in record.releasing if now_ms - one.since_ms >= horizons.grace_ms)
