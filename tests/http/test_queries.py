"""Running SQL over HTTP: plans, ids, lists, cancelling, clients that go, and the history."""

import asyncio
from typing import Any

import httpx
import pytest

from .world import SCOPE, World, a_table, a_world, problem

ENDLESS = "SELECT count(*) FROM system.catalog.columns a, system.catalog.columns b WHERE a.id || b.id < b.id || a.name"


@pytest.fixture
async def world():
    async with a_world() as world:
        yield world


@pytest.fixture
async def api(world: World):
    async with world.client() as client:
        yield client


async def many_columns(api: httpx.AsyncClient) -> None:
    for number in range(3):
        columns = [{"name": f"c{index}", "data_type": "BIGINT"} for index in range(3_000)]
        answer = await a_table(api, f"wide{number}", columns=columns)
        assert answer.status_code == 201, answer.text


async def listed(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while True:
            answer = await api.get("/queries")
            found: list[dict[str, Any]] = answer.json()["queries"]
            if found:
                return found
            await asyncio.sleep(0.01)


async def history(world: World, api: httpx.AsyncClient) -> list[dict[str, Any]]:
    services = world.api.state.services
    await services.facts.flush()
    answer = await api.post("/query?format=json", json={"sql": "SELECT * FROM system.query.history ORDER BY query_id"})
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_explain_shows_the_plan_and_analyze_what_each_step_took(api):
    await a_table(api)
    body = {"sql": "SELECT name FROM catalog.tables WHERE name = 'orders'"}
    plan = (await api.post("/query?format=json&explain=plan", json=body)).json()
    assert [row["plan_type"] for row in plan] == ["logical", "optimized", "physical"]
    assert "TableScan: catalog.tables" in plan[0]["plan"]
    executed = (await api.post("/query?format=json&explain=analyze", json=body)).json()
    assert [row["plan_type"] for row in executed] == ["executed"]
    assert "output_rows=1" in executed[0]["plan"]
    assert "\x1f" not in plan[0]["plan"] + executed[0]["plan"]


@pytest.mark.parametrize("mode", ["plan", "analyze"])
@pytest.mark.parametrize("sql", ["EXPLAIN SELECT 1", "INSERT INTO catalog.tables VALUES (1)", "SELECT 1; SELECT 2"])
async def test_explain_explains_nothing_but_one_query(api, mode, sql):
    await a_table(api)
    answer = await api.post(f"/query?explain={mode}", json={"sql": sql})
    assert problem(answer)[0] == 400
    assert answer.json()["error"] == "read_only"


async def test_an_explain_of_another_kind_is_refused(api):
    answer = await api.post("/query?explain=verbose", json={"sql": "SELECT 1"})
    assert problem(answer) == (400, "BAD_REQUEST", "explain must be one of: plan, analyze")


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("DROP TABLE x", "read_only"),
        ("SELECT * FROM '/etc/passwd'", "unknown_relation"),
    ],
)
async def test_refusals_have_stable_codes(api, sql, error):
    await a_table(api)
    answer = await api.post("/query", json={"sql": sql})
    assert answer.status_code == 400
    assert answer.json().get("error") == error


async def test_a_running_query_is_listed_without_its_values_and_cancelled_by_its_id(world, api):
    await many_columns(api)
    asking = asyncio.ensure_future(api.post("/query", json={"sql": ENDLESS + " OR a.name = 'a secret'"}))
    (running,) = await listed(api)
    assert running["statement"].endswith("OR a.name = ?")
    assert (await api.delete("/queries/01ARZ3NDEKTSV4RRFFQ69G5FAV")).status_code == 404
    assert (await api.delete(f"/queries/{running['query_id']}")).status_code == 204
    answer = await asking
    assert (answer.status_code, answer.json()["error"]) == (409, "query_cancelled")
    assert (await api.get("/queries")).json() == {"queries": []}
    assert [row["result"] for row in await history(world, api)] == ["cancelled"]


async def test_a_query_whose_client_goes_is_stopped(world, api):
    await many_columns(api)
    asking = asyncio.ensure_future(api.post("/query", json={"sql": ENDLESS}))
    await listed(api)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(20):
        while world.api.state.services.queries.of(SCOPE):  # noqa: ASYNC110  # another process must end first
            await asyncio.sleep(0.01)
    assert [row["result"] for row in await history(world, api)] == ["abandoned"]


async def test_the_history_tells_who_asked_what_and_what_became_of_it_without_the_values(world, api):
    await a_table(api)
    answer = await api.post("/query", json={"sql": "SELECT name -- why\n FROM catalog.tables  WHERE name = 'orders'"})
    await api.post("/query", json={"sql": "SELECT nope FROM catalog.tables"})
    await api.post("/query-data", json={"sql": "SELECT * FROM a.b.c"})
    rows = await history(world, api)
    assert [(row["endpoint"], row["result"]) for row in rows] == [
        ("query", "answered"),
        ("query", "invalid"),
        ("query-data", "not_found"),
    ]
    first = rows[0]
    assert first["query_id"] == answer.headers["x-arco-query-id"]
    assert first["statement"] == "SELECT name FROM catalog.tables WHERE name = ?"
    assert (first["rows"], first["relations"]) == (1, "catalog.tables")
    assert first["bytes"] == len(answer.content)
    assert first["request_id"] == answer.headers["x-request-id"]
    assert first["manifest_id"] == answer.headers["x-arco-manifest-id"]
    assert "orders" not in str(world.records)


async def test_queries_in_a_workspace_that_does_not_exist_leave_nothing(world, api):
    await api.post("/query", json={"sql": "SELECT 1"})
    await world.api.state.services.facts.flush()
    assert not [operation for operation in world.store.operations if operation.sent_bytes]
