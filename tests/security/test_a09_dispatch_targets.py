"""A-09 for tasks: where they are pushed and where they are reported is configuration, and never a metadata server."""

from typing import Any

import pytest
from tests.unit.config.environments import DISPATCHER
from tests.unit.dispatch.test_envelope import an_envelope

from arco.clients.callbacks import Callbacks, Caller
from arco.config.problems import Problems
from arco.config.settings import load
from arco.config.worker import load_worker
from arco.core.clock import SystemClock
from arco.core.log import SilentLog
from arco.core.secret_set import SecretSet
from arco.dispatch.envelope import write_envelope
from arco.worker.attempt import Bench
from arco.worker.desk import Desk, Gatekeeping
from arco.worker.pool import Pool, PoolSettings

FORBIDDEN = [
    "http://169.254.169.254/",
    "http://169.254.169.254:80/latest/meta-data",
    "http://0xA9FEA9FE",
    "http://0xa9.0xfe.0xa9.0xfe",
    "http://2852039166",
    "http://0251.0376.0251.0376",
    "http://169.254.43518",
    "http://[::ffff:169.254.169.254]",
    "http://[::ffff:a9fe:a9fe]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::]",
    "http://[fd00:ec2::254]",
    "http://[fe80::1]",
    "http://metadata.google.internal",
    "http://METADATA.google.internal.",
    "http://metadata",
    "http://0.0.0.0:8080",
    "http://[::]:8080",
    "http://224.0.0.1",
    "file:///etc/passwd",
    "gopher://example.com",
    "http://user@host@evil",
    "http://evil#@good",
    "http://ex\u2024ample.com",
    "http://host:0",
    "http://host:65536",
]
TARGETS = ["ARCO_FLOW_DISPATCH_TARGET_URL", "ARCO_FLOW_CALLBACK_BASE_URL", "ARCO_FLOW_TIMER_TARGET_URL"]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a09_no_task_is_configured_to_go_there(url: str):
    for name in (*TARGETS, "ARCO_FLOW_WORKERS"):
        for role in ("dispatcher", "sweeper"):
            found = load(role, DISPATCHER | {name: url})
            assert isinstance(found, Problems), (name, url)
            assert name in {problem.variable for problem in found.problems}


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a09_no_worker_reports_there(url: str):
    assert isinstance(load_worker({"ARCO_FLOW_TENANT_ID": "acme", "ARCO_FLOW_API_URL": url}), Problems)


@pytest.mark.parametrize(
    "url", [*FORBIDDEN, "http://127.0.0.1:8081/compact", "http://10.0.0.1", "https://api.example.evil"]
)
async def test_a09_a_dispatch_does_not_choose_where_a_worker_calls(url: str):
    clock, log = SystemClock(), SilentLog()
    callbacks = Callbacks(Caller(base_url="https://api.example", agent="a", workspace="prod"))
    pool = Pool(PoolSettings(targets=(), slots=1, tasks_max=1, growth_bytes=1), clock=clock, log=log)

    async def register(_table: dict[str, Any]) -> str:
        return "never"

    bench = Bench(
        callbacks=callbacks,
        pool=pool,
        clock=clock,
        log=log,
        worker_id="w",
        grace_ms=0,
        report_ms=0,
        register=register,
    )
    rules = Gatekeeping(secrets=SecretSet("s"), tenant="acme", workspace="prod", api_url="https://api.example", slots=1)
    reply = await Desk(rules, bench, log).take(write_envelope(an_envelope(callback_base_url=url)))
    assert reply.status == 400
    assert callbacks._session is None  # nobody was called
