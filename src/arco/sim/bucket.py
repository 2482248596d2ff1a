"""The storage service all simulated processes share: one bucket, instantly consistent, that forgets nothing.

What is deleted or replaced is kept aside for the monitors and for replay. Whoever watches is told of every change as it
takes effect, with the actor whose request it was.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from arco.storage.port import Absent, Deleted, DeleteOutcome, Lost, Matches, PutOutcome, Stored


class Held(msgspec.Struct, frozen=True, gc=False):
    """An object as it is stored."""

    body: bytes
    version: str
    created_s: float


class Watcher(Protocol):
    """Is told of every change of the bucket as it takes effect."""

    def stored(self, actor: str, key: str, held: Held, replaced: Held | None) -> None:
        """An object was created, or replaced another."""
        ...

    def deleted(self, actor: str, key: str, held: Held) -> None:
        """An object is gone."""
        ...


class SimBucket:
    """Objects by full key."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self._versions = 0
        self.objects: dict[str, Held] = {}
        self.gone: dict[str, Held] = {}
        self.watchers: list[Watcher] = []

    def put(self, actor: str, key: str, body: bytes, when: Absent | Matches) -> PutOutcome:
        """Write if the condition holds."""
        present = self.objects.get(key)
        if isinstance(when, Matches):
            if present is None or present.version != when.version:
                return Lost(present.version if present else None)
        elif present is not None:
            return Lost(present.version)
        self._versions += 1
        held = Held(body, str(self._versions), self.seconds())
        self.objects[key] = held
        for watcher in self.watchers:
            watcher.stored(actor, key, held, present)
        return Stored(held.version)

    def delete(self, actor: str, key: str, when: Matches) -> DeleteOutcome:
        """Remove if the version is still this one."""
        present = self.objects.get(key)
        if present is None or present.version != when.version:
            return Lost(present.version if present else None)
        del self.objects[key]
        self.gone.setdefault(key, present)
        for watcher in self.watchers:
            watcher.deleted(actor, key, present)
        return Deleted()

    def ever(self, key: str) -> Held | None:
        """The object with this key, also when it was deleted; a name that was taken again shows what it first held."""
        return self.gone.get(key) or self.objects.get(key)
