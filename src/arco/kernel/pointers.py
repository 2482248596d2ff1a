"""Pointer objects: one per domain, hints for readers that know only them; never the commit.

Cloud stores allow about one write a second to one object name, so a pointer follows at once when it has rested and
about every two seconds otherwise. It only ever moves forward, and a writer waits before its next commit when the head
is too far ahead. A hint that cannot be written fails no commit.
"""

import asyncio
from typing import Final

import msgspec

from arco.core import instant, paths
from arco.core.clock import Clock
from arco.core.entropy import Entropy
from arco.core.errors import CorruptData
from arco.core.limits import POINTER_LAG_MAX
from arco.kernel.chain import ChainSpec, Head
from arco.kernel.manifest import CompactionCounts, HintManifest, Pointer, decode_pointer, encode, hash_text
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
        self._task: asyncio.Task[None] | None = None
        self._round: asyncio.Future[None] | None = None

    def follow(self, head: Head) -> None:
        """Note a new head; the pointers come after it."""
        self._head = head
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._round = loop.create_future()
            self._task = loop.create_task(self._catch_up(self._round))

    async def room(self) -> None:
        """Wait for the next try to write the pointer when it is too far behind the head noted last."""
        if self._head is None or self._round is None:
            return
        lag = self._head.number - self._written.get(self._spec.domains[0], self._head.number)
        if lag > POINTER_LAG_MAX:
            await asyncio.wait({self._round})

    async def flush(self) -> None:
        """Bring every pointer to the head now; used at shutdown."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        wait_ms = self._rested_at_ms - self._clock.steady_ms()
        if self._head is not None and self._pending(self._head):
            await self._clock.sleep_ms(max(0, min(wait_ms, _REST_MS)))
            await self._write_all(self._head)

    async def bring(self, head: Head) -> None:
        """Bring the pointers of resting domains to `head`; the chain's own comes by itself.

        Nothing a pointer names may be collected, so a domain that rests would keep all of history from it.
        """
        named = [*self._spec.domains[1:], *(one for one in self._spec.hinted if one in head.manifest.domain_manifests)]
        await asyncio.gather(*(self._advance(domain, head) for domain in named))

    async def genesis(self, head: Head) -> None:
        """Create every pointer that does not exist yet. Raises `StorageUnavailable` when that cannot be shown.

        The chain's own pointer comes last: that it exists says that all else does.
        """
        self._rested_at_ms = self._clock.steady_ms() + _REST_MS
        first, *others = self._spec.domains
        await asyncio.gather(*(self._advance(domain, head) for domain in others))
        await self._advance(first, head)
        if any(domain not in self._written for domain in self._spec.domains):
            raise StorageUnavailable("the workspace's pointers could not be created")

    async def _catch_up(self, tried: asyncio.Future[None]) -> None:
        try:
            while self._head is not None and self._pending(self._head):
                wait_ms = self._rested_at_ms - self._clock.steady_ms()
                if wait_ms > 0:
                    await self._clock.sleep_ms(wait_ms)
                await self._write_all(self._head)
                tried.set_result(None)
                tried = self._round = asyncio.get_running_loop().create_future()
        finally:
            tried.set_result(None)

    def _pending(self, head: Head) -> list[str]:
        changed = head.manifest.domain_manifests
        first = self._spec.domains[0]
        pending = [
            domain
            for domain in self._spec.domains
            if self._written.get(domain, 0) < (head.number if domain == first else int(changed.get(domain, "0")))
        ]
        hints = [one for one in self._spec.hinted if self._written.get(one, 0) < int(changed.get(one, "0"))]
        return pending + hints

    async def _write_all(self, head: Head) -> None:
        jitter = int.from_bytes(self._entropy.bytes(2), "big") % _JITTER_MS
        self._rested_at_ms = self._clock.steady_ms() + _REST_MS + jitter
        await asyncio.gather(*(self._advance(domain, head) for domain in self._pending(head)))

    async def _advance(self, domain: str, head: Head) -> None:
        """Move one pointer to `head` unless it is already there or beyond. A hint: failure is not fatal."""
        key = paths.hint(domain) if domain in self._spec.hinted else paths.pointer(domain)
        for _ in range(_TRIES):
            try:
                current = await self._store.get(key)
                if current is not None and _number_of(current) >= head.number:
                    self._written[domain] = head.number
                    return
                when = Absent() if current is None else Matches(current.version)
                body = self._hint(domain, head, current) if domain in self._spec.hinted else self._body(head, current)
                outcome = await self._store.put(key, body, when=when)
            except Exception:  # noqa: BLE001  # only a hint: whatever went wrong, the next round tries again
                return
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

    def _hint(self, domain: str, head: Head, replaced: StoredObject | None) -> bytes:
        manifest = head.manifest
        rows = sum(manifest.counts.get(name, 0) for name in (domain,))
        watermark = manifest.watermark_event_id
        hint = HintManifest(
            manifest_id=manifest.manifest_id,
            manifest_path=str(paths.manifest(self._spec.name, head.number)),
            epoch=manifest.epoch,
            previous_manifest_path=None if replaced is None else manifest.previous_manifest_path,
            watermark_version=manifest.snapshot_version,
            checkpoint_path=f"state/{domain}/checkpoint.json",
            snapshot_path=None,
            snapshot_version=manifest.snapshot_version,
            watermark_event_id=f"{watermark}.json" if watermark else "",
            watermark_position=0,
            last_compaction_at=manifest.updated_at,
            compaction=CompactionCounts(rows, 0),
            fencing_token=manifest.fencing_token,
            commit_ulid=manifest.commit_ulid,
            updated_at=instant.stored_text(self._clock.now_ms()),
        )
        return msgspec.json.format(encode(hint), indent=2)


def _number_of(pointer: StoredObject) -> int:
    """The manifest a pointer names; an unreadable one is behind every head, and is mended by being moved."""
    try:
        return int(decode_pointer(pointer.body).manifest_id)
    except (CorruptData, ValueError):
        return -1
