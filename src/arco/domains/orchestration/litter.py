"""Pieces of logs whose time is over: the logs themselves have been whole since their attempts ended."""

from collections.abc import Sequence

from arco.core import paths
from arco.core.limits import LIVE_LOG_MS
from arco.kernel.reading import Snapshot
from arco.kernel.retention.plan import Removal
from arco.storage.port import ObjectInfo


class OldPieces:
    """Implements `kernel.retention.litter.Litter`."""

    prefix = paths.LIVE_LOGS

    async def over(self, listed: Sequence[ObjectInfo], snapshot: Snapshot | None, now_ms: int) -> Sequence[Removal]:
        """Those that have been kept for their time."""
        return [
            Removal(info.key, "a piece of a log that is long over", info.size_bytes)
            for info in listed
            if now_ms - info.modified_ms >= LIVE_LOG_MS
        ]
