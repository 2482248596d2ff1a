"""Odd bodies for every route of runs: one field at a time becomes something else, in an otherwise good request.

`python -m tests.fuzz.flow 10000 [seed]` against the real roles in this process. Nothing may be a 5xx but the documented
refusals, nothing may end a connection, and afterwards a run must still go to its end.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import httpx
from tests.http.flow import DAY, WORKSPACE, Attempt, a_manifest, an_asset, deploy, shown, trigger
from tests.http.world import World, a_world

ENVIRON: Final = {"ARCO_FLOW_QUEUE_ADAPTER": "memory", "ARCO_FLOW_CALLBACK_BASE_URL": "http://api.test"}
NOBODY: Final = "01J00000000000000000000RUN"
TEXTS: Final = (
    *(
        "",
        " ",
        "a",
        "raw.events",
        "analytics/daily",
        "ml.scores",
        "x" * 256,
        "x" * 257,
        "x" * 5_000,
        "null",
        "*",
        "%00",
    ),
    *("\0", "\u202e", "\u00e9.\u00fc", "\U0001f389", "a\nb", "../x", "ct1_", "\ud7ff", NOBODY, "DATE"),
    *("date=d:2025-01-15", "date=d:2025-02-30", "date=s:MjAyNQ", "a=i:99999999999999999999", "d:2025-01-01"),
    *("2025-01-15T10:00:00Z", "9999-12-31T23:59:59.999999Z", "0000-00-00T00:00:00Z", "+292278994-08-17T07:12:55Z"),
    *("timer:retry:r:t:1:1705340400", "timer:cron:x:999999999999", "t:2025-01-15T10:00:00.000000Z"),
)
NUMBERS: Final[tuple[int | float, ...]] = (
    *(0, 1, -1, 2, 100, 101, 100_001, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 2**70, 10**400),
    *(-(2**63), -(2**63) - 1, 0.5, 1e308, -0.0, 1.0),
)
EXECUTION: Final = {
    "maxRetries": 3,
    "timeoutSeconds": 60,
    "queue": "gpu",
    "priority": 3,
    "concurrencyKey": "db",
    "retryDelaySeconds": 5,
    "heartbeatTimeoutSeconds": 60,
}
MANIFEST: Final = a_manifest(
    an_asset(
        "raw.events",
        partitioning=DAY,
        execution=EXECUTION,
        description="d",
        owners=["a"],
        tags={"a": "b"},
        checks=[{"name": "c", "checkType": "row_count", "severity": "error", "phase": "post"}],
        code={"module": "m", "function": "f"},
        io={"format": "delta"},
        resources={"cpuMillicores": 5},
    ),
    an_asset("analytics.daily", "raw.events", partitioning=DAY),
    an_asset("ml.scores"),
    schedules=[{"id": "s", "cron": "0 10 * * *", "assets": ["raw.events"], "timezone": "UTC"}],
    git={"branch": "main", "commitSha": "x", "dirty": False},
    metadata={"a": 1.5},
)
OUTPUT: Final = {
    "materializationId": "m",
    "rowCount": 1,
    "byteSize": 2,
    "outputPath": "p",
    "deltaTable": "t",
    "deltaVersion": 3,
    "deltaPartition": "date=d:2025-01-15",
    "outputVisibilityState": "VISIBLE",
    "publishedAt": "2025-01-15T10:02:58Z",
    "publishError": None,
    "inputs": [{"assetKey": "raw.events", "version": "3"}],
    "columnLineage": {"a": ["raw.events.b"]},
    "checks": [{"name": "c"}],
    "schema": [{"name": "id", "type": "int64"}],
    "metadata": {"a": 1.5},
}
ERROR: Final = {"category": "USER_CODE", "message": "boom", "stackTrace": "t", "retryable": True}


class Found(Counter[str]):
    """What was answered, and `bad`: what may not be."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []


class Fuzz:
    """Requests against one world, drawn from a seed."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.found = Found()
        self.runs = [NOBODY]
        self.clients = {role: self._client(role) for role in ("api", "sweeper", "flow-compactor")}

    def _client(self, role: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.world.roles[role].app, raise_app_exceptions=False)
        base = "http://localhost/api/v1" if role == "api" else "http://localhost"
        return httpx.AsyncClient(transport=transport, base_url=base)

    async def one(self) -> None:
        """One request that is good but for one place in it."""
        if self.rng.random() < 0.2:
            self.runs.append(await trigger(self.clients["api"], "ml.scores"))
        attempt = Attempt(self.world, self.clients["api"], self.rng.choice(self.runs[-3:]), "ml.scores")
        if self.rng.random() < 0.7:
            await attempt.dispatch()
        role, method, path, body = self.rng.choice(list(self._requests(attempt)))
        odd = self._odd(body)
        text = json.dumps(odd, ensure_ascii=self.rng.random() < 0.5).encode("utf-8", "surrogatepass")
        headers = {"content-type": "application/json"}
        if path.startswith("/tasks/"):
            headers["authorization"] = f"Bearer {attempt.token}"
        answer = await self.clients[role].request(method, path, content=text, headers=headers)
        name = f"{method} /{path.rsplit('/', 1)[-1]}" if not path.endswith(attempt.run_id) else f"{method} run"
        self.found[f"{name} {answer.status_code}"] += 1
        if path.endswith("/manifests") and answer.status_code == 201:
            await deploy(self.clients["api"], MANIFEST)
        if answer.status_code >= 500 and answer.status_code not in (501, 503):
            self.found.bad.append(f"{method} {path} {text[:600]!r} -> {answer.status_code} {answer.text[:200]}")

    def _requests(self, attempt: Attempt) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        run, task = attempt.run_id, attempt.task_id
        who = {"attempt": 1, "attemptId": attempt.attempt_id, "workerId": "w", "traceparent": "x"}
        day = [{"key": "date", "value": "2025-01-15"}]
        yield "api", "POST", f"{WORKSPACE}/manifests", MANIFEST
        for path in ("runs", "plans"):
            asked = {"selection": ["raw.events"], "includeDownstream": True, "partitions": day, "labels": {"a": "b"}}
            yield "api", "POST", f"{WORKSPACE}/{path}", {**asked, "timeoutSeconds": 60}
            yield (
                "api",
                "POST",
                f"{WORKSPACE}/{path}",
                {"selection": ["raw.events"], "partitionKey": "date=d:2025-01-15"},
            )
        yield "api", "POST", f"{WORKSPACE}/runs", {"selection": ["ml.scores"], "runKey": "k"}
        yield "api", "POST", f"{WORKSPACE}/runs/{run}/cancel", {"reason": "x"}
        for mode in ("subset", "fromFailure"):
            again = {"mode": mode, "selection": ["ml.scores"], "runKey": "z", "labels": {"q": "v"}}
            yield "api", "POST", f"{WORKSPACE}/runs/{run}/rerun", again
        yield "api", "POST", f"{WORKSPACE}/runs/{run}/tasks/ml.scores/retry", {}
        log = {"taskKey": "ml.scores", "attempt": 1, "stdout": "a", "stderr": "b"}
        yield "api", "POST", f"{WORKSPACE}/runs/{run}/logs", log
        yield "api", "PUT", f"{WORKSPACE}/orchestration/pause", {"paused": False, "reason": "x"}
        yield "api", "PUT", f"{WORKSPACE}/orchestration/limits/db", {"slots": 5}
        yield "api", "POST", f"/tasks/{task}/started", {**who, "startedAt": "2025-01-15T10:00:00Z"}
        beat = {**who, "heartbeatAt": "2025-01-15T10:00:00Z", "progressPct": 5, "message": "m"}
        yield "api", "POST", f"/tasks/{task}/heartbeat", beat
        for name in ("output", "result"):
            yield "api", "POST", f"/tasks/{task}/completed", {**who, "outcome": "SUCCEEDED", name: OUTPUT}
        failed = {
            **who,
            "outcome": "FAILED",
            "error": ERROR,
            "cancelledDuringPhase": "load",
            "partialProgress": {"a": 1},
        }
        yield "api", "POST", f"/tasks/{task}/completed", failed
        piece = {"piece": 1, "writer": "w", "parts": [{"stream": "stdout", "text": "x"}], "last": False}
        yield "api", "POST", f"/tasks/{task}/logs", {**{name: who[name] for name in ("attempt", "attemptId")}, **piece}
        fired = {"timerId": TEXTS[-3], "timerType": "RETRY", "runId": run, "taskKey": "ml.scores", "attempt": 1}
        yield "sweeper", "POST", "/internal/timers/fired", {**fired, "fireAt": "2025-01-15T10:00:00Z"}
        listed = [f"ledger/orchestration/{NOBODY}.json"]
        held = {"fencing_token": 3, "lock_path": "locks/orchestration.compaction.lock.json", "request_id": "x"}
        yield "flow-compactor", "POST", "/compact", {"event_paths": listed, **held}
        yield "flow-compactor", "POST", "/rebuild", {"rebuild_manifest_path": "state/orchestration/rebuilds/x.json"}
        yield "flow-compactor", "POST", "/internal/reconcile", {"repair": False, "repairScope": "full"}

    def _odd(self, body: dict[str, Any]) -> Any:
        """The body with something else in one place of it."""
        whole = json.loads(json.dumps(body))
        if not (places := [place for place in _places(whole) if place]):
            return whole
        *path, last = self.rng.choice(places)
        inner = whole
        for step in path:
            inner = inner[step]
        old = inner[last]
        if isinstance(old, str) and self.rng.random() < 0.7:
            inner[last] = self.rng.choice(TEXTS)
        elif isinstance(old, int | float) and self.rng.random() < 0.7:
            inner[last] = self.rng.choice(NUMBERS)
        elif isinstance(old, dict) and self.rng.random() < 0.5:
            inner[last] = {**old, self.rng.choice(TEXTS): self._anything()}
        else:
            inner[last] = self._anything()
        return whole

    def _anything(self, depth: int = 0) -> Any:
        draw = self.rng.random()
        if draw < 0.4:
            return self.rng.choice(TEXTS)
        if draw < 0.65 or depth > 3:
            return self.rng.choice(NUMBERS)
        if draw < 0.75:
            return self.rng.choice((True, False, None))
        inner = [self._anything(depth + 1) for _ in range(self.rng.choice((0, 1, 3)))]
        return inner if draw < 0.87 else {self.rng.choice(TEXTS): one for one in inner}


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield before
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _places(one, (*before, key))


async def fuzz(requests: int, seed: int) -> Found:
    """So many odd requests, and a good run at their end."""
    async with a_world(ENVIRON) as world, world.client() as api:
        await deploy(api, MANIFEST)
        one = Fuzz(world, seed)
        for _ in range(requests):
            await one.one()
        await api.put(f"{WORKSPACE}/orchestration/pause", json={"paused": False})
        for key in ("db", "*"):
            await api.put(f"{WORKSPACE}/orchestration/limits/{key}", json={"slots": None})
        await deploy(api, MANIFEST)
        run = await trigger(api, "ml.scores")
        await Attempt(world, api, run, "ml.scores").through()
        if (await shown(api, run))["state"] != "SUCCEEDED":
            one.found.bad.append("a good run did not come to its end")
        one.found.bad += [str(record) for record in world.records if record.get("event") == "request_failed"]
        return one.found


def main(words: list[str]) -> int:
    """Exit code 0 when nothing was found."""
    found = asyncio.run(fuzz(int(words[0]) if words else 10_000, int(words[1]) if len(words) > 1 else 0))
    told = "\n".join(f"{count:7} {name}" for name, count in sorted(found.items()))
    sys.stdout.write(told + "\n" + ("\n".join(found.bad) or "nothing found") + "\n")
    return 1 if found.bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
