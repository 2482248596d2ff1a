"""Staged payloads whose commit never came, or is long over (catalog.md 4.10): who needs one, and how long it waits.

A payload is needed until it is committed, and as long as a reservation names it: from that on there is only forward. A
request that reserves just as its payload goes has the bytes at hand; should it die, the reservation is abandoned.
"""

from collections.abc import Sequence

from arco.core import paths
from arco.core.limits import DELTA_STAGED_MS
from arco.domains.delta.queries import reservation
from arco.kernel.reading import Snapshot
from arco.kernel.retention.plan import Removal
from arco.storage.port import ObjectInfo


class StagedPayloads:
    """Implements `kernel.retention.litter.Litter`."""

    prefix = paths.DELTA_STAGED

    async def over(self, listed: Sequence[ObjectInfo], snapshot: Snapshot | None, now_ms: int) -> Sequence[Removal]:
        """Those that waited their time and that no reservation names."""
        old = [info for info in listed if now_ms - info.modified_ms >= DELTA_STAGED_MS]
        tables = sorted({str(info.key).removeprefix(self.prefix).split("/")[0] for info in old})
        held = [await reservation(snapshot, table) for table in tables]
        needed = {row.staged_path for row in held if row is not None}
        return [
            Removal(info.key, "a staged payload that nobody committed", info.size_bytes)
            for info in old
            if info.key not in needed
        ]
