"""Batches of orchestration events for tests: a run and its plan, as somebody who knows the contract would send them."""

from typing import Any

import httpx

from arco.core.clock import SystemClock
from arco.core.entropy import MintedIds, SystemEntropy

IDS = MintedIds(SystemClock(), SystemEntropy())
COMMIT = "/transactions/commitOrchestrationBatch"
SHOW = "/transactions/getOrchestrationTransaction"


def an_event(kind: str, **data: Any) -> dict[str, Any]:
    """An envelope with its data, and nothing else."""
    return {"data": {"type": kind, **data}}


def a_run(*tasks: str, run_id: str = "", **fields: Any) -> list[dict[str, Any]]:
    """The two events a run begins with; each task waits for the one before."""
    run_id, plan_id = run_id or IDS.ulid(), IDS.ulid()
    names = tasks or ("analytics.daily",)
    planned = [
        {"key": name, "asset_key": name, "depends_on": [names[index - 1]] if index else []}
        for index, name in enumerate(names)
    ]
    begun = {"run_id": run_id, "plan_id": plan_id, "trigger": {"type": "manual"}, "root_assets": [names[-1]], **fields}
    return [an_event("run_triggered", **begun), an_event("plan_created", run_id=run_id, plan_id=plan_id, tasks=planned)]


def run_of(events: list[dict[str, Any]]) -> str:
    """The run the events are about."""
    found: str = events[0]["data"]["run_id"]
    return found


async def send(api: httpx.AsyncClient, events: list[Any], *, key: str = "batch-1", groups: str = "") -> httpx.Response:
    """The answer to a batch, as JSON."""
    headers = {"idempotency-key": key, **({"x-groups": groups} if groups else {})}
    return await api.post(COMMIT, json={"events": events}, headers=headers)


async def committed(api: httpx.AsyncClient, events: list[Any], *, key: str = "batch-1", groups: str = "") -> Any:
    """The receipt of a batch."""
    answer = await send(api, events, key=key, groups=groups)
    assert answer.status_code == 200, answer.text
    return answer.json()["receipt"]
