"""The catalog over HTTP (catalog.md 4.3-4.7, 11.2, 11.3), on the fakes and on the real kernel alike."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.builders import KEY, a_workspace
from tests.unit.catalog.worlds import ENDPOINTS, an_api

from arco.edge.openapi import ApiInfo, openapi_document

TABLES = "/catalogs/analytics/schemas/sales/tables"
ORDERS = {
    "name": "orders",
    "location": "gs://lake/tables/orders",
    "columns": [{"name": "id", "data_type": "BIGINT", "nullable": False}, {"name": "note", "data_type": "STRING"}],
}


@pytest.fixture(params=["fakes", "kernel"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    async with an_api(request.param) as client:
        yield client


async def stand(api: httpx.AsyncClient) -> httpx.Response:
    """`analytics.sales.orders`."""
    await api.post("/catalogs", json={"name": "analytics", "description": "curated"})
    await api.post("/catalogs/analytics/schemas", json={"name": "sales"})
    return await api.post(TABLES, json=ORDERS)


def problem(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    return response.status_code, body["code"], body["message"]


async def test_a_catalog_is_created_read_and_listed(api):
    created = await api.post("/catalogs", json={"name": "analytics", "description": "curated"})
    assert created.status_code == 201
    body = created.json()
    assert list(body) == ["id", "name", "description", "created_at", "updated_at"]
    assert body["created_at"] == "2026-01-01T00:00:00+00:00"
    assert (await api.get("/catalogs/analytics")).json() == body
    assert (await api.get("/catalogs")).json() == {"catalogs": [body]}
    assert problem(await api.get("/catalogs/x")) == (404, "NOT_FOUND", "Catalog not found: x")
    again = await api.post("/catalogs", json={"name": "analytics"})
    assert problem(again) == (409, "CONFLICT", "catalog already exists: analytics")


async def test_a_schema_shows_its_catalog_and_leaves_out_what_is_null(api):
    await stand(api)
    found = await api.get("/catalogs/analytics/schemas/sales")
    assert list(found.json()) == ["id", "catalog", "name", "created_at", "updated_at"]
    assert (await api.get("/catalogs/analytics/schemas")).json() == {"schemas": [found.json()]}
    taken = await api.post("/catalogs/analytics/schemas", json={"name": "sales"})
    assert problem(taken) == (409, "CONFLICT", "namespace already exists: sales")
    assert problem(await api.post("/catalogs/x/schemas", json={"name": "s"}))[2] == "Catalog not found: x"
    assert problem(await api.get("/catalogs/x/schemas"))[2] == "Catalog not found: x"


async def test_a_table_of_a_schema_has_no_columns_unless_they_are_asked_for(api):
    created = await stand(api)
    assert created.status_code == 201
    body = created.json()
    keys = ["id", "catalog", "schema", "name", "location", "format", "created_at", "updated_at"]
    assert list(body) == keys
    assert body["format"] == "delta"
    assert (await api.get(f"{TABLES}/orders")).json() == body
    assert (await api.get(TABLES)).json() == {"tables": [body]}
    whole = (await api.get(f"{TABLES}/orders?include=columns")).json()
    assert [(c["name"], c["nullable"], c["position"]) for c in whole["columns"]] == [
        ("id", False, 0),
        ("note", True, 1),
    ]
    assert (await api.get(f"{TABLES}?include=columns")).json() == {"tables": [whole]}
    assert (await api.get(f"{TABLES}?include=everything")).status_code == 400
    missing = await api.get(f"{TABLES}/x")
    assert problem(missing) == (404, "NOT_FOUND", "Table not found: analytics.sales.x")


async def test_the_first_namespace_gives_version_2_and_the_first_table_version_3(api):
    assert (await api.post("/namespaces", json={"name": "sales", "description": "Sales"})).status_code == 201
    assert (await api.get("/catalog/inventory")).json()["catalog_snapshot_version"] == 2
    table = {"name": "orders", "format": "Iceberg", "columns": ORDERS["columns"]}
    created = await api.post("/namespaces/sales/tables", json=table)
    assert created.status_code == 201
    assert list(created.json()) == ["id", "namespace", "name", "format", "columns", "created_at", "updated_at"]
    assert created.json()["format"] == "iceberg"
    assert (await api.get("/namespaces/sales/tables")).json() == {"tables": [created.json()]}
    inventory = (await api.get("/catalog/inventory")).json()
    assert inventory["catalog_snapshot_version"] == 3
    assert inventory["counts"] == {"catalogs": 1, "schemas": 1, "tables": 1, "columns": 2}


async def test_namespaces_round_trip(api):
    created = await api.post("/namespaces", json={"name": "sales"})
    assert (await api.get("/namespaces/sales")).json() == created.json()
    assert (await api.get("/namespaces")).json() == {"namespaces": [created.json()]}
    again = await api.post("/namespaces", json={"name": "sales"})
    assert problem(again) == (409, "CONFLICT", "namespace already exists: sales")
    assert (await api.delete("/namespaces/sales")).status_code == 204
    assert problem(await api.get("/namespaces/sales")) == (404, "NOT_FOUND", "Namespace not found: sales")
    assert problem(await api.delete("/namespaces/sales"))[0] == 404


async def test_a_namespace_with_a_table_is_not_deleted_and_the_head_stays(api):
    await api.post("/namespaces", json={"name": "sales"})
    await api.post("/namespaces/sales/tables", json={"name": "orders", "columns": []})
    refused = await api.delete("/namespaces/sales")
    assert problem(refused) == (400, "BAD_REQUEST", "namespace 'sales' contains tables, cannot delete")
    assert (await api.get("/catalog/inventory")).json()["catalog_snapshot_version"] == 3


async def test_a_table_is_described_and_dropped_by_its_two_level_name(api):
    missing = await api.post("/namespaces/x/tables", json={"name": "t", "columns": []})
    assert problem(missing) == (404, "NOT_FOUND", "Namespace not found: x")
    await api.post("/namespaces", json={"name": "sales"})
    path = "/namespaces/sales/tables/orders"
    created = (await api.post("/namespaces/sales/tables", json={"name": "orders", "columns": []})).json()
    taken = await api.post("/namespaces/sales/tables", json={"name": "orders", "columns": []})
    assert problem(taken) == (409, "CONFLICT", "table already exists: sales.orders")
    described = (await api.put(path, json={"description": "all"})).json()
    assert described["description"] == "all"
    assert described["updated_at"] > created["updated_at"]
    kept = (await api.put(path, json={"description": None})).json()
    assert kept == described
    assert (await api.delete(path)).status_code == 204
    assert problem(await api.get(path)) == (404, "NOT_FOUND", "Table not found: sales.orders")
    assert (await api.put(path, json={})).status_code == 404
    assert (await api.delete(path)).status_code == 404


@pytest.mark.parametrize("path", ["/namespaces/sales/tables", TABLES])
async def test_formats_are_folded_defaulted_and_checked_on_both_table_routes(api, path):
    await stand(api)
    await api.post("/namespaces", json={"name": "sales"})
    given = {"name": "p", "format": "PaRqUeT", "columns": []}
    assert (await api.post(path, json=given)).json()["format"] == "parquet"
    assert (await api.post(path, json={"name": "d", "columns": []})).json()["format"] == "delta"
    refused = await api.post(path, json={"name": "o", "format": "orc", "columns": []})
    assert problem(refused)[2] == "unknown table format 'orc'; expected one of: delta, iceberg, parquet"
    assert refused.status_code == 400


@pytest.mark.parametrize("location", ["a/../b", "a%2eb", "///"])
async def test_a_bad_location_is_refused_for_delta_and_kept_for_others(api, location):
    await stand(api)
    body = {"name": "t", "location": location, "columns": []}
    assert (await api.post(TABLES, json=body)).status_code == 400
    kept = await api.post(TABLES, json={**body, "format": "parquet"})
    assert kept.json()["location"] == location


LISTS = ["/catalogs", "/catalogs/analytics/schemas", TABLES, "/namespaces", "/namespaces/sales/tables", "/history"]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "cursor=***", "cursor=bnVsbA"])
@pytest.mark.parametrize("path", LISTS)
async def test_bad_pages_are_refused_on_every_list(api, path, query):
    await stand(api)
    assert (await api.get(f"{path}?{query}")).status_code == 400


async def test_lists_are_paged_by_name_and_pinned_to_their_first_page(api):
    await stand(api)
    for name in ("b", "a"):
        await api.post(TABLES, json={"name": name, "columns": []})
    first = (await api.get(f"{TABLES}?limit=2")).json()
    assert [table["name"] for table in first["tables"]] == ["a", "b"]
    await api.delete(f"{TABLES}/orders")
    await api.post(TABLES, json={"name": "z", "columns": []})
    second = (await api.get(f"{TABLES}?limit=2&cursor={first['next_cursor']}")).json()
    assert [table["name"] for table in second["tables"]] == ["orders"]
    assert "next_cursor" not in second
    contract_cursor = "eyJrZXkiOiJhIn0"  # {"key":"a"}
    fresh = (await api.get(f"{TABLES}?cursor={contract_cursor}")).json()
    assert [table["name"] for table in fresh["tables"]] == ["b", "z"]


async def test_namespaces_of_all_catalogs_are_listed_also_when_they_share_a_name(api):
    for catalog in ("one", "two"):
        await api.post("/catalogs", json={"name": catalog})
        await api.post(f"/catalogs/{catalog}/schemas", json={"name": "same"})
    await api.post("/namespaces", json={"name": "zz"})
    seen = []
    query = "limit=1"
    while True:
        page = (await api.get(f"/namespaces?{query}")).json()
        seen += [(each["name"], each["id"]) for each in page["namespaces"]]
        if "next_cursor" not in page:
            break
        query = f"limit=1&cursor={page['next_cursor']}"
    assert [name for name, _ in seen] == ["same", "same", "zz"]
    assert len(set(seen)) == 3
    assert (await api.get("/namespaces/same")).json()["id"] == seen[0][1]


async def test_an_empty_workspace_answers_404_naming_the_root_manifest(api):
    for path in ("/catalog/inventory", "/catalogs", "/history"):
        status, _, message = problem(await api.get(path))
        assert status == 404
        assert "root.manifest.json" in message
    for path in ("/catalogs/a/schemas", TABLES, "/catalogs/default/schemas", "/namespaces/a/tables"):
        assert (await api.get(path)).status_code == 404
    assert (await api.get("/namespaces")).json() == {"namespaces": []}


async def test_default_lists_its_schemas_before_its_row_exists(api):
    await api.post("/catalogs", json={"name": "a"})
    assert (await api.get("/catalogs/default/schemas")).json() == {"schemas": []}
    assert (await api.get("/catalogs/default")).status_code == 404
    refused = await api.post("/catalogs/default/schemas", json={"name": "s"})
    assert problem(refused)[2] == "Catalog not found: default"


async def test_the_inventory_has_the_contracts_shape(api):
    await stand(api)
    body = (await api.get("/catalog/inventory")).json()
    assert body["manifest_type"] == "catalog_inventory_snapshot"
    assert body["version"] == 1
    assert len(body["catalog_manifest_id"]) == 20
    handles = [(f["name"], f["available"], f["row_count"], f["query_handle"]) for f in body["object_families"]]
    assert handles == [
        ("catalogs", True, 1, "system.catalog.catalogs"),
        ("schemas", True, 1, "system.catalog.namespaces"),
        ("tables", True, 1, "system.catalog.tables"),
        ("columns", True, 2, "system.catalog.columns"),
    ]


async def test_the_same_key_and_body_twice_gives_the_same_id_and_one_publication(api):
    headers = {"Idempotency-Key": KEY}
    first = await api.post("/catalogs", json={"name": "a"}, headers=headers)
    second = await api.post("/catalogs", json={"name": "a", "description": None}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert (await api.get("/catalog/inventory")).json()["catalog_snapshot_version"] == 1
    other = await api.post("/catalogs", json={"name": "b"}, headers=headers)
    assert problem(other) == (409, "CONFLICT", "Idempotency-Key already used with different request body")


@pytest.mark.parametrize("key", ["x", KEY.upper(), "01930a0b-1234-4abc-9def-0123456789ab"])
async def test_a_key_that_is_no_canonical_uuid7_is_refused(api, key):
    refused = await api.post("/catalogs", json={"name": "a"}, headers={"Idempotency-Key": key})
    assert refused.status_code == 400


async def test_a_refusal_is_replayed_under_its_key(api):
    headers = {"Idempotency-Key": KEY}
    body = {"name": "s"}
    first = await api.post("/catalogs/a/schemas", json=body, headers=headers)
    assert problem(first) == (404, "NOT_FOUND", "Catalog not found: a")
    await api.post("/catalogs", json={"name": "a"})
    again = await api.post("/catalogs/a/schemas", json=body, headers=headers)
    assert problem(again) == problem(first)
    assert (await api.post("/catalogs/a/schemas", json=body)).status_code == 201


async def test_catalog_schema_and_table_are_renamed_and_keep_their_ids(api):
    table = (await stand(api)).json()
    renamed = await api.patch("/catalogs/analytics", json={"name": "lake"})
    assert renamed.json()["name"] == "lake"
    assert (await api.patch("/catalogs/lake/schemas/sales", json={"name": "shop"})).status_code == 200
    path = "/catalogs/lake/schemas/shop/tables"
    moved = await api.patch(f"{path}/orders", json={"name": "purchases", "description": "all"})
    assert moved.json()["id"] == table["id"]
    assert (await api.get(f"{path}/purchases")).json() == moved.json()
    assert (await api.get(f"{TABLES}/orders")).status_code == 404
    reserved = await api.patch("/catalogs/lake", json={"name": "default"})
    assert reserved.status_code == 400


async def test_a_patch_leaves_out_clears_and_merges(api):
    await stand(api)
    path = f"{TABLES}/orders"
    first = (await api.patch(path, json={"description": "d", "properties": {"a": "1", "b": "2"}})).json()
    assert first["properties"] == {"a": "1", "b": "2"}
    second = (await api.patch(path, json={"properties": {"a": None}})).json()
    assert (second["description"], second["properties"]) == ("d", {"b": "2"})
    third = (await api.patch(path, json={"description": None, "location": None, "properties": None})).json()
    assert not {"description", "location", "properties"} & third.keys()
    assert (await api.patch(path, json={"format": None})).status_code == 422


async def test_a_patch_of_columns_is_shown_and_listed(api):
    await stand(api)
    path = f"{TABLES}/orders"
    columns = (await api.get(f"{path}?include=columns")).json()["columns"]
    wanted = [{"id": columns[0]["id"], "name": "key", "data_type": "BIGINT"}, {"name": "new", "data_type": "DATE"}]
    body = (await api.patch(path, json={"columns": wanted})).json()
    assert [column["name"] for column in body["columns"]] == ["key", "new"]
    assert body["columns"][0]["id"] == columns[0]["id"]
    assert (await api.get(f"{path}?include=columns")).json() == body
    assert (await api.get("/catalog/inventory")).json()["counts"]["columns"] == 2


async def test_catalogs_and_schemas_are_dropped_when_empty(api):
    await stand(api)
    refused = await api.delete("/catalogs/analytics")
    assert problem(refused) == (400, "BAD_REQUEST", "catalog 'analytics' contains schemas, cannot delete")
    for path in (f"{TABLES}/orders", "/catalogs/analytics/schemas/sales", "/catalogs/analytics"):
        assert (await api.delete(path)).status_code == 204
        assert (await api.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/catalogs/analytics", "/catalogs/analytics/schemas/sales", f"{TABLES}/orders"])
async def test_etags_guard_changes_and_spare_reads(api, path):
    await stand(api)
    found = await api.get(path)
    etag = found.headers["etag"]
    unchanged = await api.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    changed = await api.patch(path, json={"description": "x"}, headers={"If-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag
    assert changed.headers["etag"] == (await api.get(path)).headers["etag"]
    for attempt in (
        api.patch(path, json={"description": "y"}, headers={"If-Match": etag}),
        api.delete(path, headers={"If-Match": etag}),
    ):
        assert problem(await attempt)[:2] == (412, "PRECONDITION_FAILED")
    assert (await api.get(path, headers={"If-None-Match": etag})).status_code == 200


async def test_a_created_object_comes_with_the_etag_a_read_gives(api):
    created = await stand(api)
    assert created.headers["etag"] == (await api.get(f"{TABLES}/orders")).headers["etag"]


async def test_a_list_is_not_sent_again_while_nothing_was_committed(api):
    await stand(api)
    etag = (await api.get("/catalogs")).headers["etag"]
    assert (await api.get("/catalogs", headers={"If-None-Match": etag})).status_code == 304
    await api.post("/catalogs", json={"name": "b"})
    assert (await api.get("/catalogs", headers={"If-None-Match": etag})).status_code == 200


async def test_history_tells_the_latest_first_and_survives_the_object(api):
    table_id = (await stand(api)).json()["id"]
    await api.patch(f"{TABLES}/orders", json={"description": "x"})
    await api.patch(f"{TABLES}/orders", json={"name": "o2"})
    mine = (await api.get(f"{TABLES}/o2/history?limit=2")).json()
    assert [entry["operation"] for entry in mine["history"]] == ["table_renamed", "table_updated"]
    rest = (await api.get(f"{TABLES}/o2/history?limit=2&cursor={mine['next_cursor']}")).json()
    assert [entry["operation"] for entry in rest["history"]] == ["table_registered"]
    assert "next_cursor" not in rest
    assert rest["history"][0]["object_id"] == table_id
    await api.delete(f"{TABLES}/o2")
    gone = (await api.get(f"/history?object_id={table_id}")).json()
    assert gone["history"][0]["operation"] == "table_dropped"
    everything = (await api.get("/history")).json()["history"]
    assert [entry["snapshot_version"] for entry in everything] == [6, 5, 4, 3, 2, 1]
    for path in ("/catalogs/analytics/history", "/catalogs/analytics/schemas/sales/history"):
        assert len((await api.get(path)).json()["history"]) == 1
    assert (await api.get("/catalogs/x/history")).status_code == 404


async def test_an_outcome_that_is_not_known_is_not_found(api):
    await stand(api)
    assert (await api.get("/outcomes/x")).status_code == 400
    assert problem(await api.get("/outcomes/01KDVH8Q3N5P7R9S1T3V5W7X9Y"))[0] == 404


async def test_outcomes_are_told_by_event_id():
    workspace = a_workspace()
    async with an_api("fakes", workspace) as api:
        await api.post("/catalogs", json={"name": "a"})
        await api.post("/catalogs", json={"name": "a"}, headers={"Idempotency-Key": KEY})
        yes, no = [(await api.get(f"/outcomes/{unit.unit_id}")).json() for unit in workspace.submitted]
    assert (yes["status"], yes["subject"]["object_name"], yes["snapshot_version"]) == ("accepted", "a", 1)
    assert (no["status"], no["code"], no["message"]) == ("rejected", "already_exists", "catalog already exists: a")


async def test_wrong_shapes_are_told_by_field(api):
    await stand(api)
    missing = await api.post(TABLES, json={"name": "t"})
    assert problem(missing) == (422, "UNPROCESSABLE_ENTITY", "columns is required")
    column = {"name": "a", "data_type": 5}
    wrong = await api.post(TABLES, json={"name": "t", "columns": [column]})
    assert wrong.status_code == 422
    assert "columns" in problem(wrong)[2]
    assert problem(await api.post("/catalogs", json={"name": ""}))[2] == "name must not be empty"
    assert (await api.post("/catalogs", json={"name": "a/b"})).status_code == 400
    extra = await api.post("/catalogs", json={"name": "extra", "unknown": 1})
    assert extra.status_code == 201


async def test_odd_names_are_reachable_percent_encoded(api):
    for name, encoded in (("a b", "a%20b"), ("ü", "%C3%BC"), ("100%", "100%25"), ("a?b#c", "a%3Fb%23c")):
        assert (await api.post("/catalogs", json={"name": name})).status_code == 201
        assert (await api.get(f"/catalogs/{encoded}")).json()["name"] == name


def test_every_route_is_in_the_openapi_document_with_its_types():
    document = openapi_document(ENDPOINTS, ApiInfo(title="arco", version="0"))
    table = document["components"]["schemas"]["SchemaTableView"]
    assert table["properties"]["columns"]["type"] == "array"
    assert table["properties"]["properties"]["type"] == "object"
    assert "columns" not in table["required"]
    assert set(document["paths"]) == {prefix + endpoint.path for prefix, endpoint in ENDPOINTS}
    json.dumps(document)
