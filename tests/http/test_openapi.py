"""The api's own document against the running api: complete, valid, and true of every answer."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from tests.delta_logs import creation

from . import batches
from .documented import types_of
from .flow import WORKSPACE, Attempt, deploy, trigger
from .world import PREFIX, World, a_table, a_world

TABLES = "/catalogs/analytics/schemas/sales/tables"
KEY = "01930a0b-1234-7abc-9def-0123456789ab"
TOO_LARGE = b'{"name":"' + b"x" * (2 * 1024 * 1024) + b'"}'
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
async def stood(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an api with `analytics.sales.orders`, the namespace `sales` with `orders`, and an edge."""
    async with world.client() as api:
        await a_table(api, properties={"k": "v"}, description="d", location="gs://lake/orders")
        await api.post("/namespaces", json={"name": "sales"})
        await api.post("/namespaces/sales/tables", json={"name": "orders", "columns": []})
        await api.post("/lineage/edges", json={"edges": [{"source_id": "a", "target_id": "b", "run_id": "r"}]})
        yield api


async def test_the_document_is_valid_openapi_3_1(world):
    validate((await world.document()).whole, cls=OpenAPIV31SpecValidator)


async def test_every_route_of_the_api_is_in_its_document_and_nothing_else(world):
    document = await world.document()
    mounted = {(endpoint.method, prefix + endpoint.path) for prefix, endpoint in document.endpoints}
    # The document does not describe itself.
    assert document.operations() == mounted - {("GET", "/openapi.json")}
    named = [one["operationId"] for path in document.whole["paths"].values() for one in path.values()]
    assert len(set(named)) == len(named) == len(document.operations())


async def test_every_type_and_status_of_every_endpoint_is_in_the_document(world):
    document = await world.document()
    for prefix, endpoint in document.endpoints:
        if endpoint.path == "/openapi.json":
            continue
        told = document.whole["paths"][prefix + endpoint.path][endpoint.method.lower()]
        assert {str(status) for status in (*endpoint.responses, *endpoint.errors)} <= set(told["responses"])
        headers = {each["name"] for each in told.get("parameters", []) if each["in"] == "header"}
        assert headers == set(endpoint.headers)
        in_path = {each["name"] for each in told.get("parameters", []) if each["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", prefix + endpoint.path))
        assert ("requestBody" in told) == (endpoint.request is not None)
    listed = {endpoint.query.__name__ for _, endpoint in document.endpoints if endpoint.query is not None}
    assert types_of(document.endpoints) - listed <= set(document.whole["components"]["schemas"])


async def test_every_operation_answers_something_else_than_an_unknown_path(world):
    document = await world.document()
    async with world.client() as api:
        for method, template in sorted(document.operations()):
            path = re.sub(r"\{\w+\}", "x", template)
            body: dict[str, Any] = {} if method in ("GET", "DELETE") else {"json": {}}
            answer = await api.request(method, f"http://localhost{path}", **body)
            assert "No such path" not in answer.text, (method, template)
            assert answer.status_code != 405


async def test_every_role_serves_what_it_declares(world):
    for role, served in world.roles.items():
        async with world.client(role=role) as client:
            for prefix, endpoint in served.app.state.endpoints:
                path = re.sub(r"\{\w+\}", "x", prefix + endpoint.path)
                answer = await client.request(endpoint.method, f"http://localhost{path}")
                assert "No such path" not in answer.text, (role, endpoint.method, path)
                declared = {*endpoint.responses, *endpoint.errors, 400, 401, 415, 422}
                assert answer.status_code in declared, (role, endpoint.method, path, answer.status_code)


SUCCESSES: list[tuple[str, str, int, dict[str, Any]]] = [
    ("POST", "/catalogs", 201, {"json": {"name": "c", "properties": {"a": "b"}}, "headers": {"Idempotency-Key": KEY}}),
    ("GET", "/catalogs", 200, {"params": {"limit": 1}}),
    ("GET", "/catalogs/analytics", 200, {}),
    ("PATCH", "/catalogs/analytics", 200, {"json": {"description": "d", "properties": {"a": "b", "c": None}}}),
    ("DELETE", "/catalogs/c", 204, {}),
    ("GET", "/catalogs/analytics/history", 200, {}),
    ("GET", "/catalog/inventory", 200, {}),
    ("POST", "/catalogs/analytics/schemas", 201, {"json": {"name": "s", "description": "d"}}),
    ("GET", "/catalogs/analytics/schemas", 200, {}),
    ("GET", "/catalogs/analytics/schemas/sales", 200, {}),
    ("PATCH", "/catalogs/analytics/schemas/sales", 200, {"json": {"properties": {"a": "b"}}}),
    ("GET", "/catalogs/analytics/schemas/sales/history", 200, {"params": {"limit": 1}}),
    ("DELETE", "/catalogs/analytics/schemas/s", 204, {}),
    ("POST", TABLES, 201, {"json": {"name": "t", "columns": [{"name": "a", "data_type": "INT", "description": "d"}]}}),
    ("GET", TABLES, 200, {"params": {"limit": 1, "include": "columns"}}),
    ("GET", f"{TABLES}/orders", 200, {"params": {"include": "columns"}}),
    ("PATCH", f"{TABLES}/t", 200, {"json": {"columns": [{"name": "b", "data_type": "INT"}], "format": "iceberg"}}),
    ("GET", f"{TABLES}/t/history", 200, {}),
    ("DELETE", f"{TABLES}/t", 204, {}),
    ("POST", "/namespaces", 201, {"json": {"name": "n"}}),
    ("GET", "/namespaces", 200, {"params": {"limit": 1}}),
    ("GET", "/namespaces/sales", 200, {}),
    ("DELETE", "/namespaces/n", 204, {}),
    ("POST", "/namespaces/sales/tables", 201, {"json": {"name": "t", "columns": [{"name": "a", "data_type": "INT"}]}}),
    ("GET", "/namespaces/sales/tables", 200, {"params": {"limit": 1}}),
    ("GET", "/namespaces/sales/tables/t", 200, {}),
    ("PUT", "/namespaces/sales/tables/t", 200, {"json": {"description": "d"}}),
    ("DELETE", "/namespaces/sales/tables/t", 204, {}),
    ("GET", "/search", 200, {"params": {"q": "orders"}}),
    ("GET", "/history", 200, {"params": {"limit": 3}}),
    ("GET", "/audit", 200, {"params": {"limit": 2}}),
    ("POST", "/lineage/edges", 201, {"json": {"edges": [{"source_id": "b", "target_id": "c"}]}}),
    ("GET", "/lineage/b", 200, {}),
    ("GET", "/lineage/b", 200, {"params": {"depth": "all", "direction": "upstream", "limit": 1}}),
    ("POST", "/query", 200, {"json": {"sql": "SELECT * FROM system.catalog.tables"}}),
    ("POST", "/query", 200, {"json": {"sql": "SELECT 1 AS n"}, "params": {"format": "json"}}),
    ("POST", "/query-data", 200, {"json": {"sql": "SELECT 1 AS n"}, "params": {"format": "json"}}),
    ("GET", "/queries", 200, {}),
]


async def a_run(world: World, api: httpx.AsyncClient) -> None:
    """From definitions to a run that was worked on, called off, and run again."""
    manifest = await deploy(api)
    run = await trigger(api, "raw.events")
    worker = Attempt(world, api, run, "raw.events")
    assert await worker.dispatch() == "accepted"
    mine = {"attempt": 1, "attemptId": worker.attempt_id, "workerId": "worker-7"}
    begun = {"taskId": worker.task_id, "callback": "started", "token": worker.token, "body": mine}
    assert (await api.post("/tasks/callbacks", json={"callbacks": [begun]})).status_code == 200
    await worker.told("heartbeat", progressPct=5, message="reading")
    await worker.told("logs", piece=1, writer="w", parts=[{"stream": "stdout", "text": "hello"}])
    await worker.told("completed", outcome="SUCCEEDED", output={"rowCount": 1}, metrics={"cpuTimeMs": 3})
    for path in (
        "manifests",
        f"manifests/{manifest}",
        "runs",
        f"runs/{run}",
        f"runs/{run}/tasks/raw.events",
        f"runs/{run}/graph",
    ):
        assert (await api.get(f"{WORKSPACE}/{path}")).status_code == 200, path
    other = await trigger(api, "raw.events")
    assert (await api.post(f"{WORKSPACE}/runs/{other}/cancel", json={})).status_code == 200
    assert (await api.post(f"{WORKSPACE}/plans", json={"selection": ["raw.events"]})).status_code == 200
    for path in ("events", "logs/events"):
        assert (await api.get(f"{WORKSPACE}/runs/{other}/{path}")).status_code == 200, path
    keyed = {"selection": ["raw.events"], "runKey": "once"}
    assert (await api.post(f"{WORKSPACE}/runs", json=keyed)).status_code == 201
    assert (await api.post(f"{WORKSPACE}/runs/run-key/backfill", json=keyed)).status_code == 200
    log = {"taskKey": "raw.events", "attempt": 1, "stdout": "hello"}
    assert (await api.post(f"{WORKSPACE}/runs/{run}/logs", json=log)).status_code == 200
    for path in (f"runs/{run}/logs", "orchestration", "partitions", "assets/raw.events/partitions/summary"):
        assert (await api.get(f"{WORKSPACE}/{path}")).status_code == 200, path
    for path, body in (("pause", {"paused": False}), ("limits/db", {"slots": 3})):
        assert (await api.put(f"{WORKSPACE}/orchestration/{path}", json=body)).status_code == 200, path
    failed = Attempt(world, api, await trigger(api, "raw.events"), "raw.events")
    await failed.through("FAILED", error={"category": "DATA_QUALITY", "message": "no"})
    retried = await api.post(f"{WORKSPACE}/runs/{failed.run_id}/tasks/raw.events/retry")
    assert (retried.status_code, retried.json()["maxAttempts"]) == (200, 3)
    again = {"mode": "subset", "selection": ["raw.events"]}
    assert (await api.post(f"{WORKSPACE}/runs/{run}/rerun", json=again)).status_code == 201


async def test_every_operation_succeeds_with_an_answer_of_its_schema(world, stood):
    document = await world.document()
    for method, path, status, how in SUCCESSES:
        answer = await stood.request(method, path, **how)
        assert answer.status_code == status, (method, path, answer.text)
    await an_outcome(world, stood)
    await a_cancelled_query(stood)
    await a_delta_commit(stood)
    await a_signed_file(world, stood)
    await a_transaction(stood)
    await a_run(world, stood)
    # Probes, pages and their files.
    for path in (path for _, path in document.operations() if not path.startswith(PREFIX)):
        assert (await stood.get(f"http://localhost{path}")).status_code == 200, path
    done = {(method, path) for method, path, status in document.seen if status < 300}
    assert document.operations() == done


async def a_transaction(api: httpx.AsyncClient) -> None:
    """Commit and look; `tests/http/test_transactions.py` has the refusals."""
    body = {"ddl": {"createCatalog": {"catalog": "in_one_go"}}}
    made = await api.post("/transactions/applyCatalogDdl", json=body, headers={"Idempotency-Key": "k"})
    assert made.status_code == 200, made.text
    tx_id = made.json()["receipt"]["txId"]
    assert (await api.post("/transactions/getCatalogTransaction", json={"txId": tx_id})).status_code == 200
    root = {"mutations": [{"catalog": {"createCatalog": {"catalog": "by_root"}}}]}
    made = await api.post("/transactions/commitRootTransaction", json=root, headers={"Idempotency-Key": "k"})
    assert made.status_code == 200, made.text
    tx_id = made.json()["receipt"]["txId"]
    assert (await api.post("/transactions/getRootTransaction", json={"txId": tx_id})).status_code == 200
    receipt = await batches.committed(api, batches.a_run())
    assert (await api.post(batches.SHOW, json={"txId": receipt["txId"]})).status_code == 200


async def a_signed_file(world: World, api: httpx.AsyncClient) -> None:
    """List, sign and read; `tests/security` has the refusals."""
    await world.quiet()
    paths = (await api.get("/browser/files/catalog")).json()["paths"]
    answer = await api.post("/browser/urls", json={"domain": "catalog", "paths": paths[:1]})
    assert (await api.get(answer.json()["urls"][0]["url"])).status_code == 200


async def a_delta_commit(api: httpx.AsyncClient) -> None:
    """Stage, commit and look; `tests/http/test_delta.py` has the refusals."""
    table = (await api.get("/namespaces/sales/tables/orders")).json()
    path = f"/delta/tables/{table['id']}"
    staged = (await api.post(f"{path}/commits/stage", json={"payload": creation()})).json()
    body = {"read_version": -1, **staged}
    made = await api.post(f"{path}/commits", json=body, headers={"Idempotency-Key": KEY})
    assert made.status_code == 200, made.text
    assert (await api.get(path)).json()["latest_version"] == 0


async def a_cancelled_query(api: httpx.AsyncClient) -> None:
    """A query without an end, seen in the list and cancelled."""
    rows = ", ".join(f"({number})" for number in range(30))
    ten = ", ".join(f"v AS v{number}" for number in range(10))
    sql = f"WITH v AS (VALUES {rows}) SELECT count(*) FROM {ten} WHERE v0.column1 + v9.column1 > v5.column1"
    asking = asyncio.ensure_future(api.post("/query", json={"sql": sql}))
    async with asyncio.timeout(20):
        while not (found := (await api.get("/queries")).json()["queries"]):  # noqa: ASYNC110  # nobody can tell us
            await asyncio.sleep(0.01)
    assert (await api.delete(f"/queries/{found[0]['query_id']}")).status_code == 204
    assert (await asking).status_code == 409


async def an_outcome(world: World, api: httpx.AsyncClient) -> None:
    """Outcomes of an accepted and of a rejected unit."""
    store = world.in_scope()
    await api.post("/catalogs", json={"name": "analytics"}, headers={"Idempotency-Key": KEY[:-1] + "c"})
    seen = set()
    for info in await store.list_page("ledger/catalog/", limit=1_000):
        held = await store.get(info.key)
        assert held is not None
        for line in held.body.splitlines():
            event_id = json.loads(line)["event_id"]
            answer = await api.get(f"/outcomes/{event_id}")
            assert answer.status_code == 200
            seen.add(answer.json()["status"])
    assert seen == {"accepted", "rejected"}


LISTS = ["/catalogs", "/catalogs/analytics/schemas", TABLES, "/namespaces", "/namespaces/sales/tables", "/history"]
BODIES = [
    *(("POST", path) for path in ("/catalogs", "/catalogs/analytics/schemas", TABLES, "/namespaces")),
    *(("POST", path) for path in ("/namespaces/sales/tables", "/lineage/edges", "/query", "/query-data")),
    *(("PATCH", path) for path in ("/catalogs/analytics", "/catalogs/analytics/schemas/sales", f"{TABLES}/orders")),
    ("PUT", "/namespaces/sales/tables/orders"),
]


async def test_every_refusal_of_a_body_is_documented_and_of_the_one_shape(stood):
    json_type = {"content-type": "application/json"}
    for method, path in BODIES:
        for content, headers, status in (
            (b"{", json_type, 400),
            (b"", json_type, 400),
            (b'{"name":"a","name":"b"}', json_type, 400),
            (b"[" * 40 + b"]" * 40, json_type, 400),
            (b"[]", json_type, 422),
            (b"{}", {"content-type": "text/plain"}, 415),
            (b"{}", {}, 415),
            (b"{}", {**json_type, "content-encoding": "gzip"}, 415),
            (TOO_LARGE, json_type, 413),
        ):
            answer = await stood.request(method, path, content=content, headers=headers)
            assert answer.status_code == status, (method, path, content[:20], answer.text[:200])


async def test_every_refusal_of_a_query_parameter_is_documented(stood):
    for path in LISTS:
        for query in ("limit=0", "limit=501", "limit=x", "limit=1.5", "cursor=***", "cursor=", "limit=1&limit=2"):
            assert (await stood.get(f"{path}?{query}")).status_code == 400, (path, query)
    for query in ("depth=65", "depth=-1", "direction=sideways", "limit=0", "limit=10001"):
        assert (await stood.get(f"/lineage/b?{query}")).status_code == 400, query
    for path in ("/query", "/query-data"):
        assert (await stood.post(f"{path}?format=xml", json={"sql": "SELECT 1"})).status_code == 400


GONE = [
    ("GET", "/catalogs/x"),
    ("PATCH", "/catalogs/x"),
    ("DELETE", "/catalogs/x"),
    ("GET", "/catalogs/x/history"),
    ("GET", "/catalogs/x/schemas"),
    ("POST", "/catalogs/x/schemas"),
    ("GET", "/catalogs/analytics/schemas/x"),
    ("PATCH", "/catalogs/analytics/schemas/x"),
    ("DELETE", "/catalogs/analytics/schemas/x"),
    ("GET", "/catalogs/analytics/schemas/x/history"),
    ("GET", "/catalogs/analytics/schemas/x/tables"),
    ("POST", "/catalogs/analytics/schemas/x/tables"),
    ("GET", f"{TABLES}/x"),
    ("PATCH", f"{TABLES}/x"),
    ("DELETE", f"{TABLES}/x"),
    ("GET", f"{TABLES}/x/history"),
    ("GET", "/namespaces/x"),
    ("DELETE", "/namespaces/x"),
    ("GET", "/namespaces/x/tables"),
    ("POST", "/namespaces/x/tables"),
    ("GET", "/namespaces/sales/tables/x"),
    ("PUT", "/namespaces/sales/tables/x"),
    ("DELETE", "/namespaces/sales/tables/x"),
    ("GET", "/outcomes/01KDVH8Q3N5P7R9S1T3V5W7X9Y"),
]


async def test_every_missing_object_is_a_documented_404(stood):
    for method, path in GONE:
        body: dict[str, Any] = {"json": {"name": "n", "columns": []}} if method in ("POST", "PATCH", "PUT") else {}
        answer = await stood.request(method, path, **body)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND"), (method, path, answer.text)


async def test_every_conflict_and_failed_condition_is_documented(stood):
    stale = {"If-Match": '"stale"'}
    for path in ("/catalogs/analytics", "/catalogs/analytics/schemas/sales", f"{TABLES}/orders"):
        assert (await stood.patch(path, json={"description": "x"}, headers=stale)).status_code == 412
        assert (await stood.delete(path, headers=stale)).status_code == 412
    two = "/namespaces/sales/tables/orders"
    assert (await stood.put(two, json={"description": "x"}, headers=stale)).status_code == 412
    for path in (two, "/namespaces/sales"):
        assert (await stood.delete(path, headers=stale)).status_code == 412
    for path, name in (("/catalogs", "analytics"), ("/catalogs/analytics/schemas", "sales"), (TABLES, "orders")):
        body = {"name": name, "columns": []}
        assert (await stood.post(path, json=body)).status_code == 409
        await stood.post(path, json={**body, "name": "second"})
        assert (await stood.patch(f"{path}/second", json={"name": name})).status_code == 409
    for path in ("/catalogs/analytics", "/catalogs/analytics/schemas/sales", "/namespaces/sales"):
        assert (await stood.delete(path)).status_code == 400
    for method, path, wrong in (
        ("PATCH", "/catalogs/analytics", {"name": "default"}),
        ("POST", f"{TABLES}", {"name": "a/b", "columns": []}),
        ("PATCH", f"{TABLES}/orders", {"format": "orc"}),
    ):
        assert (await stood.request(method, path, json=wrong)).status_code == 400


async def test_not_modified_is_documented_and_has_no_body(stood):
    for path in (*LISTS, "/catalogs/analytics", "/catalogs/analytics/schemas/sales", f"{TABLES}/orders", *TWO_LEVEL):
        etag = (await stood.get(path)).headers["etag"]
        answer = await stood.get(path, headers={"If-None-Match": f'W/"x", {etag}'})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)


TWO_LEVEL = ["/namespaces/sales", "/namespaces/sales/tables/orders", "/catalog/inventory"]


async def test_refusals_at_the_door_are_documented_for_every_operation():
    """401 without a token, 400 for a header given twice, 429 beyond the rate, for whatever is asked."""
    environ = {"ARCO_JWT_SECRET": "s" * 32, "ARCO_RATE_BURST": "1", "ARCO_RATE_DEFAULT_PER_MIN": "1"}
    async with a_world(environ) as world, world.client() as api:
        document = await world.document()
        for method, template in sorted(document.operations()):
            if document.whole["paths"][template][method.lower()].get("security") == []:
                continue
            path = re.sub(r"\{\w+\}", "x", template)
            answer = await api.request(method, f"http://localhost{path}")
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_repeated_header_is_a_documented_400_for_every_operation(world):
    document = await world.document()
    async with world.client() as api:
        for method, template in sorted(document.operations()):
            if document.whole["paths"][template][method.lower()].get("security") == []:
                continue
            path = re.sub(r"\{\w+\}", "x", template)
            twice = [("X-Tenant-Id", "a"), ("X-Tenant-Id", "b")]
            answer = await api.request(method, f"http://localhost{path}", headers=twice)
            assert (answer.status_code, answer.json()["error"]) == (400, "ambiguous_request")


async def test_a_foreign_host_name_is_a_documented_403_for_every_operation(world):
    """A page that resolves its own name to 127.0.0.1 must not read the catalog of whoever visits it."""
    document = await world.document()
    async with world.client() as api:
        for method, template in sorted(document.operations()):
            if document.whole["paths"][template][method.lower()].get("security") == []:
                continue
            path = re.sub(r"\{\w+\}", "x", template)
            answer = await api.request(method, f"http://localhost{path}", headers={"Host": "evil.example"})
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
