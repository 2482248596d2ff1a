"""The commands as a person or a program runs them, against a server that answers as the contract says."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.clients.fake_api import Reply, problem, running

import arco
from arco.cli.main import main

TIMES = {"created_at": "2026-01-01T00:00:00.123+00:00", "updated_at": "2026-01-02T03:04:05+00:00"}
FLIGHTS = {
    "id": "019b7700-2222-7abc-9def-0123456789ab",
    "catalog": "nyc",
    "schema": "raw",
    "name": "flights",
    "location": "warehouse/raw/flights/",
    "format": "parquet",
    "properties": {"rows": "336776"},
    "columns": [
        {"id": "c1", "name": "year", "data_type": "SMALLINT", "nullable": False, "position": 0},
        {"id": "c2", "name": "carrier", "data_type": "STRING", "nullable": True, "position": 1},
    ],
    **TIMES,
}
TABLES = "/api/v1/catalogs/nyc/schemas/raw/tables"


@pytest.fixture
def api(monkeypatch):
    with running() as server:
        monkeypatch.setenv("ARCO_URL", server.url)
        yield server


@pytest.fixture
def run(capsys):
    def run(*argv):
        code = main(argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def arrow(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def test_ls_shows_a_table_and_a_count(api, run):
    api.routes[f"GET {TABLES}"] = Reply(body={"tables": [FLIGHTS]})
    code, out, _ = run("catalog", "ls", "nyc.raw")
    assert code == 0
    assert out.splitlines() == [
        "name     format   location                updated (UTC)",
        "───────  ───────  ──────────────────────  ───────────────────",
        "flights  parquet  warehouse/raw/flights/  2026-01-02 03:04:05",
        "1 table",
    ]


def test_ls_with_json_is_one_document(api, run):
    api.routes[f"GET {TABLES}"] = Reply(body={"tables": [FLIGHTS]})
    code, out, err = run("catalog", "ls", "nyc.raw", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"tables": [FLIGHTS]}


def test_ls_of_an_empty_workspace_says_how_to_begin(api, run):
    api.routes["GET /api/v1/catalogs"] = problem(404, "NOT_FOUND", "object not found: manifests/root.manifest.json")
    code, out, _ = run("catalog", "ls")
    assert code == 0
    assert "arco catalog create NAME" in out


def test_ls_of_a_catalog_that_is_not_there_fails(api, run):
    api.routes["GET /api/v1/catalogs/nope/schemas"] = problem(404, "NOT_FOUND", "Catalog not found: nope")
    assert run("catalog", "ls", "nope") == (
        1,
        "",
        "error: Catalog not found: nope (request r-1)\nnext:  see what there is: arco catalog ls\n",
    )


def test_show_tells_everything_about_a_table(api, run):
    api.routes[f"GET {TABLES}/flights?include=columns"] = Reply(body=FLIGHTS)
    code, out, _ = run("catalog", "show", "nyc.raw.flights")
    assert code == 0
    assert out.splitlines() == [
        "nyc.raw.flights  table",
        "  id        019b7700-2222-7abc-9def-0123456789ab",
        "  format    parquet",
        "  location  warehouse/raw/flights/",
        "  created   2026-01-01 00:00:00 UTC",
        "  updated   2026-01-02 03:04:05 UTC",
        "  rows      336776",
        "",
        "#  column   type      null",
        "─  ───────  ────────  ────",
        "0  year     SMALLINT  no",
        "1  carrier  STRING    yes",
        "2 columns",
    ]


def test_create_says_what_to_do_next(api, run):
    api.routes["POST /api/v1/catalogs"] = Reply(201, {"id": "1", "name": "sales", **TIMES})
    code, out, _ = run("catalog", "create", "sales", "--description", "what we sold")
    assert (code, out) == (0, "created catalog sales\nnext: arco catalog create sales.SCHEMA\n")
    assert api.seen[0].body == {"name": "sales", "description": "what we sold"}
    assert api.seen[0].headers["idempotency-key"]


def test_creating_a_name_that_is_taken_fails_unless_that_is_fine(api, run):
    api.routes["POST /api/v1/catalogs"] = problem(409, "CONFLICT", "catalog already exists: sales")
    code, _, err = run("catalog", "create", "sales")
    assert code == 1
    assert err.startswith("error: catalog already exists: sales")
    api.routes["GET /api/v1/catalogs/sales"] = Reply(body={"id": "1", "name": "sales", **TIMES})
    code, out, _ = run("catalog", "create", "sales", "--if-not-exists", "--json")
    assert code == 0
    assert json.loads(out)["created"] is False


def test_register_reads_the_columns_of_local_files_and_creates_parents(api, run, tmp_path):
    file = tmp_path / "tenant=local" / "workspace=default" / "warehouse" / "orders.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table({"id": pa.array([1], pa.int64())}), file)
    api.routes["POST /api/v1/catalogs"] = Reply(201, {"id": "1", "name": "sales"})
    api.routes["POST /api/v1/catalogs/sales/schemas"] = Reply(201, {"id": "2", "name": "eu"})
    api.routes["POST /api/v1/catalogs/sales/schemas/eu/tables"] = Reply(201, {"id": "3", "name": "orders"})
    code, out, _ = run("catalog", "register", "sales.eu.orders", "--location", str(file), "--create-parents")
    assert code == 0
    assert out.splitlines() == [
        "created sales",
        "created sales.eu",
        "registered table sales.eu.orders: parquet, 1 column",
        "next: arco catalog show sales.eu.orders",
    ]
    assert api.seen[-1].body == {
        "name": "orders",
        "location": "tenant=local/workspace=default/warehouse/orders.parquet",
        "format": "parquet",
        "columns": [{"name": "id", "data_type": "BIGINT", "nullable": True}],
    }


def test_register_of_a_bucket_needs_format_and_columns(api, run):
    code, _, err = run("catalog", "register", "a.b.c", "--location", "gs://lake/c")
    assert code == 1
    assert "say --format and --columns" in err
    code, _, err = run("catalog", "register", "a.b.c", "--location", "gs://lake/c", "--format", "delta")
    assert "say --columns name:type" in err
    api.routes["POST /api/v1/catalogs/a/schemas/b/tables"] = Reply(201, {"id": "3", "name": "c"})
    code, _, _ = run(
        *("catalog", "register", "a.b.c", "--location", "gs://lake/c", "--format", "delta", "--columns", "id:BIGINT")
    )
    assert code == 0
    assert api.seen[-1].body["columns"] == [{"name": "id", "data_type": "BIGINT", "nullable": True}]


def test_register_of_a_file_that_is_no_table_says_so(api, run, tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no")
    code, _, err = run("catalog", "register", "a.b.c", "--location", str(tmp_path / "x.parquet"))
    assert code == 1
    assert "cannot be read as parquet" in err
    assert "next:  check --location and --format, or say --columns" in err


def test_rename_and_drop_change_the_named_object(api, run):
    api.routes[f"PATCH {TABLES}/flights"] = Reply(body={**FLIGHTS, "name": "departures"})
    api.routes[f"DELETE {TABLES}/departures"] = Reply(204)
    code, out, _ = run("catalog", "rename", "nyc.raw.flights", "departures")
    assert (code, out) == (0, "renamed table nyc.raw.flights to nyc.raw.departures\n")
    assert api.seen[-1].body == {"name": "departures"}
    code, out, _ = run("catalog", "drop", "nyc.raw.departures")
    assert (code, out) == (0, "dropped table nyc.raw.departures; its files were left where they are\n")


def test_what_is_not_empty_is_not_dropped_and_the_way_out_is_said(api, run):
    refusal = problem(400, "BAD_REQUEST", "namespace 'raw' contains tables, cannot delete")
    api.routes["DELETE /api/v1/catalogs/nyc/schemas/raw"] = refusal
    code, _, err = run("catalog", "drop", "nyc.raw")
    assert code == 1
    assert "next:  drop what is in it first: arco catalog ls nyc.raw" in err


def test_history_shows_who_did_what(api, run):
    entry = {
        "snapshot_version": 7,
        "commit_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "published_at": "2026-01-01T00:00:00+00:00",
        "operation": "table_registered",
        "object_name": "nyc.raw.flights",
        "manifest_id": "00000000000000000007",
        "actor": "api:local",
    }
    api.routes[f"GET {TABLES}/flights/history"] = Reply(body={"history": [entry]})
    code, out, _ = run("catalog", "history", "nyc.raw.flights")
    assert code == 0
    assert out.splitlines()[2:] == [
        "      7  2026-01-01 00:00:00  table_registered  nyc.raw.flights  api:local         7",
        "1 change",
    ]


def test_lineage_shows_trees_with_names(api, run):
    worst, daily = "019b7700-2222-7abc-9def-000000000001", "019b7700-2222-7abc-9def-000000000002"
    api.routes["GET /api/v1/catalogs/nyc/schemas/marts/tables/worst_days"] = Reply(body={"id": worst})
    edge = {"id": "e", "source_id": daily, "target_id": worst, "edge_type": "derives_from"}
    api.routes[f"GET /api/v1/lineage/{worst}"] = Reply(body={"table_id": worst, "upstream": [edge], "downstream": []})
    api.routes["POST /api/v1/query"] = Reply(body=[{"id": daily, "c": "nyc", "n": "marts", "t": "daily"}])
    code, out, _ = run("lineage", "nyc.marts.worst_days", "--depth", "3")
    assert code == 0
    assert out.splitlines() == [
        "nyc.marts.worst_days",
        "upstream:",
        "  └─ nyc.marts.daily  [derives_from]",
        "downstream:",
        "  (nothing)",
        "1 edge within 3 hops",
    ]
    assert api.seen[1].path.endswith("?depth=3&direction=both")


def test_lineage_of_a_table_that_an_asset_made_is_the_asset_s_too(api, run):
    worst = "019b7700-2222-7abc-9def-000000000001"
    table = {"id": worst, "properties": {"asset": "marts.worst_days"}}
    api.routes["GET /api/v1/catalogs/nyc/schemas/marts/tables/worst_days"] = Reply(body=table)
    by_hand = {"id": "a", "source_id": worst, "target_id": "a report", "edge_type": "derives_from"}
    made = {"id": "b", "source_id": "raw.days", "target_id": "marts.worst_days", "edge_type": "derives_from"}
    api.routes[f"GET /api/v1/lineage/{worst}"] = Reply(body={"upstream": [], "downstream": [by_hand]})
    api.routes["GET /api/v1/lineage/marts.worst_days"] = Reply(body={"upstream": [made], "downstream": []})
    code, out, _ = run("lineage", "nyc.marts.worst_days")
    assert code == 0
    assert out.splitlines() == [
        "nyc.marts.worst_days",
        "upstream:",
        "  └─ raw.days  [derives_from]",
        "downstream:",
        "  └─ a report  [derives_from]",
        "2 edges within 5 hops",
    ]


def test_lineage_of_a_column_goes_by_the_table_s_name_or_the_asset_s(api, run):
    table = {"id": "019b7700-2222-7abc-9def-000000000001", "properties": {"asset": "marts.days"}}
    api.routes["GET /api/v1/catalogs/nyc/schemas/marts/tables/days"] = Reply(body=table)
    edge = {"id": "a", "source_id": "raw.days.min", "target_id": "marts.days.min", "edge_type": "column_derives_from"}
    found = Reply(body={"upstream": [edge], "downstream": []})
    api.routes["GET /api/v1/lineage/marts.days.min"] = found
    api.routes[f"GET /api/v1/lineage/{table['id']}.min"] = Reply(body={"upstream": [], "downstream": []})
    lines = ["upstream:", "  └─ raw.days.min  [column_derives_from]"]
    assert run("lineage", "nyc.marts.days.min")[1].splitlines()[:3] == ["nyc.marts.days.min", *lines]
    api.routes["GET /api/v1/catalogs/marts/schemas/days/tables/min"] = problem(404, "NOT_FOUND", "Catalog not found")
    assert run("lineage", "marts.days.min")[1].splitlines()[:3] == ["marts.days.min", *lines]


def test_query_shows_every_column_even_when_it_is_all_null(api, run):
    rows = pa.table({"month": pa.array([7, 6], pa.int8()), "note": pa.array([None, None], pa.string())})
    api.routes["POST /api/v1/query-data"] = Reply(body=arrow(rows), headers={"x-arco-truncated": "true"})
    code, out, err = run("query", "--data", "SELECT 1")
    assert code == 0
    assert out.splitlines() == ["month  note", "─────  ────", "    7", "    6", "the first 2 rows; there are more"]
    assert "cut off at the server's limit" in err
    assert run("query", "--data", "SELECT 1", "--format", "csv")[1] == "month,note\n7,\n6,\n"


def test_query_passes_the_servers_json_on(api, run):
    api.routes["POST /api/v1/query"] = Reply(body=[{"n": 1}])
    code, out, err = run("query", "SELECT count(*) AS n FROM system.catalog.tables", "--as-of", "7", "--format", "json")
    assert (code, json.loads(out), err) == (0, [{"n": 1}], "")
    assert api.seen[0].body == {"sql": "SELECT count(*) AS n FROM system.catalog.tables", "as_of": "7"}
    assert api.seen[0].path.endswith("?format=json")


def test_query_shows_times_with_nanoseconds(api, run):
    rows = pa.table({"at": pa.array([1_767_225_600_000_000_001], pa.timestamp("ns"))})
    api.routes["POST /api/v1/query"] = Reply(body=arrow(rows))
    assert "2026-01-01 00:00:00" in run("query", "SELECT 1")[1]


def test_a_wrong_query_hints_at_the_other_kind_of_table(api, run):
    api.routes["POST /api/v1/query"] = problem(400, "BAD_REQUEST", "unknown relation nyc.raw.flights")
    code, _, err = run("query", "SELECT * FROM nyc.raw.flights")
    assert code == 1
    assert "to ask your own tables add --data" in err
    api.routes["POST /api/v1/query"] = problem(400, "BAD_REQUEST", "failed to parse SQL: expected an expression")
    assert "next:  correct the SQL" in run("query", "SELEC")[2]


def test_without_a_server_the_exit_code_is_3_and_the_advice_is_to_start_one(run):
    code, out, err = run("catalog", "ls", "--url", "http://127.0.0.1:1", "--json")
    assert code == 3
    assert "next:  start one with: arco serve" in err
    assert json.loads(out)["error"]["code"] == "UNREACHABLE"


def test_doctor_is_content_with_a_server_of_its_own_version(api, run, tmp_path):
    api.routes["GET /version"] = Reply(body={"packageVersion": arco.__version__})
    api.routes["GET /ready"] = Reply(body={"ready": True})
    code, out, _ = run("doctor", "--storage", str(tmp_path), "--json")
    assert code == 0
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert checks["server"]["status"] == "pass"
    api.routes["GET /version"] = Reply(body={"packageVersion": "0.0.1"})
    code, out, _ = run("doctor", "--storage", str(tmp_path), "--json")
    assert (code, "install the same version on both sides" in out) == (0, True)


@pytest.mark.parametrize(
    ("argv", "asked", "said", "advice"),
    [
        (["catalog", "show", "nyc.raw.fly"], f"GET {TABLES}/fly", "Table not found: nyc.raw.fly", "nyc.raw"),
        (["catalog", "show", "nyc.row"], "GET /api/v1/catalogs/nyc/schemas/row", "schema not found: row", "nyc"),
        (["catalog", "show", "x.y"], "GET /api/v1/catalogs/x/schemas/y", "Catalog not found: x", ""),
        (["catalog", "drop", "nyc.raw.fly"], f"DELETE {TABLES}/fly", "Table not found: nyc.raw.fly", "nyc.raw"),
        (["lineage", "nyc.raw.fly"], f"GET {TABLES}/fly", "Table not found: nyc.raw.fly", "nyc.raw"),
    ],
)
def test_what_is_missing_is_looked_for_where_it_would_be(api, run, argv, asked, said, advice):
    api.routes[asked] = problem(404, "NOT_FOUND", said)
    code, _, err = run(*argv)
    assert code == 1
    assert err.splitlines()[-1] == f"next:  see what there is: arco catalog ls {advice}".rstrip()


def test_a_missing_parent_is_created_first_and_a_taken_name_is_looked_at(api, run):
    schemas = "POST /api/v1/catalogs/nyc/schemas"
    api.routes[schemas] = problem(404, "NOT_FOUND", "Catalog not found: nyc")
    assert run("catalog", "create", "nyc.raw")[2].endswith("next:  create it first: arco catalog create nyc\n")
    api.routes[schemas] = problem(409, "CONFLICT", "schema already exists: raw")
    advice = "next:  see what is there: arco catalog show nyc.raw, or add --if-not-exists\n"
    assert run("catalog", "create", "nyc.raw")[2].endswith(advice)
