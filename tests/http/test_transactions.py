"""Catalog transactions over HTTP, as protobuf and as JSON (catalog.md 4.11, 4.12, 11.8)."""

import asyncio
from typing import Any

import httpx
import pytest

from arco.routes.wire.controlplane import message_class
from arco.storage.counting import sequential_rounds

from .world import a_table, a_world, foreground, problem

PROTO = "application/x-protobuf"


def proto(name: str) -> dict[str, str]:
    return {"content-type": f"{PROTO}; proto=arco.controlplane.v1.{name}"}


async def apply(api: httpx.AsyncClient, *operations: dict[str, Any], key: str = "ddl-42") -> httpx.Response:
    """One operation, or a batch of several, as JSON."""
    ddl = operations[0] if len(operations) == 1 else {"batch": {"operations": list(operations)}}
    return await api.post("/transactions/applyCatalogDdl", json={"ddl": ddl}, headers={"idempotency-key": key})


def create_catalog(name: str = "analytics", **fields: Any) -> dict[str, Any]:
    return {"createCatalog": {"catalog": name, **fields}}


def create_schema(name: str = "sales", catalog: str = "analytics", **fields: Any) -> dict[str, Any]:
    return {"createSchema": {"catalog": catalog, "schema": name, **fields}}


def register(name: str = "orders", *columns: str, **fields: Any) -> dict[str, Any]:
    listed = [{"name": column, "dataType": "BIGINT", "ordinal": index} for index, column in enumerate(columns)]
    given = {"catalog": "analytics", "schema": "sales", "table": name, "columns": listed, **fields}
    return {"registerTable": given}


def on(what: str, name: str = "orders", **fields: Any) -> dict[str, Any]:
    return {what: {"catalog": "analytics", "schema": "sales", "table": name, **fields}}


TABLE = "/catalogs/analytics/schemas/sales/tables"


async def test_the_example_of_the_contract_in_protobuf(api):
    request = message_class("ApplyCatalogDdlRequest")()
    request.ddl.create_catalog.catalog = "analytics"
    assert request.SerializeToString() == b"\x12\r\n\x0b\n\tanalytics"
    headers = {**proto("ApplyCatalogDdlRequest"), "idempotency-key": "ddl-42"}
    answer = await api.post("/transactions/applyCatalogDdl", content=request.SerializeToString(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == PROTO
    response = message_class("ApplyCatalogDdlResponse").FromString(answer.content)
    receipt = response.receipt
    assert not response.repair_pending
    assert receipt.snapshot_version == 1
    assert receipt.read_token == f"catalog:{receipt.manifest_id}"
    assert len(receipt.tx_id) == len(receipt.event_id) == len(receipt.commit_id) == 26
    assert receipt.pointer_version
    assert receipt.visible_at.ToMilliseconds() > 0
    again = await api.post("/transactions/applyCatalogDdl", content=request.SerializeToString(), headers=headers)
    assert again.content == answer.content
    status = message_class("GetCatalogTransactionRequest")(tx_id=receipt.tx_id)
    found = await api.post(
        "/transactions/getCatalogTransaction",
        content=status.SerializeToString(),
        headers=proto("GetCatalogTransactionRequest"),
    )
    seen = message_class("CatalogTxStatus").FromString(found.content)
    assert seen.status == 2
    assert seen.result == receipt
    assert seen.request_hash == "sha256:5e2e783e3463dfa7030463d4fd5a48007e33bd7ac10d24235dd33ebc5de92cec"
    assert (await api.get(f"/outcomes/{receipt.event_id}")).json()["status"] == "accepted"


async def test_every_operation_does_what_its_route_does(api):
    assert (await apply(api, create_catalog(description="d"), key="1")).status_code == 200
    assert (await apply(api, create_schema(description="d"), key="2")).status_code == 200
    made = await apply(api, register("orders", "id", "note", format="TABLE_FORMAT_ICEBERG", location="x/y"), key="3")
    assert made.status_code == 200, made.text
    shown = (await api.get(f"{TABLE}/orders?include=columns")).json()
    assert (shown["format"], shown["location"]) == ("iceberg", "x/y")
    assert [column["name"] for column in shown["columns"]] == ["id", "note"]
    await apply(api, on("updateTable", description="new"), key="4")
    assert (await api.get(f"{TABLE}/orders")).json()["description"] == "new"
    await apply(api, on("updateTable", format="TABLE_FORMAT_UNSPECIFIED"), key="5")
    assert (await api.get(f"{TABLE}/orders")).json()["format"] == "parquet"  # how a table without one is shown
    await apply(api, on("renameTable", newTable="renamed"), key="6")
    assert (await api.get(f"{TABLE}/renamed")).status_code == 200
    await apply(api, on("dropTable", "renamed"), key="7")
    assert (await api.get(f"{TABLE}/renamed")).status_code == 404
    edges = {"addEdges": {"edges": [{"sourceId": "src", "targetId": "tgt"}]}}
    assert (await apply(api, edges, key="8")).status_code == 200
    assert len((await api.get("/lineage/tgt")).json()["upstream"]) == 1


async def test_a_client_s_ordinals_are_kept(api):
    columns = [{"name": "a", "dataType": "INT", "ordinal": 7}, {"name": "b", "dataType": "INT", "ordinal": 3}]
    operation = {"registerTable": {"catalog": "analytics", "schema": "sales", "table": "t", "columns": columns}}
    assert (await apply(api, create_catalog(), create_schema(), operation)).status_code == 200
    shown = (await api.get(f"{TABLE}/t?include=columns")).json()["columns"]
    assert [(column["name"], column["position"]) for column in shown] == [("b", 3), ("a", 7)]


async def test_a_batch_is_one_commit_and_its_later_operations_see_the_earlier_ones(world, api):
    answer = await apply(
        api,
        create_catalog(),
        create_schema(),
        register("orders", "id"),
        on("updateTable", description="d"),
        on("renameTable", newTable="sales_orders"),
        create_schema("other", "default"),
        {"addEdges": {"edges": [{"sourceId": "a", "targetId": "b"}]}},
    )
    assert answer.status_code == 200, answer.text
    receipt = answer.json()["receipt"]
    assert receipt["snapshotVersion"] == "1"
    assert (await api.get(f"{TABLE}/sales_orders")).json()["description"] == "d"
    assert (await api.get("/catalogs/default/schemas/other")).status_code == 200
    assert (await api.get("/lineage/b")).json()["upstream"]
    (entry,) = (await api.get("/history")).json()["history"]
    assert (entry["operation"], entry["object_name"]) == ("transaction_committed", "7 changes")
    (own,) = (await api.get(f"{TABLE}/sales_orders/history")).json()["history"]
    assert own["operation"] == "table_renamed"
    (schema,) = (await api.get("/catalogs/default/schemas/other/history")).json()["history"]
    assert schema["operation"] == "namespace_created"
    rows = await api.post(
        "/query?format=json",
        json={"sql": "SELECT handle_id, lifecycle, mutation_count FROM system.catalog.transactions"},
    )
    assert rows.json() == [{"handle_id": receipt["txId"], "lifecycle": "VISIBLE", "mutation_count": 7}]


async def test_a_batch_with_one_bad_operation_changes_nothing_and_names_it(world, api):
    await a_table(api)
    world.store.forget()
    for bad, status, said in (
        (register("orders"), 409, "operations[1]: table already exists: analytics.sales.orders"),
        (on("dropTable", "nothing"), 404, "operations[1]: Table not found: analytics.sales.nothing"),
        (create_schema("s", "nowhere"), 404, "operations[1]: Catalog not found: nowhere"),
        (create_catalog(""), 400, "operations[1]: create_catalog.catalog is required"),
        (create_catalog("a/b"), 400, "operations[1]: create_catalog.catalog must not contain '/' or '\\'"),
        ({}, 400, "operations[1] must be one operation, and not a batch"),
        ({"batch": {"operations": [create_catalog("x")]}}, 400, "operations[1] must be one operation, and not a batch"),
        (register("t", "a", "a"), 400, "operations[1]: columns[1].name repeats 'a'; give every column its own name"),
        (on("updateTable", format="TABLE_FORMAT_UNSPECIFIED", location="a/../b"), None, ""),
    ):
        answer = await apply(api, create_catalog("new"), bad)
        if status is None:
            continue
        assert problem(answer)[0] == status, answer.text
        assert answer.json()["message"] == said
        assert answer.json()["details"]["mutation"] == 1
        assert (await api.get("/catalogs/new")).status_code == 404
    commits = [each for each in world.store.operations if each.name == "create" and "manifests" in each.key]
    assert len(commits) == 3 + 1, "what the state refuses is put on record, what is wrong in itself is not"


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (create_catalog(""), "create_catalog.catalog is required"),
        (create_schema("", "c"), "create_schema.schema is required"),
        (register("", "id"), "register_table.table is required"),
        (register("t", "id", "x", ""), "register_table.columns[2].name is required"),
        (
            {**register("t"), "registerTable": {**register("t")["registerTable"], "columns": [{"name": "a"}]}},
            "register_table.columns[0].data_type is required",
        ),
        (on("renameTable", newTable=""), "rename_table.new_table is required"),
        (register("t", format="TABLE_FORMAT_UNSPECIFIED"), "register_table.format must be DELTA, ICEBERG or PARQUET"),
        ({}, "ddl is required: one operation, for instance create_catalog"),
        ({"batch": {}}, "batch.operations must hold at least one operation"),
        ({"addEdges": {}}, "edges must not be empty"),
    ],
)
async def test_a_field_that_is_missing_is_named(api, operation, said):
    await apply(api, create_catalog(), create_schema())
    answer = await apply(api, operation, key="other")
    assert problem(answer) == (400, "BAD_REQUEST", said)


async def test_the_same_key_replays_and_another_request_is_refused(api):
    first = await apply(api, create_catalog())
    assert (await apply(api, create_catalog())).json() == first.json()
    answer = await apply(api, create_catalog("other"))
    assert problem(answer) == (409, "CONFLICT", "Idempotency-Key already used with different request body")
    await api.delete("/catalogs/analytics")
    assert (await apply(api, create_catalog())).json() == first.json()


async def test_the_same_key_many_times_at_once_is_one_transaction(api):
    answers = await asyncio.gather(*(apply(api, create_catalog(), create_schema()) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len((await api.get("/history")).json()["history"]) == 1


async def test_a_refused_transaction_leaves_its_key_free(api):
    assert (await apply(api, create_schema())).status_code == 404
    await api.post("/catalogs", json={"name": "analytics"})
    assert (await apply(api, create_schema())).status_code == 200


async def test_transactions_that_race_for_a_name_are_all_or_nothing(api):
    async def one(number: int) -> httpx.Response:
        operations = (create_catalog(f"own{number}"), create_catalog("shared"))
        return await apply(api, *operations, key=str(number))

    answers = await asyncio.gather(*(one(number) for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    names = {catalog["name"] for catalog in (await api.get("/catalogs")).json()["catalogs"]}
    winner = next(number for number, answer in enumerate(answers) if answer.status_code == 200)
    assert names == {"shared", f"own{winner}"}
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["details"]["mutation"] == 1


async def test_updates_of_one_table_that_race_are_all_made(api):
    await a_table(api)
    answers = await asyncio.gather(
        *(apply(api, on("updateTable", description=str(number)), key=str(number)) for number in range(6))
    )
    assert {answer.status_code for answer in answers} == {200}
    history = (await api.get(f"{TABLE}/orders/history")).json()["history"]
    assert len([entry for entry in history if entry["operation"] == "table_updated"]) == 6


async def test_content_types_other_than_the_message_s_are_415(api):
    body = b"\x12\r\n\x0b\n\tanalytics"
    for media in (
        "application/x-protobuf",
        f"{PROTO}; proto=arco.controlplane.v1.GetCatalogTransactionRequest",
        f"{PROTO}; proto=ApplyCatalogDdlRequest",
        "text/plain",
        "application/protobuf",
    ):
        answer = await api.post(
            "/transactions/applyCatalogDdl", content=body, headers={"content-type": media, "idempotency-key": "k"}
        )
        assert answer.status_code == 415, media
    answer = await api.post("/transactions/applyCatalogDdl", content=body, headers={"idempotency-key": "k"})
    assert answer.status_code == 415


async def test_bodies_that_are_no_message_are_refused(api):
    headers = {**proto("ApplyCatalogDdlRequest"), "idempotency-key": "k"}
    for content, media, status in (
        (b"\xff\xff\xff", None, 400),
        (b"\x12\x05\n\x03\n\x01\xff", None, 400),  # a text that is not UTF-8
        (b"{", "application/json", 400),
        (b'{"ddl": 1}', "application/json", 422),
        (b'{"ddl": {"createCatalog": {"catalog": 1}}}', "application/json", 422),
        (b'{"ddl": {"createCatalog": {}, "createSchema": {}}}', "application/json", 422),
        (b'{"ddl": {"createCatalog": {"catalog": "\\ud800"}}}', "application/json", 400),
        (b"x" * (1024 * 1024 + 1), None, 413),
        (b"", None, 400),
    ):
        given = {**headers, **({"content-type": media} if media else {})}
        answer = await api.post("/transactions/applyCatalogDdl", content=content, headers=given)
        assert answer.status_code == status, (content[:50], answer.text)
    assert (await api.get("/catalogs")).status_code == 404  # nothing was ever written


async def test_a_key_is_needed_and_may_be_any_text(api):
    for headers in ({}, {"idempotency-key": ""}, {"idempotency-key": "  "}):
        answer = await api.post("/transactions/applyCatalogDdl", json={"ddl": create_catalog()}, headers=headers)
        assert problem(answer) == (400, "BAD_REQUEST", "idempotency_key is required")
    answer = await apply(api, create_catalog(), key="k" * 1025)
    assert problem(answer)[0] == 400
    assert (await apply(api, create_catalog(), key="!")).status_code == 200


async def test_unknown_transactions_are_404_and_refused_ones_aborted(api):
    for tx_id in ("01KDVH8Q3N5P7R9S1T3V5W7X9Y", "x", "../../x"):
        answer = await api.post("/transactions/getCatalogTransaction", json={"txId": tx_id})
        assert problem(answer) == (404, "NOT_FOUND", f"catalog transaction not found: {tx_id}")
    answer = await api.post("/transactions/getCatalogTransaction", json={})
    assert problem(answer) == (400, "BAD_REQUEST", "tx_id is required")


async def test_a_transaction_costs_what_one_create_costs():
    # A merge of what rests is no part of a request, however slow the machine is.
    async with a_world({"ARCO_IDLE_MERGE_MS": "600000"}) as world, world.client() as api:
        await apply(api, create_catalog(), create_schema(), key="0")
        for number in range(3):
            await api.get("/catalogs")
            world.store.forget()
            operations = [register(f"t{number}_{index}", "a", "b", "c") for index in range(20)]
            assert (await apply(api, *operations, key=f"k{number}")).status_code == 200
            found = foreground(world.store.operations)
            creates = [each.key.split("/")[2] for each in found if each.name == "create"]
            # Changes that do not fit into the manifest any more are one object beside it.
            assert [each for each in creates if each != "snapshots"] == ["ledger", "commits", "manifests"]
            assert len(creates) <= 4
            # The head before and after, and the storage version of the manifest.
            assert sequential_rounds(found) <= 7
            assert not [each for each in found if each.name == "list_page"]
