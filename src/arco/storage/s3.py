"""Objects in an S3 bucket; a version is the object's ETag.

Guarantees what the port promises, with one limit: an ETag is made from the object's bytes, so a version returns when
the same bytes return under the same key (ADR 0014). Whatever arco replaces holds something that never recurs: a pointer
names its manifest and the hash of the pointer before it. Whose attempt an object is, its metadata tell.

409 `ConditionalRequestConflict` says that another request on this key is under way; it is tried again and decides
nothing. Relies on conditional writes and deletes, which stores that only resemble S3 may ignore: `arco doctor` tells.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from arco.core.clock import Clock, SystemClock
from arco.core.entropy import Entropy, SystemEntropy
from arco.core.errors import invariant
from arco.core.paths import Key
from arco.storage.names import list_limit, list_prefix, object_key
from arco.storage.port import (
    Absent,
    Deleted,
    DeleteOutcome,
    Matches,
    ObjectInfo,
    PutOutcome,
    ReadRefused,
    StorageUnavailable,
    Stored,
    StoredObject,
)
from arco.storage.retries import PATIENCE, NoAnswer, NotSent, Patience, Retries
from arco.storage.s3_upload import upload
from arco.storage.s3_wire import Reply, S3Wire
from arco.storage.signing import UrlSigner
from arco.storage.verdicts import ATTEMPT_FIELD, Present, Trouble, never

PAGE_MAX: Final = 1_000
"""Objects of one listing request: what the provider gives at most."""

_ETAG: Final = re.compile(r"[0-9A-Za-z_-]+\Z")
_ABSENT: Final = frozenset({"NoSuchKey", "404"})
_TRANSIENT: Final = frozenset({408, 409, 429})
_AGAIN: Final = frozenset({"NoSuchUpload", "RequestTimeout"})
"""Refusals that speak of this request only: its upload has ended, its body came too slowly."""

_CONDITION: Final = 412
_RANGE_BEYOND: Final = 416


class S3Store:
    """An `ObjectStore` of the objects of one bucket whose names begin with `prefix`."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._entropy = entropy or SystemEntropy()
        self._retries = Retries(clock or SystemClock(), self._entropy, patience)
        self.wire = S3Wire(bucket, patience, endpoint=endpoint)

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None. Raises `StorageUnavailable`."""
        name = object_key(key)
        reply = await self._ask(name, "get_object", Key=self._name(name))
        return None if reply is None else StoredObject(reply.body, _etag(reply.fields))

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped. Raises `StorageUnavailable`."""
        invariant(0 <= start <= end, "a range begins at or after 0 and does not end before it begins")
        name = object_key(key)
        while start < end:
            reply = await self._ask(name, "get_object", Key=self._name(name), Range=f"bytes={start}-{end - 1}")
            if reply is None:
                return None
            if reply.status == 206:
                return StoredObject(reply.body, _etag(reply.fields))
            if reply.status == 200:
                return StoredObject(reply.body[start:end], _etag(reply.fields))
            # The range begins at the object's end or beyond. Which version that is true of, its metadata tells.
            info = await self.head(name)
            if info is None or info.size_bytes <= start:
                return None if info is None else StoredObject(b"", info.version)
        info = await self.head(name)
        return None if info is None else StoredObject(b"", info.version)

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None. Raises `StorageUnavailable`."""
        name = object_key(key)
        reply = await self._ask(name, "head_object", Key=self._name(name))
        return None if reply is None else _info(name, reply.fields, "ContentLength")

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds. Raises `WriteRefused`."""
        name, copied = object_key(key), bytes(body)
        if isinstance(when, Matches) and not _ETAG.match(when.version):
            return await never(lambda: self._present(name))
        condition = {"IfMatch": f'"{when.version}"'} if isinstance(when, Matches) else {"IfNoneMatch": "*"}
        attempt = self._entropy.bytes(16).hex()
        object_ = {"Key": self._name(name), "Metadata": {ATTEMPT_FIELD: attempt}}
        course = self._retries.begin(len(copied))
        trouble = Trouble(name)
        while True:
            try:
                reply = await upload(self.wire, object_, copied, condition)
            except (NotSent, NoAnswer) as error:
                trouble.happened(error)
            else:
                if not reply.code:
                    return Stored(_etag(reply.fields))
                # A replacement of what is not there is answered as a missing key.
                if reply.status == _CONDITION or reply.code in _ABSENT:
                    return await trouble.whose(attempt, lambda: self._present(name))
                if _final(reply, trouble):
                    return trouble.outcome()
            if not await course.again():
                return trouble.outcome()

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version. Raises `WriteRefused`.

        After a request without an answer, that the version is gone is `Deleted`, whoever it was.
        """
        name = object_key(key)
        if not _ETAG.match(when.version):
            return await never(lambda: self._present(name))
        course = self._retries.begin()
        trouble = Trouble(name)
        while True:
            try:
                reply = await self.wire.call("delete_object", Key=self._name(name), IfMatch=f'"{when.version}"')
            except (NotSent, NoAnswer) as error:
                trouble.happened(error)
            else:
                if not reply.code:
                    return Deleted()
                if reply.status == _CONDITION or reply.code in _ABSENT:
                    return Deleted() if trouble.unclear else await never(lambda: self._present(name))
                if _final(reply, trouble):
                    return trouble.outcome()
            if not await course.again():
                return trouble.outcome()

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """Up to `limit` objects with this prefix and keys greater than `after`, in key order."""
        within, size = list_prefix(prefix), list_limit(limit)
        found: list[ObjectInfo] = []
        token: str | None = ""
        while token is not None and len(found) < size:
            parameters: dict[str, Any] = {"Prefix": self._name(within), "MaxKeys": min(size - len(found), PAGE_MAX)}
            if token:
                parameters["ContinuationToken"] = token
            elif after:
                parameters["StartAfter"] = self._name(after)
            reply = await self._ask(within, "list_objects_v2", **parameters)
            if reply is None:
                raise ReadRefused(f"bucket {self.bucket} cannot be listed")
            items = reply.fields.get("Contents", ())
            found += [_info(Key(item["Key"].removeprefix(self.prefix)), item, "Size") for item in items]
            token = reply.fields.get("NextContinuationToken")
        return found[:size]

    async def settle(self, key: Key) -> None:
        """Nothing to do: what can be read is durable."""
        object_key(key)

    def signer(self, clock: Clock) -> UrlSigner | None:
        """Who signs URLs of its objects; the vendor's client does by its own clock."""
        from arco.storage.s3_signing import S3Signer  # noqa: PLC0415  # it signs for this store, so it knows it

        del clock
        return S3Signer(self)

    async def close(self) -> None:
        """End every connection."""
        await self.wire.close()

    def object_name(self, key: Key) -> str:
        """The name in the bucket of the object with this key."""
        return self._name(object_key(key))

    def _name(self, key: str) -> str:
        return f"{self.prefix}{key}"

    async def _present(self, name: Key) -> Present | None:
        reply = await self._ask(name, "head_object", Key=self._name(name))
        if reply is None:
            return None
        return Present(_etag(reply.fields), reply.fields.get("Metadata", {}).get(ATTEMPT_FIELD))

    async def _ask(self, name: str, operation: str, **parameters: Any) -> Reply | None:
        """A read's answer: 200, 206 or 416, or None for an object that is not there."""
        course = self._retries.begin()
        trouble = Trouble(name)
        while True:
            try:
                reply = await self.wire.call(operation, **parameters)
            except (NotSent, NoAnswer) as error:
                trouble.happened(error)
            else:
                if not reply.code or reply.status == _RANGE_BEYOND:
                    return reply
                if reply.code in _ABSENT:
                    return None
                if _final(reply, trouble):
                    raise ReadRefused(f"{name}: {trouble.cause}")
            if not await course.again():
                raise StorageUnavailable(f"{name}: {trouble.cause}")


def _final(reply: Reply, trouble: Trouble) -> bool:
    """Notes what the answer says, and whether asking again is in vain."""
    cause = f"HTTP {reply.status} {reply.code}: {' '.join(reply.message.split())[:200]}"
    if reply.status in _TRANSIENT or not 100 <= reply.status < 500 or reply.code in _AGAIN:
        trouble.happened(NoAnswer(cause))
        return False
    trouble.refused(cause)
    return True


def _etag(fields: Mapping[str, Any]) -> str:
    return str(fields["ETag"]).strip('"')


def _info(key: Key, fields: Mapping[str, Any], size_field: str) -> ObjectInfo:
    # Headers tell whole seconds and listings thousandths: what both can say is kept.
    modified_ms = int(fields["LastModified"].timestamp()) * 1000
    return ObjectInfo(key, _etag(fields), int(fields[size_field]), modified_ms)
