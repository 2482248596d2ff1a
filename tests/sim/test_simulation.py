"""Seeded schedules of the real protocol code: nothing acknowledged is lost, nothing doubled, everything converges.

A failing seed is run again by `python -m arco.sim --seed S --profile P`. Source: reliability.md 4, 5 and 7.
"""

import json
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from arco.kernel.publish import Superseded
from arco.sim.__main__ import main
from arco.sim.minimise import Minimiser
from arco.sim.plan import Plan, decode_plan, encode_plan
from arco.sim.running import run_many
from arco.sim.schedule import Patch, run_plan, run_schedule
from arco.sim.swarm import PROFILES, plan_of
from arco.sim.tripwires import TouchedTheMachine, tripwires

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))
SCHEDULES = 1_000
SHARE = 100


@pytest.mark.parametrize("first", range(0, SCHEDULES, SHARE))
def test_no_schedule_breaks_an_invariant(first: int) -> None:
    report = run_many(range(first, first + SHARE), PROFILES)
    assert report.violations == []
    assert report.distinct_traces == SHARE
    assert report.faults_per_schedule >= 4


def test_whoever_lost_a_lock_is_not_served_under_its_token() -> None:
    plans = [plan_of(seed) for seed in range(400)]
    led = [plan for plan in plans if plan.config.leaders == 2]
    assert len(led) > 30
    assert [run_plan(plan).violations for plan in led] == [[]] * len(led)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_failed_once_stays_mended(path: Path) -> None:
    assert run_plan(decode_plan(path.read_bytes())).violations == []


@pytest.mark.parametrize("profile", PROFILES)
def test_a_seed_is_a_schedule(profile: str) -> None:
    for seed in range(5):
        assert run_schedule(seed, profile).trace_hash == run_schedule(seed, profile).trace_hash


def test_a_seed_is_the_same_schedule_whatever_the_hash_seed_of_the_process() -> None:
    program = "from arco.sim.schedule import run_schedule; print([run_schedule(seed).trace_hash for seed in range(6)])"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "src"},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(found) == 1


def test_protocol_code_that_touches_the_machine_is_caught() -> None:
    with tripwires():
        with pytest.raises(TouchedTheMachine):
            time.time_ns()
        with pytest.raises(TouchedTheMachine):
            random.random()
    assert time.time_ns() > 0


def test_the_command_line_runs_one_schedule_and_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--profile", "storage"]) == 0
    assert "seed 3 profile storage" in capsys.readouterr().out
    report = tmp_path / "report.json"
    assert main(["run", "--schedules", "12", "--profiles", "swarm,lives", "--jobs", "1", "--report", str(report)]) == 0
    found = json.loads(report.read_text())
    assert (found["schedules"], found["failed"], found["distinct_traces"]) == (12, 0, 12)
    assert found["faults_by_cell"] and found["virtual_days"] > 0


def test_a_plan_survives_its_file() -> None:
    plan = plan_of(7)
    assert decode_plan(encode_plan(plan)) == plan


# --- the harness finds what it is for, and makes it small -------------------------------------------------------------


async def _is_always_somebody_elses(_self: Any, *_rest: Any) -> Superseded:
    return Superseded()


DEFECTS = {
    "own write taken for a loss": Patch("arco.kernel.publish:Publisher._whose", _is_always_somebody_elses),
}


def _first_failure(patch: Patch, most: int = 400) -> Plan | None:
    plans = (plan_of(seed, PROFILES[seed % 4]) for seed in range(most))
    return next((plan for plan in plans if run_plan(plan, patches=[patch]).violations), None)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_and_made_small(name: str) -> None:
    patch = DEFECTS[name]
    plan = _first_failure(patch)
    assert plan is not None
    minimiser = Minimiser(plan, runner=partial(run_plan, patches=[patch]), tries_max=150)
    before = minimiser.verdict
    assert minimiser.run().violations
    assert minimiser.verdict.storage_operations < before.storage_operations
    assert len(minimiser.verdict.faults) < len(before.faults)
    assert run_plan(minimiser.plan).violations == []
