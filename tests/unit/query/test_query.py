"""`QueryService.query`: relations, time travel, limits."""

import asyncio

import pytest
from tests.unit.query.worlds import ASnapshot, World, some_tables

from arco.core.errors import InvalidInput, NotFound
from arco.core.scope import Scope
from arco.query.wire import QueryLimits


@pytest.fixture
def world():
    return World(ASnapshot(1, {"tables": some_tables(1)}), ASnapshot(2, {"tables": some_tables(3)}))


@pytest.mark.parametrize(
    "name",
    [
        "catalog.tables",
        "system.catalog.tables",
        "CATALOG.Tables",
        '"Catalog"."TABLES"',
        "SYSTEM.catalog.tables",
    ],
)
async def test_two_part_and_three_part_names_resolve_whatever_their_case(world, name):
    assert await world.ask(f"SELECT count(*) AS n FROM {name}") == [{"n": 3}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM catalog.tables ORDER BY name",
        "WITH t AS (SELECT * FROM catalog.tables) SELECT name FROM t ORDER BY name",
        "WITH tables AS (SELECT * FROM catalog.tables) SELECT name FROM tables ORDER BY 1",
        "SELECT a.name FROM catalog.tables a JOIN system.catalog.tables b ON a.id = b.id ORDER BY 1",
        "SELECT name FROM catalog.tables UNION SELECT name FROM catalog.catalogs ORDER BY 1",
        "SELECT name FROM catalog.tables EXCEPT SELECT name FROM catalog.catalogs ORDER BY 1",
        "SELECT name FROM catalog.tables WHERE id IN (SELECT id FROM system.catalog.tables) ORDER BY 1",
        "SELECT name FROM catalog.tables t WHERE EXISTS (SELECT 1 FROM catalog.tables u WHERE u.id = t.id) ORDER BY 1",
        "SELECT name FROM (SELECT name, row_number() OVER (ORDER BY name) AS r FROM catalog.tables) ORDER BY r",
        "SELECT DISTINCT ON (name) name FROM catalog.tables ORDER BY name",
        "SELECT unnest(array_agg(name ORDER BY name)) AS name FROM catalog.tables",
        "SELECT name FROM catalog.tables GROUP BY ROLLUP (name) HAVING name IS NOT NULL ORDER BY 1",
        "FROM catalog.tables SELECT name ORDER BY name",
        "SELECT name FROM catalog.tables WHERE name <> 'a\nTableScan: b' ORDER BY name",
        "(SELECT name FROM catalog.tables ORDER BY name) -- done",
    ],
)
async def test_every_form_of_query_is_answered(world, sql):
    assert [row["name"] for row in await world.ask(sql)] == ["t0", "t1", "t2"]


async def test_values_need_no_relation_and_no_workspace():
    assert await World().ask("VALUES (1), (2)") == [{"column1": 1}, {"column1": 2}]


async def test_only_relations_that_are_named_are_loaded_and_each_version_once(world):
    head = world.reader.snapshots[-1]
    await world.ask("SELECT * FROM catalog.tables a JOIN system.catalog.tables b ON a.id = b.id")
    await world.ask("SELECT count(*) FROM catalog.tables")
    assert head.loaded == ["tables"]


async def test_a_change_of_one_table_reloads_that_table_only(world):
    both = "SELECT * FROM catalog.tables, catalog.catalogs"
    first = world.reader.snapshots[-1]
    await world.ask(both)
    changed = ASnapshot(3, {"tables": some_tables(4)})
    world.reader.snapshots += (changed,)
    await world.ask(both)
    assert first.loaded == ["catalogs", "tables"]
    assert changed.loaded == ["tables"]


async def test_workspaces_do_not_share_rows_even_when_versions_look_alike(world):
    head = world.reader.snapshots[-1]
    await world.ask("SELECT * FROM catalog.tables")
    await world.query("SELECT * FROM catalog.tables", scope=Scope("acme", "other"))
    assert head.loaded == ["tables", "tables"]


async def test_no_snapshot_and_a_known_relation_is_not_found():
    with pytest.raises(NotFound, match="No snapshot tables available for query"):
        await World().ask("SELECT * FROM catalog.tables")


async def test_empty_relations_answer_with_their_columns():
    result = await World(ASnapshot(1)).query("SELECT * FROM lineage.lineage_edges")
    assert result.table.schema.names == ["id", "source_id", "target_id"]
    assert result.rows == 0


@pytest.mark.parametrize(
    ("as_of", "rows"), [(1, 1), ("1", 1), (2, 3), ("0" * 19 + "1", 1), ("2026-01-01T00:00:01.500Z", 1)]
)
async def test_as_of_reads_an_older_snapshot(world, as_of, rows):
    result = await world.query("SELECT * FROM catalog.tables", as_of=as_of)
    assert (result.rows, result.manifest_id) == (rows, f"{1 if rows == 1 else 2:020d}")


async def test_as_of_may_stand_at_the_end_of_the_statement(world):
    assert len(await world.ask("SELECT * FROM catalog.tables AS OF 1")) == 1
    assert len(await world.ask("SELECT * FROM catalog.tables AS OF '2026-01-01T01:00:01+01:00';")) == 1


@pytest.mark.parametrize(
    ("as_of", "kind", "words"),
    [
        (9, NotFound, "Manifest not found: 9"),
        ("2025-01-01T00:00:00Z", NotFound, "No manifest had been published at 2025-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00", InvalidInput, "RFC 3339"),
        ("yesterday", InvalidInput, "RFC 3339"),
        ("-1", InvalidInput, "RFC 3339"),
        ("1" * 21, InvalidInput, "at most 20 digits"),
    ],
)
async def test_an_as_of_that_names_nothing_is_refused_in_words(world, as_of, kind, words):
    with pytest.raises(kind, match=words):
        await world.ask("SELECT * FROM catalog.tables", as_of=as_of)


async def test_two_moments_in_one_request_are_refused(world):
    with pytest.raises(InvalidInput, match="both name a moment"):
        await world.ask("SELECT 1 AS OF 1", as_of=2)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "failed to parse SQL: Expected: an SQL statement, found: SELEC"),
        ("SELECT 'open", "failed to parse SQL: "),
        ("SELECT nope FROM catalog.tables", "Schema error: No field named nope"),
        ("SELECT sum(name) FROM catalog.tables", "Error during planning: "),
        ("SELECT * FROM catalog.nope", "unknown relation: catalog.nope"),
        ("SELECT * FROM a.b.c.d", "Error during planning: Unsupported compound identifier"),
        ("SELECT nope()", "Error during planning: Invalid function 'nope'"),
        ("SELECT 1 / 0", "Arrow error: Divide by zero error"),
        ("SELECT CAST(name AS INT) FROM catalog.tables", "Arrow error: Cast error"),
        ("SELECT $1", "Execution error: Placeholder"),
    ],
)
async def test_what_is_wrong_with_a_query_is_said_in_words(world, sql, words):
    with pytest.raises(InvalidInput) as caught:
        await world.ask(sql)
    assert caught.value.message.startswith(words)


async def test_more_rows_than_the_limit_are_cut_and_it_is_said():
    world = World(ASnapshot(1, {"tables": some_tables(20)}), limits=QueryLimits(rows_max=10))
    cut = await world.query("SELECT name FROM catalog.tables ORDER BY created_at DESC")
    assert (cut.rows, cut.truncated) == (10, True)
    assert cut.table["name"][0].as_py() == "t19"
    whole = await world.query("SELECT name FROM catalog.tables LIMIT 10")
    assert (whole.rows, whole.truncated) == (10, False)


async def test_ten_million_rows_are_cut_at_ten_thousand():
    world = World(ASnapshot(1, {"tables": some_tables(3_200)}))
    result = await world.query("SELECT a.id FROM catalog.tables a, catalog.tables b")
    assert (result.rows, result.truncated) == (10_000, True)


async def test_a_result_that_grows_beyond_its_bytes_is_given_up():
    world = World(ASnapshot(1, {"tables": some_tables(3_000)}), limits=QueryLimits(result_bytes_max=1_000))
    with pytest.raises(InvalidInput, match=r"query result exceeds max size"):
        await world.ask("SELECT * FROM catalog.tables")


async def test_a_query_that_needs_too_much_memory_fails_in_words():
    world = World(ASnapshot(1, {"tables": some_tables(20_000)}), limits=QueryLimits(memory_bytes=100_000))
    with pytest.raises(InvalidInput, match="query needs more memory"):
        await world.ask("SELECT name, count(*) FROM catalog.tables GROUP BY name ORDER BY 2, 1")


async def test_a_query_that_takes_too_long_is_given_up_and_the_next_one_is_answered():
    world = World(ASnapshot(1, {"tables": some_tables(20_000)}), limits=QueryLimits(timeout_s=0.3))
    joined = "catalog.tables a JOIN catalog.tables b ON a.format = b.format"
    slow = f"SELECT a.name, count(DISTINCT b.name) FROM {joined} GROUP BY 1"
    with pytest.raises(InvalidInput, match=r"^query timed out$"):
        await world.ask(slow)
    assert await world.ask("SELECT 1 AS x") == [{"x": 1}]


async def test_many_queries_at_once_are_all_answered(world):
    found = await asyncio.gather(*(world.ask(f"SELECT {n} AS n FROM catalog.tables LIMIT 1") for n in range(30)))
    assert [rows[0]["n"] for rows in found] == list(range(30))
