"""The log of a Delta table on storage: which version is the newest, and creating the next one.

Versions are dense, so existence is monotone from the newest checkpoint on: the last one is found by galloping, in a
number of rounds that is logarithmic in how many there are. Nothing is listed.
"""

import asyncio
from typing import Final

import msgspec

from arco.core import paths
from arco.domains.delta.events import VERSION_MAX
from arco.storage.port import ObjectStore

NOTHING: Final = -1
"""The newest version of an empty log."""

_REACH: Final = 4


class _Checkpoint(msgspec.Struct):
    version: int


async def newest_version(store: ObjectStore, root: str, *, known: int = NOTHING) -> int:
    """The newest version in the log, -1 when it is empty; versions up to `known` are known to exist, or to have.

    Raises `StorageUnavailable`. Old log files may be gone where there is a checkpoint, also those right after `known`,
    so a log is entered by its newest checkpoint.
    """
    start = max(known, await checkpointed(store, root))
    newest, absent, shift = start, None, 0
    while absent is None:
        probes = [start + (1 << power) for power in range(shift, shift + _REACH)]
        there = await _exist(store, root, probes)
        absent = next((number for number, exists in zip(probes, there, strict=True) if not exists), None)
        newest = max([newest, *(number for number in probes if absent is None or number < absent)])
        shift += _REACH
    while absent - newest > 1:
        middle = (newest + absent) // 2
        (exists,) = await _exist(store, root, [middle])
        newest, absent = (middle, absent) if exists else (newest, middle)
    return newest


async def checkpointed(store: ObjectStore, root: str) -> int:
    """The newest version that writers say there is a checkpoint of, -1 when there is none. Raises `StorageUnavailable`.

    No log file at or below it may be created: those that look free were cleaned up.
    """
    found = await store.get(paths.delta_last_checkpoint(root))
    if found is None:
        return NOTHING
    try:
        version = msgspec.json.decode(found.body, type=_Checkpoint).version
    except msgspec.MsgspecError:
        return NOTHING  # a hint that cannot be read is no hint
    return version if 0 <= version <= VERSION_MAX else NOTHING


async def _exist(store: ObjectStore, root: str, versions: list[int]) -> list[bool]:
    infos = await asyncio.gather(*(store.head(paths.delta_log(root, version)) for version in versions))
    return [info is not None for info in infos]
