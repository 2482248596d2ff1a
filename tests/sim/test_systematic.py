"""Every fault at every operation of the protocol's paths, pairs of them, pre-emption, and sleepers.

Singles are complete here; of pairs, pre-emptions and sleepers a drawn part. The whole:
`python -m arco.sim systematic --depth 2`.
"""

import random
from itertools import islice
from typing import Any

import pytest

from arco.kernel.publish import Won
from arco.sim.schedule import Patch, Verdict, run_plan
from arco.sim.systematic import GRACE_S, explore, pairs, paths, preemptions, singles, sites_of, sleepers, with_script

PATHS = paths()
SHORT = sorted(set(PATHS) - {"collector"})


def told(failed: list[Verdict]) -> list[str]:
    return [f"{verdict.profile}: {verdict.violations[0]}" for verdict in failed]


@pytest.mark.parametrize("name", PATHS)
def test_a_path_without_faults_is_fine(name: str) -> None:
    assert run_plan(PATHS[name]).violations == []


def test_a_commit_takes_few_operations() -> None:
    sites = sites_of(PATHS["commit"])
    assert len([family for _, family, _, _ in sites if family in ("read", "write")]) <= 12


@pytest.mark.parametrize("name", SHORT)
def test_no_single_fault_at_any_operation_breaks_an_invariant(name: str) -> None:
    plan = PATHS[name]
    count, failed = explore(with_script(plan, one) for one in singles(sites_of(plan)))
    assert told(failed) == []
    assert count >= 50


def test_a_call_that_is_lost_to_who_waits_for_ever_keeps_nobody_at_work() -> None:
    plan = PATHS["collector"]
    lost = [(site, kind) for site, kind in singles(sites_of(plan)) if kind in ("drop", "mute") and "client-1" in site]
    assert lost
    _, failed = explore(with_script(plan, one) for one in [*lost, ("api-4#2", "drop"), ("api-4#2", "mute")])
    assert told(failed) == []


@pytest.mark.parametrize("name", SHORT)
def test_no_drawn_pair_of_faults_breaks_an_invariant(name: str) -> None:
    _, failed = explore(pairs(PATHS[name], sample=60, seed=1))
    assert told(failed) == []


@pytest.mark.parametrize("nap_s", [50.0, GRACE_S / 3, GRACE_S * 1.5])
def test_two_compactors_that_pre_empt_each_other_three_times_agree(nap_s: float) -> None:
    _, failed = explore(preemptions(depth=3, nap_s=nap_s, sample=60, seed=2))
    assert told(failed) == []


def test_a_process_that_slept_past_the_collector_harms_nobody() -> None:
    drawn = random.Random(3).sample(list(sleepers(PATHS["collector"])), 60)
    _, failed = explore(iter(drawn))
    assert told(failed) == []


async def _believes_every_win(_self: Any, head: Any, _parent: Any, _seen_ms: int) -> Won:
    return Won(head)


def test_a_number_that_looks_free_again_to_a_sleeper_would_be_noticed() -> None:
    patch = Patch("arco.kernel.publish:Publisher._believed", _believes_every_win)
    asleep = (
        plan for plan in sleepers(PATHS["collector"]) if any(site.startswith("compactor-2") for site in plan.script)
    )
    _, failed = explore(islice(asleep, 8), patches=[patch])
    assert any("R-01" in sentence for sentence in told(failed))
