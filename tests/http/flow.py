"""Orchestration for HTTP tests: definitions, runs, and workers that speak for attempts without being any."""

from typing import Any

import httpx

from arco.dispatch.tokens import TaskClaims
from arco.domains.orchestration import keys
from arco.domains.orchestration.domain import OrchestrationDomain
from arco.domains.orchestration.drafts import dispatched, unit
from arco.domains.run_index.fold import RunIndexDomain

from .world import SCOPE, World

WORKSPACE = "/workspaces/default"


def an_asset(key: str, *reads: str, **fields: Any) -> dict[str, Any]:
    """An asset of a manifest."""
    namespace, _, name = key.partition(".")
    dependencies = [
        {"upstreamKey": dict(zip(("namespace", "name"), upstream.split(".", 1), strict=True)), "parameterName": "x"}
        for upstream in reads
    ]
    return {
        "key": {"namespace": namespace, "name": name},
        "id": f"id-{key}",
        "dependencies": dependencies,
        **fields,
    }


def a_manifest(*assets: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A manifest."""
    return {"manifestVersion": "1.0", "codeVersionId": "01JCV", "assets": list(assets), **fields}


CHAIN = a_manifest(
    an_asset("raw.events"), an_asset("analytics.daily", "raw.events"), an_asset("ml.scores", "analytics.daily")
)
DAY = {"isPartitioned": True, "dimensions": [{"name": "date", "kind": "time", "granularity": "day"}]}


async def deploy(api: httpx.AsyncClient, manifest: dict[str, Any] = CHAIN) -> str:
    """Deploy; the manifest's id."""
    answer = await api.post(f"{WORKSPACE}/manifests", json=manifest)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["manifestId"]
    return found


async def trigger(api: httpx.AsyncClient, *selection: str, **fields: Any) -> str:
    """Ask for a run; its id."""
    answer = await api.post(f"{WORKSPACE}/runs", json={"selection": list(selection), **fields})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["runId"]
    return found


async def shown(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """A run."""
    answer = await api.get(f"{WORKSPACE}/runs/{run_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def states(api: httpx.AsyncClient, run_id: str) -> dict[str, str]:
    """The public states of a run's tasks, the run's own under the empty key."""
    run = await shown(api, run_id)
    return {"": run["state"], **{task["taskKey"]: task["state"] for task in run["tasks"]}}


async def everything(world: World) -> dict[str, list[Any]]:
    """Every row of every table of orchestration."""
    snapshot = await world.flow_reader().head()
    if snapshot is None:
        return {}
    return {spec.name: await snapshot.scan(spec) for spec in (*OrchestrationDomain.tables, *RunIndexDomain.tables)}


class Attempt:
    """One attempt at one task: dispatched as a dispatcher would, speaking as a worker would."""

    def __init__(self, world: World, api: httpx.AsyncClient, run_id: str, task_key: str, number: int = 1) -> None:
        self.world = world
        self.api = api
        self.run_id, self.task_key, self.number = run_id, task_key, number
        self.dispatch_id = keys.dispatch_id(run_id, task_key, number)
        self.attempt_id = keys.attempt_id(self.dispatch_id)
        self.task_id = keys.task_id(run_id, task_key)
        self.token = self.token_for()

    def token_for(self, **changes: Any) -> str:
        """A genuine token, for what the changes say."""
        claims = {
            "task_id": self.task_id,
            "tenant_id": SCOPE.tenant,
            "workspace_id": SCOPE.workspace,
            "run_id": self.run_id,
            "attempt": self.number,
            "attempt_id": self.attempt_id,
            **changes,
        }
        tokens = self.world.api.state.services.task_tokens
        token: str = tokens.mint(TaskClaims(**claims), ttl_s=600).token
        return token

    async def dispatch(self) -> str:
        """Have it dispatched; what the fold said."""
        desk = self.world.api.state.services.flow.desk_for(SCOPE)
        wanted = dispatched(self.run_id, self.task_key, self.number, attempt_id=self.attempt_id, queue=None)
        (outcome,) = await desk.submit([unit(wanted)], source="dispatcher:test")
        status: str = outcome.code or outcome.status
        return status

    async def say(self, what: str, *, token: str | None = None, **body: Any) -> httpx.Response:
        """A callback."""
        mine = {"attempt": self.number, "attemptId": self.attempt_id, "workerId": "worker-7", **body}
        headers = {"authorization": f"Bearer {token or self.token}"}
        return await self.api.post(f"/tasks/{self.task_id}/{what}", json=mine, headers=headers)

    async def told(self, what: str, **body: Any) -> dict[str, Any]:
        """The answer to a callback that is good."""
        answer = await self.say(what, **body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def through(self, outcome: str = "SUCCEEDED", **body: Any) -> None:
        """From dispatch to the end."""
        assert await self.dispatch() == "accepted"
        await self.told("started")
        await self.told("completed", outcome=outcome, **body)
