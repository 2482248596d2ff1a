"""From a project's assets to the manifest that is deployed (orchestration.md 9.1).

The same code and the same lockfile give the same bytes, apart from `codeVersionId` and `deployedAt`. Settings that
nobody gave are left out: what a plan does without them is the planner's business.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from arco.core.canonical_json import canonical_json, sha256_hex
from arco.core.clock import Clock, SystemClock
from arco.core.entropy import Ids, MintedIds, SystemEntropy
from arco.core.instant import stored_text
from arco.sdk.assets import Asset
from arco.sdk.checks import AssetCheck, Check
from arco.sdk.errors import DefinitionError
from arco.sdk.loading import AssetSet
from arco.sdk.lockfile import Lockfile
from arco.sdk.partitions import Dimension
from arco.sdk.source import git_of, place_in, source_fingerprint

MANIFEST_VERSION: Final = "1.0"


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a deployment beside its code. `git` and `metadata` go into the manifest as they are."""

    tenant_id: str
    workspace_id: str
    code_version_id: str
    deployed_at: str
    deployed_by: str = ""
    git: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


class Built(msgspec.Struct, frozen=True):
    """A manifest: its canonical JSON, and the SHA-256 of it, which a deployment sends as its idempotency key."""

    body: bytes
    fingerprint: str

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as plain values."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found


def build_manifest(
    assets: AssetSet,
    project: Path,
    *,
    tenant_id: str,
    workspace_id: str,
    deployed_by: str = "",
    metadata: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
) -> Built:
    """The manifest of a project; assets without an id get one in its lockfile. Raises `DefinitionError`."""
    clock = clock or SystemClock()
    ids = ids or MintedIds(clock, SystemEntropy())
    deployment = Deployment(
        tenant_id=tenant_id,
        workspace_id=workspace_id,
        code_version_id=ids.ulid(),
        deployed_at=stored_text(clock.now_ms()),
        deployed_by=deployed_by,
        git=git_of(project),
        metadata=dict(metadata or {}),
    )
    asset_ids = Lockfile(project).with_ids((one.key for one in assets), ids)
    return manifest_of(assets, asset_ids, deployment, project=project)


def manifest_of(assets: AssetSet, asset_ids: Mapping[str, str], deployment: Deployment, *, project: Path) -> Built:
    """The manifest of these assets. Raises `DefinitionError` when the metadata holds what JSON of ours cannot."""
    body = {
        "manifestVersion": MANIFEST_VERSION,
        "tenantId": deployment.tenant_id,
        "workspaceId": deployment.workspace_id,
        "codeVersionId": deployment.code_version_id,
        "git": deployment.git,
        "assets": [
            _asset(one, asset_ids[one.key], assets.checks_of(one.key), project)
            for one in sorted(assets, key=lambda one: (one.namespace, one.name))
        ],
        "schedules": [
            {"id": one.id, "cron": one.cron, "assets": list(one.assets), "timezone": one.timezone}
            for one in assets.schedules
        ],
        "deployedAt": deployment.deployed_at,
        "deployedBy": deployment.deployed_by,
        "metadata": deployment.metadata,
    }
    try:
        encoded = canonical_json(body)
    except TypeError as error:
        raise DefinitionError(f"metadata: {error}; write numbers with a fraction as text") from None
    return Built(encoded, sha256_hex(encoded))


def _asset(asset: Asset, asset_id: str, checks: Sequence[AssetCheck], project: Path) -> dict[str, Any]:
    return {
        "key": {"namespace": asset.namespace, "name": asset.name},
        "id": asset_id,
        "description": asset.description,
        "owners": list(asset.owners),
        "tags": asset.tags,
        "partitioning": {
            "isPartitioned": bool(asset.partitions),
            "dimensions": [_dimension(one) for one in asset.partitions],
        },
        "dependencies": _dependencies(asset),
        "code": {
            "module": asset.function.__module__,
            "function": asset.function.__qualname__,
            "filePath": place_in(project, asset.file),
            "lineNumber": asset.line,
        },
        "checks": [*(_check(one) for one in asset.checks), *(_custom(one) for one in checks)],
        "execution": _execution(asset),
        "resources": _given(cpuMillicores=asset.compute.cpu_millicores, memoryMib=asset.compute.memory_mib),
        "io": {
            "format": asset.io.format,
            "compression": asset.io.compression,
            "partitionBy": list(asset.io.partition_by),
        },
        "transformFingerprint": source_fingerprint(asset.function),
    }


def _dimension(dimension: Dimension) -> dict[str, Any]:
    found = _given(name=dimension.name, kind=dimension.kind, granularity=dimension.granularity)
    return {**found, "values": list(dimension.values)} if dimension.values else found


def _dependencies(asset: Asset) -> list[dict[str, Any]]:
    """One for each parameter that reads an asset, then those it only waits for."""
    reads = [one for one in asset.parameters if one.role == "input" and one.reads is not None]
    found = [
        {
            "upstreamKey": _key(one.source),
            "parameterName": one.name,
            **_given(mapping=one.reads.mapping if one.reads else None, window=one.reads.window if one.reads else None),
        }
        for one in reads
    ]
    waits = [key for key in asset.deps if key not in {one.source for one in reads}]
    return [*found, *({"upstreamKey": _key(key), "parameterName": "", "mapping": "identity"} for key in waits)]


def _key(key: str) -> dict[str, str]:
    namespace, _, name = key.partition(".")
    return {"namespace": namespace, "name": name}


def _check(check: Check) -> dict[str, Any]:
    found = _given(
        minRows=check.min_rows,
        maxRows=check.max_rows,
        timestampColumn=check.timestamp_column,
        maxAgeHours=check.max_age_hours,
        columns=list(check.columns) or None,
    )
    return {**_said(check.name, check.check_type, blocking=check.blocking), **found}


def _custom(check: AssetCheck) -> dict[str, Any]:
    return _said(check.name, "custom", blocking=check.blocking)


def _said(name: str, kind: str, *, blocking: bool) -> dict[str, Any]:
    """Every check looks at a result that is made and not yet published."""
    return {"name": name, "checkType": kind, "severity": "error" if blocking else "warning", "phase": "post"}


def _execution(asset: Asset) -> dict[str, Any]:
    return _given(
        maxRetries=asset.retries.max_retries if asset.retries else None,
        retryDelaySeconds=asset.retries.delay_seconds if asset.retries else None,
        timeoutSeconds=asset.timeout_seconds,
        heartbeatTimeoutSeconds=asset.heartbeat_timeout_seconds,
        queue=asset.queue,
        priority=asset.priority,
        concurrencyKey=asset.concurrency,
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
