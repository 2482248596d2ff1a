"""The simulation is trusted because it notices what is known to be wrong (reliability.md 6)."""

import pytest
from tests.sim.defect_plugin import MUTANTS

from arco.sim.defects import SCHEDULES, Defect, Edit, StaleDefect, applied, defects_of, first_kill
from arco.sim.schedule import run_schedule

DEFECTS = defects_of(MUTANTS)
QUICK = 40
"""Schedules a defect is looked for in here; the recorded run of `python -m tests.sim.mutants` goes to 10,000."""


def test_every_defect_fits_the_code_and_has_a_name_of_its_own() -> None:
    assert len({one.name for one in DEFECTS}) == len(DEFECTS) >= 60
    for defect in DEFECTS:
        with applied(defect):
            pass


def test_schedules_notice_most_defects_at_once() -> None:
    wanted = [one for one in DEFECTS if one.killed_by == SCHEDULES]
    noticed = [one.name for one in wanted if first_kill(one, range(QUICK)) is not None]
    assert len(noticed) >= 0.6 * len(wanted), sorted({one.name for one in wanted} - set(noticed))


def test_a_defect_is_gone_after_its_block() -> None:
    assert run_schedule(3).fine
    with applied(next(one for one in DEFECTS if one.name == "lost_is_won")):
        assert not all(run_schedule(seed).fine for seed in range(10))
    assert run_schedule(3).fine


def test_a_defect_that_does_not_fit_is_refused() -> None:
    edit = Edit("arco.kernel.publish:Publisher.publish", "no such line", "")
    with pytest.raises(StaleDefect), applied(Defect("stale", "", (edit,))):
        pass
