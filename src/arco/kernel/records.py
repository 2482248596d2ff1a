"""The kernel's own tables: history, outcomes and idempotency, folded with the units they tell of.

They lie in the same chain as the domains' tables, so they are atomic with them, queryable like them, and replayed
like them. Sources: catalog.md 2.11 (`commits.parquet`), 3.6; architecture.md "Group commit".
"""

from collections.abc import Sequence
from typing import Any, Final

from arco.core.errors import invariant
from arco.kernel.fold import Domain
from arco.kernel.spec import Row, TableSpec

KERNEL_DOMAIN: Final = "kernel"
"""Stands for the first domain of the chain: its pointer moves with every commit."""


class CommitRow(Row, frozen=True, kw_only=True, gc=False):
    """One accepted unit: what changed, when, by which manifest. The first nine fields are the contract's."""

    commit_ulid: str
    snapshot_version: int
    published_at: int
    fencing_token: int
    watermark_event_id: str | None
    operation: str | None
    object_type: str | None
    object_id: str | None
    object_name: str | None
    manifest_id: str | None
    event_witnesses_json: str | None
    actor: str | None = None


class ObjectHistoryRow(Row, frozen=True, kw_only=True, gc=False):
    """The same facts found by the object they are about."""

    object_id: str
    snapshot_version: int
    commit_ulid: str
    published_at: int
    operation: str
    object_type: str
    object_name: str
    manifest_id: str
    actor: str | None = None


class OutcomeRow(Row, frozen=True, kw_only=True, gc=False):
    """What became of a unit, found by the id of its first event: de-duplication and `GET /outcomes/{event_id}`.

    `claim_key` is the idempotency key (`operation/hash`) that stands for it and is forgotten with it.
    """

    unit_id: str
    status: str
    code: str | None
    message: str | None
    details_json: str | None
    subject_json: str | None
    manifest_id: str
    snapshot_version: int
    decided_at: int
    claim_key: str | None = None


class IdempotencyRow(Row, frozen=True, kw_only=True, gc=False):
    """The outcome an idempotency key stands for."""

    operation: str
    key_hash: str
    request_hash: str
    unit_id: str
    claimed_at: int


class HeldKeyRow(Row, frozen=True, kw_only=True, gc=False):
    """A key, or all keys that begin with it, that a transaction under way read or will write."""

    table: str
    prefix_json: str
    tx_id: str
    writes: bool


class FloorRow(Row, frozen=True, kw_only=True, gc=False):
    """Up to where something may have been forgotten."""

    name: str
    floor: str
    raised_at: int


COMMITS: Final = TableSpec(
    "commits",
    CommitRow,
    key=("snapshot_version",),
    domain=KERNEL_DOMAIN,
    private=frozenset({"manifest_id", "event_witnesses_json", "actor"}),
)
OBJECT_HISTORY: Final = TableSpec(
    "object_history", ObjectHistoryRow, key=("object_id", "snapshot_version"), domain=KERNEL_DOMAIN
)
OUTCOMES: Final = TableSpec(
    "outcomes", OutcomeRow, key=("unit_id",), domain=KERNEL_DOMAIN, private=frozenset({"claim_key"})
)
IDEMPOTENCY: Final = TableSpec("idempotency_keys", IdempotencyRow, key=("operation", "key_hash"), domain=KERNEL_DOMAIN)
HELD_KEYS: Final = TableSpec("held_keys", HeldKeyRow, key=("table", "prefix_json", "tx_id"), domain=KERNEL_DOMAIN)
"""What units may not change until the transaction that holds it is decided (`kernel.holds`)."""

FLOORS: Final = TableSpec("retention_floors", FloorRow, key=("name",), domain=KERNEL_DOMAIN)

KERNEL_TABLES: Final = (COMMITS, OBJECT_HISTORY, OUTCOMES, IDEMPOTENCY, HELD_KEYS, FLOORS)


def all_specs(domains: Sequence[Domain]) -> dict[str, TableSpec[Any]]:
    """Every table of a chain by name: the kernel's and its domains'."""
    specs: dict[str, TableSpec[Any]] = {}
    every: list[TableSpec[Any]] = [*KERNEL_TABLES, *(table for domain in domains for table in domain.tables)]
    for spec in every:
        invariant(spec.name not in specs, f"two tables are called {spec.name}")
        specs[spec.name] = spec
    return specs
