"""What every test gets: property tests that print their seed, and a process free of the caller's settings."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.emulators.processes import AWS_VARIABLES, BUCKET, Emulator, a_gcs, an_s3

settings.register_profile(
    "arco",
    deadline=None,  # shared machines pause; time is measured in benchmarks
    print_blob=True,  # a failure can be run again from its output alone
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", parent=settings.get_profile("arco"), max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "arco"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--store`: where the worlds of tests/http and tests/contract keep their objects."""
    parser.addoption("--store", choices=("memory", "gcs", "s3"), default="memory", help="the store of HTTP worlds")


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


@pytest.fixture(scope="session")
def gcs() -> Iterator[Emulator]:
    """A Cloud Storage with the bucket `lake`, shared by all tests of a worker: each uses a prefix of its own."""
    with a_gcs() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def s3() -> Iterator[Emulator]:
    """An S3 with the bucket `lake`, shared likewise."""
    with an_s3() as emulator:
        yield emulator


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that the emulated S3 takes."""
    for name, value in AWS_VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session", autouse=True)
def _worlds_of_this_session(request: pytest.FixtureRequest) -> None:
    """With `--store`, the worlds of tests/http and tests/contract keep their objects in that cloud."""
    name = request.config.getoption("--store")
    if name == "memory":
        return
    from tests.http.world import STORES

    from arco.storage.gcs import GcsStore
    from arco.storage.s3 import S3Store

    emulator: Emulator = request.getfixturevalue(name)
    if name == "gcs":
        STORES.cloud = lambda prefix: GcsStore(BUCKET, prefix, endpoint=emulator.endpoint)
    else:
        os.environ.update(AWS_VARIABLES)
        STORES.cloud = lambda prefix: S3Store(BUCKET, prefix, endpoint=emulator.endpoint)
