"""Catalog contract, section 11.6, and the wire of sections 7.2 to 7.5, as a client sees them."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.unit.query.worlds import SCOPE, AFolder, ASnapshot, ATable, World, some_tables

from arco.core.errors import ArcoError
from arco.edge.context import CONTEXT_KEY, RequestContext
from arco.edge.endpoint import starlette_routes
from arco.edge.problems import problem
from arco.query.wire import QueryLimits
from arco.routes.public.query import ENDPOINTS


class _Door:
    """What the edge does before a handler: the request's context."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CONTEXT_KEY] = RequestContext(scope=SCOPE, principal="someone")
        await self.app(scope, receive, send)


async def _told(request: Request, fact: Exception) -> Response:
    told = problem(fact)
    body = {"code": told.view.code, "message": told.view.message}
    return Response(json.dumps(body), told.status, media_type="application/json")


def _client(world: World) -> httpx.AsyncClient:
    app = Starlette(routes=starlette_routes(ENDPOINTS, "/api/v1"), exception_handlers={ArcoError: _told})
    app.state.services = SimpleNamespace(
        query=world.service, queries=world.queries, reader_for=lambda scope: world.reader, flow=None
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(_Door(app)), base_url="http://arco/api/v1")


@pytest.fixture
def world(tmp_path):
    world = World(
        ASnapshot(1, {"tables": some_tables(1)}), ASnapshot(2, {"tables": some_tables(3)}), files=AFolder(tmp_path)
    )
    pq.write_table(pa.table({"id": [1, 2, 3]}), tmp_path / "orders.parquet")
    world.registered["analytics.sales.orders_pq"] = ATable("parquet", "orders.parquet")
    return world


@pytest.fixture
async def client(world) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(world) as client:
        yield client


@pytest.mark.parametrize("route", ["/query", "/query-data"])
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO catalog.tables VALUES (1)",
        "DROP TABLE catalog.tables",
        "COPY (SELECT 1) TO 'x'",
        "SELECT 1; SELECT 2",
    ],
)
async def test_39_writes_and_several_statements_are_refused_on_both_endpoints(client, route, sql):
    response = await client.post(route, json={"sql": sql})
    assert response.status_code == 400
    assert response.json()["code"] == "BAD_REQUEST"


async def test_39_a_cte_and_a_select_are_answered_on_both_endpoints(client):
    first = await client.post(
        "/query?format=json", json={"sql": "WITH t AS (SELECT * FROM catalog.tables) SELECT count(*) n FROM t"}
    )
    assert (first.status_code, first.json()) == (200, [{"n": 3}])
    sql = "WITH t AS (SELECT * FROM analytics.sales.orders_pq) SELECT count(*) AS n FROM t"
    second = await client.post("/query-data?format=json", json={"sql": sql})
    assert (second.status_code, second.json()) == (200, [{"n": 3}])


async def test_40_the_default_output_is_an_arrow_stream(client):
    response = await client.post("/query", json={"sql": "SELECT name FROM catalog.tables ORDER BY name"})
    assert response.headers["content-type"] == "application/vnd.apache.arrow.stream"
    table = pa.ipc.open_stream(response.content).read_all()
    assert table.to_pydict() == {"name": ["t0", "t1", "t2"]}


async def test_40_json_is_an_array_of_objects_without_null_keys(client):
    sql = "SELECT name, format FROM catalog.tables ORDER BY name"
    for response in (
        await client.post("/query?format=json", json={"sql": sql}),
        await client.post("/query", json={"sql": sql}, headers={"accept": "application/json"}),
    ):
        assert response.headers["content-type"] == "application/json"
        assert response.json() == [
            {"name": "t0", "format": "delta"},
            {"name": "t1", "format": "parquet"},
            {"name": "t2"},
        ]


async def test_41_commits_have_exactly_nine_columns(client):
    response = await client.post("/query", json={"sql": "SELECT * FROM system.catalog.commits"})
    assert pa.ipc.open_stream(response.content).schema.names == [
        "commit_ulid",
        "snapshot_version",
        "published_at",
        "fencing_token",
        "watermark_event_id",
        "operation",
        "object_type",
        "object_id",
        "object_name",
    ]


@pytest.mark.parametrize("column", ["manifest_id", "event_witnesses_json", "actor"])
async def test_41_private_columns_of_commits_do_not_exist(client, column):
    response = await client.post("/query", json={"sql": f"SELECT {column} FROM system.catalog.commits"})
    assert response.status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "system.search.token_postings",
        "search.token_postings",
        "system.orchestration.idempotency_keys",
        "information_schema.tables",
    ],
)
async def test_42_relations_that_are_not_exposed_are_refused(client, name):
    response = await client.post("/query", json={"sql": f"SELECT * FROM {name}"})
    assert response.status_code == 400
    assert response.json()["message"].startswith(f"unknown relation: {name}")


async def test_43_catalog_sql_works_in_a_workspace_without_lineage(client):
    response = await client.post("/query?format=json", json={"sql": "SELECT count(*) AS n FROM system.lineage.edges"})
    assert response.json() == [{"n": 0}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("  ", "sql cannot be empty"),
        ("SELECT '" + "x" * 10_000 + "'", "sql exceeds max length (10000 bytes)"),
        ("-- nothing", "sql must contain a statement"),
        ("SELECT 1; SELECT 2", "only single-statement queries are supported"),
        ("EXPLAIN SELECT 1", "Only SELECT/CTE queries are supported"),
    ],
)
async def test_the_messages_of_validation_are_the_contracts(client, sql, message):
    for route in ("/query", "/query-data"):
        response = await client.post(route, json={"sql": sql})
        assert (response.status_code, response.json()["message"]) == (400, message)


async def test_an_empty_workspace_has_no_snapshot_tables():
    async with _client(World()) as client:
        response = await client.post("/query", json={"sql": "SELECT * FROM catalog.tables"})
    assert (response.status_code, response.json()["message"]) == (404, "No snapshot tables available for query")


async def test_the_format_is_checked_after_the_execution(client):
    wrong_both = await client.post("/query?format=csv", json={"sql": "SELECT nope FROM catalog.tables"})
    assert "nope" in wrong_both.json()["message"]
    wrong_format = await client.post("/query?format=csv", json={"sql": "SELECT 1"})
    assert (wrong_format.status_code, wrong_format.json()["message"]) == (400, "format must be one of: json, arrow")


async def test_the_response_names_the_manifest_that_was_read(client):
    head = await client.post("/query?format=json", json={"sql": "SELECT count(*) AS n FROM catalog.tables"})
    old = await client.post("/query?format=json", json={"sql": "SELECT count(*) AS n FROM catalog.tables", "as_of": 1})
    clause = await client.post("/query?format=json", json={"sql": "SELECT count(*) AS n FROM catalog.tables AS OF 1"})
    assert (head.headers["x-arco-manifest-id"], head.json()) == (f"{2:020d}", [{"n": 3}])
    assert (old.headers["x-arco-manifest-id"], old.json()) == (f"{1:020d}", [{"n": 1}])
    assert clause.json() == old.json()


async def test_an_unknown_manifest_is_not_found(client):
    response = await client.post("/query", json={"sql": "SELECT 1", "as_of": "99"})
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


async def test_cut_results_say_so_in_headers_and_in_arrow_metadata():
    world = World(ASnapshot(1, {"tables": some_tables(20)}), limits=QueryLimits(rows_max=5))
    async with _client(world) as client:
        cut = await client.post("/query?format=json", json={"sql": "SELECT id FROM catalog.tables"})
        arrow = await client.post("/query", json={"sql": "SELECT id FROM catalog.tables"})
        whole = await client.post("/query", json={"sql": "SELECT id FROM catalog.tables LIMIT 5"})
    assert len(cut.json()) == 5
    assert (cut.headers["x-arco-truncated"], cut.headers["warning"]) == ("true", '299 - "result truncated to 5 rows"')
    assert pa.ipc.open_stream(arrow.content).schema.metadata[b"arco.truncated"] == b"true"
    assert "x-arco-truncated" not in whole.headers
    assert b"arco.truncated" not in pa.ipc.open_stream(whole.content).schema.metadata


async def test_a_result_over_ten_mebibytes_is_refused():
    rows = pa.table({"id": ["x" * 2_000] * 9_000, "name": ["n"] * 9_000})
    async with _client(World(ASnapshot(1, {"tables": rows}))) as client:
        for route in ("/query", "/query?format=json"):
            response = await client.post(route, json={"sql": "SELECT * FROM catalog.tables"})
            assert response.status_code == 400
            assert response.json()["message"] == "query result exceeds max size (10485760 bytes)"


async def test_a_body_without_sql_is_unprocessable(client):
    assert (await client.post("/query", json={"query": "SELECT 1"})).status_code == 422
