"""One JSON shape for every refusal, request ids on every answer, and nothing of ours in any text."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from arco.core.paths import Key
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, PutOutcome, StorageUnavailable, Unsure

from .world import a_table, a_world, problem

JSON = {"content-type": "application/json"}
TABLES = "/catalogs/analytics/schemas/sales/tables"


def in_shape(answer: httpx.Response) -> None:
    """The one shape: `{code, message, error?, requestId, details?}` and nothing else."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert {"code", "message", "requestId"} <= set(body) <= {"code", "message", "error", "requestId", "details"}
    assert body["requestId"] == answer.headers["x-request-id"]
    assert body["code"] == body["code"].upper()
    assert body["message"] and "Traceback" not in body["message"]


@pytest.mark.parametrize(
    ("method", "path", "how", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "NOT_FOUND"),
        ("GET", "http://localhost/nothing", {}, 404, "NOT_FOUND"),
        ("GET", "/catalogs/", {}, 404, "NOT_FOUND"),
        ("GET", "/catalogs//schemas", {}, 404, "NOT_FOUND"),
        ("GET", "/../../etc/passwd", {}, 404, "NOT_FOUND"),
        ("PUT", "/catalogs", {"json": {}}, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/history", {"json": {}}, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/query", {}, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/lineage/edges", {}, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/catalogs", {"content": b"{}"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "/catalogs", {"content": b"{", "headers": JSON}, 400, "BAD_REQUEST"),
        ("POST", "/catalogs", {"json": {"name": 5}}, 422, "UNPROCESSABLE_ENTITY"),
        ("POST", "/catalogs", {"json": {}}, 422, "UNPROCESSABLE_ENTITY"),
        ("POST", "/catalogs", {"content": b"x" * 2_097_153, "headers": JSON}, 413, "PAYLOAD_TOO_LARGE"),
        ("GET", "/catalogs?limit=0", {}, 400, "BAD_REQUEST"),
        ("GET", "/catalogs/x", {}, 404, "NOT_FOUND"),
        ("GET", "/catalogs", {"headers": {"X-Tenant-Id": "a/b"}}, 400, "BAD_REQUEST"),
        ("GET", "/catalogs", {"headers": {"Host": "evil.example"}}, 403, "FORBIDDEN"),
    ],
)
async def test_every_refusal_has_the_one_shape(api, method, path, how, status, code):
    answer = await api.request(method, path, **how)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    in_shape(answer)
    if status == 405:
        assert method not in answer.headers["allow"].split(", ")


async def test_a_method_that_is_not_allowed_names_all_that_are(api):
    answer = await api.put("/catalogs/x", json={})
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"
    assert "DELETE, GET, HEAD, PATCH" in answer.json()["message"]


async def test_head_is_get_without_a_body(api):
    await a_table(api)
    for path in ("/catalogs", f"{TABLES}/orders", "http://localhost/health"):
        got, head = await api.get(path), await api.head(path)
        assert (head.status_code, head.headers.get("etag")) == (200, got.headers.get("etag"))


async def test_a_body_of_the_largest_size_is_taken(api):
    await a_table(api)
    columns = [{"name": f"column_{n:05d}", "data_type": "STRUCT<" + "x" * 340 + ">"} for n in range(5_000)]
    body = json.dumps({"name": "wide", "columns": columns}, separators=(",", ":")).encode()
    assert 1_900_000 < len(body) <= 2 * 1024 * 1024
    answer = await api.post(TABLES, content=body, headers=JSON)
    assert answer.status_code == 201
    assert len((await api.get(f"{TABLES}/wide?include=columns")).json()["columns"]) == 5_000


async def test_the_configured_body_size_is_the_one_that_holds():
    async with a_world({"ARCO_MAX_BODY_BYTES": "100"}) as world, world.client() as api:
        for size, status in ((100, 201), (101, 413)):
            body = json.dumps({"name": f"n{size}"})
            answer = await api.post("/catalogs", content=body.ljust(size), headers=JSON)
            assert answer.status_code == status
        assert "100 bytes" in answer.json()["message"]


async def test_unknown_fields_are_ignored_and_their_neighbours_are_not(api):
    assert (await api.post("/catalogs", json={"name": "a", "surprise": {"x": 1}})).status_code == 201
    answer = await api.post("/catalogs", json={"name": "b", "description": 5, "surprise": 1})
    assert problem(answer)[::2] == (422, "description must be text or null, not an integer")


async def test_request_ids_are_echoed_when_they_are_sane_and_minted_otherwise(api):
    for path in ("/namespaces", "/catalogs/x", "/nothing", "http://localhost/health"):
        kept = await api.get(path, headers={"X-Request-Id": "my-request_1"})
        assert kept.headers["x-request-id"] == "my-request_1"
        for odd in (" ", "short", "with space in it", "x" * 65, "<script>alert(1)</script>"):
            minted = (await api.get(path, headers={"X-Request-Id": odd})).headers["x-request-id"]
            assert len(minted) == 26 and minted.isalnum()
    first, second = [(await api.get("/namespaces")).headers["x-request-id"] for _ in range(2)]
    assert first != second


async def test_errors_of_the_fold_and_of_the_door_look_the_same(api):
    await a_table(api)
    for answer in (
        await api.post("/catalogs", json={"name": "analytics"}),
        await api.delete("/catalogs/analytics"),
        await api.patch("/catalogs/analytics", json={"name": "default"}),
        await api.patch(f"{TABLES}/orders", json={"description": "x"}, headers={"If-Match": '"x"'}),
        await api.post("/query", json={"sql": "SELECT nonsense FROM catalog.tables"}),
        await api.post("/query-data", json={"sql": "SELECT * FROM a.b.c"}),
        await api.post("/lineage/edges", json={"edges": []}),
    ):
        assert 400 <= answer.status_code < 500
        in_shape(answer)


class Ailing:
    """A memory store that can be made to fail."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.reads_fail = False
        self.writes_unsure = ""
        self.appended = asyncio.Event()

    async def get(self, key: Key) -> Any:
        if self.reads_fail:
            raise StorageUnavailable(f"secret-bucket-name: connection refused for {key}")
        return await self.inner.get(key)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if self.writes_unsure and f"/{self.writes_unsure}/" in key:
            return Unsure("secret-bucket-name: reset by peer")
        if "/ledger/" in key:
            self.appended.set()
        return await self.inner.put(key, body, when=when)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_storage_that_does_not_answer_is_503_with_retry_after_and_names_nothing_of_ours():
    store = Ailing()
    async with a_world(store=store) as world, world.client() as api:
        await a_table(api)
        store.reads_fail = True
        for path in ("/catalogs", f"{TABLES}/orders", "/catalog/inventory", "/lineage/x"):
            answer = await api.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "UPSTREAM_ERROR")
            assert int(answer.headers["retry-after"]) >= 1
            assert "secret-bucket-name" not in answer.text
            in_shape(answer)
        store.reads_fail = False
        assert (await api.get("/catalogs")).status_code == 200


@pytest.mark.parametrize("family", ["ledger", "manifests"])
async def test_a_write_whose_end_is_not_known_is_503_with_the_event_that_will_tell(family):
    store = Ailing()
    async with a_world(store=store) as world, world.client() as api:
        await a_table(api)
        # Nobody waits for storage to come back.
        world.clock.leaving = True
        store.writes_unsure = family
        answer = await api.post("/catalogs", json={"name": "lost"})
        assert (answer.status_code, answer.json()["code"]) == (503, "OUTCOME_UNKNOWN")
        assert "secret-bucket-name" not in answer.text
        (told,) = [record for record in world.records if record["event"] == "request_not_served"]
        assert told["request_id"] == answer.headers["x-request-id"]
        assert "reset by peer" in told["msg"] or family == "manifests"
        in_shape(answer)
        event_id = answer.json()["details"]["event_id"]
        assert (await api.get(f"/outcomes/{event_id}")).status_code == 404
        store.writes_unsure = ""
        assert (await api.post("/catalogs", json={"name": "lost"})).status_code == 201


async def test_a_process_that_drains_reads_on_and_refuses_writes():
    async with a_world() as world, world.client() as api:
        await a_table(api)
        world.roles["api"].lifecycle.drain()
        assert (await api.get("/catalogs")).status_code == 200
        for method, path in (("POST", "/catalogs"), ("DELETE", "/catalogs/analytics"), ("POST", "/query")):
            answer = await api.request(method, path, json={"name": "x", "sql": "SELECT 1"})
            assert (answer.status_code, answer.json()["code"]) == (503, "DRAINING")
            assert answer.headers["connection"] == "close"
            in_shape(answer)
        assert (await api.get("http://localhost/ready")).status_code == 503
        assert (await api.get("http://localhost/health")).status_code == 200


async def test_a_caller_that_goes_away_does_not_undo_what_it_asked_for():
    store = Ailing()
    async with a_world(store=store) as world, world.client() as api:
        await left_alone(store, api)


async def left_alone(store: Ailing, api: httpx.AsyncClient) -> None:
    await a_table(api)
    store.appended.clear()
    asked = asyncio.create_task(api.post("/catalogs", json={"name": "left"}))
    await store.appended.wait()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert (await api.post("/catalogs", json={"name": "left"})).status_code == 409
