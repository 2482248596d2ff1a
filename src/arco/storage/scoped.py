"""The two wrappers that sit on every adapter in every mode: one scope's view, and one role's.

`TenantStore` puts a scope's prefix before every key and lets none leave it. `RoleStore` lets a role write only what
`capabilities` grants it; it wraps a `TenantStore`, because grants are on scope-relative keys.
"""

from collections.abc import Sequence

import msgspec

from arco.core.paths import InvalidKey, Key
from arco.core.scope import Scope
from arco.storage.capabilities import Role, Verb, may
from arco.storage.names import list_prefix, object_key
from arco.storage.port import (
    Absent,
    DeleteOutcome,
    Matches,
    ObjectInfo,
    ObjectStore,
    PutOutcome,
    StoredObject,
    WriteForbidden,
)


class TenantStore:
    """The objects of one scope. Every operation raises `WriteForbidden` for a key that could leave it."""

    def __init__(self, store: ObjectStore, scope: Scope) -> None:
        self._store = store
        self._prefix = scope.prefix

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None. Raises `StorageUnavailable`."""
        return await self._store.get(self._inside(key))

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped. Raises `StorageUnavailable`."""
        return await self._store.get_range(self._inside(key), start, end)

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None. Raises `StorageUnavailable`."""
        found = await self._store.head(self._inside(key))
        return None if found is None else self._relative(found)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds. Raises `WriteRefused`."""
        return await self._store.put(self._inside(key), body, when=when)

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version. Raises `WriteRefused`."""
        return await self._store.delete(self._inside(key), when=when)

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """Up to `limit` objects of the scope with this prefix and keys greater than `after`, in key order."""
        try:
            within = f"{self._prefix}{list_prefix(prefix)}"
        except InvalidKey as invalid:
            raise WriteForbidden(f"{prefix!r} may not be listed in a scope: {invalid.reason}") from None
        cursor = f"{self._prefix}{after}" if after else ""
        page = await self._store.list_page(within, after=cursor, limit=limit)
        return [self._relative(info) for info in page]

    async def settle(self, key: Key) -> None:
        """Make durable what was seen under this key. Raises `StorageUnavailable`."""
        await self._store.settle(self._inside(key))

    def _inside(self, key: Key) -> Key:
        try:
            return Key(f"{self._prefix}{object_key(key)}")
        except InvalidKey as invalid:
            raise WriteForbidden(f"{key!r} may not be a key of a scope: {invalid.reason}") from None

    def _relative(self, info: ObjectInfo) -> ObjectInfo:
        return msgspec.structs.replace(info, key=Key(info.key.removeprefix(self._prefix)))


class RoleStore:
    """What one role may do with a scope's objects: read all, write its own. Writes may raise `WriteForbidden`."""

    def __init__(self, store: ObjectStore, role: Role) -> None:
        self._store = store
        self._role = role

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None. Raises `StorageUnavailable`."""
        return await self._store.get(key)

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped. Raises `StorageUnavailable`."""
        return await self._store.get_range(key, start, end)

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None. Raises `StorageUnavailable`."""
        return await self._store.head(key)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the role may and the condition holds. Raises `WriteRefused`."""
        self._check(Verb.REPLACE if isinstance(when, Matches) else Verb.CREATE, key)
        return await self._store.put(key, body, when=when)

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if the role may and it still has this version. Raises `WriteRefused`."""
        self._check(Verb.DELETE, key)
        return await self._store.delete(key, when=when)

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """Up to `limit` objects with this prefix and keys greater than `after`, in key order."""
        return await self._store.list_page(prefix, after=after, limit=limit)

    async def settle(self, key: Key) -> None:
        """Make durable what was seen under this key. Raises `StorageUnavailable`."""
        await self._store.settle(key)

    def _check(self, verb: Verb, key: Key) -> None:
        if not may(self._role, verb, key):
            raise WriteForbidden(f"role {self._role} may not {verb.value} {key}")
