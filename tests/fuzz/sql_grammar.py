"""A generator of SQL: queries, statements that write, and both of them damaged; equal seeds make equal texts."""

import random
from collections.abc import Callable
from typing import Final

RELATIONS: Final = {
    "catalog.tables": ("id", "name", "format", "created_at"),
    "system.catalog.tables": ("id", "name", "format", "created_at"),
    "catalog.columns": ("id", "name", "format", "created_at"),
    "lineage.lineage_edges": ("id", "source_id", "target_id"),
}
"""What a query may name, and the columns there are."""

HOSTILE_RELATIONS: Final = (
    *("'/etc/passwd'", '"/etc/passwd"', "'/tmp/x.parquet'", "'s3://bucket/x.parquet'", "'http://169.254.169.254/'"),
    *("read_csv('/etc/passwd')", "read_parquet('/tmp/x')", "glob('/*')", "parquet_metadata('/tmp/x')", "range(1e9)"),
    *(
        "generate_series(1, 1000000000000)",
        "information_schema.tables",
        "information_schema.df_settings",
        "pg_catalog.x",
    ),
    *("system.catalog.outcomes", "system.orchestration.runs", "other.catalog.tables", "tables", '"catalog.tables"'),
    *("datafusion.public.t", '"\u0441atalog".tables', "catalog.\uff54ables", "unnest([1, 2, 3])", "LATERAL (SELECT 1)"),
)
FUNCTIONS: Final = (
    *("abs", "lower", "upper", "length", "concat", "coalesce", "substr", "replace", "md5", "now", "round", "nullif"),
    *(
        "repeat",
        "lpad",
        "rpad",
        "array_resize",
        "array_repeat",
        "generate_series",
        "range",
        "version",
        "uuid",
        "random",
    ),
    *("input_file_name", "read_text", "read_file", "pg_read_file", "load_extension", "getenv", "regexp_replace"),
    *("make_array", "array_sort", "unnest", "struct", "to_timestamp", "date_trunc", "arrow_cast", "encode", "digest"),
)
AGGREGATES: Final = ("count", "sum", "min", "max", "avg", "array_agg", "string_agg", "median", "stddev")
WRITERS: Final = (
    "COPY {q} TO '/tmp/arco-fuzz.csv'",
    "COPY catalog.tables TO '/tmp/arco-fuzz.parquet' STORED AS PARQUET",
    "CREATE TABLE x AS {q}",
    "CREATE OR REPLACE TABLE x (a INT)",
    "CREATE VIEW v AS {q}",
    "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE UNBOUNDED EXTERNAL TABLE x STORED AS JSON LOCATION '/tmp'",
    "CREATE FUNCTION f(INT) RETURNS INT RETURN $1",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE INDEX i ON catalog.tables(id)",
    "INSERT INTO catalog.tables {q}",
    "INSERT OVERWRITE catalog.tables {q}",
    "UPDATE catalog.tables SET name = 'x' WHERE id IN ({q})",
    "DELETE FROM catalog.tables WHERE EXISTS ({q})",
    "MERGE INTO catalog.tables t USING ({q}) s ON t.id = s.id WHEN MATCHED THEN DELETE",
    "TRUNCATE TABLE catalog.tables",
    "DROP TABLE catalog.tables",
    "ALTER TABLE catalog.tables RENAME TO x",
    "SET datafusion.execution.batch_size = 1",
    "RESET datafusion.execution.batch_size",
    "SHOW ALL",
    "SHOW TABLES",
    "DESCRIBE catalog.tables",
    "EXPLAIN {q}",
    "EXPLAIN ANALYZE VERBOSE {q}",
    "EXPLAIN FORMAT TREE COPY {q} TO '/tmp/arco-fuzz.csv'",
    "PREPARE p AS {q}",
    "EXECUTE p(1)",
    "BEGIN",
    "COMMIT",
    "ATTACH '/tmp/x' AS y",
    "INSTALL httpfs",
    "LOAD '/tmp/x.so'",
    "CALL f()",
    "PRAGMA x",
    "USE catalog",
    "KILL 1",
    "VACUUM",
    "GRANT ALL ON catalog.tables TO x",
    "LISTEN x",
    "DECLARE c CURSOR FOR {q}",
    "SELECT * INTO stolen FROM catalog.tables",
    "WITH x AS (INSERT INTO catalog.tables {q}) SELECT 1",
    "WITH x AS (DELETE FROM catalog.tables RETURNING *) SELECT * FROM x",
    "WITH x AS ({q}) INSERT INTO catalog.tables SELECT * FROM x",
    "{q}; DROP TABLE catalog.tables",
    "{q}; COPY {q} TO '/tmp/arco-fuzz.csv'",
    "FROM catalog.tables INSERT INTO x SELECT *",
    "SELECT (COPY {q} TO '/tmp/arco-fuzz.csv')",
    "UNLOAD ({q}) TO '/tmp/arco-fuzz'",
    "EXPORT DATABASE '/tmp/arco-fuzz'",
)
FRAGMENTS: Final = (
    *(
        ";",
        "--",
        "/*",
        "*/",
        "'",
        '"',
        "$$",
        "INTO",
        "COPY",
        "TO '/tmp/arco-fuzz.csv'",
        "DROP TABLE x",
        "WITH RECURSIVE",
    ),
    *(
        "UNION ALL",
        "OVER ()",
        "LIMIT",
        "\u00a0",
        "\u2028",
        "\ufeff",
        "E'\\''",
        "0x",
        "1e400",
        "::",
        "@@version",
        "$1",
        "?",
    ),
    *("(SELECT", ")", "FROM '/etc/passwd'", "CROSS JOIN", "LATERAL", "TABLE x", "RETURNING *", "FOR UPDATE", "AS OF 1"),
)


class Grammar:
    """Statements from one source of randomness."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # seeded: the seed is printed with every finding

    def statement(self) -> str:
        """The next statement: seven in ten are queries, some of them damaged; the rest are of the forbidden kinds."""
        kind = self._random.random()
        if kind < 0.55:
            return self._query(self._random.randint(0, 3))
        if kind < 0.7:
            return self._damaged(self._query(2))
        writer = self._pick(WRITERS).replace("{q}", self._query(1))
        return writer if kind < 0.85 else self._damaged(writer)

    def _pick(self, choices: tuple[str, ...]) -> str:
        return self._random.choice(choices)

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _query(self, depth: int) -> str:
        if depth > 0 and self._chance(0.2):
            names = [f"w{index}" for index in range(self._random.randint(1, 3))]
            tables = ", ".join(f"{name} AS ({self._query(depth - 1)})" for name in names)
            word = "WITH RECURSIVE" if self._chance(0.03) else "WITH"
            return f"{word} {tables} SELECT * FROM {self._pick(tuple(names))} LIMIT 5"
        if depth > 0 and self._chance(0.15):
            word = self._pick(("UNION", "UNION ALL", "INTERSECT", "EXCEPT"))
            return f"SELECT id FROM {self._relation(depth)} {word} SELECT name FROM {self._relation(depth)}"
        if self._chance(0.05):
            return f"VALUES ({self._expression(1)}, {self._expression(1)})"
        return self._select(depth)

    def _select(self, depth: int) -> str:
        grouped = self._chance(0.25)
        items = ", ".join(self._expression(depth) for _ in range(self._random.randint(1, 3)))
        if grouped:
            items = f"format, {self._pick(AGGREGATES)}({self._column()}) AS a"
        text = f"SELECT {'DISTINCT ' if self._chance(0.1) else ''}{'*' if self._chance(0.2) and not grouped else items}"
        text += f" FROM {self._relation(depth)} AS t0"
        for index in range(self._random.choice((0, 0, 0, 1, 2))):
            kind = self._pick(("JOIN", "LEFT JOIN", "FULL JOIN", "CROSS JOIN", "LEFT SEMI JOIN"))
            on = "" if kind == "CROSS JOIN" else f" ON t0.id = j{index}.id"
            text += f" {kind} {self._relation(depth)} AS j{index}{on}"
        if self._chance(0.5):
            text += f" WHERE {self._condition(depth)}"
        if grouped:
            text += " GROUP BY format" + (" HAVING count(*) > 1" if self._chance(0.3) else "")
        elif self._chance(0.3):
            text += " ORDER BY 1" + (" DESC NULLS LAST" if self._chance(0.3) else "")
        if self._chance(0.4):
            text += f" LIMIT {self._random.randint(0, 20)}"
        return text

    def _relation(self, depth: int) -> str:
        if depth > 0 and self._chance(0.15):
            return f"({self._query(depth - 1)})"
        if self._chance(0.08):
            return self._pick(HOSTILE_RELATIONS)
        return self._pick(tuple(RELATIONS))

    def _column(self) -> str:
        return self._pick(("t0.id", "t0.name", "id", "name", "format", "created_at", "nope", '"ID"', "t0.*"))

    def _literal(self) -> str:
        return self._pick(("1", "0", "-1", "2.5", "1e3", "'x'", "''", "'it''s'", "NULL", "TRUE", "DATE '2026-01-01'"))

    def _expression(self, depth: int) -> str:
        forms: tuple[Callable[[int], str], ...] = (self._call, self._arithmetic, self._case, self._cast, self._window)
        if depth <= 0 or self._chance(0.5):
            return self._column() if self._chance(0.7) else self._literal()
        if self._chance(0.08):
            return f"(SELECT max(id) FROM {self._relation(depth - 1)})"
        return self._random.choice(forms)(depth - 1)

    def _call(self, depth: int) -> str:
        count = self._random.randint(0, 3)
        return f"{self._pick(FUNCTIONS)}({', '.join(self._expression(depth) for _ in range(count))})"

    def _arithmetic(self, depth: int) -> str:
        operator = self._pick(("+", "-", "*", "/", "%", "||", "&", "=", "<>", "~", "IS DISTINCT FROM"))
        return f"({self._expression(depth)} {operator} {self._expression(depth)})"

    def _case(self, depth: int) -> str:
        return f"CASE WHEN {self._condition(depth)} THEN {self._expression(depth)} ELSE {self._expression(depth)} END"

    def _cast(self, depth: int) -> str:
        kind = self._pick(("INT", "VARCHAR", "DOUBLE", "TIMESTAMP", "DECIMAL(10, 2)", "BYTEA"))
        return f"CAST({self._expression(depth)} AS {kind})"

    def _window(self, _depth: int) -> str:
        name = self._pick(("row_number", "rank", "lag", "sum", "first_value"))
        argument = "" if name in ("row_number", "rank") else self._column()
        return f"{name}({argument}) OVER (PARTITION BY format ORDER BY {self._column()})"

    def _condition(self, depth: int) -> str:
        left = self._expression(min(depth, 1))
        form = self._random.randrange(6)
        if form == 0 and depth > 0:
            return f"{self._column()} IN (SELECT id FROM {self._relation(depth - 1)})"
        if form == 1 and depth > 0:
            return f"EXISTS (SELECT 1 FROM {self._relation(depth - 1)} AS e WHERE e.id = t0.id)"
        if form == 2:
            return f"{left} LIKE '%a_'"
        if form == 3:
            return f"{left} BETWEEN {self._literal()} AND {self._literal()}"
        if form == 4:
            return f"NOT ({left} IS NULL OR {self._column()} = {self._literal()})"
        return f"{left} {self._pick(('=', '<', '>=', '<>'))} {self._literal()}"

    def _damaged(self, text: str) -> str:
        for _ in range(self._random.randint(1, 4)):
            text = self._random.choice((self._cut, self._doubled, self._inserted, self._spliced, self._recased))(text)
        return text

    def _cut(self, text: str) -> str:
        start = self._random.randrange(len(text) + 1)
        return text[:start] + text[start + self._random.randint(1, 8) :]

    def _doubled(self, text: str) -> str:
        words = text.split(" ")
        at = self._random.randrange(len(words))
        return " ".join([*words[:at], words[at], *words[at:]])

    def _inserted(self, text: str) -> str:
        at = self._random.randrange(len(text) + 1)
        return f"{text[:at]} {self._pick(FRAGMENTS)} {text[at:]}"

    def _spliced(self, text: str) -> str:
        other = self._pick(WRITERS).replace("{q}", "SELECT 1")
        return text[: self._random.randrange(len(text) + 1)] + other[self._random.randrange(len(other)) :]

    def _recased(self, text: str) -> str:
        return text.swapcase() if self._chance(0.5) else text.replace(" ", self._pick(("\t", "\n", "/**/", " -- x\n")))
