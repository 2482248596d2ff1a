"""A run key that was taken without the fingerprint of its request is given one (orchestration.md 6.3)."""

import msgspec

from arco.core import instant
from arco.core.errors import Conflict, InvalidInput, NotFound
from arco.domains.orchestration import fingerprints
from arco.domains.orchestration.commands.clerk import Clerk, submit
from arco.domains.orchestration.commands.trigger import MISMATCH, RunRequest, planned
from arco.domains.orchestration.definitions import Definitions
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import RunKeyBackfilled
from arco.domains.orchestration.fold.run_keys import NO_RUN_KEY, UPDATED
from arco.domains.orchestration.rows import RUN_KEYS, RunKeyRow
from arco.kernel.reading import Snapshot


class Backfilled(msgspec.Struct, frozen=True):
    """A run key with the fingerprint of its request; `updated` says whether this call gave it."""

    run_key: str
    run_id: str
    fingerprint: str
    updated: bool
    created_ms: int


async def backfill(clerk: Clerk, definitions: Definitions, request: RunRequest) -> Backfilled:
    """The run key of a request, which has a fingerprint from now on.

    Raises `InvalidInput`, `NotFound` when nobody took the key, `Conflict` when it was for another request; as the desk
    does.
    """
    if request.run_key is None:
        raise InvalidInput("runKey is required")
    snapshot = await clerk.reader.head()
    deployment = await definitions.in_force(clerk.scope, snapshot, clerk.store)
    if deployment is None:
        raise InvalidInput("nothing is deployed in this workspace: run `arco deploy` first")
    wanted = planned(deployment.graph, request).request
    known = await _known(snapshot, request.run_key)
    if known.request_fingerprint:
        return _as_it_is(known, fingerprints.of_trigger_variants(wanted), fingerprints.of_trigger(wanted))
    fingerprint = fingerprints.of_trigger(wanted)
    event = RunKeyBackfilled(run_key=request.run_key, request_fingerprint=fingerprint)
    outcome = await submit(clerk, unit(event))
    if outcome.status == "accepted":
        return Backfilled(
            known.run_key, known.run_id, fingerprint, UPDATED in outcome.details, created_ms=known.created_at
        )
    if outcome.code == NO_RUN_KEY:
        raise NotFound(outcome.message)
    known = await _known(await clerk.reader.head(), request.run_key)
    return _as_it_is(known, fingerprints.of_trigger_variants(wanted), fingerprint)


async def _known(snapshot: Snapshot | None, run_key: str) -> RunKeyRow:
    known = None if snapshot is None else await snapshot.get(RUN_KEYS, (run_key,))
    if known is None:
        raise NotFound(f"nobody took the run key {run_key}")
    return known


def _as_it_is(known: RunKeyRow, same: frozenset[str], asked: str) -> Backfilled:
    """A key that has its fingerprint already, if it is that of this request. Raises `Conflict`."""
    if known.request_fingerprint not in same:
        raise Conflict(
            f"runKey {known.run_key} stands for another request, run {known.run_id}",
            conflictType=MISMATCH,
            runKey=known.run_key,
            existingRunId=known.run_id,
            existingFingerprint=known.request_fingerprint,
            requestedFingerprint=asked,
            existingCreatedAt=instant.stored_text(known.created_at),
        )
    return Backfilled(
        known.run_key, known.run_id, known.request_fingerprint, updated=False, created_ms=known.created_at
    )
