"""Texts before the engine sees them: form, size, `AS OF`."""

from itertools import pairwise

import pytest

from arco.core.errors import InvalidInput
from arco.query.mentions import mentions
from arco.query.statement import read_statement
from arco.query.tokens import tokenize


def _refusal(sql: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_statement(sql)
    return caught.value.message


@pytest.mark.parametrize("sql", ["", "   ", "\n\t "])
def test_an_empty_text_is_refused(sql):
    assert _refusal(sql) == "sql cannot be empty"


@pytest.mark.parametrize("sql", [";", "-- nothing", "/* nothing /* at */ all */ ;;"])
def test_a_text_without_a_statement_is_refused(sql):
    assert _refusal(sql) == "sql must contain a statement"


def test_the_length_limit_counts_bytes_and_is_inclusive():
    assert read_statement("SELECT '" + "x" * 9_991 + "'").query
    assert _refusal("SELECT '" + "x" * 9_992 + "'") == "sql exceeds max length (10000 bytes)"
    assert _refusal("SELECT '" + "é" * 5_000 + "'") == "sql exceeds max length (10000 bytes)"


def test_the_text_is_trimmed_before_it_is_measured():
    assert read_statement(" " * 20_000 + "SELECT 1").sql == "SELECT 1"


@pytest.mark.parametrize("char", ["\x00", "\x1f", "\x7f", "\x0b"])
def test_control_characters_are_refused(char):
    assert _refusal(f'SELECT * FROM "{char}"').startswith("sql must not contain control characters")


@pytest.mark.parametrize(
    ("sql", "rest", "as_of"),
    [
        ("SELECT * FROM catalog.tables AS OF 42", "SELECT * FROM catalog.tables", "42"),
        (
            "SELECT * FROM catalog.tables as of '2026-01-01T00:00:00Z' ;",
            "SELECT * FROM catalog.tables",
            "2026-01-01T00:00:00Z",
        ),
        ("SELECT 1 AS/* */OF -- x\n'7' -- y", "SELECT 1", "7"),
        ("SELECT 'AS OF 42'", "SELECT 'AS OF 42'", None),
        ("SELECT 1 -- AS OF 42", "SELECT 1 -- AS OF 42", None),
        ("SELECT 1 /* AS OF 42 */", "SELECT 1 /* AS OF 42 */", None),
        ("SELECT $$ AS OF 42 $$", "SELECT $$ AS OF 42 $$", None),
        ("SELECT 1 AS of", "SELECT 1 AS of", None),
        ('SELECT 1 AS "OF 42"', 'SELECT 1 AS "OF 42"', None),
        ("SELECT E'it\\'s' AS OF 42", "SELECT E'it\\'s'", "42"),
        ("SELECT 'it''s' AS OF 42", "SELECT 'it''s'", "42"),
    ],
)
def test_a_trailing_as_of_is_taken_off_and_nothing_else_is(sql, rest, as_of):
    statement = read_statement(sql)
    assert (statement.sql, statement.as_of) == (rest, as_of)


@pytest.mark.parametrize(
    "sql", ["SELECT 1", "(SELECT 1)", "with x as (select 1) select * from x", "VALUES (1)", "FROM t"]
)
def test_queries_are_told_by_how_they_begin(sql):
    assert read_statement(sql).query


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "DESCRIBE t",
        "INSERT INTO t VALUES (1)",
        "SELECT 1 INTO x",
        "( )",
        "42",
        "'SELECT'",
    ],
)
def test_everything_else_is_no_query(sql):
    assert not read_statement(sql).query


def test_recursion_is_refused_wherever_it_hides():
    for sql in (
        "WITH RECURSIVE r AS (SELECT 1) SELECT * FROM r",
        "SELECT * FROM (with /* */ recursive r AS (SELECT 1) SELECT 1)",
    ):
        assert "RECURSIVE" in _refusal(sql)
    assert read_statement("SELECT 'WITH RECURSIVE'").query


def test_chains_of_operators_and_towers_of_brackets_are_refused_before_planning():
    assert read_statement("SELECT " + "+".join(["1"] * 500)).query
    assert "operators" in _refusal("SELECT " + "+".join(["1"] * 502))
    assert "operators" in _refusal("SELECT 1 WHERE " + " OR ".join(["a"] * 900))
    assert "brackets" in _refusal("SELECT " + "(" * 51 + "1" + ")" * 51)
    assert read_statement("SELECT * FROM t WHERE a IN (" + ",".join(["1"] * 4_000) + ")").query


@pytest.mark.parametrize(
    "sql", ["'" * 9_999, "$a" * 4_999, "/*" * 5_000, "e'\\" * 3_000, '"' * 9_999, "$$" * 4_999 + "$"]
)
def test_unfinished_texts_end_at_the_end(sql):
    tokens = list(tokenize(sql))
    assert all(left.end <= right.start for left, right in pairwise(tokens))


MENTIONS = {
    "SELECT 1": 0,
    "SELECT * FROM t": 1,
    "SELECT a, b, c FROM t ORDER BY a, b": 1,
    "SELECT * FROM a, b AS x, c y WHERE f(1, 2) IN (1, 2, 3) GROUP BY 1, 2": 3,
    "SELECT * FROM a JOIN b ON f(a.x, b.x) LEFT JOIN c USING (x, y), d": 4,
    "SELECT * FROM (a JOIN b USING (x)), (c, d)": 4,
    "SELECT * FROM (SELECT * FROM a, b) x, ((SELECT 1)) y, (VALUES (1, 2), (3, 4)) z": 2,
    "WITH w AS (SELECT * FROM a) SELECT * FROM w JOIN w v ON w.x = v.x UNION SELECT * FROM b": 4,
    "SELECT extract(year FROM x), substring(y FROM 1), trim(both 'a' FROM z) FROM t": 1,
    "SELECT * FROM t WHERE a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM d": 1,
    "SELECT DISTINCT x FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.x = t.x)": 2,
    "FROM t SELECT a, b": 1,
    "SELECT ', a, b, c' AS \", d, e\" FROM t -- , f, g": 1,
    "SELECT (SELECT max(x) FROM a), b FROM c CROSS JOIN LATERAL (SELECT * FROM d) e": 3,
}


@pytest.mark.parametrize(("sql", "count"), MENTIONS.items())
def test_relations_are_counted_as_often_as_they_are_mentioned(sql, count):
    assert mentions(list(tokenize(sql))) == count


def test_a_query_mentions_at_most_sixteen_relations_unless_more_are_allowed():
    joined = ", ".join(f"t t{number}" for number in range(16))
    assert read_statement(f"SELECT 1 FROM {joined}").query
    with pytest.raises(InvalidInput, match="17 relations, more than the limit of 16"):
        read_statement(f"SELECT 1 FROM {joined} JOIN t")
    assert read_statement(f"SELECT 1 FROM {joined} JOIN t", relations_max=25).query
