"""What every test gets: property tests that print their seed, and a process free of the caller's settings."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "arco",
    deadline=None,  # shared machines pause; time is measured in benchmarks
    print_blob=True,  # a failure can be run again from its output alone
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", parent=settings.get_profile("arco"), max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "arco"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test below tests/process carries the mark of that name."""
    for item in items:
        if "process" in item.path.parts:
            item.add_marker(pytest.mark.process)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sets the variables it is about; what the developer's shell holds must not decide it."""
    for name in [name for name in os.environ if name.startswith("ARCO_")]:
        monkeypatch.delenv(name)
