"""Actors that tidy up: a collector of superseded manifests, and one that submits ledger objects again.

Both are as simple as the protocol allows: what they do to the chain is what the real ones do.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from arco.clients.compaction import SyncCompactRequest
from arco.core import paths
from arco.core.scope import Scope
from arco.kernel.chain import CATALOG_CHAIN, Chain
from arco.kernel.manifest import decode_pointer, encode
from arco.sim.loop import now_s
from arco.sim.machines import Directory, Machine, SimTransport
from arco.sim.network import Network
from arco.storage.port import Deleted, Lost, Matches, StorageUnavailable

_ROUND_S: Final = 0.05
_TRIES: Final = 3


class Collector:
    """Deletes manifests strictly ascending, each a grace after the pointer passed it.

    Not a grace after it was superseded: a pointer may lag, and whoever just read it begins where it points.
    """

    def __init__(self, machine: Machine, scopes: Sequence[Scope]) -> None:
        self._machine = machine
        self._scopes = scopes
        self._passed: dict[tuple[Scope, int], float] = {}
        self._gone = dict.fromkeys(scopes, 0)

    async def run(self) -> None:
        """Collect for ever."""
        while True:
            await asyncio.sleep(self._machine.config.grace_s * _ROUND_S)
            for scope in self._scopes:
                try:
                    await self._collect(scope)
                except StorageUnavailable:
                    continue

    async def _collect(self, scope: Scope) -> None:
        store = self._machine.scoped_store(scope)
        head = await Chain(store, CATALOG_CHAIN).find()
        pointer = await store.get(paths.pointer(CATALOG_CHAIN.domains[0]))
        if head is None or pointer is None:
            return
        bound = min(head.number - 1, int(decode_pointer(pointer.body).manifest_id))
        for number in range(self._gone[scope], bound):
            self._passed.setdefault((scope, number), now_s())
        while self._gone[scope] < bound:
            number = self._gone[scope]
            if now_s() - self._passed[(scope, number)] <= self._machine.config.grace_s:
                return
            info = await store.head(paths.manifest(CATALOG_CHAIN.name, number))
            if info is not None and not isinstance(
                await store.delete(info.key, when=Matches(info.version)), Deleted | Lost
            ):
                return
            self._gone[scope] += 1


class Resubmitter:
    """Submits what lies in the ledger again, by path: the fold must take it for what it is."""

    def __init__(self, machine: Machine, scopes: Sequence[Scope], network: Network, directory: Directory) -> None:
        self._machine = machine
        self._scopes = scopes
        self._network = network
        self._directory = directory

    async def run(self) -> None:
        """Now and then, for ever."""
        while True:
            await asyncio.sleep(3.0)
            for scope in self._scopes:
                try:
                    page = await self._machine.scoped_store(scope).list_page("ledger/", limit=4)
                    await self.resubmit(scope, sorted({str(info.key) for info in page}))
                except (StorageUnavailable, ConnectionError, TimeoutError):
                    continue

    async def resubmit(self, scope: Scope, event_paths: Sequence[str]) -> None:
        """Submit these ledger objects, one call each."""
        transport = SimTransport(self._machine, scope, self._network, self._directory)
        for path in event_paths:
            body = encode(SyncCompactRequest(domain=path.split("/")[1], event_paths=[path]))
            for _ in range(_TRIES):
                with contextlib.suppress(TimeoutError, ConnectionError):
                    await transport.post("", body, {})
                    break
