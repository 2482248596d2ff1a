"""Abuse cases A-25 to A-27: nothing but queries, over nothing but registered relations, touching no file."""

import sys

import pytest
from tests.unit.query.worlds import AFolder, ASnapshot, World, some_tables

from arco.core.errors import InvalidInput, NotFound
from arco.query.statement import NOT_A_QUERY

FILE_READERS = [
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM '{root}/secret.parquet'",
    'SELECT * FROM "{root}/secret.parquet"',
    "SELECT * FROM '{root}'",
    "SELECT * FROM 'file://{root}/secret.parquet'",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "SELECT * FROM 'http://169.254.169.254/latest/meta-data'",
    "SELECT * FROM read_csv('{root}/secret.csv')",
    "SELECT * FROM read_parquet('{root}/secret.parquet')",
    "SELECT * FROM parquet_scan('{root}/secret.parquet')",
    "SELECT * FROM parquet_metadata('{root}/secret.parquet')",
    "SELECT * FROM glob('{root}/*')",
    "SELECT * FROM read_text('{root}/secret.csv')",
    "SELECT * FROM sniff_csv('{root}/secret.csv')",
    "SELECT * FROM generate_series(1, 10)",
    "SELECT * FROM range(10)",
    "SELECT read_text('{root}/secret.csv')",
    "SELECT input_file_name()",
    "SELECT version()",
    "WITH x AS (SELECT * FROM '{root}/secret.csv') SELECT * FROM x",
    "SELECT (SELECT count(*) FROM '{root}/secret.csv')",
]

WRITERS = [
    "COPY (SELECT 1) TO '{root}/out.csv'",
    "COPY catalog.tables TO '{root}/out.parquet' STORED AS PARQUET",
    "EXPORT DATABASE '{root}/out'",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMPORARY TABLE x (a INT)",
    "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{root}/secret.csv'",
    "CREATE VIEW v AS SELECT 1",
    "CREATE OR REPLACE VIEW v AS SELECT 1",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE FUNCTION f(DOUBLE) RETURNS DOUBLE RETURN $1",
    "INSERT INTO catalog.tables VALUES (1)",
    "UPDATE catalog.tables SET name = 'x'",
    "DELETE FROM catalog.tables",
    "MERGE INTO catalog.tables t USING catalog.columns c ON t.id = c.id WHEN MATCHED THEN DELETE",
    "TRUNCATE TABLE catalog.tables",
    "DROP TABLE catalog.tables",
    "DROP VIEW catalog.tables",
    "ALTER TABLE catalog.tables ADD COLUMN x INT",
    "SET datafusion.execution.batch_size = 1",
    "RESET datafusion.execution.batch_size",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "ATTACH 'x' AS y",
    "INSTALL httpfs",
    "LOAD httpfs",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "CALL f()",
    "PRAGMA x",
    "USE catalog",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT * FROM catalog.tables",
    "EXPLAIN COPY (SELECT 1) TO '{root}/out.csv'",
    "EXPLAIN INSERT INTO catalog.tables VALUES (1)",
    "EXPLAIN ANALYZE INSERT INTO catalog.tables VALUES (1)",
    "DESCRIBE catalog.tables",
    "SHOW TABLES",
    "SHOW ALL",
    "SHOW COLUMNS FROM catalog.tables",
    "WITH x AS (INSERT INTO catalog.tables VALUES (1)) SELECT 1",
    "WITH x AS (DELETE FROM catalog.tables) SELECT 1",
    "WITH x AS (SELECT 1) INSERT INTO catalog.tables SELECT * FROM x",
    "SELECT * INTO stolen FROM catalog.tables",
    "SELECT 1 AS a INTO stolen",
    "FROM catalog.tables INSERT SELECT *",
    "/* SELECT */ DROP TABLE catalog.tables",
    "-- SELECT\nDROP TABLE catalog.tables",
    "\u00a0DROP TABLE catalog.tables",
    "\uff24\uff32\uff2f\uff30 TABLE catalog.tables",
]

SEVERAL = [
    "SELECT 1; COPY (SELECT 1) TO '{root}/out.csv'",
    "SELECT 1; SELECT 2",
    "SELECT 1 /* ; */ ; DROP TABLE catalog.tables",
    "DROP TABLE a; DROP TABLE b",
]

NOT_OURS = [
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.df_settings",
    "SELECT * FROM system.information_schema.tables",
    "SELECT * FROM datafusion.public.tables",
    "SELECT * FROM datafusion.catalog.tables",
    "SELECT * FROM other.catalog.tables",
    "SELECT * FROM tables",
    "SELECT * FROM search.token_postings",
    "SELECT * FROM system.search.token_postings",
    "SELECT * FROM system.orchestration.idempotency_keys",
    "SELECT * FROM system.catalog.idempotency_keys",
    "SELECT * FROM system.catalog.outcomes",
    'SELECT * FROM "system.catalog.tables"',
    'SELECT * FROM "tenant=other/workspace=main"."catalog"."tables"',
    "SELECT * FROM catalog.tables t WHERE EXISTS (SELECT 1 FROM other.catalog.tables o WHERE o.id = t.id)",
]


@pytest.fixture
def world(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "secret.csv").write_text("a,b\n1,2\n")
    (root / "secret.parquet").write_bytes(b"PAR1")
    return World(ASnapshot(7, {"tables": some_tables()}), files=AFolder(root))


@pytest.fixture
def opened():
    """Paths that Python opened; what the engine opens itself shows as files that appear or rows that come back."""
    paths: list[str] = []
    listening = [True]

    def hook(event, arguments):
        if listening[0] and event == "open":
            paths.append(str(arguments[0]))

    sys.addaudithook(hook)
    yield paths
    listening[0] = False


async def _refused(world: World, sql: str, opened: list[str], *, missing: bool = False) -> str:
    root = world.files.root
    text = sql.replace("{root}", str(root))
    before = sorted(path.name for path in root.iterdir())
    messages = []
    for ask in (world.ask, world.ask_data):
        with pytest.raises((InvalidInput, NotFound) if missing else InvalidInput) as caught:
            await ask(text)
        messages.append(caught.value.message)
    assert sorted(path.name for path in root.iterdir()) == before
    assert not [path for path in opened if str(root) in path or "passwd" in path]
    assert world.files.touched == []
    return messages[0]


@pytest.mark.parametrize("sql", FILE_READERS)
async def test_a25_a_query_that_names_a_file_or_a_reading_function_is_refused(world, opened, sql):
    await _refused(world, sql, opened)


@pytest.mark.parametrize("sql", WRITERS)
async def test_a26_a_statement_that_is_not_a_query_is_refused(world, opened, sql):
    message = await _refused(world, sql, opened)
    assert message == NOT_A_QUERY or message.startswith("failed to parse SQL: ")


@pytest.mark.parametrize("sql", SEVERAL)
async def test_a26_several_statements_are_refused(world, opened, sql):
    assert await _refused(world, sql, opened) == "only single-statement queries are supported"


@pytest.mark.parametrize("sql", NOT_OURS)
async def test_a27_relations_that_are_not_documented_do_not_exist(world, opened, sql):
    message = await _refused(world, sql, opened, missing=True)
    assert message.startswith("unknown relation: ") or "not found" in message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 1000000000)",
        "SELECT lpad('x', 1000000000, 'y')",
        "SELECT array_resize([1], 1000000000)",
        "SELECT generate_series(1, 1000000000000)",
    ],
)
async def test_a29_functions_that_allocate_what_an_argument_says_are_withheld(world, sql):
    with pytest.raises(InvalidInput, match="Invalid function"):
        await world.ask(sql)


async def test_a27_no_refusal_tells_the_name_of_the_unsaid_catalog(world):
    for sql in ("SELECT nope FROM catalog.tables", "SELECT t.nope FROM catalog.tables t", "SELECT * FROM nope"):
        with pytest.raises(InvalidInput) as caught:
            await world.ask(sql)
        assert "\x1f" not in caught.value.message
