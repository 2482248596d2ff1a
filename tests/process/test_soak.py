"""A sample of `python -m tests.process.soak`: mixed load leaves nothing open, and no answer surprises."""

import random
import sys
from pathlib import Path

import msgspec
import pytest
from tests.process.soak import run
from tests.process.soak_party import CLIENTS, Plan
from tests.process.soak_watch import by_period, trend_of
from tests.process.test_serving import said

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc"),
]

SEED = 20_262


def test_mixed_load_leaves_nothing_open_and_no_answer_surprises(tmp_path: Path, capsys):
    sizes = {"clients": 4, "steps_a_second": 60, "tables": 20, "sample_s": 0.5, "period_s": 1, "awake_s": 1}
    plan = msgspec.convert({"seconds": 3, "warm_up_s": 0, "seed": SEED, **sizes}, Plan)
    report = run(tmp_path, plan, lambda _line: None)
    assert report.surprises == []
    assert report.verified == "ok"
    assert sum(count for status, count in report.statuses.items() if status >= "500") == report.late
    for role in ("api", "compactor"):
        name = f"{role} fds"
        assert report.rest["after"][name] <= report.rest["before"][name] + CLIENTS
    said(capsys, f"{report.requests} requests, descriptors at rest {report.rest['after']['api fds']:.0f}")


@pytest.mark.parametrize(("growth", "flat"), [(0.0, True), (2.0, True), (12.0, False)])
def test_growth_is_seen_through_noise_and_noise_is_not_growth(growth, flat):
    chance = random.Random(SEED)
    noisy = [(at * 5.0, 100 + growth * at * 5 / 3600 + chance.choice((0, 0, 0, 40))) for at in range(540)]
    assert trend_of(by_period(noisy, 60), floor=6).flat is flat
