"""Deploying definitions (orchestration.md 6.2): the manifest's bytes are put, then one event makes it the one in force.

Bytes that no event names do no harm: nobody looks for them.
"""

import json
from collections.abc import Collection
from typing import Any

import msgspec

from arco.core import instant, paths
from arco.core.asset_keys import asset_key
from arco.core.canonical_json import sha256_hex
from arco.core.errors import Conflict, InvalidInput, Unavailable
from arco.domains.orchestration import fingerprints
from arco.domains.orchestration.automation_events import ScheduleDefinitionUpserted
from arco.domains.orchestration.automation_rows import SCHEDULE_DEFINITIONS
from arco.domains.orchestration.commands.clerk import Clerk, submit
from arco.domains.orchestration.drafts import keyed, unit
from arco.domains.orchestration.events import DefinitionsDeployed
from arco.domains.orchestration.plan.graph import Graph
from arco.domains.orchestration.plan.manifest import Manifest, Schedule, problems_of
from arco.domains.orchestration.rows import DEPLOYMENTS, DeploymentRow
from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome
from arco.kernel.reading import Snapshot
from arco.storage.create_only import Created, create_only

OPERATION = "deploy_manifest"


class Deployment(msgspec.Struct, frozen=True):
    """What to deploy: the manifest, and the very values it was decoded from."""

    manifest: Manifest
    values: dict[str, Any]
    key: str | None = None


class Deployed(msgspec.Struct, frozen=True):
    """A deployment, and whether this call made it."""

    row: DeploymentRow
    created: bool


def checked(manifest: Manifest, zones: Collection[str]) -> Graph:
    """The graph of a manifest. Raises `InvalidInput` that names everything that is wrong with it."""
    problems = problems_of(manifest, zones)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidInput(problems[0] + more, problems=problems)
    return Graph(manifest)


async def deploy(clerk: Clerk, wanted: Deployment) -> Deployed:
    """The deployment of a manifest that was `checked`.

    Raises `Conflict` when the key was used for another manifest; `Unavailable`, `OutcomeUnknown` as the desk does.
    """
    fingerprint = fingerprints.of_manifest(wanted.values)
    manifest, manifest_id = wanted.manifest, clerk.ids.ulid()
    deployed_by = manifest.deployed_by or clerk.principal or "api"
    body = _stored(clerk, wanted.values, manifest_id, fingerprint, deployed_by=deployed_by)
    path = paths.definitions(manifest_id)
    if not isinstance(await create_only(clerk.store, clerk.clock, path, body), Created):
        raise Unavailable("storage did not take the manifest; nothing was deployed")
    snapshot = await clerk.reader.head()
    event = DefinitionsDeployed(
        manifest_id=manifest_id,
        code_version_id=manifest.code_version_id,
        fingerprint=fingerprint,
        asset_count=len(manifest.assets),
        path=path,
        sha256=sha256_hex(body),
        size_bytes=len(body),
        git_branch=_text(manifest.git.get("branch")),
        git_commit=_text(manifest.git.get("commitSha")),
        deployed_by=deployed_by,
    )
    schedules = [
        keyed(made, f"sched_def_manifest:{manifest_id}:{one.id}")
        for one in manifest.schedules
        if (made := await _schedule(snapshot, one)) is not None
    ]
    claim = None if wanted.key is None else Claim(OPERATION, sha256_hex(wanted.key.encode()), fingerprint)
    outcome = await submit(clerk, unit(event, *schedules, claim=claim))
    return await _answer(clerk, outcome, manifest_id)


async def _answer(clerk: Clerk, outcome: Outcome, manifest_id: str) -> Deployed:
    if outcome.status == "rejected":
        raise Conflict(outcome.message)
    found = outcome.details.get("manifest_id", manifest_id)
    snapshot = await clerk.reader.head()
    row = None if snapshot is None else await snapshot.get(DEPLOYMENTS, (found,))
    if row is None:
        raise Unavailable("the deployment is not visible yet; send the request again")
    return Deployed(row, created=found == manifest_id)


async def _schedule(snapshot: Snapshot | None, wanted: Schedule) -> ScheduleDefinitionUpserted | None:
    """The schedule's new definition, None when it stays; what operators set of one that is there is theirs."""
    assets = sorted({asset_key(text) for text in wanted.assets})
    old = None if snapshot is None else await snapshot.get(SCHEDULE_DEFINITIONS, (wanted.id,))
    if old is None:
        return ScheduleDefinitionUpserted(
            schedule_id=wanted.id,
            cron_expression=wanted.cron,
            timezone=wanted.timezone,
            catchup_window_minutes=0,
            asset_selection=assets,
            max_catchup_ticks=1,
            enabled=True,
        )
    known = sorted(json.loads(old.asset_selection or "[]"))
    if (old.cron_expression, old.timezone, known) == (wanted.cron, wanted.timezone, assets):
        return None
    return ScheduleDefinitionUpserted(
        schedule_id=wanted.id,
        cron_expression=wanted.cron,
        timezone=wanted.timezone,
        catchup_window_minutes=old.catchup_window_minutes,
        asset_selection=assets,
        max_catchup_ticks=old.max_catchup_ticks,
        enabled=old.enabled,
    )


def _stored(clerk: Clerk, values: dict[str, Any], manifest_id: str, fingerprint: str, *, deployed_by: str) -> bytes:
    whole = {
        **values,
        "manifestId": manifest_id,
        "tenantId": clerk.scope.tenant,
        "workspaceId": clerk.scope.workspace,
        "fingerprint": fingerprint,
        "deployedAt": instant.stored_text(clerk.clock.now_ms()),
        "deployedBy": deployed_by,
    }
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
