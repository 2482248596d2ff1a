"""Pointer objects: one per domain, hints for readers that know only them; never the commit.

Cloud stores allow about one write a second to one object name, so a pointer follows at once when it has rested and
about every two seconds otherwise. It only ever moves forward, and a writer waits when the head is too far ahead of
it.
"""

import asyncio
from typing import Any, Final

from arco.core import instant, paths
from arco.core.clock import Clock
from arco.core.entropy import Entropy
from arco.core.limits import POINTER_LAG_MAX
from arco.kernel.chain import ChainSpec, Head
from arco.kernel.manifest import Pointer, decode_pointer, encode, hash_text
from arco.storage.port import Absent, Lost, Matches, ObjectStore, StorageUnavailable, Stored, StoredObject, Unsure

_REST_MS: Final = 1_500
_JITTER_MS: Final = 500
_TRIES: Final = 5


class PointerKeeper:
    """Swaps the pointers of one chain forward behind its head."""

    def __init__(self, store: ObjectStore, spec: ChainSpec, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._spec = spec
        self._clock = clock
        self._entropy = entropy
        self._written: dict[str, int] = {}
        self._rested_at_ms = 0
        self._head: Head | None = None
        self._task: asyncio.Task[Any] | None = None

    async def follow(self, head: Head) -> None:
        """Note a new head; waits only when the pointer is too far behind it."""
        self._head = head
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._catch_up())
        lag = head.number - self._written.get(self._spec.domains[0], head.number)
        if lag > POINTER_LAG_MAX:
            await asyncio.shield(self._task)

    async def flush(self) -> None:
        """Bring every pointer to the head now; used at shutdown and when a chain falls idle."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        wait_ms = self._rested_at_ms - self._clock.steady_ms()
        if self._head is not None and self._pending(self._head):
            await self._clock.sleep_ms(max(0, min(wait_ms, _REST_MS)))
            await self._write_all(self._head)

    async def genesis(self, head: Head) -> None:
        """Create every pointer that does not exist yet. Raises `StorageUnavailable` when that cannot be shown."""
        self._rested_at_ms = self._clock.steady_ms() + _REST_MS
        await asyncio.gather(*(self._advance(domain, head) for domain in self._spec.domains))
        if any(domain not in self._written for domain in self._spec.domains):
            raise StorageUnavailable("the workspace's pointers could not be created")

    async def _catch_up(self) -> None:
        while self._head is not None and self._pending(self._head):
            wait_ms = self._rested_at_ms - self._clock.steady_ms()
            if wait_ms > 0:
                await self._clock.sleep_ms(wait_ms)
            await self._write_all(self._head)

    def _pending(self, head: Head) -> list[str]:
        changed = head.manifest.domain_manifests
        first = self._spec.domains[0]
        return [
            domain
            for domain in self._spec.domains
            if self._written.get(domain, 0) < (head.number if domain == first else int(changed.get(domain, "0")))
        ]

    async def _write_all(self, head: Head) -> None:
        jitter = int.from_bytes(self._entropy.bytes(2), "big") % _JITTER_MS
        self._rested_at_ms = self._clock.steady_ms() + _REST_MS + jitter
        await asyncio.gather(*(self._advance(domain, head) for domain in self._pending(head)))

    async def _advance(self, domain: str, head: Head) -> None:
        """Move one pointer to `head` unless it is already there or beyond. A hint: failure is not fatal."""
        key = paths.pointer(domain)
        for _ in range(_TRIES):
            try:
                current = await self._store.get(key)
            except StorageUnavailable:
                return
            if current is not None and int(decode_pointer(current.body).manifest_id) >= head.number:
                self._written[domain] = head.number
                return
            when = Absent() if current is None else Matches(current.version)
            outcome = await self._store.put(key, self._body(head, current), when=when)
            match outcome:
                case Stored():
                    self._written[domain] = head.number
                    return
                case Lost() | Unsure():
                    continue  # Read it again: whoever moved it, a pointer at or past the head is done.

    def _body(self, head: Head, replaced: StoredObject | None) -> bytes:
        pointer = Pointer(
            manifest_id=head.manifest.manifest_id,
            manifest_path=str(paths.manifest(self._spec.name, head.number)),
            epoch=head.manifest.epoch,
            updated_at=instant.stored_text(self._clock.now_ms()),
            parent_pointer_hash=None if replaced is None else hash_text(replaced.body),
        )
        return encode(pointer)
