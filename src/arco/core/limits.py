"""Every bound of the system, with the reason it is there."""

from typing import Final

NAME_BYTES_MAX: Final = 255
"""Catalog, schema, table and column names: what every file system and peer catalog accepts."""

DESCRIPTION_BYTES_MAX: Final = 64 * 1024
"""Free text of one object: large enough for documentation, small enough to ride in a segment row."""

COLUMNS_PER_TABLE_MAX: Final = 5_000
"""Columns of one table: ten times the widest tables seen in practice."""

PROPERTIES_MAX: Final = 500
"""Properties of one object."""

PROPERTY_BYTES_MAX: Final = 16 * 1024
"""Key plus value of one property."""

BODY_BYTES_MAX: Final = 2 * 1024 * 1024
"""HTTP request body (compatibility.md: 2 MiB)."""

PAGE_ROWS_DEFAULT: Final = 100
PAGE_ROWS_MAX: Final = 500
"""List pages (catalog.md 4.1)."""

SEARCH_WORDS_MAX: Final = 256
"""Different words of one description or tag that are indexed: nobody finds a table by the 257th."""

SEARCH_WORD_CHARS_MAX: Final = 255
"""Longer words (encoded data, keys) are not indexed; a name never is longer."""

SEARCH_QUERY_CHARS_MAX: Final = 256
SEARCH_QUERY_WORDS_MAX: Final = 8
"""One search: what people type, several times over; each word costs a round of look-ups."""

SEARCH_POSTINGS_MAX: Final = 6_144
SEARCH_LOOKUPS_MAX: Final = 24
"""Postings looked at, and segments read to look up other words, for one page of results: then the page ends, and the
next goes on."""

SEARCH_PAGE_DEFAULT: Final = 20
"""Results of a page when none is asked for: a screen."""

SEARCH_UPKEEP_ROWS: Final = 128
"""Schemas and tables indexed by one step of building the index of an older catalog: writers wait for one at most."""

ASSET_KEY_CHARS_MAX: Final = 255
"""A key is a folder of logs and of tables, and no file system has longer names."""

EDGES_PER_REQUEST_MAX: Final = 1_000
"""Lineage batch (catalog.md 8.1)."""

RUN_INDEX_UPKEEP_ROWS: Final = 256
"""Tasks indexed by one step of building the run index of an older chain: writers wait for one at most."""

SEGMENT_ROWS_TARGET: Final = 512
SEGMENT_ROWS_MAX: Final = 1_024
"""Rows of one segment: a look-up decodes one segment, a write rewrites one (measurements.md 3)."""

SEGMENT_BYTES_TARGET: Final = 512 * 1024
"""Arrow bytes of one segment before it is cut, whatever its row count: wide rows must not make giants."""

PAGE_FANOUT_TARGET: Final = 128
PAGE_FANOUT_MAX: Final = 256
"""Entries of one page: 16 pages in the manifest x 170 x 700 rows is 1.9M rows at one page level."""

ROOT_FANOUT_MAX: Final = 16
"""Entries of one table in the manifest, so that a manifest, and with it a commit, stays small at any size."""

INLINE_DELTA_BYTES_MAX: Final = 32 * 1024
"""Delta bytes that ride inside a manifest before they are spilled to an object of their own."""

DELTA_TIER_WIDTH: Final = 8
"""Delta objects of one tier before they are joined into one of the next."""

DELTA_BYTES_MERGE: Final = 8 * 1024 * 1024
"""Delta bytes of a chain before they are merged into segments although the chain is busy."""

DELTA_BYTES_MAX: Final = 3 * DELTA_BYTES_MERGE
"""Delta bytes of a chain at which its commits wait for the merge under way: they are held in memory until then."""

RESIDUE_ROWS_MAX: Final = 60_000
"""Scattered changes of a table that wait, in memory and in one delta, until rewriting its segments is worth it."""

CALLBACKS_PER_REQUEST_MAX: Final = 200
"""Callbacks in one request: a worker has tens of slots, and each callback costs the verification of a token."""

BATCH_UNITS_MAX: Final = 1_024
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""One commit: bounded so that its callers' latency is."""

EVENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""The payload of one event: four times what a request may hold, for the ids and names of fields that are put to it."""

QUEUE_UNITS_MAX: Final = 16_384
"""Units waiting for a commit before a compactor refuses more (503 before the append)."""

UNIT_EVENTS_MAX: Final = 1_000
"""Events of one unit: folded all or nothing in one go."""

FACTS_HELD_MAX: Final = 20_000
FACTS_HELD_BYTES_MAX: Final = 16 * 1024 * 1024
"""Facts a process holds until they are written together: minutes of a busy server; beyond it they are dropped."""

FACTS_SHARE: Final = 2
"""One workspace may hold this fraction of them: a noisy one must not push out what others do."""

FACTS_PER_EVENT: Final = 500
FACTS_EVENT_BYTES: Final = 256 * 1024
"""Facts of one ledger event: few units for many facts, none of them near what a batch may hold."""

QUERIES_EXPIRED_PER_EVENT: Final = 2_000
"""Rows of the query history that leave with one event: a handful of segments, however long nobody asked."""

AUDIT_EXPIRED_PER_EVENT: Final = 2_000
"""Audit rows that leave with one event: a handful of segments, however long nobody wrote."""

POINTER_LAG_MAX: Final = 2_048
"""Commits the head may be ahead of the pointer before the writer waits: galloping finds it in a few rounds, and a fast
local disk makes several hundred commits in the two seconds a pointer rests (ADR 0009)."""

COMMAND_DEADLINE_MS: Final = 60_000
"""How long after it was issued a command may still be folded."""

CLOCK_SKEW_MS: Final = 60_000
"""Largest tolerated difference between two machines' clocks."""

GRACE_MIN_MS: Final = 75 * 60_000
"""The shortest grace of any policy: a URL signed for an hour, the largest skew, and what is in flight must fit in it.
What a process knows of a chain's head is believed for a quarter of it."""

PINS_MAX: Final = 1_000
"""Pins of one chain: each may keep a whole version from being collected."""

SQL_BYTES_MAX: Final = 10_000

SQL_RELATIONS_MAX: Final = 16
"""Relations that a query over the catalog mentions, each as often as it does (abuse-cases A-28)."""

SQL_LOG_ROWS_MAX: Final = 2_000_000
"""Rows of a log (audit, query history) that SQL takes: all of them are held in memory, some 400 MB, and logs grow."""

SQL_ROWS_MAX: Final = 10_000
SQL_RESULT_BYTES_MAX: Final = 10 * 1024 * 1024
SQL_TIMEOUT_S: Final = 10.0
SQL_DATA_TABLES_MAX: Final = 25
SQL_DATA_FILE_BYTES_MAX: Final = 64 * 1024 * 1024
SQL_DATA_TOTAL_BYTES_MAX: Final = 256 * 1024 * 1024
"""SQL endpoints (catalog.md 7)."""

DELTA_PAYLOAD_BYTES_MAX: Final = 5 * 1024 * 1024
"""Request body of the Delta routes, and with it a staged payload (compatibility.md: 5 MiB)."""

DELTA_RESERVATION_MS: Final = 300_000
"""How long a Delta version is left to the request that reserved it before anybody may finish it (catalog.md 4.10)."""

DELTA_STAGED_MS: Final = 48 * 3_600_000
"""How long a staged payload waits for its commit before it may be collected: long past any retry of a client."""

SIGNED_URL_TTL_S: Final = 900
SIGNED_URL_TTL_S_MAX: Final = 3_600
"""How long a signed URL reads its object, unasked and at most (catalog.md 6): it cannot be taken back."""

TRANSACTION_BODY_BYTES_MAX: Final = 1024 * 1024
"""Request body of the transaction routes (catalog.md 4.1)."""

TRANSACTION_MUTATIONS_MAX: Final = 500
"""Changes of one transaction: with their events well below what one unit folds in one go."""

TRANSACTION_PARTS_MAX: Final = 50_000
"""Columns and edges of one transaction: two bytes can stand for one, and each costs the event loop microseconds."""

BATCH_PARTS_MAX: Final = 10_000
"""Tasks, dependencies and other parts of a batch of orchestration events: each is looked at on the event loop."""

TRANSACTION_HOLDS_MAX: Final = 20_000
"""Keys one transaction across chains may hold: they are looked at by every other write meanwhile."""

TRANSACTION_HOLD_MS: Final = 30_000
"""How long a prepared transaction is left to its coordinator before anybody may abort it."""

TRANSACTION_KEY_BYTES_MAX: Final = 1_024
"""An idempotency key of a transaction: any text that fits a header."""

LOG_PIECE_BYTES_MAX: Final = 64 * 1024
"""Text of one piece of a live log: what a second of a busy task writes, and what one event of a stream carries."""

LOG_PIECES_MAX: Final = 4_096
"""Pieces of one attempt: a day of a task that never stops writing, as seldom as `arco worker` sends them by then."""

LIVE_LOG_MS: Final = 14 * 24 * 3_600_000
"""How long the pieces of a live log are kept: the log itself is whole once the attempt has ended. Only of a worker that
died are they all there is, and two weeks are long enough to look at it."""
