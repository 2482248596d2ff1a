"""The storage port: what the kernel may rely on, and nothing more (reliability.md 3 and 9).

Every conditional write has three outcomes because the network has three. `Lost` is returned only when the
condition was proven false; a time-out, a reset or a 5xx after the request left is `Unsure`. None of the
outcomes converts to a boolean: callers match all three.

Relied on: an object is visible whole or not at all; a `get` after a `Stored` sees it; versions of one key
never return. Not relied on: listings being fresh, answers being delivered, clocks agreeing.
"""

from collections.abc import Sequence
from typing import Never, Protocol

import msgspec

from arco.core.paths import Key


class _Outcome(msgspec.Struct, frozen=True, gc=False):
    def __bool__(self) -> Never:
        raise TypeError("a storage outcome has three values; match all of them")


class Stored(_Outcome, frozen=True, gc=False):
    """This write happened, exactly now or by this very attempt before."""

    version: str


class Lost(_Outcome, frozen=True, gc=False):
    """The condition was false: somebody else's object is there, or the expected one is not."""

    current: str | None


class Unsure(_Outcome, frozen=True, gc=False):
    """The write may have happened, may still happen, or may never happen."""

    cause: str


class Deleted(_Outcome, frozen=True, gc=False):
    """The object with the expected version is gone."""


class Absent(msgspec.Struct, frozen=True, gc=False):
    """Condition: no object has this key."""


class Matches(msgspec.Struct, frozen=True, gc=False):
    """Condition: the object with this key still has this version.

    Bytes that replace must never have been under the key before: hold a number that grows, or a nonce. On S3 a version
    is made from the bytes, and would return with them.
    """

    version: str


PutOutcome = Stored | Lost | Unsure
DeleteOutcome = Deleted | Lost | Unsure


class StoredObject(msgspec.Struct, frozen=True, gc=False):
    """The bytes of an object and the version they belong to."""

    body: bytes
    version: str


class ObjectInfo(msgspec.Struct, frozen=True, gc=False):
    """What is known of an object without reading it."""

    key: Key
    version: str
    size_bytes: int
    modified_ms: int


class StorageUnavailable(Exception):
    """A read did not get an answer; nothing is known about the object."""


class ReadRefused(StorageUnavailable):
    """A read that will not be answered however often it is asked: no permission, no such bucket."""


class WriteRefused(StorageUnavailable):
    """A write or delete that provably did not happen and never will: disk full, read-only, no permission.

    It speaks of this call only: an earlier attempt that was `Unsure` stays unsure. Whoever treats it like
    `StorageUnavailable` is right too, only less precise.
    """


class WriteForbidden(Exception):
    """A role or a scope tried to write, or to address, what is not its own."""


class ObjectStore(Protocol):
    """One bucket, one scope or one role's view of them. Keys are relative to it."""

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None when there is none. Raises `StorageUnavailable`."""
        ...

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)` of the object, clipped to its size. Raises `StorageUnavailable`."""
        ...

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None. Raises `StorageUnavailable`."""
        ...

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the whole object if the condition holds; durable when `Stored` is returned.

        Raises `WriteRefused` when it provably did not happen for another reason than the condition.
        """
        ...

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version. `Lost(None)` when it is already gone.

        Raises `WriteRefused` when it provably did not happen for another reason than the condition.
        """
        ...

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """Up to `limit` objects below `prefix` with keys greater than `after`, in key order.

        Never used on a request path. May be stale.
        """
        ...

    async def settle(self, key: Key) -> None:
        """Make durable what has been *seen* under this key.

        On local disk another process's object is visible before its directory is synced; whoever acts on
        it syncs the directory first. Nothing to do on cloud stores. Raises `StorageUnavailable`.
        """
        ...
