import asyncio

import pytest
from tests.unit.edge.kit import KeptLines, TurnedClock, served
from tests.unit.edge.test_auth import _hs256

from arco.core.log import LineLog, SilentLog
from arco.core.metrics import Registry
from arco.edge import health as health_module
from arco.edge.health import Check, CheckResult, Health, version_view
from arco.edge.lifecycle import Lifecycle
from arco.edge.probes import health_endpoints, metrics_endpoint


class Probe:
    """Answers what it is told to, and counts."""

    def __init__(self, result=None):
        self.result = result or CheckResult()
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def _health(*checks, clock=None, lifecycle=None, log=None):
    return Health(
        checks,
        role="api",
        version="0.1.0",
        clock=clock or TurnedClock(),
        log=log or SilentLog(),
        lifecycle=lifecycle or Lifecycle(),
    )


def _served(health, **rest):
    version = version_view({}, service="arco-api", package_version="0.1.0")
    return served(
        *health_endpoints(health, version), metrics_endpoint(Registry(), **rest), prefix="", authenticator=_hs256()
    )


async def test_a_healthy_process_says_so_everywhere_and_to_everybody():
    app = _served(_health(Check(name="object_storage", probe=Probe())))
    assert (await app.ask("GET", "/health")).json() == {"status": "ok"}
    assert (await app.ask("GET", "/health/live")).json() == {"status": "ok"}
    assert (await app.ask("GET", "/ready")).json() == {"ready": True}
    full = await app.ask("GET", "/health/ready")
    assert full.status_code == 200
    assert full.json() == {
        "status": "ready",
        "checkedAtUtc": "2026-01-01T00:00:00+00:00",
        "role": "api",
        "version": "0.1.0",
        "dependencies": [
            {"name": "object_storage", "healthy": True, "essential": True, "status": "ready", "detail": ""}
        ],
    }


async def test_an_essential_thing_that_is_not_ready_is_503_with_its_reason():
    app = _served(_health(Check(name="object_storage", probe=Probe(CheckResult("not_ready", "HEAD failed")))))
    short = await app.ask("GET", "/ready")
    assert (short.status_code, short.json()) == (503, {"ready": False, "message": "object_storage: HEAD failed"})
    full = await app.ask("GET", "/health/ready")
    assert (full.status_code, full.json()["status"]) == (503, "not_ready")
    assert (await app.ask("GET", "/health")).status_code == 200


@pytest.mark.parametrize(
    ("result", "essential", "status"),
    [
        (CheckResult("degraded"), True, "degraded"),
        (CheckResult("not_ready"), False, "degraded"),
        (CheckResult("degraded"), False, "degraded"),
        (CheckResult("not_configured"), False, "ready"),
    ],
)
async def test_what_is_not_essential_only_degrades(result, essential, status):
    app = _served(_health(Check(name="compactor", probe=Probe(result), essential=essential)))
    full = await app.ask("GET", "/health/ready")
    assert (full.status_code, full.json()["status"]) == (200, status)
    assert (await app.ask("GET", "/ready")).json() == {"ready": True}


async def test_answers_are_kept_for_a_second():
    clock, probe = TurnedClock(), Probe()
    health = _health(Check(name="x", probe=probe), clock=clock)
    await asyncio.gather(*(health.readiness() for _ in range(10)))
    clock.ms += 999
    await health.readiness()
    assert probe.asked == 1
    clock.ms += 1
    await health.readiness()
    assert probe.asked == 2


async def test_checks_run_at_the_same_time():
    first, second = asyncio.Event(), asyncio.Event()

    async def one():
        first.set()
        await second.wait()
        return CheckResult()

    async def two():
        second.set()
        await first.wait()
        return CheckResult()

    assert (await _health(Check(name="a", probe=one), Check(name="b", probe=two)).readiness()).status == "ready"


async def test_a_check_that_breaks_or_hangs_is_not_ready(monkeypatch):
    async def hangs():
        await asyncio.Event().wait()

    monkeypatch.setattr(health_module, "CHECK_BUDGET_S", 0.01)
    kept = KeptLines()
    log = LineLog(kept, TurnedClock())
    broken = Check(name="broken", probe=Probe(RuntimeError("secret place")))
    found = await _health(broken, Check(name="hangs", probe=hangs), log=log).readiness()
    assert [each.status for each in found.dependencies] == ["not_ready", "not_ready"]
    assert [each.detail for each in found.dependencies] == [
        "the check failed; see the log",
        "no answer within 0.01 seconds",
    ]
    assert kept.events("health_check_failed")[0]["check"] == "broken"


async def test_a_draining_process_is_alive_and_not_ready():
    lifecycle = Lifecycle()
    app = _served(_health(lifecycle=lifecycle))
    lifecycle.drain()
    assert (await app.ask("GET", "/health")).status_code == 200
    assert (await app.ask("GET", "/ready")).json() == {"ready": False, "message": "lifecycle: draining"}
    full = await app.ask("GET", "/health/ready")
    assert full.status_code == 503
    assert full.json()["dependencies"][-1]["name"] == "lifecycle"


async def test_a_loop_that_does_not_turn_is_stuck():
    clock = TurnedClock()
    health = _health(clock=clock)
    app = _served(health)
    clock.ms += 30_001
    stuck = await app.ask("GET", "/health/live")
    assert (stuck.status_code, stuck.json()) == (503, {"status": "stuck"})
    health.beat()
    assert (await app.ask("GET", "/health/live")).status_code == 200


async def test_the_version_is_the_builds():
    app = _served(_health())
    assert (await app.ask("GET", "/version")).json() == {
        "service": "arco-api",
        "packageVersion": "0.1.0",
        "codeVersion": "unknown",
        "gitSha": "unknown",
        "image": "unknown",
        "cloudRunRevision": "unknown",
    }
    environ = {"K_SERVICE": "s", "ARCO_CODE_VERSION": "c", "COMMIT_SHA": "g", "ARCO_IMAGE": "i", "K_REVISION": "r"}
    found = version_view(environ, service="arco-api", package_version="1")
    assert (found.service, found.code_version, found.git_sha, found.image, found.cloud_run_revision) == tuple("scgir")


async def test_metrics_are_text():
    answer = await _served(_health()).ask("GET", "/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


async def test_metrics_tell_what_the_process_uses():
    registry = Registry()
    for _ in range(2):  # two roles of one process share a registry
        endpoint = metrics_endpoint(registry)
    text = (await served(endpoint, prefix="").ask("GET", "/metrics")).text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("process_"))
    assert float(found["process_resident_memory_bytes"]) > 1_000_000
    assert float(found["process_cpu_seconds_total"]) > 0
    assert float(found["process_threads"]) >= 1
    assert float(found["process_open_fds"]) >= 3


async def test_metrics_ask_for_the_secret_when_there_is_one():
    app = _served(_health(), secret="m" * 32)
    assert (await app.ask("GET", "/metrics")).status_code == 403
    assert (await app.ask("GET", "/metrics", headers={"x-metrics-secret": "m" * 31})).status_code == 403
    assert (await app.ask("GET", "/metrics", headers={"x-metrics-secret": "m" * 32})).status_code == 200
    assert (await app.ask("GET", "/metrics", headers={"authorization": "Bearer " + "m" * 32})).status_code == 200


async def test_a_public_server_has_no_metrics():
    answer = await _served(_health(), elsewhere=True).ask("GET", "/metrics")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
