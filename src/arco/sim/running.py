"""Many schedules, in several processes, and the report on them (reliability.md 10)."""

import gc
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from arco.sim.plan import Plan
from arco.sim.schedule import Verdict, run_plan
from arco.sim.swarm import plan_of

ROOTS: Final = "R"
"""The tier of root transactions: both chains, their real domains, the coordinator."""

_CHUNK: Final = 100
_SLOWEST: Final = 10
_FAILED_SHOWN: Final = 50


class Report(msgspec.Struct, kw_only=True):
    """What a run of schedules came to. Times are of this machine; everything else follows from the seeds."""

    tier: str
    profiles: list[str]
    first_seed: int
    schedules: int = 0
    steps: int = 0
    operations: int = 0
    storage_operations: int = 0
    virtual_days: float = 0.0
    faults: int = 0
    faults_per_schedule: float = 0.0
    faults_by_cell: dict[str, int] = {}
    undecided: int = 0
    distinct_traces: int = 0
    failed: int = 0
    violations: list[str] = []
    cpu_s: float = 0.0
    wall_s: float = 0.0
    schedules_per_minute_and_core: float = 0.0
    slowest: list[str] = []

    @property
    def fine(self) -> bool:
        """True when nothing was broken."""
        return not self.failed


class _Part(msgspec.Struct):
    """What one chunk of seeds came to, small enough to be sent between processes."""

    report: Report
    traces: list[str]
    slow: list[tuple[int, str]]


Runner = Callable[[Plan], Verdict]


def run_many(
    seeds: Sequence[int],
    profiles: Sequence[str],
    *,
    jobs: int = 1,
    tier: str = "A",
    progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """The report on these seeds, each with the profiles in turn."""
    whole = Report(tier=tier, profiles=list(profiles), first_seed=seeds[0] if seeds else 0)
    traces: set[str] = set()
    slow: list[tuple[int, str]] = []
    began = time.monotonic()
    chunks = [(tier, list(seeds[at : at + _CHUNK]), tuple(profiles)) for at in range(0, len(seeds), _CHUNK)]
    for part in _parts(chunks, jobs):
        _add(whole, part.report)
        traces.update(part.traces)
        slow = sorted([*slow, *part.slow], reverse=True)[:_SLOWEST]
        whole.wall_s = round(time.monotonic() - began, 1)
        whole.distinct_traces = len(traces)
        whole.slowest = [f"{name} ({steps} steps)" for steps, name in slow]
        progress(whole)
    return whole


def _parts(chunks: Sequence[Any], jobs: int) -> Iterator[_Part]:
    if jobs <= 1:
        yield from map(_chunk, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(_chunk, chunks)


def _chunk(work: tuple[str, list[int], tuple[str, ...]]) -> _Part:
    tier, seeds, profiles = work
    runner, planner = runner_of(tier), planner_of(tier)
    report = Report(tier=tier, profiles=list(profiles), first_seed=seeds[0])
    part = _Part(report, [], [])
    cells: Counter[str] = Counter()
    # Collected between schedules only, and what was imported is not looked at again.
    gc.collect()
    gc.freeze()
    gc.disable()
    began = time.process_time()
    for seed in seeds:
        verdict = runner(planner(seed, profiles[seed % len(profiles)]))
        _count(part, verdict)
        cells.update({"/".join(cell): count for cell, count in verdict.cells.items()})
        if seed % 20 == 0:
            gc.collect()
    report.cpu_s = time.process_time() - began
    report.faults_by_cell = dict(cells)
    gc.enable()
    return part


def runner_of(tier: str) -> Runner:
    """What runs a schedule of a tier: A is the protocol below HTTP, B whole servers with Parquet, R root ones."""
    if tier == "A":
        return run_plan
    if tier == ROOTS:
        from arco.sim.roots import run_roots  # noqa: PLC0415  # tier A does without the domains

        return run_roots
    # Whole servers bring the web framework and Parquet along.
    from arco.sim.tier_b import run_served  # noqa: PLC0415  # tier A does without server rooms

    return run_served


def planner_of(tier: str) -> Callable[[int, str], Plan]:
    """What draws a schedule of a tier from a seed and a profile."""
    if tier != ROOTS:
        return plan_of
    from arco.sim.root_plans import root_plan_of  # noqa: PLC0415  # tier A does without the domains

    return root_plan_of


def _count(part: _Part, verdict: Verdict) -> None:
    report = part.report
    report.schedules += 1
    report.steps += verdict.steps
    report.operations += verdict.operations
    report.storage_operations += verdict.storage_operations
    report.virtual_days += verdict.virtual_s / 86_400
    report.faults += len(verdict.faults)
    report.undecided += verdict.undecided
    part.traces.append(verdict.trace_hash)
    part.slow = sorted([*part.slow, (verdict.steps, f"{verdict.profile}:{verdict.seed}")], reverse=True)[:_SLOWEST]
    if not verdict.fine:
        report.failed += 1
        named = f"--tier {report.tier} --seed {verdict.seed} --profile {verdict.profile}"
        report.violations.append(f"{named}: {verdict.violations[0]}")


def _add(whole: Report, part: Report) -> None:
    for name in ("schedules", "steps", "operations", "storage_operations", "virtual_days", "faults", "undecided"):
        setattr(whole, name, getattr(whole, name) + getattr(part, name))
    whole.failed += part.failed
    whole.violations = [*whole.violations, *part.violations][:_FAILED_SHOWN]
    whole.cpu_s += part.cpu_s
    cells = Counter(whole.faults_by_cell)
    cells.update(part.faults_by_cell)
    whole.faults_by_cell = dict(sorted(cells.items()))
    whole.faults_per_schedule = round(whole.faults / whole.schedules, 2)
    whole.schedules_per_minute_and_core = round(whole.schedules / whole.cpu_s * 60)
