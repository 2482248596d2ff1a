"""Callers that bring a lock (catalog.md 3.3): each takes the lease when it looks expired and submits under its token.

They are careless on purpose: they judge the lease by their own clock, sleep past it and go on with the token they had.
A compactor must refuse whoever was taken over, however late the request arrives (R-06).
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol, cast

import msgspec

from arco.clients.compaction import SyncCompactRequest
from arco.core import instant
from arco.core.paths import Key
from arco.core.scope import Scope
from arco.kernel.manifest import encode
from arco.routes.internal.compaction import LockRecord
from arco.sim.bucket import SimBucket
from arco.sim.machines import CompactorMachine, Directory, Machine
from arco.sim.monitors import Violations
from arco.sim.network import Network
from arco.storage.port import Absent, Matches, ObjectStore, StorageUnavailable, Stored

LOCK: Final = Key("locks/catalog.lock.json")

_LEASE_MS: Final = 12_000
_PAUSE_S: Final = 4.0
_PATIENCE_S: Final = 30.0
_AT_ONCE: Final = 4


class Court(Directory, Protocol):
    """The world as a leader knows it, and what judges it."""

    bucket: SimBucket
    violations: Violations
    network: Network


class Leader:
    """One caller with a lock of its own making."""

    def __init__(self, machine: Machine, scopes: Sequence[Scope], court: Court) -> None:
        self._machine = machine
        self._scopes = scopes
        self._court = court

    async def run(self) -> None:
        """Lead now and then, for ever."""
        while True:
            await asyncio.sleep(_PAUSE_S)
            for scope in self._scopes:
                try:
                    await self._lead(scope)
                except (StorageUnavailable, ConnectionError, TimeoutError):
                    continue

    async def _lead(self, scope: Scope) -> None:
        store = self._machine.scoped_store(scope)
        token = await self._acquired(store)
        if token is None:
            return
        for info in await store.list_page("ledger/catalog/", limit=_AT_ONCE):
            await self._submit(scope, str(info.key), token)

    async def _acquired(self, store: ObjectStore) -> int | None:
        """The token of the lease, None when somebody else holds it or nobody knows."""
        found = await store.get(LOCK)
        now_ms = self._machine.process.clock.now_ms()
        sequence, condition = 1, cast("Absent | Matches", Absent())
        if found is not None:
            held = msgspec.json.decode(found.body, type=LockRecord)
            if instant.parse_ms(held.expires_at) > now_ms:
                return held.sequence_number if held.holder_id == self._machine.process.name else None
            sequence, condition = held.sequence_number + 1, Matches(found.version)
        lease = LockRecord(
            holder_id=self._machine.process.name,
            expires_at=instant.stored_text(now_ms + _LEASE_MS),
            acquired_at=instant.stored_text(now_ms),
            sequence_number=sequence,
        )
        outcome = await store.put(LOCK, encode(lease), when=condition)
        return sequence if isinstance(outcome, Stored) else None

    async def _submit(self, scope: Scope, path: str, token: int) -> None:
        target = self._court.compactor(self._machine.process.name)
        if target is None:
            return
        lock_path = f"{scope.prefix}{LOCK}"
        body = encode(
            SyncCompactRequest(domain="catalog", event_paths=[path], fencing_token=token, lock_path=lock_path)
        )
        await self._court.network.call(
            self._machine.faults,
            target.process,
            lambda: self._served(target, scope, body, token),
            patience_s=_PATIENCE_S,
        )

    async def _served(self, target: CompactorMachine, scope: Scope, body: bytes, token: int) -> tuple[int, bytes]:
        """What the compactor says, judged by who held the lock when the request reached it (R-06)."""
        held = self._court.bucket.objects[f"{scope.prefix}{LOCK}"]
        holder = msgspec.json.decode(held.body, type=LockRecord)
        status, answer = await target.serve(scope, body)
        if status == 200 and holder.sequence_number != token:
            now = f"{holder.holder_id} had taken the lock as {holder.sequence_number}"
            self._court.violations.add("R-06", f"token {token} was served after {now}")
        return status, answer
