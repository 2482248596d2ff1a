"""Try every seeded defect: `python -m tests.sim.mutants --schedules 10000`.

A defect that schedules are to find must be found within so many of them; one that names a test must make that test
fail. Prints a line each and a summary; exit code 1 when one survives.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
from tests.sim.defect_plugin import MUTANTS

from arco.sim.defects import ROOTS, SCHEDULES, Defect, StaleDefect, defects_of, first_kill


class Fate(msgspec.Struct, frozen=True):
    """What became of a defect: `seed` is that of the first schedule that noticed, when schedules are to notice."""

    name: str
    killed: bool
    by: str
    seed: int | None = None


def tried(defect: Defect, schedules: int) -> Fate:
    """Let those who must notice a defect look at it."""
    try:
        if defect.killed_by not in (SCHEDULES, ROOTS):
            return Fate(defect.name, _fails_under(defect), defect.killed_by)
        killed = first_kill(defect, range(schedules))
    except StaleDefect as stale:
        return Fate(defect.name, False, f"stale: {stale}")
    if killed is None:
        return Fate(defect.name, False, f"not noticed by {schedules} schedules")
    return Fate(defect.name, True, killed.violation[:100], killed.seed)


def _fails_under(defect: Defect) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.sim.defect_plugin", "--defect", defect.name]
    command += ["-p", "no:cacheprovider", *defect.killed_by.split()]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=False, timeout=900)
    # 1: tests ran and failed. Anything else (nothing collected, broken off) proves nothing.
    return done.returncode == 1


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every defect was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--report", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args(arguments)
    defects = [one for one in defects_of(MUTANTS) if not given.names or one.name in given.names]
    began = time.monotonic()
    fates: list[Fate] = []
    with ProcessPoolExecutor(given.jobs) as pool:
        for future in [pool.submit(tried, defect, given.schedules) for defect in defects]:
            fate = future.result()
            fates.append(fate)
            seed = "" if fate.seed is None else f"seed {fate.seed}: "
            sys.stdout.write(f"{'killed  ' if fate.killed else 'SURVIVES'} {fate.name:<48} {seed}{fate.by}\n")
            sys.stdout.flush()
    seeds = [fate.seed for fate in fates if fate.seed is not None]
    summary = {
        "defects": len(fates),
        "killed": sum(fate.killed for fate in fates),
        "by_schedules": len(seeds),
        "median_first_seed": statistics.median(seeds) if seeds else None,
        "latest_first_seed": max(seeds, default=None),
        "seconds": round(time.monotonic() - began),
    }
    sys.stdout.write(json.dumps(summary) + "\n")
    if given.report is not None:
        given.report.write_bytes(msgspec.json.format(msgspec.json.encode({**summary, "fates": fates})))
    return 0 if summary["killed"] == summary["defects"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
