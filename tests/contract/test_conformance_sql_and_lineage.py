"""Catalog contract, sections 11.6 and 11.7, on the whole server (numbers are the contract's)."""

from collections.abc import AsyncIterator

import httpx
import pyarrow as pa
import pytest
from tests.http.world import World, a_table, a_world, problem

COMMIT_COLUMNS = [
    *("commit_ulid", "snapshot_version", "published_at", "fencing_token", "watermark_event_id"),
    *("operation", "object_type", "object_id", "object_name"),
]
VECTOR = "ecd2ff1f12200c67859969f53117192017a902d4c311f478e14d1ac20c7651eb"
VECTOR_WITH_RUN = "ff4830380f092c64271c507d32603f5a1a054f26d339aa46cdb2ac9230d828c9"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as client:
        yield client


async def rows(api: httpx.AsyncClient, sql: str) -> list[dict[str, object]]:
    answer = await api.post("/query?format=json", json={"sql": sql})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()
    return found


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO catalog.tables VALUES (1)",
        "DROP TABLE catalog.tables",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "SELECT 1; SELECT 2",
        "WITH x AS (SELECT 1) INSERT INTO catalog.tables SELECT * FROM x",
        "CREATE TABLE x AS SELECT 1",
        "SET datafusion.execution.batch_size = 1",
    ],
)
async def test_39_whatever_is_not_one_select_is_400_on_both_endpoints(api, sql):
    await a_table(api)
    for path in ("/query", "/query-data"):
        assert problem(await api.post(path, json={"sql": sql}))[:2] == (400, "BAD_REQUEST")


async def test_39_a_cte_with_a_select_is_answered(api):
    await a_table(api)
    sql = "WITH t AS (SELECT name, format FROM catalog.tables) SELECT * FROM t ORDER BY name"
    assert await rows(api, sql) == [{"name": "orders", "format": "delta"}]


async def test_40_the_default_is_an_arrow_stream_and_json_an_array_of_objects_without_nulls(api):
    await a_table(api)
    sql = {"sql": "SELECT name, format, description FROM system.catalog.tables"}
    arrow = await api.post("/query", json=sql)
    assert arrow.headers["content-type"] == "application/vnd.apache.arrow.stream"
    read = pa.ipc.open_stream(arrow.content).read_all()
    assert read.to_pylist() == [{"name": "orders", "format": "delta", "description": None}]
    for answer in (
        await api.post("/query?format=json", json=sql),
        await api.post("/query?format= JSON ", json=sql),
        await api.post("/query", json=sql, headers={"Accept": "text/html, application/json;q=0.9"}),
    ):
        assert answer.json() == [{"name": "orders", "format": "delta"}]


async def test_41_commits_have_exactly_nine_columns_and_one_row_for_each_accepted_unit(api):
    made = await a_table(api)
    answer = await api.post("/query", json={"sql": "SELECT * FROM system.catalog.commits ORDER BY snapshot_version"})
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.column_names == COMMIT_COLUMNS
    told = [(one["operation"], one["object_type"], one["object_name"]) for one in table.to_pylist()]
    assert told == [
        ("catalog_created", "catalog", "analytics"),
        ("namespace_created", "namespace", "sales"),
        ("table_registered", "table", "orders"),
    ]
    assert table.to_pylist()[2]["object_id"] == made.json()["id"]
    assert table.column("snapshot_version").to_pylist() == [1, 2, 3]
    ulids = table.column("commit_ulid").to_pylist()
    assert ulids == sorted(ulids)


@pytest.mark.parametrize("column", ["manifest_id", "event_witnesses_json", "actor"])
async def test_41_private_columns_of_commits_are_400(api, column):
    await a_table(api)
    answer = await api.post("/query", json={"sql": f"SELECT {column} FROM system.catalog.commits"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "relation",
    ["system.search.token_postings", "search.token_postings", "system.orchestration.idempotency_keys"],
)
async def test_42_relations_that_are_not_exposed_are_400(api, relation):
    await a_table(api)
    answer = await api.post("/query", json={"sql": f"SELECT * FROM {relation}"})
    assert problem(answer)[:2] == (400, "BAD_REQUEST")


async def test_43_catalog_sql_works_when_no_lineage_was_ever_recorded(api):
    await a_table(api)
    assert await rows(api, "SELECT count(*) AS n FROM catalog.tables") == [{"n": 1}]
    for relation in ("system.lineage.edges", "lineage.lineage_edges"):
        assert await rows(api, f"SELECT count(*) AS n FROM {relation}") == [{"n": 0}]


async def test_every_relation_of_section_7_1_has_the_columns_of_its_file(api):
    await a_table(api)
    await api.post("/lineage/edges", json={"edges": [{"source_id": "a", "target_id": "b"}]})
    wanted = {
        "catalogs": "id name description created_at updated_at properties_json storage_root",
        "namespaces": "id catalog_id name description created_at updated_at properties_json storage_root",
        "tables": "id namespace_id name description location format created_at updated_at table_type properties_json",
        "columns": "id table_id name data_type is_nullable ordinal description",
    }
    for name, columns in wanted.items():
        for relation in (f"catalog.{name}", f"system.catalog.{name}", f"SYSTEM.Catalog.{name.upper()}"):
            answer = await api.post("/query", json={"sql": f"SELECT * FROM {relation}"})
            assert answer.status_code == 200, answer.text
            assert pa.ipc.open_stream(answer.content).schema.names == columns.split()
    for relation in ("lineage.lineage_edges", "system.lineage.edges"):
        answer = await api.post("/query", json={"sql": f"SELECT * FROM {relation}"})
        schema = pa.ipc.open_stream(answer.content).schema
        assert schema.names == ["id", "source_id", "target_id", "edge_type", "run_id", "created_at"]


async def test_45_an_edge_posted_twice_is_added_twice_and_stored_once_with_its_first_time(api):
    body = {"edges": [{"source_id": "src", "target_id": "tgt"}]}
    for _ in range(2):
        answer = await api.post("/lineage/edges", json=body)
        assert (answer.status_code, answer.json()) == (201, {"added": 1})
    upstream = (await api.get("/lineage/tgt")).json()["upstream"]
    assert [(one["id"], one["edge_type"]) for one in upstream] == [(VECTOR, "derives_from")]
    assert await rows(api, "SELECT count(*) AS n FROM system.lineage.edges") == [{"n": 1}]


async def test_45_duplicates_inside_a_batch_collapse_and_runs_are_rows_of_their_own(api):
    edge = {"source_id": "dup-src", "target_id": "dup-tgt"}
    batch = [edge, edge, {**edge, "run_id": "run-dup"}, {**edge, "run_id": "other"}, {**edge, "run_id": "run-dup"}]
    assert (await api.post("/lineage/edges", json={"edges": batch})).json() == {"added": 3}
    answer = (await api.get("/lineage/dup-src")).json()
    assert answer["upstream"] == []
    found = {one.get("run_id"): one["id"] for one in answer["downstream"]}
    assert set(found) == {None, "run-dup", "other"}
    assert found["run-dup"] == VECTOR_WITH_RUN


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([], "edges must not be empty"),
        ([{"source_id": "a", "target_id": str(n)} for n in range(1_001)], "edge count 1001 exceeds max 1000"),
        ([{"source_id": "  ", "target_id": "b"}], "edges[0].source_id must not be empty"),
        ([{"source_id": "a", "target_id": "b", "edge_type": "t" * 65}], "edges[0].edge_type exceeds max length"),
        ([{"source_id": "a\0", "target_id": "b"}], "edges[0].source_id must not contain control characters"),
        ([{"source_id": "a", "target_id": "b\0c"}], "edges[0].target_id must not contain control characters"),
        ([{"source_id": "a", "target_id": "b", "run_id": "\0"}], "edges[0].run_id must not contain control characters"),
    ],
)
async def test_46_edges_against_the_rules_are_400_and_nothing_is_recorded(world, api, edges, message):
    status, code, told = problem(await api.post("/lineage/edges", json={"edges": edges}))
    assert (status, code) == (400, "BAD_REQUEST")
    assert told.startswith(message)
    assert not [operation for operation in world.store.operations if operation.sent_bytes]


async def test_lineage_has_one_hop_an_empty_answer_for_the_unknown_and_no_get_of_edges(api):
    edges = [{"source_id": one, "target_id": two} for one, two in (("a", "b"), ("b", "c"), ("c", "a"), ("a", "a"))]
    await api.post("/lineage/edges", json={"edges": edges})
    near = (await api.get("/lineage/b")).json()
    assert set(near) == {"table_id", "upstream", "downstream"}
    assert [one["source_id"] for one in near["upstream"]] == ["a"]
    assert [one["target_id"] for one in near["downstream"]] == ["c"]
    unknown = await api.get("/lineage/nobody")
    assert unknown.json() == {"table_id": "nobody", "upstream": [], "downstream": []}
    far = (await api.get("/lineage/b?depth=all")).json()
    assert {(one["source_id"], one["target_id"]) for one in far["edges"]} == {("a", "b"), ("b", "c"), *SELF}
    assert far["truncated"] is False
    assert (await api.get("/lineage/edges")).status_code == 405


SELF = {("c", "a"), ("a", "a")}


async def test_lineage_and_catalog_commits_move_one_head(api):
    await api.post("/catalogs", json={"name": "a"})
    await api.post("/lineage/edges", json={"edges": [{"source_id": "a", "target_id": "b"}]})
    assert (await api.get("/catalog/inventory")).json()["catalog_snapshot_version"] == 2
    history = (await api.get("/history")).json()["history"]
    assert [one["snapshot_version"] for one in history] == [2, 1]
