"""What a chain knows of transactions (catalog.md 2.11, 4.12). All times are milliseconds since the epoch."""

from typing import Any, Final

from arco.kernel.records import KERNEL_DOMAIN
from arco.kernel.spec import Row, TableSpec, Uint32

TRANSACTIONS_DOMAIN: Final = "catalog"
"""The ledger of the home chain: every transaction across chains begins and ends there."""

PREPARED: Final = "PREPARED"
VISIBLE: Final = "VISIBLE"
ABORTED: Final = "ABORTED"


class TransactionRow(Row, frozen=True, kw_only=True):
    """A transaction. The first twelve fields are the contract's, shown in SQL; `lifecycle` is one of the three above.

    `manifest_id`, `commit_id` and `snapshot_version` are where it became visible in this chain.
    """

    handle_id: str
    record_version: Uint32
    lifecycle: str
    created_at: int
    updated_at: int
    expires_at: int
    prepared_at: int | None = None
    committing_at: int | None = None
    visible_at: int | None = None
    terminal_at: int | None = None
    mutation_count: Uint32
    visible_mutation_count: Uint32
    kind: str
    request_hash: str
    participants: str
    manifest_id: str | None = None
    commit_id: str | None = None
    snapshot_version: int | None = None


class PreparedRow(Row, frozen=True, kw_only=True):
    """The events of a transaction that is not decided yet, and what it holds.

    `fold_version` is what folding meant when they were tried: they are folded for good by the same rules, however many
    builds later, because what was decided elsewhere can be refused here no more.
    """

    tx_id: str
    events_json: str
    holds_json: str
    key_hash: str | None
    expires_at: int
    fold_version: Uint32 | None = None


TRANSACTIONS: Final = TableSpec(
    "transactions",
    TransactionRow,
    key=("handle_id",),
    domain=KERNEL_DOMAIN,
    private=frozenset(
        {"kind", "request_hash", "participants", "manifest_id", "commit_id", "snapshot_version"},
    ),
)
PREPARED_TRANSACTIONS: Final = TableSpec("prepared_transactions", PreparedRow, key=("tx_id",), domain=KERNEL_DOMAIN)

ALL: Final[tuple[TableSpec[Any], ...]] = (TRANSACTIONS, PREPARED_TRANSACTIONS)
"""Every table of the domain, in each chain that takes part in transactions."""
