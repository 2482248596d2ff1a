"""The client library against a real server, and against one that answers in pages and breaks off."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.process.servers import serving

from arco import AsyncClient, Client, asset, daily
from arco.clients.api import ApiProblem
from arco.clients.project import RunUnfinished
from arco.sdk.loading import AssetSet
from arco.sdk.manifest import build_manifest

from .fake_api import Reply, Request, running


@asset(namespace="raw", partitions=daily("date"))
def events() -> list[dict[str, int]]:
    return []


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("client")
    with serving(["--port", "0", "--storage", str(folder / ".arco")]) as server:
        yield f"http://127.0.0.1:{server.ports['api']}"


@pytest.mark.process
def test_a_program_deploys_begins_watches_and_calls_off(url: str, tmp_path: Path) -> None:
    built = build_manifest(AssetSet([events]), tmp_path, tenant_id="local", workspace_id="default")
    with Client(url) as client:
        deployed = client.deploy(built.manifest, built.fingerprint)
        assert client.deploy(built.manifest, built.fingerprint) == deployed
        planned = client.plan("raw.events", partition={"date": "2025-01-15"})
        assert [one["partitionKey"] for one in planned["tasks"]] == ["date=d:2025-01-15"]
        begun = client.trigger("raw.events", partition="date=d:2025-01-15", run_key="day", labels={"team": "growth"})
        again = client.trigger("raw.events", partition={"date": "2025-01-15"}, run_key="day", labels={"team": "growth"})
        assert (begun["created"], again["created"], again["runId"]) == (True, False, begun["runId"])
        run_id = begun["runId"]
        with pytest.raises(RunUnfinished, match=f"run {run_id} is .* after 0 s"):
            client.wait(run_id, timeout_s=0)
        client.cancel(run_id, reason="enough")
        over = client.wait(run_id, timeout_s=30, poll_s=0.05)
        assert (over["state"], over["labels"]) == ("CANCELLED", {"team": "growth"})
        assert client.rerun(run_id, "raw.events")["parentRunId"] == run_id
        assert run_id in [one["runId"] for one in client.runs()]
        assert [one["runId"] for one in client.runs(state="CANCELLED")] == [run_id]
        with pytest.raises(ApiProblem, match="has no logs yet"):
            client.logs(run_id)
        assert client.partitions("raw.events") == []
        assert client.sql("SELECT 1 AS one") == [{"one": 1}]
        with pytest.raises(ApiProblem, match="unknown"):
            client.trigger("raw.none")


@pytest.mark.process
async def test_a_program_with_a_loop_says_the_same(url: str, tmp_path: Path) -> None:
    built = build_manifest(AssetSet([events]), tmp_path, tenant_id="local", workspace_id="default")
    async with AsyncClient(url) as client:
        await client.deploy(built.manifest, built.fingerprint)
        days = [f"2025-02-0{day}" for day in (1, 2, 3)]
        begun = await asyncio.gather(*(client.trigger("raw.events", partition={"date": day}) for day in days))
        runs = [one["runId"] for one in begun]
        assert len(set(runs)) == 3
        with pytest.raises(RunUnfinished):
            await client.wait(runs[0], timeout_s=0)
        for run_id in runs:
            await client.cancel(run_id)
        over = await asyncio.gather(*(client.wait(run_id, poll_s=0.05) for run_id in runs))
        assert {one["state"] for one in over} == {"CANCELLED"}
        assert {one["runId"] for one in await client.runs()} >= set(runs)
        assert await client.sql("SELECT 2 AS two") == [{"two": 2}]
        assert await client.partitions("raw.events") == []
        with pytest.raises(ApiProblem, match="has no logs yet"):
            await client.logs(runs[0])
        with pytest.raises(ApiProblem):
            await client.retry(runs[0], "raw.events")


def test_a_begun_run_that_was_not_answered_is_asked_for_under_the_same_key() -> None:
    keys: list[Any] = []

    def answer(request: Request) -> Reply:
        keys.append(request.body["runKey"])
        return Reply(hang_up=True) if len(keys) == 1 else Reply(body={"runId": "r", "created": False})

    with running() as api:
        api.routes["POST /api/v1/workspaces/prod/runs"] = answer
        with Client(api.url, workspace="prod") as client:
            assert client.trigger("a.b", include_upstream=True, timeout_seconds=None)["runId"] == "r"
        assert len(keys) == 2
        assert keys[0] == keys[1]
        assert api.seen[-1].body == {"selection": ["a.b"], "includeUpstream": True, "runKey": keys[0]}


def test_pages_follow_each_other_as_they_are_asked_for() -> None:
    with running() as api:
        pages = itertools.count()

        def answer(request: Request) -> Reply:
            number = next(pages)
            return Reply(
                body={"runs": [{"runId": f"r{number}"}], **({"nextCursor": f"c{number}"} if number < 2 else {})}
            )

        api.routes["GET /api/v1/workspaces/default/runs"] = answer
        with Client(api.url) as client:
            found = client.runs(state="FAILED")
            assert next(found) == {"runId": "r0"}
            assert len(api.seen) == 1
            assert [one["runId"] for one in found] == ["r1", "r2"]
        assert [request.path.partition("?")[2] for request in api.seen] == [
            "state=FAILED",
            "state=FAILED&cursor=c0",
            "state=FAILED&cursor=c1",
        ]


async def test_a_call_that_is_given_up_ends_before_the_next_begins() -> None:
    arrived, go = threading.Event(), threading.Event()

    def slow(request: Request) -> Reply:
        arrived.set()
        go.wait(10)
        return Reply(body={"runId": "slow"})

    with running() as api:
        api.routes["GET /api/v1/workspaces/default/runs/slow"] = slow
        api.routes["GET /api/v1/workspaces/default/runs/quick"] = Reply(body={"runId": "quick"})
        async with AsyncClient(api.url) as client:
            first = asyncio.ensure_future(client.run("slow"))
            await asyncio.to_thread(arrived.wait, 10)
            first.cancel()
            second = asyncio.ensure_future(client.run("quick"))
            await asyncio.sleep(0)
            go.set()
            assert await second == {"runId": "quick"}
            assert first.cancelled()
