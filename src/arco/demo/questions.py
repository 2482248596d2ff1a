"""The questions the demo asks over HTTP: of the flights themselves, and of the catalog about them."""

from typing import Final

import msgspec


class Question(msgspec.Struct, frozen=True):
    """One question: `path` is the api route that answers its SQL."""

    id: str
    title: str
    path: str
    sql: str


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
        "SELECT a.name AS airline, count(*) AS flights\n"
        "FROM nyc.raw.flights f JOIN nyc.raw.airlines a ON a.carrier = f.carrier\n"
        "GROUP BY a.name ORDER BY flights DESC LIMIT 5",
    ),
    Question(
        "delays",
        "How late were they, in minutes, and how many never left?",
        "/query-data",
        "SELECT round(avg(dep_delay), 2) AS avg_dep_delay, round(avg(arr_delay), 2) AS avg_arr_delay,\n"
        "       count(*) FILTER (WHERE dep_time IS NULL) AS cancelled\n"
        "FROM nyc.raw.flights",
    ),
    Question(
        "worst_months",
        "Which months were worst?",
        "/query-data",
        "SELECT month, round(avg(dep_delay), 2) AS avg_dep_delay, count(*) AS flights\n"
        "FROM nyc.raw.flights GROUP BY month ORDER BY avg_dep_delay DESC LIMIT 3",
    ),
    Question(
        "manufacturers",
        "Who built the planes? (a Delta table joined with Parquet files)",
        "/query-data",
        "SELECT p.manufacturer, count(*) AS flights, count(DISTINCT p.tailnum) AS planes\n"
        "FROM nyc.raw.flights f JOIN nyc.raw.planes p ON p.tailnum = f.tailnum\n"
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
    Question(
        "lineage",
        "And about what was made from what?",
        "/query",
        "SELECT s.name AS source, t.name AS made_from_it, e.run_id\n"
        "FROM system.lineage.edges e\n"
        "JOIN system.catalog.tables s ON s.id = e.source_id\n"
        "JOIN system.catalog.tables t ON t.id = e.target_id\n"
        "WHERE e.run_id = 'arco-demo' ORDER BY source, made_from_it",
    ),
)
