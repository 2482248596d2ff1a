"""What the coordinator knows of Delta tables (catalog.md 4.10). All times are milliseconds since the epoch.

The log itself lies on storage and is the truth: version N exists exactly when `_delta_log/{N20}.json` does. These rows
say who may create the next one, and which idempotency key made which version.
"""

from typing import Any, Final

from arco.kernel.spec import Row, TableSpec

DELTA: Final = "delta"
"""The domain: ledger prefix."""


class DeltaTableRow(Row, frozen=True, kw_only=True):
    """A table with at least one version in its log, or one under way. `latest_version` is -1 before the first."""

    table_id: str
    table_root: str
    latest_version: int
    updated_at: int


class ReservationRow(Row, frozen=True, kw_only=True):
    """The one commit of a table that is under way: nobody else may write `version`."""

    table_id: str
    commit_id: str
    key_hash: str
    request_hash: str
    read_version: int
    version: int
    staged_path: str
    staged_version: str
    started_at: int
    expires_at: int
    payload_sha256: str | None = None


class DeltaKeyRow(Row, frozen=True, kw_only=True):
    """The version an idempotency key stands for; it outlives the table."""

    table_id: str
    key_hash: str
    request_hash: str
    read_version: int
    staged_path: str
    version: int
    delta_log_path: str
    committed_at: int


DELTA_TABLES: Final = TableSpec("delta_tables", DeltaTableRow, key=("table_id",), domain=DELTA)
RESERVATIONS: Final = TableSpec("delta_reservations", ReservationRow, key=("table_id",), domain=DELTA)
DELTA_KEYS: Final = TableSpec("delta_keys", DeltaKeyRow, key=("table_id", "key_hash"), domain=DELTA)

ALL: Final[tuple[TableSpec[Any], ...]] = (DELTA_TABLES, RESERVATIONS, DELTA_KEYS)
"""Every table of the domain."""
