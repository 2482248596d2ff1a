"""What the command line says to do about what the api answers."""

import pytest

from arco.cli.failures import failure_of
from arco.clients.api import ApiProblem


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (404, "run 01J has no logs yet", "arco runs RUN"),
        (404, "run not found: 01J", "see what there is: arco runs"),
        (404, "run 01J has no task raw.x", "arco runs RUN"),
        (409, "task raw.x is SUCCEEDED: only what failed can be retried", "arco rerun RUN --task TASK"),
        (400, "unknown asset keys: raw.order; did you mean raw.orders?", "arco deploy"),
        (400, "clean.flights is partitioned by month, which the run says nothing about", "without --upstream"),
        (400, "the selected assets are partitioned by month: say month", "--partition date=2025-01-31"),
        (400, "nothing is deployed in this workspace", "arco deploy assets.py"),
        (400, "something else", "--help"),
        (404, "table not found", "arco catalog ls"),
    ],
)
def test_advice_is_about_what_was_said(status: int, message: str, advice: str) -> None:
    failure = failure_of(ApiProblem(status, "BAD_REQUEST", message))
    assert failure is not None and advice in failure.advice


def test_an_unknown_outcome_is_looked_at_before_anything_is_repeated() -> None:
    failure = failure_of(ApiProblem(503, "OUTCOME_UNKNOWN", "it may have been done"))
    assert failure is not None and failure.advice.startswith("look before repeating it")
