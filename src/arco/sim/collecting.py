"""Actors that tidy up: the collector, and one that submits ledger objects again as anti-entropy does."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from arco.clients.compaction import SyncCompactRequest
from arco.core.errors import CorruptData
from arco.core.retention import Horizons
from arco.core.scope import Scope
from arco.kernel.manifest import encode
from arco.kernel.retention.collector import Collector
from arco.sim.machines import Directory, Machine, SimTransport
from arco.sim.monitors import Violations
from arco.sim.network import Network
from arco.sim.plan import Config
from arco.storage.port import StorageUnavailable

_ROUND: Final = 0.15
"""Rounds of a collector, in graces."""

_WALK_EACH: Final = 3
_PAUSE_S: Final = 10.0
_TRIES: Final = 3


class Collecting:
    """Runs the collector of every scope now and then; several may do so at once."""

    def __init__(self, machine: Machine, scopes: Sequence[Scope], violations: Violations) -> None:
        self._machine = machine
        self._violations = violations
        self._collectors = [Collector(machine.workshop(scope), horizons(machine.config)) for scope in scopes]

    async def run(self) -> None:
        """Collect for ever, and walk over all names every few rounds."""
        rounds = 0
        while True:
            await asyncio.sleep(self._machine.config.grace_s * _ROUND)
            rounds += 1
            for collector in self._collectors:
                try:
                    await collector.run(walk=rounds % _WALK_EACH == 0)
                except StorageUnavailable:
                    continue
                except CorruptData as error:
                    self._violations.add("R-07", f"the collector found {error}")


def horizons(config: Config) -> Horizons:
    """How long what stays: a grace, then next to nothing."""
    grace_ms = int(config.grace_s * 1000)
    return Horizons(
        keep_newest=1,
        grace_ms=grace_ms,
        fine_ms=2 * grace_ms,
        coarse_ms=3 * grace_ms,
        ledger_ms=grace_ms,
        fine_period_ms=grace_ms // 8,
        coarse_period_ms=grace_ms,
    )


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
            await asyncio.sleep(_PAUSE_S)
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
