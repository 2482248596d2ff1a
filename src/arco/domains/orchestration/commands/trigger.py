"""Asking for a run (orchestration.md 6.3): planned from what is deployed, its run key claimed as it is folded."""

from collections.abc import Mapping, Sequence

import msgspec

from arco.core import instant
from arco.core.asset_keys import asset_key
from arco.core.errors import Conflict, InvalidInput
from arco.core.ids import ulid_ms
from arco.domains.orchestration import fingerprints
from arco.domains.orchestration.commands.clerk import Clerk, submit
from arco.domains.orchestration.definitions import Cutoffs, Definitions
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import PlanCreated, RunTriggered
from arco.domains.orchestration.fingerprints import TriggerRequest
from arco.domains.orchestration.fold.runs import RUN_KEY_TAKEN
from arco.domains.orchestration.labels import RESERVED_LABELS
from arco.domains.orchestration.plan.compiler import Plan, compiled
from arco.domains.orchestration.plan.graph import Graph, selected
from arco.domains.orchestration.plan.request import checked_key, dimensions_of, key_of_texts
from arco.domains.orchestration.queries.runs import public_state, run_by_id
from arco.domains.orchestration.rows import RUN_KEYS, RunKeyRow
from arco.kernel.fold import Outcome
from arco.kernel.reading import Snapshot

MISMATCH = "RUN_KEY_FINGERPRINT_MISMATCH"


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for; `partitions` are texts by dimension, or `partition_key` is the canonical key."""

    selection: Sequence[str]
    include_upstream: bool = False
    include_downstream: bool = False
    partitions: Mapping[str, str] | None = None
    partition_key: str | None = None
    run_key: str | None = None
    labels: Mapping[str, str] = {}
    timeout_s: int | None = None


class Triggered(msgspec.Struct, frozen=True):
    """A run; `created` says whether this call made it."""

    run_id: str
    plan_id: str
    state: str
    created: bool
    created_ms: int


class Planned(msgspec.Struct, frozen=True):
    """What a request comes to: its roots, its partition, its plan, and what names the request."""

    roots: list[str]
    partition_key: str | None
    plan: Plan
    request: TriggerRequest


def planned(graph: Graph, request: RunRequest, *, time_texts: bool = True) -> Planned:
    """The plan of a request. Raises `InvalidInput` naming what is wrong with it.

    With `time_texts` a text in a partition key that looks like a time is one, as older clients write them.
    """
    if not request.selection:
        raise InvalidInput("selection is empty: name at least one asset")
    for label in RESERVED_LABELS:
        if label in request.labels:
            raise InvalidInput(f"labels: {label} is reserved")
    roots = sorted({asset_key(text) for text in request.selection})
    picked = selected(
        graph, roots, include_upstream=request.include_upstream, include_downstream=request.include_downstream
    )
    key = _partition(graph, roots, request, time_texts)
    named = TriggerRequest(
        selection=roots,
        include_upstream=request.include_upstream,
        include_downstream=request.include_downstream,
        partition_key=key,
        labels=request.labels,
    )
    return Planned(roots, key, compiled(graph, picked, key), named)


def _partition(graph: Graph, roots: Sequence[str], request: RunRequest, time_texts: bool) -> str | None:
    if request.partition_key is not None and request.partitions:
        raise InvalidInput("give partitions or partitionKey, not both")
    dimensions = dimensions_of(graph, roots)
    if request.partition_key is not None:
        return checked_key(dimensions, request.partition_key, time_texts=time_texts)
    return key_of_texts(dimensions, request.partitions or {})


async def trigger(clerk: Clerk, definitions: Definitions, request: RunRequest) -> Triggered:
    """The run of a request: a new one, or the one its run key stands for.

    Raises `InvalidInput`, `Conflict` when the run key stands for another request; as the desk does.
    """
    snapshot = await clerk.reader.head()
    deployment = await definitions.in_force(clerk.scope, snapshot, clerk.store)
    if deployment is None:
        raise InvalidInput("nothing is deployed in this workspace: run `arco deploy` first")
    cutoffs = definitions.cutoffs
    wanted = planned(deployment.graph, request, time_texts=cutoffs.time_texts(clerk.clock.now_ms()))
    if request.run_key is not None and snapshot is not None:
        taken = await snapshot.get(RUN_KEYS, (request.run_key,))
        if taken is not None:
            return await _existing(snapshot, wanted, taken, cutoffs)
    run_id, plan_id = clerk.ids.ulid(), clerk.ids.ulid()
    begun = RunTriggered(
        run_id=run_id,
        plan_id=plan_id,
        trigger=msgspec.Raw(msgspec.json.encode({"type": "manual", "user_id": clerk.principal})),
        root_assets=wanted.roots,
        run_key=request.run_key,
        labels=dict(request.labels),
        code_version=deployment.code_version_id,
        request_fingerprint=fingerprints.of_trigger(wanted.request),
        timeout_sec=request.timeout_s,
    )
    plan = PlanCreated(run_id=run_id, plan_id=plan_id, tasks=wanted.plan.tasks)
    outcome = await submit(clerk, unit(begun, plan, at_ms=ulid_ms(run_id)))
    if outcome.status == "rejected":
        return await _refused(clerk, wanted, outcome, (request.run_key, cutoffs))
    return Triggered(run_id, plan_id, "PENDING", created=True, created_ms=ulid_ms(run_id))


async def _refused(clerk: Clerk, wanted: Planned, outcome: Outcome, claimed: tuple[str | None, Cutoffs]) -> Triggered:
    """Somebody else had the run key a moment before."""
    snapshot, (run_key, cutoffs) = await clerk.reader.head(), claimed
    if outcome.code != RUN_KEY_TAKEN or snapshot is None or run_key is None:
        raise Conflict(outcome.message)
    taken = await snapshot.get(RUN_KEYS, (run_key,))
    if taken is None:
        raise Conflict(outcome.message, retry_after_s=1)
    return await _existing(snapshot, wanted, taken, cutoffs)


async def _existing(snapshot: Snapshot, wanted: Planned, taken: RunKeyRow, cutoffs: Cutoffs) -> Triggered:
    run = await run_by_id(snapshot, taken.run_id)
    plan_id = "" if run is None else run.plan_id
    if not _same(taken, wanted.request, cutoffs.fingerprints_ms):
        raise Conflict(
            f"runKey {taken.run_key} stands for another request, run {taken.run_id}: choose another key",
            conflictType=MISMATCH,
            runKey=taken.run_key,
            existingRunId=taken.run_id,
            existingPlanId=plan_id,
            existingFingerprint=taken.request_fingerprint,
            requestedFingerprint=fingerprints.of_trigger(wanted.request),
            existingCreatedAt=instant.stored_text(taken.created_at),
        )
    state = "PENDING" if run is None else public_state(run)
    return Triggered(taken.run_id, plan_id, state, created=False, created_ms=taken.created_at)


def _same(taken: RunKeyRow, request: TriggerRequest, cutoff_ms: int | None) -> bool:
    """Whether the key was given for the same request (orchestration.md 1.4)."""
    if not taken.request_fingerprint:
        return cutoff_ms is None or taken.created_at < cutoff_ms
    return taken.request_fingerprint in fingerprints.of_trigger_variants(request)
