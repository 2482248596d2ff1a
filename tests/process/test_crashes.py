"""A sample of `python -m tests.process.crashes`: what clients were told survives `kill -9` of any process."""

import random
from pathlib import Path

import pytest
from tests.process.crashes import Score, run_store
from tests.process.test_serving import said

from arco.sim.checkers.registers import UNANSWERED

pytestmark = pytest.mark.process

SEED = 20_261
CYCLES = 4


def test_kill_9_at_random_moments_loses_nothing_and_invents_nothing(tmp_path: Path, capsys):
    score = Score()
    run_store(tmp_path, range(CYCLES), SEED, score, lambda _score: None)
    assert score.cycles == CYCLES and score.undecided == 0
    said(capsys, f"{score.operations} operations over {score.kills} kills, {score.unanswered} without an answer")


def test_a_history_that_forgets_an_acknowledged_create_is_refuted():
    from tests.process.crashes import a_name, new_key

    from arco.sim.checkers.registers import Operation, Verdict, check_linearizable

    acknowledged = Operation("create", True, 0, 1)
    gone = Operation("read", False, 2, 3)
    maybe_dropped = Operation("drop", UNANSWERED, 0.5)
    assert check_linearizable([acknowledged, gone], False, a_name) is Verdict.NOT_LINEARIZABLE
    assert check_linearizable([acknowledged, maybe_dropped, gone], False, a_name) is Verdict.LINEARIZABLE
    assert new_key(random.Random(1))[14] == "7"
