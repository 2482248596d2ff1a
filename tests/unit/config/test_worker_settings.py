"""The worker's configuration: checked at once, told without secrets (orchestration.md 7.6)."""

import pytest

from arco.config.problems import Problems
from arco.config.worker import WorkerSettings, load_worker

BASE = {"ARCO_FLOW_TENANT_ID": "acme", "ARCO_FLOW_WORKER_DISPATCH_SECRET": "the secret"}


def good(**changes: str) -> WorkerSettings:
    found = load_worker({**BASE, **changes}, lambda path: f"content of {path}\n")
    assert isinstance(found, WorkerSettings), found
    return found


def test_the_defaults_are_the_contracts():
    found = good()
    assert (found.api_url, found.workspace, found.debug) == ("https://api.arco.dev", "default", False)
    assert (found.slots, found.port, found.host) == (8, 8090, "127.0.0.1")
    assert found.warnings == ()


def test_every_problem_is_told_at_once():
    found = load_worker({"ARCO_FLOW_API_URL": "api", "ARCO_FLOW_WORKER_SLOTS": "0", "ARCO_FLOW_DEBUG": "perhaps"})
    assert isinstance(found, Problems)
    assert [problem.variable for problem in found.problems] == [
        "ARCO_FLOW_API_URL",
        "ARCO_FLOW_DEBUG",
        "ARCO_FLOW_TENANT_ID",
        "ARCO_FLOW_WORKER_SLOTS",
    ]


def test_secrets_come_from_files_too_and_are_never_shown():
    found = good(ARCO_FLOW_API_KEY_FILE="/run/key", ARCO_FLOW_WORKER_DISPATCH_SECRET_PREVIOUS="older")
    assert found.api_key == "content of /run/key"
    assert found.dispatch_secrets == ("the secret", "older")
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"ARCO_FLOW_WORKER_DISPATCH_SECRET": ""}, "every dispatch is refused"),
        ({"ARCO_FLOW_API_URL": "http://api.example.com"}, "can read task tokens"),
        ({"ARCO_FLOW_WORKER_SLOT": "3"}, "did you mean ARCO_FLOW_WORKER_SLOTS?"),
    ],
)
def test_what_is_probably_not_meant_is_warned_of(changes: dict[str, str], warning: str):
    assert warning in " ".join(good(**changes).warnings)


def test_the_port_of_the_platform_goes_first():
    assert good(PORT="9000", ARCO_FLOW_WORKER_PORT="9001").port == 9000
