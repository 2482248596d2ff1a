"""A run as a graph: nodes, edges, and the path that its length came from."""

from typing import Any

import httpx
import pytest

from .flow import WORKSPACE, Attempt, a_manifest, an_asset, deploy, trigger
from .world import World, foreground

DIAMOND = a_manifest(
    an_asset("d.a"), an_asset("d.b", "d.a"), an_asset("d.c", "d.a"), an_asset("d.d", "d.b", "d.c"), an_asset("d.e")
)


async def graph(api: httpx.AsyncClient, run: str) -> dict[str, Any]:
    answer = await api.get(f"{WORKSPACE}/runs/{run}/graph")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
async def run(api: httpx.AsyncClient) -> str:
    """A run of a diamond and a task beside it."""
    await deploy(api, DIAMOND)
    return await trigger(api, "d.d", "d.e", includeUpstream=True)


async def test_nodes_lie_by_depth_and_edges_say_what_is_satisfied(
    world: World, api: httpx.AsyncClient, run: str
) -> None:
    await Attempt(world, api, run, "d.a").through()
    found = await graph(api, run)
    assert [(node["taskKey"], node["level"], node["state"]) for node in found["nodes"]] == [
        ("d.a", 0, "SUCCEEDED"),
        ("d.e", 0, "QUEUED"),
        ("d.b", 1, "QUEUED"),
        ("d.c", 1, "QUEUED"),
        ("d.d", 2, "PENDING"),
    ]
    edges = {(edge["upstream"], edge["downstream"]): edge for edge in found["edges"]}
    assert sorted(edges) == [("d.a", "d.b"), ("d.a", "d.c"), ("d.b", "d.d"), ("d.c", "d.d")]
    assert edges["d.a", "d.b"]["resolution"] == "SUCCESS"
    assert not edges["d.b", "d.d"]["satisfied"]
    first = found["nodes"][0]
    assert first["readyAt"] <= first["startedAt"] <= first["completedAt"]


async def test_the_longest_path_is_the_one_that_took_longest(world: World, api: httpx.AsyncClient, run: str) -> None:
    for task, minutes in (("d.e", 0), ("d.a", 1), ("d.b", 0), ("d.c", 3), ("d.d", 1)):
        attempt = Attempt(world, api, run, task)
        assert await attempt.dispatch() == "accepted"
        await attempt.told("started")
        world.clock.ahead_ms += minutes * 60_000
        await attempt.told("completed", outcome="SUCCEEDED")
    found = await graph(api, run)
    assert found["state"] == "SUCCEEDED"
    assert found["criticalPath"] == ["d.a", "d.c", "d.d"]
    assert 300_000 <= found["criticalPathMs"] < 310_000
    assert [node["taskKey"] for node in found["nodes"] if node["critical"]] == ["d.a", "d.c", "d.d"]
    assert sorted((edge["upstream"], edge["downstream"]) for edge in found["edges"] if edge["critical"]) == [
        ("d.a", "d.c"),
        ("d.c", "d.d"),
    ]


async def test_what_is_under_way_counts_until_now(world: World, api: httpx.AsyncClient, run: str) -> None:
    world.clock.ahead_ms += 120_000
    found = await graph(api, run)
    (node,) = [node for node in found["nodes"] if node["taskKey"] == "d.e"]
    assert node["elapsedMs"] >= 120_000
    assert found["criticalPath"][0] == "d.a"
    assert (await api.get(f"{WORKSPACE}/runs/01J00000000000000000000000/graph")).status_code == 404


async def test_a_graph_is_read_from_the_run_alone(world: World, api: httpx.AsyncClient, run: str) -> None:
    async def cost() -> list[str]:
        await graph(api, run)
        world.store.forget()
        await graph(api, run)
        return [one.name for one in foreground(world.store.operations)]

    few = await cost()
    for _ in range(30):
        await Attempt(world, api, await trigger(api, "d.e"), "d.e").through()
    assert await cost() == few
    assert len(few) == 1  # is there a newer manifest?
