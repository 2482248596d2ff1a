"""Catalog contract, sections 11.2 and 11.3, on the whole server (numbers are the contract's)."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.http.world import World, a_table, a_world, problem

KEY = "01930a0b-1234-7abc-9def-0123456789ab"
OTHER_KEY = "01930a0b-1234-7abc-9def-0123456789ac"
TABLES = "/catalogs/analytics/schemas/sales/tables"
TWO_LEVEL = "/namespaces/sales/tables"
LISTS = ["/catalogs", "/catalogs/analytics/schemas", TABLES, "/namespaces", TWO_LEVEL, "/history"]
COLUMNS = [{"name": "id", "data_type": "BIGINT", "nullable": False}, {"name": "note", "data_type": "STRING"}]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as client:
        yield client


async def version(api: httpx.AsyncClient) -> int:
    """The snapshot version of the head."""
    return int((await api.get("/catalog/inventory")).json()["catalog_snapshot_version"])


async def test_08_the_first_namespace_makes_version_2_with_default_and_the_first_table_version_3(api):
    assert (await api.post("/namespaces", json={"name": "sales"})).status_code == 201
    assert await version(api) == 2
    assert [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]] == ["default"]
    assert (await api.post(TWO_LEVEL, json={"name": "orders", "columns": COLUMNS})).status_code == 201
    assert await version(api) == 3


async def test_09_a_namespace_round_trips_is_gone_after_delete_and_taken_after_create(api):
    created = await api.post("/namespaces", json={"name": "sales", "description": "Sales"})
    assert created.status_code == 201
    assert (await api.get("/namespaces/sales")).json() == created.json()
    assert (await api.get("/namespaces")).json() == {"namespaces": [created.json()]}
    again = await api.post("/namespaces", json={"name": "sales"})
    assert problem(again) == (409, "CONFLICT", "namespace already exists: sales")
    assert (await api.delete("/namespaces/sales")).status_code == 204
    assert problem(await api.get("/namespaces/sales")) == (404, "NOT_FOUND", "Namespace not found: sales")
    assert (await api.delete("/namespaces/sales")).status_code == 404


async def test_10_a_namespace_with_a_table_is_not_deleted_and_the_head_stays(api):
    await api.post("/namespaces", json={"name": "sales"})
    await api.post(TWO_LEVEL, json={"name": "orders", "columns": []})
    before = await version(api)
    refused = await api.delete("/namespaces/sales")
    assert problem(refused) == (400, "BAD_REQUEST", "namespace 'sales' contains tables, cannot delete")
    assert await version(api) == before
    assert (await api.get(f"{TWO_LEVEL}/orders")).status_code == 200


async def test_11_a_table_needs_its_namespace_is_described_and_dropped_once(api):
    missing = await api.post(TWO_LEVEL, json={"name": "orders", "columns": []})
    assert problem(missing) == (404, "NOT_FOUND", "Namespace not found: sales")
    await api.post("/namespaces", json={"name": "sales"})
    created = (await api.post(TWO_LEVEL, json={"name": "orders", "columns": []})).json()
    described = await api.put(f"{TWO_LEVEL}/orders", json={"description": "all of them"})
    assert (described.status_code, described.json()["description"]) == (200, "all of them")
    assert described.json()["updated_at"] > created["updated_at"]
    assert described.json()["created_at"] == created["created_at"]
    assert (await api.delete(f"{TWO_LEVEL}/orders")).status_code == 204
    assert (await api.delete(f"{TWO_LEVEL}/orders")).status_code == 404
    assert (await api.put(f"{TWO_LEVEL}/orders", json={"description": "x"})).status_code == 404


async def test_11_put_and_delete_in_an_empty_workspace_are_404_and_write_nothing(world, api):
    assert (await api.put(f"{TWO_LEVEL}/orders", json={"description": "x"})).status_code == 404
    assert (await api.delete(f"{TWO_LEVEL}/orders")).status_code == 404
    assert (await api.delete("/namespaces/sales")).status_code == 404
    assert not [operation for operation in world.store.operations if operation.sent_bytes]


@pytest.mark.parametrize("path", [TWO_LEVEL, TABLES])
async def test_12_a_format_is_folded_checked_and_delta_when_left_out_on_both_routes(api, path):
    await a_table(api)
    await api.post("/namespaces", json={"name": "sales"})
    made = await api.post(path, json={"name": "p", "format": "PaRqUeT", "columns": []})
    assert (made.status_code, made.json()["format"]) == (201, "parquet")
    assert (await api.get(f"{path}/p")).json()["format"] == "parquet"
    assert (await api.post(path, json={"name": "d", "columns": []})).json()["format"] == "delta"
    refused = await api.post(path, json={"name": "o", "format": "orc", "columns": []})
    wanted = "unknown table format 'orc'; expected one of: delta, iceberg, parquet"
    assert problem(refused) == (400, "BAD_REQUEST", wanted)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=***", "cursor=bnVsbA"])
async def test_13_bad_pages_are_400_on_every_list(api, query):
    await a_table(api)
    await api.post("/namespaces", json={"name": "sales"})
    for path in LISTS:
        assert problem(await api.get(f"{path}?{query}"))[:2] == (400, "BAD_REQUEST"), path


async def test_13_three_items_by_two_are_two_with_a_cursor_and_one_without_on_every_list(api):
    for name in ("analytics", "b", "c"):
        await api.post("/catalogs", json={"name": name})
        await api.post("/namespaces", json={"name": name})
    for name in ("sales", "x", "y"):
        await api.post("/catalogs/analytics/schemas", json={"name": name})
    for name in ("z", "m", "a"):
        await api.post(TABLES, json={"name": name, "columns": []})
    await api.delete("/namespaces/b")
    for path, family, wanted in (
        ("/catalogs", "catalogs", ["analytics", "b", "c", "default"]),
        ("/catalogs/analytics/schemas", "schemas", ["sales", "x", "y"]),
        (TABLES, "tables", ["a", "m", "z"]),
        ("/namespaces", "namespaces", ["analytics", "c", "sales", "x", "y"]),
    ):
        size = len(wanted) - 1
        first = (await api.get(path, params={"limit": size})).json()
        assert [one["name"] for one in first[family]] == wanted[:-1]
        last = (await api.get(path, params={"limit": size, "cursor": first["next_cursor"]})).json()
        assert [one["name"] for one in last[family]] == wanted[-1:]
        assert "next_cursor" not in last


@pytest.mark.parametrize("location", ["gs://lake/a/../b", "a%2e%2eb", "///", "gs://lake/", "a\\b", "a\tb"])
async def test_14_a_delta_location_must_name_a_directory_and_others_are_kept_verbatim(api, location):
    await a_table(api)
    body = {"name": "t", "location": location, "columns": []}
    status, code, message = problem(await api.post(TABLES, json=body))
    assert (status, code) == (400, "BAD_REQUEST")
    assert message.startswith("location ")
    kept = await api.post(TABLES, json={**body, "format": "parquet"})
    assert (kept.status_code, kept.json()["location"]) == (201, location)


async def test_14_a_delta_location_is_stored_trimmed_and_not_reduced(api):
    await a_table(api)
    for number, given in enumerate((" gs://lake/t/ ", "tenant=local/workspace=default/t", "s3://b/a b/ü")):
        made = await api.post(TABLES, json={"name": f"t{number}", "location": given, "columns": []})
        assert made.json()["location"] == given.strip()


async def test_16_the_inventory_is_404_before_anything_and_then_counts_rows_without_private_fields(api):
    empty = await api.get("/catalog/inventory")
    assert empty.status_code == 404
    assert "root.manifest.json" in empty.json()["message"]
    await a_table(api, columns=COLUMNS)
    seen = (await api.get("/catalog/inventory")).json()
    assert seen["counts"] == {"catalogs": 1, "schemas": 1, "tables": 1, "columns": 2}
    assert {one["name"]: one["row_count"] for one in seen["object_families"]} == seen["counts"]
    assert set(seen) == {
        "manifest_type",
        "version",
        "catalog_snapshot_version",
        "catalog_manifest_id",
        "published_at",
        "counts",
        "object_families",
    }
    for one in seen["object_families"]:
        sql = {"sql": f"SELECT count(*) AS n FROM {one['query_handle']}"}
        assert (await api.post("/query?format=json", json=sql)).json() == [{"n": one["row_count"]}]


CREATIONS = [
    ("/catalogs", {"name": "new"}),
    ("/catalogs/analytics/schemas", {"name": "new"}),
    (TABLES, {"name": "new", "columns": COLUMNS}),
    ("/namespaces", {"name": "new"}),
    (TWO_LEVEL, {"name": "new", "columns": COLUMNS}),
]


@pytest.mark.parametrize(("path", "body"), CREATIONS)
async def test_17_the_same_key_and_body_twice_is_201_twice_with_one_id_and_one_publication(world, api, path, body):
    await a_table(api)
    await api.post("/namespaces", json={"name": "sales"})
    headers = {"Idempotency-Key": KEY}
    first = await api.post(path, json=body, headers=headers)
    after = await version(api)
    world.store.forget()
    second = await api.post(path, json={**body, "description": None}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert await version(api) == after
    assert not [each for each in world.store.operations if each.sent_bytes and "/manifests/" in each.key]


@pytest.mark.parametrize(("path", "body"), CREATIONS)
async def test_18_the_same_key_with_another_body_is_409(api, path, body):
    await a_table(api)
    await api.post("/namespaces", json={"name": "sales"})
    headers = {"Idempotency-Key": KEY}
    await api.post(path, json=body, headers=headers)
    for other in ({**body, "name": "other"}, {**body, "description": "other"}):
        refused = await api.post(path, json=other, headers=headers)
        wanted = "Idempotency-Key already used with different request body"
        assert problem(refused) == (409, "CONFLICT", wanted)
    assert (await api.post(path, json={**body, "name": "other"}, headers={"Idempotency-Key": OTHER_KEY})).is_success


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("no-uuid", "Idempotency-Key must be a valid UUID"),
        ("01930a0b-1234-4abc-9def-0123456789ab", "Idempotency-Key must be UUIDv7 (RFC 9562), found version 4"),
        ("01930a0b-1234-7abc-1def-0123456789ab", "Idempotency-Key must use RFC4122 variant, found"),
        (KEY.upper(), KEY),
        (KEY.replace("-", ""), KEY),
    ],
)
async def test_18_a_key_that_is_no_canonical_uuid7_is_400_and_writes_nothing(world, api, key, message):
    await a_table(api)
    await api.post("/namespaces", json={"name": "sales"})
    world.store.forget()
    for path, body in CREATIONS:
        status, code, told = problem(await api.post(path, json=body, headers={"Idempotency-Key": key}))
        assert (status, code) == (400, "BAD_REQUEST")
        assert message in told
    assert not [operation for operation in world.store.operations if operation.sent_bytes]


@pytest.mark.parametrize(("path", "body"), CREATIONS)
async def test_19_concurrent_requests_with_one_key_make_one_object_and_get_the_same_answer(api, path, body):
    """In place of the marker in progress: keys are folded with their event, so nobody waits and nobody takes over."""
    await a_table(api)
    await api.post("/namespaces", json={"name": "sales"})
    before = await version(api)
    headers = {"Idempotency-Key": KEY}
    answers = await asyncio.gather(*(api.post(path, json=body, headers=headers) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert await version(api) == before + 1


async def test_19_of_concurrent_requests_with_one_key_and_two_bodies_one_body_wins(api):
    headers = {"Idempotency-Key": KEY}
    names = ["a", "b"] * 6
    answers = await asyncio.gather(*(api.post("/catalogs", json={"name": one}, headers=headers) for one in names))
    won = {answer.json()["name"] for answer in answers if answer.status_code == 201}
    lost = {problem(answer) for answer in answers if answer.status_code != 201}
    assert len(won) == 1
    assert lost == {(409, "CONFLICT", "Idempotency-Key already used with different request body")}
    assert [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]] == list(won)


async def test_20_a_refusal_is_replayed_and_the_key_never_adopts_what_somebody_else_made(api):
    """Accepted and deterministic 4xx outcomes replay (architecture.md): the name is made by another, the 409 stays."""
    await api.post("/catalogs", json={"name": "a"})
    headers = {"Idempotency-Key": KEY}
    first = await api.post("/catalogs", json={"name": "a"}, headers=headers)
    assert problem(first) == (409, "CONFLICT", "catalog already exists: a")
    await api.delete("/catalogs/a")
    assert problem(await api.post("/catalogs", json={"name": "a"}, headers=headers)) == problem(first)
    assert (await api.post("/catalogs", json={"name": "a"})).status_code == 201


async def test_20_a_key_goes_on_standing_for_an_object_that_was_renamed_and_dropped(api):
    headers = {"Idempotency-Key": KEY}
    made = await api.post("/catalogs", json={"name": "a"}, headers=headers)
    await api.patch("/catalogs/a", json={"name": "b"})
    renamed = await api.post("/catalogs", json={"name": "a"}, headers=headers)
    assert (renamed.status_code, renamed.json()["id"]) == (201, made.json()["id"])
    assert [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]] == ["b"]
    await api.delete("/catalogs/b")
    gone = await api.post("/catalogs", json={"name": "a"}, headers=headers)
    assert problem(gone) == (409, "CONFLICT", "Cached catalog not found: a")
    assert (await api.get("/catalogs")).json() == {"catalogs": []}
