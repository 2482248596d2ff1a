"""Deployed manifests in memory: read once each, for they never change; the newest few of a process are kept."""

from collections import OrderedDict
from typing import Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.errors import CorruptData
from arco.core.paths import Key
from arco.core.scope import Scope
from arco.domains.orchestration.plan.graph import Graph
from arco.domains.orchestration.plan.manifest import Manifest
from arco.domains.orchestration.rows import DEPLOYMENTS, WORKSPACE, DeploymentRow
from arco.kernel.reading import Snapshot
from arco.storage.port import ObjectStore

_BYTES_MAX: Final = 64 * 1024 * 1024
_OF_BYTES: Final = 4
"""What a parsed manifest takes in memory, in bytes for each of its own, about."""

_DECODER: Final = msgspec.json.Decoder(Manifest)


class Deployment(msgspec.Struct, frozen=True):
    """A deployed manifest as plans are made from it."""

    manifest_id: str
    code_version_id: str
    manifest: Manifest
    graph: Graph
    size_bytes: int


class Cutoffs(msgspec.Struct, frozen=True):
    """Until when what older writers do is taken, in ms; None: for ever (orchestration.md 1.4, 6.3)."""

    fingerprints_ms: int | None = None
    """Run keys taken since then have fingerprints; one without is somebody else's."""

    time_texts_ms: int | None = None
    """From then on a time in a partition key is a date or a timestamp, and no text that looks like one."""

    def time_texts(self, now_ms: int) -> bool:
        """Whether texts are still taken for times."""
        return self.time_texts_ms is None or now_ms < self.time_texts_ms


NO_CUTOFFS: Final = Cutoffs()
"""Everything older writers do is taken for ever."""


class Definitions:
    """The deployments of a process's workspaces, and until when what older writers say of them is taken."""

    def __init__(self, cutoffs: Cutoffs = NO_CUTOFFS) -> None:
        self.cutoffs: Final = cutoffs
        self._kept: OrderedDict[tuple[Scope, str], Deployment] = OrderedDict()
        self._bytes = 0

    async def in_force(self, scope: Scope, snapshot: Snapshot | None, store: ObjectStore) -> Deployment | None:
        """What new runs are planned from. Raises `CorruptData`, `StorageUnavailable`."""
        settings = None if snapshot is None else await snapshot.get(WORKSPACE, ("",))
        if snapshot is None or settings is None or settings.manifest_id is None:
            return None
        kept = self._kept.get((scope, settings.manifest_id))
        if kept is not None:
            self._kept.move_to_end((scope, settings.manifest_id))
            return kept
        row = await snapshot.get(DEPLOYMENTS, (settings.manifest_id,))
        if row is None:
            raise CorruptData(f"deployment {settings.manifest_id} is in force and not on record")
        return self._keep(scope, _parsed(row, await stored(row, store)))

    def _keep(self, scope: Scope, made: Deployment) -> Deployment:
        self._kept[scope, made.manifest_id] = made
        self._bytes += made.size_bytes
        while self._bytes > _BYTES_MAX and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= gone.size_bytes
        return made


async def stored(row: DeploymentRow, store: ObjectStore) -> bytes:
    """The bytes of a deployed manifest. Raises `CorruptData` when they are not what was deployed."""
    found = await store.get(Key(row.path))
    if found is None or sha256_hex(found.body) != row.sha256:
        raise CorruptData(f"{row.path} is not the manifest that was deployed")
    return found.body


def _parsed(row: DeploymentRow, body: bytes) -> Deployment:
    try:
        manifest = _DECODER.decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptData(f"{row.path} is not readable: {error}") from error
    return Deployment(row.manifest_id, row.code_version_id, manifest, Graph(manifest), len(body) * _OF_BYTES)
