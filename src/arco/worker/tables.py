"""Where the tables of a worker's assets are."""

from collections.abc import Mapping

from arco.sdk.io.memory import MemoryIo
from arco.sdk.io.port import IoManager


def tables_of(environ: Mapping[str, str]) -> IoManager:
    """What reads and writes tables, as the environment says."""
    return MemoryIo()
