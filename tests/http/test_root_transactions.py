"""Root transactions and read tokens over HTTP (catalog.md 4.12, 11.8), with what a coordinator may leave behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pyarrow as pa
import pytest

from arco.core import paths
from arco.core.limits import TRANSACTION_HOLD_MS
from arco.core.paths import Key
from arco.roles import api as api_role
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, PutOutcome, Unsure

from .test_transactions import apply, create_catalog, create_schema, register
from .world import SCOPE, World, a_world, foreground, problem

UNKNOWN = (503, "OUTCOME_UNKNOWN")
ORDERS = {"catalog": "analytics2", "schema": "sales", "table": "orders"}


async def commit(api: httpx.AsyncClient, *operations: dict[str, Any], key: str = "root-1") -> httpx.Response:
    ddl = operations[0] if len(operations) == 1 else {"batch": {"operations": list(operations)}}
    body = {"mutations": [{"catalog": ddl}]}
    return await api.post("/transactions/commitRootTransaction", json=body, headers={"idempotency-key": key})


async def status(api: httpx.AsyncClient, tx_id: str) -> dict[str, Any]:
    return (await api.post("/transactions/getRootTransaction", json={"txId": tx_id})).json()


async def test_a_root_transaction_is_visible_by_its_token_and_recorded_as_contracted(world, api):
    answer = await commit(api, create_catalog(), create_schema(), register("orders", "id"))
    assert answer.status_code == 200, answer.text
    receipt = answer.json()["receipt"]
    tx_id = receipt["txId"]
    (member,) = receipt["domainCommits"]
    assert receipt["superManifestPath"] == f"transactions/root/{tx_id}.manifest.json"
    assert receipt["readToken"] == f"root:{tx_id}"
    assert member["domain"] == "TRANSACTION_DOMAIN_CATALOG"
    assert member["readToken"] == f"catalog:{member['manifestId']}"
    stored = await world.in_scope().get(Key(receipt["superManifestPath"]))
    assert stored is not None
    record = json.loads(stored.body)
    assert record["domains"]["catalog"] == {
        "manifestId": member["manifestId"],
        "manifestPath": f"manifests/catalog/{member['manifestId']}.json",
        "commitId": member["commitId"],
    }
    assert record["txId"] == tx_id
    shown = await status(api, tx_id)
    assert shown["status"] == "TRANSACTION_STATUS_VISIBLE"
    assert shown["result"] == receipt
    assert [each["manifestId"] for each in shown["domains"]] == [member["manifestId"]]
    assert (await commit(api, create_catalog(), create_schema(), register("orders", "id"))).json() == answer.json()


async def test_a_token_reads_exactly_its_manifest_for_ever(api):
    receipt = (await commit(api, create_catalog(), create_schema())).json()["receipt"]
    await api.delete("/catalogs/analytics/schemas/sales")
    await api.delete("/catalogs/analytics")
    for token in (receipt["readToken"], receipt["domainCommits"][0]["readToken"]):
        headers = {"X-Arco-Read-Token": token}
        assert (await api.get("/catalogs/analytics", headers=headers)).status_code == 200
        schemas = await api.get("/catalogs/analytics/schemas", headers=headers)
        assert [schema["name"] for schema in schemas.json()["schemas"]] == ["sales"]
        inventory = await api.get("/catalog/inventory", headers=headers)
        assert inventory.json()["catalog_manifest_id"] == receipt["domainCommits"][0]["manifestId"]
    assert (await api.get("/catalogs/analytics")).status_code == 404


async def test_a_token_that_names_nothing_readable_is_refused(api):
    await commit(api, create_catalog())
    for token, code in (
        ("nonsense", 400),
        ("catalog:7", 400),
        ("root:x", 400),
        ("orchestration:00000000000000000001", 400),
        ("catalog:00000000000000009999", 404),
        ("root:01KDVH8Q3N5P7R9S1T3V5W7X9Y", 404),
    ):
        answer = await api.get("/catalogs", headers={"X-Arco-Read-Token": token})
        assert answer.status_code == code, (token, answer.text)


async def test_a_token_whose_manifest_was_collected_says_so(world, api):
    receipt = (await commit(api, create_catalog(), create_schema())).json()["receipt"]
    tokens = [receipt["readToken"], receipt["domainCommits"][0]["readToken"]]
    await api.delete("/catalogs/analytics/schemas/sales")
    await world.quiet()
    key = Key(SCOPE.prefix + paths.manifest("catalog", int(receipt["domainCommits"][0]["manifestId"])))
    found = await world.store.get(key)
    assert found is not None
    await world.store.delete(key, when=Matches(found.version))  # as the collector does when its time is over
    for token in tokens:
        for path in ("/catalogs", "/catalogs/analytics", "/namespaces", "/catalog/inventory", "/history"):
            answer = await api.get(path, headers={"X-Arco-Read-Token": token})
            assert problem(answer)[:2] == (410, "GONE"), (path, answer.text)
            assert "its retention has ended" in answer.text


@pytest.mark.parametrize(
    ("mutations", "code", "said"),
    [
        ([], 400, "mutations must hold at least one mutation"),
        ([{}], 400, "mutations[0] must be one of catalog, orchestration"),
        (
            [{"catalog": create_catalog()}, {"catalog": create_catalog("b")}],
            400,
            "mutations[1]: there may be one mutation for each domain, and catalog has two",
        ),
        ([{"orchestration": {}}], 400, "mutations[0].orchestration.events must hold at least one event"),
        (
            [{"orchestration": {"events": [{}]}}],
            400,
            "mutations[0].orchestration.events[0].data is required: one event, for instance of type run_triggered",
        ),
        ([{"metastore": {}}], 501, "this server takes no metastore mutations in root transactions"),
        (
            [{"scopedMetastore": {"scope": {"tenantId": "other"}}}],
            400,
            "mutations[0].scoped_metastore.scope.tenant_id is not the request's",
        ),
        ([{"scopedMetastore": {"scope": {"tenantId": "local"}}}], 501, None),
        ([{"catalog": {}}], 400, "mutations[0].catalog is required: one operation, for instance create_catalog"),
        ([{"catalog": create_schema()}], 404, "Catalog not found: analytics"),
    ],
)
async def test_what_cannot_be_committed_is_refused_before_anything_is_written(world, api, mutations, code, said):
    world.store.forget()
    answer = await api.post(
        "/transactions/commitRootTransaction", json={"mutations": mutations}, headers={"idempotency-key": "k"}
    )
    assert answer.status_code == code, answer.text
    assert said is None or answer.json()["message"] == said
    assert not [each for each in world.store.operations if each.name in ("create", "replace")]


async def test_the_same_key_with_another_request_is_409_and_without_one_400(api):
    assert (await commit(api, create_catalog())).status_code == 200
    assert problem(await commit(api, create_catalog("b")))[2].startswith("Idempotency-Key already used")
    answer = await api.post("/transactions/commitRootTransaction", json={"mutations": []})
    assert problem(answer) == (400, "BAD_REQUEST", "idempotency_key is required")
    answer = await api.post("/transactions/getRootTransaction", json={"txId": "01KDVH8Q3N5P7R9S1T3V5W7X9Y"})
    assert problem(answer) == (404, "NOT_FOUND", "root transaction not found: 01KDVH8Q3N5P7R9S1T3V5W7X9Y")


async def test_roots_that_race_for_one_name_are_one_winner_and_definite_refusals(api):
    answers = await asyncio.gather(*(commit(api, create_catalog(), key=str(number)) for number in range(6)))
    assert [answer.status_code for answer in answers].count(200) == 1
    assert {answer.status_code for answer in answers} == {200, 409}


async def test_a_root_transaction_costs_three_folds_and_two_writes_of_its_record(world, api):
    await commit(api, create_catalog(), key="0")
    await api.get("/catalogs")
    world.store.forget()
    assert (await commit(api, create_catalog("b"), key="1")).status_code == 200
    found = foreground(world.store.operations)
    assert not [each for each in found if each.name == "list_page"]
    written = [(each.name, each.key.split("/")[2]) for each in found if each.name in ("create", "replace")]
    fold = [("create", "ledger"), ("create", "commits"), ("create", "manifests")]
    assert written == [*fold, ("create", "transactions"), *fold, ("replace", "transactions"), *fold]


class Broken(MemoryStore):
    """Writes of root records get no answer while `silent`, and do not happen."""

    silent = False

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if self.silent and "transactions/root/" in key:
            return Unsure("no answer in time")
        return await super().put(key, body, when=when)


class Left:
    """A root transaction that was prepared, and whose decision was not written."""

    def __init__(self, world: World, store: Broken, api: httpx.AsyncClient) -> None:
        self.world = world
        self.store = store
        self.api = api
        self.tx_id = ""

    async def leave(self) -> None:
        assert (await commit(self.api, create_catalog("before"), key="0")).status_code == 200
        self.store.silent = self.world.clock.leaving = True  # nobody waits between tries
        answer = await commit(self.api, create_catalog())
        assert problem(answer)[:2] == UNKNOWN
        self.tx_id = answer.json()["details"]["event_id"]
        self.store.silent = False

    async def repaired(self) -> int:
        repairs = api_role.make_repairs(self.world.settings, self.world.process, self.world.api.state.services)
        return await repairs.once()


@pytest.fixture
async def left() -> AsyncIterator[Left]:
    store = Broken()
    async with a_world(store=store) as world, world.client() as api:
        made = Left(world, store, api)
        await made.leave()
        yield made


async def test_a_prepared_transaction_is_polled_holds_its_names_and_is_not_readable(left):
    assert (await status(left.api, left.tx_id))["status"] == "TRANSACTION_STATUS_PREPARED"
    again = await commit(left.api, create_catalog())
    assert problem(again)[:2] == (409, "CONFLICT")
    assert left.tx_id in again.json()["message"]
    taken = await left.api.post("/catalogs", json={"name": "analytics"})
    assert problem(taken)[:2] == (409, "CONFLICT")
    assert "held by a transaction" in taken.json()["message"]
    assert (await left.api.post("/catalogs", json={"name": "free"})).status_code == 201
    token = {"X-Arco-Read-Token": f"root:{left.tx_id}"}
    assert (await left.api.get("/catalogs", headers=token)).status_code == 404


async def test_every_write_that_meets_a_hold_is_told_to_come_back(left):
    api = left.api
    await api.post("/lineage/edges", json={"edges": [{"source_id": "x", "target_id": "y"}]})
    edges = {"addEdges": {"edges": [{"sourceId": "a", "targetId": "b"}]}}
    left.store.silent = True
    operations = (create_schema("s", "default"), edges, {"updateTable": {**ORDERS, "description": "d"}})
    await api.post("/catalogs", json={"name": "analytics2"})
    await api.post("/catalogs/analytics2/schemas", json={"name": "sales"})
    await api.post("/catalogs/analytics2/schemas/sales/tables", json={"name": "orders", "columns": []})
    assert problem(await commit(api, *operations, key="held"))[:2] == UNKNOWN
    left.store.silent = False
    table = "/catalogs/analytics2/schemas/sales/tables/orders"
    for method, path, body in (
        ("POST", "/lineage/edges", {"edges": [{"source_id": "a", "target_id": "b"}]}),
        ("POST", "/namespaces", {"name": "n"}),
        ("PATCH", table, {"description": "other"}),
        ("DELETE", table, None),
    ):
        answer = await api.request(method, path, json=body) if body else await api.request(method, path)
        assert problem(answer)[:2] == (409, "CONFLICT"), (method, path, answer.text)
        assert "held by a transaction" in answer.json()["message"]
        assert answer.headers["retry-after"] == "1"


async def test_an_overdue_one_is_aborted_by_the_repair_loop_and_what_it_held_is_free(left):
    assert await left.repaired() == 0
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    assert await left.repaired() == 1
    assert (await status(left.api, left.tx_id))["status"] == "TRANSACTION_STATUS_ABORTED"
    assert (await left.api.post("/catalogs", json={"name": "analytics"})).status_code == 201
    assert await left.repaired() == 0


async def test_the_same_key_is_a_new_transaction_once_the_old_one_is_overdue(left):
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    answer = await commit(left.api, create_catalog())
    assert answer.status_code == 200, answer.text
    assert answer.json()["receipt"]["txId"] != left.tx_id
    assert (await status(left.api, left.tx_id))["status"] == "TRANSACTION_STATUS_ABORTED"
    assert (await left.api.get("/catalogs/analytics")).status_code == 200


async def test_what_is_derived_from_the_catalog_follows_transactions_of_both_kinds(api):
    await commit(api, create_catalog(), create_schema(), register("by_root", "id"), key="1")
    await apply(api, register("by_unit", "id"), key="2")
    for word in ("by_root", "by_unit"):
        found = (await api.get("/search", params={"q": word})).json()
        assert word in json.dumps(found)


async def test_the_relation_of_transactions_has_the_contract_s_columns(api):
    await commit(api, create_catalog())
    answer = await api.post("/query", json={"sql": "SELECT * FROM system.catalog.transactions"})
    schema = pa.ipc.open_stream(answer.content).schema
    assert [(field.name, str(field.type).removesuffix("_view")) for field in schema] == [
        ("handle_id", "string"),
        ("record_version", "uint32"),
        ("lifecycle", "string"),
        *((name, "int64") for name in ("created_at", "updated_at", "expires_at", "prepared_at", "committing_at")),
        *((name, "int64") for name in ("visible_at", "terminal_at")),
        ("mutation_count", "uint32"),
        ("visible_mutation_count", "uint32"),
    ]
