"""`QueryService.query_data`: registered Parquet files and folders, Delta tables, and everything that is refused."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.query.worlds import SCOPE, AFolder, ASnapshot, ATable, World

from arco.core import limits
from arco.core.errors import InvalidInput, NotFound
from arco.query import data
from arco.query.data import scoped_key


@pytest.fixture(params=["local", "remote"])
def world(request, tmp_path):
    """Files in place on this machine, or only readable as bytes: the answers are the same."""
    (tmp_path / "scope").mkdir()
    return World(ASnapshot(5), files=AFolder(tmp_path / "scope", remote=request.param == "remote"))


def _parquet(world: World, key: str, **columns: list) -> Path:
    path = world.files.root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def _registered(world: World, location: str | None, table_format: str | None = "parquet", name: str = "c.s.t") -> None:
    world.registered[name] = ATable(table_format, location)


async def _refusal(world: World, sql: str = "SELECT * FROM c.s.t", kind: type[Exception] = InvalidInput) -> str:
    with pytest.raises(kind) as caught:
        await world.ask_data(sql)
    return str(caught.value)


async def test_one_parquet_file_is_read(world):
    _parquet(world, "warehouse/t.parquet", id=[1, 2, 3], name=["a", "b", "c"])
    _registered(world, "warehouse/t.parquet")
    result = await world.query_data("SELECT count(*) AS n, max(name) AS m FROM c.s.t WHERE id > 1")
    assert result.table.to_pylist() == [{"n": 2, "m": "c"}]
    assert result.manifest_id == f"{5:020d}"


async def test_a_folder_is_read_with_its_sub_folders_and_without_other_tools_files(world):
    _parquet(world, "w/t/a.parquet", id=[1])
    _parquet(world, "w/t/deep/er/b.parquet", id=[2])
    _parquet(world, "w/t/_tmp/c.parquet", id=[99])
    _parquet(world, "w/t/.d.parquet", id=[99])
    _parquet(world, "w/t_other/e.parquet", id=[99])
    (world.files.root / "w/t/_SUCCESS").write_bytes(b"")
    (world.files.root / "w/t/notes.txt").write_bytes(b"hello")
    _registered(world, "w/t/")
    assert await world.ask_data("SELECT id FROM c.s.t ORDER BY id") == [{"id": 1}, {"id": 2}]


async def test_key_value_folders_below_the_table_are_columns_and_those_above_are_not(world):
    _parquet(world, "w/x=9/t/year=2025/region=north/a.parquet", id=[1])
    _parquet(world, "w/x=9/t/year=2026/region=south/b.parquet", id=[2])
    _registered(world, "w/x=9/t")
    assert await world.ask_data("SELECT * FROM c.s.t WHERE year = 2026") == [{"id": 2, "year": 2026, "region": "south"}]


async def test_files_of_a_folder_may_differ_in_columns_and_widths(world):
    _parquet(world, "w/t/a.parquet", id=pa.array([1], pa.int32()))
    _parquet(world, "w/t/b.parquet", id=pa.array([2**40], pa.int64()), extra=["x"])
    _registered(world, "w/t")
    found = await world.ask_data("SELECT id, extra FROM c.s.t ORDER BY id")
    assert found == [{"id": 1, "extra": None}, {"id": 2**40, "extra": "x"}]


async def test_a_folder_may_be_named_like_a_file(world):
    _parquet(world, "w/t.parquet/part-0.parquet", id=[4])
    _registered(world, "w/t.parquet")
    assert await world.ask_data("SELECT id FROM c.s.t") == [{"id": 4}]


async def test_names_that_look_like_patterns_are_names(world):
    _parquet(world, "w/[a]*?.parquet", id=[1])
    _parquet(world, "w/a.parquet", id=[99])
    _registered(world, "w/[a]*?.parquet")
    assert await world.ask_data("SELECT id FROM c.s.t") == [{"id": 1}]


async def test_several_tables_join_and_mixed_case_names_need_quotes(world):
    _parquet(world, "w/o.parquet", id=[1, 2], customer=[7, 8])
    _parquet(world, "w/c.parquet", id=[7, 8], Name=["ann", "bob"])
    _registered(world, "w/o.parquet", name="Shop.sales.Orders")
    _registered(world, "w/c.parquet", name="Shop.sales.customers")
    sql = (
        'SELECT o.id, c."Name" AS who FROM "Shop".sales."Orders" o '
        'JOIN "Shop".sales.customers c ON o.customer = c.id ORDER BY 1'
    )
    assert await world.ask_data(sql) == [{"id": 1, "who": "ann"}, {"id": 2, "who": "bob"}]
    assert await _refusal(world, "SELECT * FROM Shop.sales.Orders", NotFound) == "table not found: shop.sales.orders"


async def test_cte_names_need_not_be_qualified(world):
    _parquet(world, "w/t.parquet", id=[1])
    _registered(world, "w/t.parquet")
    assert await world.ask_data("WITH t AS (SELECT * FROM c.s.t) SELECT * FROM t") == [{"id": 1}]


@pytest.mark.parametrize(("name", "got"), [("t", "t"), ("s.t", "s.t"), ("Orders", "orders"), ('"a.b.c"', "a.b.c")])
async def test_names_of_fewer_parts_are_refused(world, name, got):
    expected = f"table references must be fully qualified as <catalog>.<schema>.<table>; got {got}"
    assert await _refusal(world, f"SELECT * FROM {name}") == expected


async def test_at_most_25_tables_are_read_at_once(world):
    _parquet(world, "w/t.parquet", id=[1])
    for index in range(26):
        _registered(world, "w/t.parquet", name=f"c.s.t{index}")
    union = " UNION ALL ".join(f"SELECT id FROM c.s.t{index}" for index in range(25))
    assert len(await world.ask_data(union)) == 25
    assert "limit of 25" in await _refusal(world, union + " UNION ALL SELECT id FROM c.s.t25")


@pytest.mark.parametrize(("table_format", "shown"), [("iceberg", '"iceberg"'), (None, "null"), ("orc", '"orc"')])
async def test_other_formats_are_refused(world, table_format, shown):
    _registered(world, "w/t.parquet", table_format)
    expected = f"query-data currently supports only parquet and delta tables; got c.s.t ({shown})"
    assert await _refusal(world) == expected


@pytest.mark.parametrize("location", [None, "", "  "])
async def test_a_table_without_a_location_is_refused(world, location):
    _registered(world, location)
    assert await _refusal(world) == "table has no location: c.s.t"


async def test_an_unknown_table_and_an_empty_workspace_are_not_found(world):
    assert await _refusal(world, kind=NotFound) == "table not found: c.s.t"
    assert await _refusal(World(), kind=NotFound) == "table not found: c.s.t"


@pytest.mark.parametrize("location", ["w/gone.parquet", "w/gone"])
async def test_a_missing_file_or_folder_is_not_found(world, location):
    _registered(world, location)
    assert await _refusal(world, kind=NotFound) == f"table location not found: {location}"


async def test_a_folder_without_parquet_is_refused(world):
    (world.files.root / "w").mkdir()
    (world.files.root / "w/a.csv").write_text("1")
    _registered(world, "w")
    assert await _refusal(world) == "table location holds no .parquet file: w"


@pytest.mark.parametrize(
    "location",
    [
        "gs://b/t.parquet",
        "s3://b/t.parquet",
        "abfss://c@a/t.parquet",
        "https://x/t.parquet",
        "file:///etc/passwd",
        "file://h/x",
    ],
)
async def test_uris_are_refused_and_nothing_is_touched(world, location):
    _registered(world, location)
    assert await _refusal(world) == "query-data currently supports only scoped paths (not URI locations)"
    assert world.files.touched == []


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../x.parquet",
        "w/../../x.parquet",
        "w\\x.parquet",
        "w/%2e%2e/x.parquet",
        "w//x.parquet",
        "w/.x/y.parquet",
    ],
)
async def test_paths_that_lead_elsewhere_are_refused_and_nothing_is_touched(world, location):
    _registered(world, location)
    assert (await _refusal(world)).startswith("table location is not a scoped path: ")
    assert world.files.touched == []


@pytest.mark.parametrize("folder", sorted(data.CONTROL_FOLDERS))
async def test_the_control_planes_own_folders_are_no_tables(world, folder):
    _registered(world, f"tenant=acme/workspace=main/{folder}/x.parquet")
    assert "control plane" in await _refusal(world)
    assert world.files.touched == []


async def test_the_own_scope_prefix_is_stripped_and_another_one_refused(world):
    _parquet(world, "w/t.parquet", id=[1])
    _registered(world, "tenant=acme/workspace=main/w/t.parquet")
    assert await world.ask_data("SELECT id FROM c.s.t") == [{"id": 1}]
    for other in ("tenant=acme/workspace=other/w/t.parquet", "tenant=other/workspace=main/w/t.parquet"):
        _registered(world, other)
        assert await _refusal(world) == "scoped location must match the request tenant/workspace"


def test_a_file_uri_below_the_scopes_folder_is_a_scoped_path():
    root = "/srv/arco/tenant=acme/workspace=main"
    assert scoped_key(f"file://{root}/w/t.parquet", SCOPE, root) == "w/t.parquet"
    assert scoped_key(f"file://localhost{root}/w/a%20b/", SCOPE, root) == "w/a b"
    for uri in (
        f"file://{root}",
        f"file://{root}/../other/t",
        f"file://{root}x/t",
        f"file://host{root}/t",
        f"FILE://{root}/%2e%2e/t",
    ):
        with pytest.raises(InvalidInput, match="not URI locations"):
            scoped_key(uri, SCOPE, root)
    with pytest.raises(InvalidInput, match="not URI locations"):
        scoped_key(f"file://{root}/w/t.parquet", SCOPE, None)


async def test_a_file_over_its_limit_and_files_over_theirs_together_are_refused(world, monkeypatch):
    size = _parquet(world, "w/a.parquet", id=[1]).stat().st_size
    _parquet(world, "w/b.parquet", id=[2])
    _registered(world, "w")
    monkeypatch.setattr(data, "SQL_DATA_FILE_BYTES_MAX", size - 1)
    assert (await _refusal(world)).startswith(f"data file exceeds max size ({size - 1} bytes): w/a.parquet")
    monkeypatch.setattr(data, "SQL_DATA_FILE_BYTES_MAX", size)
    monkeypatch.setattr(data, "SQL_DATA_TOTAL_BYTES_MAX", 2 * size - 1)
    assert await _refusal(world) == f"data files of one query exceed max total size ({2 * size - 1} bytes)"
    assert limits.SQL_DATA_FILE_BYTES_MAX == 64 * 1024 * 1024


async def test_a_damaged_file_is_told_without_its_path(world):
    _parquet(world, "w/t.parquet", id=[1]).write_bytes(b"PAR1 not really")
    _registered(world, "w/t.parquet")
    message = await _refusal(world)
    assert "may be damaged" in message
    assert str(world.files.root) not in message


async def test_as_of_is_not_for_data(world):
    assert "POST /query" in await _refusal(world, "SELECT 1 AS OF 1")


async def test_the_systems_own_relations_are_not_in_reach(world):
    assert (
        await _refusal(world, "SELECT * FROM system.catalog.tables", NotFound)
        == "table not found: system.catalog.tables"
    )


# --- Delta ---


def _delta(world: World, key: str, table: pa.Table, **options) -> str:
    from deltalake import write_deltalake

    path = str(world.files.root / key)
    write_deltalake(path, table, **options)
    return path


async def test_a_delta_table_is_read_at_its_latest_version(world):
    path = _delta(world, "w/d", pa.table({"id": [1, 2, 3]}))
    _delta(world, "w/d", pa.table({"id": [4]}), mode="append")
    _registered(world, "w/d", "delta")
    assert await world.ask_data("SELECT sum(id) AS s FROM c.s.t") == [{"s": 10}]

    from deltalake import DeltaTable

    DeltaTable(path).delete("id < 4")
    assert await world.ask_data("SELECT id FROM c.s.t") == [{"id": 4}]


async def test_partitions_of_a_delta_table_are_columns_whatever_their_text(world):
    rows = pa.table({"p": ["plain", "a b", None], "id": [1, 2, 3]})
    _delta(world, "w/d", rows, partition_by=["p"])
    _registered(world, "w/d/", "delta")
    assert await world.ask_data("SELECT id FROM c.s.t WHERE p = 'a b' OR p IS NULL ORDER BY id") == [
        {"id": 2},
        {"id": 3},
    ]


async def test_a_delta_table_registered_as_parquet_is_refused_for_it_would_show_deleted_rows(world):
    _delta(world, "w/d", pa.table({"id": [1]}))
    _registered(world, "w/d", "parquet")
    assert "holds a Delta table" in await _refusal(world)


async def test_a_location_without_a_delta_log_is_not_found(world):
    _parquet(world, "w/d/a.parquet", id=[1])
    _registered(world, "w/d", "delta")
    assert await _refusal(world, kind=NotFound) == "table location not found: w/d"


async def test_a_damaged_delta_log_is_told_without_its_path(world):
    path = _delta(world, "w/d", pa.table({"id": [1]}))
    (Path(path) / "_delta_log/00000000000000000000.json").write_text("{}")
    _registered(world, "w/d", "delta")
    message = await _refusal(world)
    assert "cannot be read as Delta" in message
    assert str(world.files.root) not in message


@pytest.mark.parametrize(
    "escape",
    ["../../secret.parquet", "file:///{root}/secret.parquet", "{root}/secret.parquet", "..%2F..%2Fsecret.parquet"],
)
async def test_a_delta_log_that_names_files_elsewhere_reads_none_of_them(world, escape):
    _parquet(world, "secret.parquet", id=[99])
    path = _delta(world, "w/d", pa.table({"id": [1]}))
    log = Path(path) / "_delta_log/00000000000000000000.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "add" in action:
            action["add"]["path"] = escape.replace("{root}", str(world.files.root))
    log.write_text("\n".join(json.dumps(action) for action in actions))
    _registered(world, "w/d", "delta")
    with pytest.raises((InvalidInput, NotFound)):
        await world.ask_data("SELECT * FROM c.s.t")


async def test_limits_count_only_the_live_files_of_a_delta_table(world, monkeypatch):
    _delta(world, "w/d", pa.table({"id": list(range(5_000))}))
    _delta(world, "w/d", pa.table({"id": [1]}), mode="overwrite")
    _registered(world, "w/d", "delta")
    monkeypatch.setattr(data, "SQL_DATA_FILE_BYTES_MAX", 8_000)
    assert await world.ask_data("SELECT id FROM c.s.t") == [{"id": 1}]
    monkeypatch.setattr(data, "SQL_DATA_FILE_BYTES_MAX", 100)
    assert "data file exceeds" in await _refusal(world)


async def test_copies_of_remote_files_are_gone_when_the_query_is(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "spool"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "spool").mkdir()
    (tmp_path / "scope").mkdir()
    world = World(ASnapshot(1), files=AFolder(tmp_path / "scope", remote=True))
    _parquet(world, "w/t.parquet", id=[1])
    _registered(world, "w/t.parquet")
    assert await world.ask_data("SELECT id FROM c.s.t") == [{"id": 1}]
    assert list((tmp_path / "spool").iterdir()) == []
