"""Publishing a manifest: the three outcomes of the one write that commits, and how each is decided.

Won: our attempt is in the chain. Lost: another manifest has the number. Unknown: neither can be shown within the
budget; the caller must say so and must not write the same facts under another name. Source: reliability.md 9, rules
1-3.
"""

from typing import Final, assert_never

import msgspec

from arco.core.clock import Clock
from arco.kernel.chain import Chain, Head
from arco.kernel.manifest import Manifest, encode, hash_text
from arco.storage.port import Absent, Lost, ObjectStore, StorageUnavailable, Stored, Unsure, WriteRefused

_TRIES: Final = 8
_BACKOFF_MS: Final = 50
_BACKOFF_MAX_MS: Final = 2_000


class Won(msgspec.Struct, frozen=True):
    """Our manifest is the next of the chain."""

    head: Head


class Superseded(msgspec.Struct, frozen=True):
    """Another writer's manifest has this number."""


class Outlived(msgspec.Struct, frozen=True):
    """The manifest we started from is gone: the chain went on without us, and the number only looked free."""


class Undecided(msgspec.Struct, frozen=True):
    """It is not known whether our manifest is in the chain."""

    cause: str


PublishOutcome = Won | Superseded | Outlived | Undecided


class Publisher:
    """Creates manifests of one chain."""

    def __init__(self, store: ObjectStore, chain: Chain, clock: Clock, *, grace_ms: int) -> None:
        self._store = store
        self._chain = chain
        self._clock = clock
        self.knowledge_ms = grace_ms // 4

    async def publish(self, manifest: Manifest, parent: Head | None, parent_seen_ms: int) -> PublishOutcome:
        """Create the manifest after `parent`, which was known to exist at steady time `parent_seen_ms`."""
        body = encode(manifest)
        key = self._chain.key(manifest.number)
        cause = ""
        for attempt in range(_TRIES):
            try:
                outcome = await self._store.put(key, body, when=Absent())
            except WriteRefused as refused:
                if not cause:
                    raise
                # This try provably failed, an earlier one may not have.
                outcome = Unsure(str(refused))
            match outcome:
                case Stored(version=version):
                    return await self._believed(Head(manifest, hash_text(body), version), parent, parent_seen_ms)
                case Lost():
                    decided = await self._whose(manifest, body, parent, parent_seen_ms)
                    if decided is not None:
                        return decided
                    cause = "the manifest could not be read back"
                case Unsure(cause=text):
                    # Re-issuing the identical write is safe: at most one copy can apply.
                    cause = text
                case _:
                    assert_never(outcome)
            await self._clock.sleep_ms(min(_BACKOFF_MS << attempt, _BACKOFF_MAX_MS))
        return Undecided(cause)

    async def _whose(
        self, manifest: Manifest, body: bytes, parent: Head | None, parent_seen_ms: int
    ) -> PublishOutcome | None:
        try:
            present = await self._chain.read(manifest.number)
            # What is only seen may not be durable yet.
            await self._store.settle(self._chain.key(manifest.number))
        except StorageUnavailable:
            return None
        if present is None:
            # Created and collected while we slept: our number was taken long ago.
            return Outlived()
        ours = Head(manifest, hash_text(body), present.version)
        if present.raw_hash == ours.raw_hash and present.manifest.attempt == manifest.attempt:
            return await self._believed(ours, parent, parent_seen_ms)
        return Superseded()

    async def _believed(self, head: Head, parent: Head | None, parent_seen_ms: int) -> PublishOutcome:
        """A win counts only if the parent is still there: else the number had only looked free."""
        if parent is None or self._clock.steady_ms() - parent_seen_ms < self.knowledge_ms:
            return Won(head)
        try:
            info = await self._store.head(self._chain.key(parent.number))
        except StorageUnavailable as error:
            return Undecided(f"the previous manifest could not be checked: {error}")
        if info is None or info.version != parent.version:
            return Outlived()
        return Won(head)
