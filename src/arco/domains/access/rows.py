"""The audit table: one row for each event worth keeping, or for many equal ones of one minute (catalog.md 5.7).

Rows are found by a ULID, so they lie in the order of time: new ones at the end, those that leave at the front.
"""

from typing import Final

from arco.kernel.records import KERNEL_DOMAIN
from arco.kernel.spec import Row, TableSpec

ACCESS: Final = "access"
"""The domain: the ledger prefix of recorded facts."""

AUTH_ALLOW: Final = "AUTH_ALLOW"
AUTH_DENY: Final = "AUTH_DENY"
URL_MINT_ALLOW: Final = "URL_MINT_ALLOW"
URL_MINT_DENY: Final = "URL_MINT_DENY"
CRED_VEND_ALLOW: Final = "CRED_VEND_ALLOW"
CRED_VEND_DENY: Final = "CRED_VEND_DENY"
ICEBERG_COMMIT: Final = "ICEBERG_COMMIT"
ICEBERG_COMMIT_DENY: Final = "ICEBERG_COMMIT_DENY"
CONTROL_STORE_MUTATE: Final = "CONTROL_STORE_MUTATE"
CONTROL_STORE_DENY: Final = "CONTROL_STORE_DENY"
QUERY_DENY: Final = "QUERY_DENY"

ACTIONS: Final = (
    AUTH_ALLOW,
    AUTH_DENY,
    URL_MINT_ALLOW,
    URL_MINT_DENY,
    CRED_VEND_ALLOW,
    CRED_VEND_DENY,
    ICEBERG_COMMIT,
    ICEBERG_COMMIT_DENY,
    CONTROL_STORE_MUTATE,
    CONTROL_STORE_DENY,
    QUERY_DENY,
)
"""Every action an audit event can have: the contract's, and `QUERY_DENY` for SQL that was refused."""


class AuditRow(Row, frozen=True, kw_only=True, gc=False):
    """Somebody (`actor`, a keyed hash) did or was refused something; `count` times within the minute of `occurred_at`.

    Of changes, `operation`, `object_name` and `snapshot_version` say what was done; `resource` names the object by
    kind and id. Of requests, `resource` is a path, or the template of one when `count` may be more than one.
    """

    event_id: str
    occurred_at: int
    action: str
    actor: str
    resource: str
    decision_reason: str
    count: int = 1
    request_id: str | None = None
    operation: str | None = None
    object_name: str | None = None
    snapshot_version: int | None = None


AUDIT: Final = TableSpec("audit", AuditRow, key=("event_id",), domain=KERNEL_DOMAIN)
