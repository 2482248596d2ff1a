"""`pytest -p tests.sim.defect_plugin --defect NAME`: run tests on production code with a seeded defect in it."""

import contextlib
from pathlib import Path

import pytest

from arco.sim.defects import applied, defects_of

MUTANTS = Path(__file__).parent / "mutants.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The name of the defect."""
    parser.addoption("--defect", required=True)


def pytest_configure(config: pytest.Config) -> None:
    """Put it in, for the whole session."""
    wanted = config.getoption("--defect")
    (defect,) = (one for one in defects_of(MUTANTS) if one.name == wanted)
    stack = contextlib.ExitStack()
    stack.enter_context(applied(defect))
    config.add_cleanup(stack.close)
