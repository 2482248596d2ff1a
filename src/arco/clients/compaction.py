"""The wire of `POST /internal/sync-compact` (catalog.md 3.2), both directions.

Beyond the contract: `bodies` carries the appended bytes with their hashes, so that the compactor reads nothing back,
and `outcomes` tells what became of each unit. Other unknown fields are refused.
"""

import msgspec

from arco.kernel.fold import Outcome


class AppendedObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bytes of a ledger object that is known to have been appended: text and the hash of its UTF-8."""

    path: str
    sha256: str
    body: str


class SyncCompactRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Fold the events of these ledger objects and publish."""

    domain: str
    event_paths: list[str]
    fencing_token: int | None = None
    lock_path: str | None = None
    request_id: str | None = None
    bodies: list[AppendedObject] = []


class SyncCompactResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What was published, and what became of each unit."""

    manifest_version: str
    commit_ulid: str
    manifest_id: str
    events_processed: int
    snapshot_version: int
    visibility_status: str
    repair_pending: bool
    outcomes: list[Outcome]


class CompactorProblem(msgspec.Struct, frozen=True):
    """The error body of the compactor's internal routes."""

    error: str
    message: str
