"""The table of asked queries: found by a ULID, so that rows lie in the order of time and the oldest leave first."""

from typing import Final

from arco.kernel.records import KERNEL_DOMAIN
from arco.kernel.spec import Row, TableSpec

QUERY_LOG: Final = "query_log"
"""The domain: the ledger prefix of recorded queries."""


class QueryRow(Row, frozen=True, kw_only=True, gc=False):
    """One query: `actor` is a keyed hash, `endpoint` is `query` or `query-data`, `result` what became of it.

    `statement` is the SQL without its literals and comments, which is what `statement_hash` is of: texts that differ in
    their values only are the same statement. `relations` are the names that were read, with commas between. `rows` and
    `bytes` are of the answer; `manifest_id` is the snapshot that was read.
    """

    query_id: str
    started_at: int
    duration_ms: int
    actor: str
    endpoint: str
    result: str
    rows: int = 0
    bytes: int = 0
    truncated: bool = False
    relations: str = ""
    statement_hash: str
    statement: str
    request_id: str | None = None
    manifest_id: str | None = None


QUERY_HISTORY: Final = TableSpec("query_history", QueryRow, key=("query_id",), domain=KERNEL_DOMAIN)
"""`system.query.history`."""
