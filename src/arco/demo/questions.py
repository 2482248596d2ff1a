"""The questions the demo asks over HTTP: of the flights themselves, and of the catalog and the runs about them."""

from typing import Final

import msgspec


class Question(msgspec.Struct, frozen=True):
    """One question: `path` is the api route that answers its SQL."""

    id: str
    title: str
    path: str
    sql: str


LINEAGE: Final = Question(
    "lineage",
    "What was made from what?",
    "/query",
    "SELECT DISTINCT source_id AS source, target_id AS made_from_it\n"
    "FROM system.lineage.edges WHERE edge_type = 'derives_from' ORDER BY source, made_from_it",
)

QUESTIONS: Final = (
    Question(
        "total_flights",
        "How many flights left New York in 2013?",
        "/query-data",
        "SELECT count(*) AS flights FROM nyc.raw.flights",
    ),
    Question(
        "top_airlines",
        "Which airlines flew most?",
        "/query-data",
        "SELECT airline, flights, cancelled, late_percent\n"
        "FROM nyc.marts.delays_by_carrier ORDER BY flights DESC LIMIT 5",
    ),
    Question(
        "delays",
        "How late were they, in minutes, and how many never left?",
        "/query-data",
        "SELECT round(avg(dep_delay), 2) AS avg_dep_delay, round(avg(arr_delay), 2) AS avg_arr_delay,\n"
        "       count(*) FILTER (WHERE cancelled) AS cancelled\n"
        "FROM nyc.clean.flights",
    ),
    Question(
        "worst_months",
        "Which months were worst?",
        "/query-data",
        "SELECT flight_month, round(avg(dep_delay), 2) AS avg_dep_delay, count(*) AS flights\n"
        "FROM nyc.clean.flights GROUP BY flight_month ORDER BY avg_dep_delay DESC LIMIT 3",
    ),
    Question(
        "manufacturers",
        "Who built the planes? (a Delta table joined with Parquet files)",
        "/query-data",
        "SELECT p.manufacturer, count(*) AS flights, count(DISTINCT p.tailnum) AS planes\n"
        "FROM nyc.clean.flights f JOIN nyc.raw.planes p ON p.tailnum = f.tailnum\n"
        "GROUP BY p.manufacturer ORDER BY flights DESC LIMIT 5",
    ),
    Question(
        "worst_days",
        "What happened on the worst days?",
        "/query-data",
        "SELECT flight_date, airport, avg_dep_delay, cancelled, rain_inches, max_wind_mph\n"
        "FROM nyc.marts.worst_days ORDER BY avg_dep_delay DESC LIMIT 5",
    ),
    Question(
        "tasks",
        "What did the runs consist of?",
        "/query",
        "SELECT task_key, count(*) AS tasks, sum(attempt) AS attempts,\n"
        "       round(avg(completed_at - started_at)) AS avg_ms\n"
        "FROM system.orchestration.tasks WHERE state = 'SUCCEEDED' GROUP BY task_key ORDER BY task_key",
    ),
    Question(
        "attempts",
        "Which attempts failed, and why?",
        "/query",
        "SELECT task_key, attempt, category, error_message FROM system.orchestration.task_attempts ORDER BY ended_at",
    ),
    Question(
        "partitions",
        "Which months are there?",
        "/query",
        "SELECT asset_key, count(*) AS months, min(partition_key) AS first, max(partition_key) AS last\n"
        "FROM system.orchestration.partition_status\n"
        "WHERE partition_key <> '' AND last_materialization_at IS NOT NULL GROUP BY asset_key ORDER BY asset_key",
    ),
    LINEAGE,
    Question(
        "columns",
        "And in one table, which column from which?",
        "/query",
        "SELECT DISTINCT target_id AS made, source_id AS of_column FROM system.lineage.edges\n"
        "WHERE edge_type = 'column_derives_from' AND target_id LIKE 'marts.delays_by_carrier.%' ORDER BY made",
    ),
    Question(
        "catalog",
        "What does the catalog know about all this?",
        "/query",
        "SELECT n.name AS schema_name, t.name AS table_name, t.format, count(*) AS columns\n"
        "FROM system.catalog.tables t\n"
        "JOIN system.catalog.namespaces n ON n.id = t.namespace_id\n"
        "JOIN system.catalog.catalogs c ON c.id = n.catalog_id\n"
        "JOIN system.catalog.columns k ON k.table_id = t.id\n"
        "WHERE c.name = 'nyc' GROUP BY n.name, t.name, t.format ORDER BY schema_name DESC, table_name",
    ),
)

LINEAGE_PAIRS: Final = 7
"""How many rows the answer about lineage has once all of it has arrived, which is shortly after the runs have ended."""
