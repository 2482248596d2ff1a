"""Tier B: whole servers in the simulation, from HTTP to Parquet. A long run: `python -m arco.sim run --tier B`."""

import pytest

from arco.sim.running import run_many
from arco.sim.swarm import plan_of
from arco.sim.tier_b import run_served

PROFILES = ("swarm", "storage", "lives")


@pytest.mark.parametrize("first", [0, 25])
def test_whole_servers_break_no_invariant(first: int) -> None:
    report = run_many(range(first, first + 25), PROFILES, tier="B")
    assert report.violations == []
    assert report.distinct_traces == 25


def test_a_seed_is_a_schedule_of_whole_servers_too() -> None:
    assert run_served(plan_of(4)).trace_hash == run_served(plan_of(4)).trace_hash


def test_a_key_whose_object_was_dropped_since_was_served_all_the_same() -> None:
    # Found among 4,000: the answer says that the object of the key is gone, and was taken for "the name is taken".
    assert run_served(plan_of(50_003_268, "lives")).violations == []
