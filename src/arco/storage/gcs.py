"""Objects in a bucket of Google Cloud Storage; a version is a generation, which the provider never uses twice.

Guarantees what the port promises. A 412 is resolved by reading whose attempt the object carries, so that a write that
was sent twice, by us or by anything on the way, is `Stored` and not `Lost`. Once a request of an operation went without
an answer, its end is `Stored` when our attempt is seen and `Unsure` otherwise, however many answers follow: ours may
have been there and been replaced. A refusal (no permission, no bucket) is `WriteRefused` only when nothing was unclear.

Relies on the provider's strong consistency of reads, writes and listings, and on names compared as UTF-8 bytes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from arco.core.clock import Clock, SystemClock
from arco.core.entropy import Entropy, SystemEntropy
from arco.core.errors import invariant
from arco.core.paths import Key
from arco.storage.gcs_upload import Upload, upload
from arco.storage.gcs_wire import Answer, GcsWire
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
from arco.storage.signing import UrlSigner
from arco.storage.verdicts import ATTEMPT_FIELD, Present, Trouble, never

PAGE_MAX: Final = 1_000
"""Objects of one listing request: what the provider gives at most."""

_FIELDS: Final = "generation,size,timeCreated,metadata"
_DONE: Final = frozenset({200, 201, 204, 206})
_TRANSIENT: Final = frozenset({408, 409, 429})
_UNAUTHORIZED: Final = 401
_MISSING: Final = 404
_CONDITION: Final = 412
_RANGE_BEYOND: Final = 416
_NO_BUCKET: Final = "bucket does not exist"


class _Metadata(msgspec.Struct, frozen=True):
    generation: str
    size: str = "0"
    timeCreated: str = "1970-01-01T00:00:00Z"  # noqa: N815  # the provider's spelling
    name: str = ""
    metadata: dict[str, str] = {}


class _Page(msgspec.Struct, frozen=True):
    items: list[_Metadata] = []
    nextPageToken: str | None = None  # noqa: N815  # the provider's spelling


class GcsStore:
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
        # Whoever names an endpoint names an emulator: it gets none of our credentials.
        self.wire = GcsWire(bucket, patience, endpoint=endpoint, token="anon" if endpoint else "google_default")

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None. Raises `StorageUnavailable`."""
        name = object_key(key)
        answer = await self._ask(name, self.wire.media_url(self._name(name)))
        return None if answer is None else StoredObject(answer.body, _generation(answer))

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped. Raises `StorageUnavailable`."""
        invariant(0 <= start <= end, "a range begins at or after 0 and does not end before it begins")
        name = object_key(key)
        while start < end:
            headers = {"Range": f"bytes={start}-{end - 1}"}
            answer = await self._ask(name, self.wire.media_url(self._name(name)), headers)
            if answer is None:
                return None
            if answer.status == 206:
                return StoredObject(answer.body, _generation(answer))
            if answer.status == 200:
                return StoredObject(answer.body[start:end], _generation(answer))
            # The range begins at the object's end or beyond. Which version that is true of, its metadata tells.
            info = await self.head(name)
            if info is None or info.size_bytes <= start:
                return None if info is None else StoredObject(b"", info.version)
        info = await self.head(name)
        return None if info is None else StoredObject(b"", info.version)

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None. Raises `StorageUnavailable`."""
        name = object_key(key)
        found = await self._metadata(name)
        return None if found is None else _info(name, found)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds. Raises `WriteRefused`."""
        name = object_key(key)
        if isinstance(when, Matches) and not _is_generation(when.version):
            return await never(lambda: self._present(name))
        generation = when.version if isinstance(when, Matches) else "0"
        what = Upload(self._name(name), bytes(body), generation, self._entropy.bytes(16).hex())
        course = self._retries.begin(len(what.body))
        trouble = Trouble(name)
        while True:
            try:
                answer = await upload(self.wire, what, course)
            except (NotSent, NoAnswer) as error:
                trouble.happened(error)
            else:
                if answer.status in _DONE and (stored := _stored(answer, trouble)) is not None:
                    return stored
                if answer.status == _CONDITION:
                    return await trouble.whose(what.attempt, lambda: self._present(name))
                if answer.status not in _DONE and self._final(answer, trouble):
                    return trouble.outcome()
            if not await course.again():
                return trouble.outcome()

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version. Raises `WriteRefused`.

        After a request without an answer, that the version is gone is `Deleted`, whoever it was.
        """
        name = object_key(key)
        if not _is_generation(when.version):
            return await never(lambda: self._present(name))
        course = self._retries.begin()
        trouble = Trouble(name)
        url = self.wire.object_url(self._name(name), ifGenerationMatch=when.version)
        while True:
            try:
                answer = await self.wire.send("DELETE", url, timeout_ms=course.attempt_ms)
            except (NotSent, NoAnswer) as error:
                trouble.happened(error)
            else:
                if answer.status in _DONE:
                    return Deleted()
                if answer.status in (_MISSING, _CONDITION) and _NO_BUCKET not in _message(answer):
                    return Deleted() if trouble.unclear else await never(lambda: self._present(name))
                if self._final(answer, trouble):
                    return trouble.outcome()
            if not await course.again():
                return trouble.outcome()

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """Up to `limit` objects with this prefix and keys greater than `after`, in key order."""
        within, size = list_prefix(prefix), list_limit(limit)
        found: list[ObjectInfo] = []
        token: str | None = ""
        while token is not None and len(found) < size:
            # The provider's offset is inclusive: one more than is wanted may be needed.
            query = {
                "prefix": self._name(within),
                "maxResults": str(min(size - len(found) + 1, PAGE_MAX)),
                "fields": f"items(name,{_FIELDS}),nextPageToken",
            }
            if after:
                query["startOffset"] = self._name(after)
            if token:
                query["pageToken"] = token
            answer = await self._ask(within, self.wire.list_url(**query))
            if answer is None:
                raise ReadRefused(f"bucket {self.bucket} cannot be listed")
            page = _decoded(answer.body, _Page)
            keys = ((Key(item.name.removeprefix(self.prefix)), item) for item in page.items)
            found += [_info(key, item) for key, item in keys if key > after]
            token = page.nextPageToken
        return found[:size]

    async def settle(self, key: Key) -> None:
        """Nothing to do: what can be read is durable."""
        object_key(key)

    def signer(self, clock: Clock) -> UrlSigner | None:
        """Who signs URLs of its objects; None where requests carry no credentials."""
        from arco.storage.gcs_signing import GcsSigner  # noqa: PLC0415  # it signs for this store, so it knows it

        return None if self.wire.credentials is None else GcsSigner(self, clock)

    async def close(self) -> None:
        """End every connection."""
        await self.wire.close()

    def object_name(self, key: Key) -> str:
        """The name in the bucket of the object with this key."""
        return self._name(object_key(key))

    def _name(self, key: str) -> str:
        return f"{self.prefix}{key}"

    async def _ask(self, name: str, url: str, headers: Mapping[str, str] | None = None) -> Answer | None:
        """A read's answer: 200, 206 or 416, or None for an object that is not there."""
        course = self._retries.begin()
        trouble = Trouble(name)
        while True:
            try:
                answer = await self.wire.send("GET", url, headers=headers, timeout_ms=course.attempt_ms)
            except (NotSent, NoAnswer) as error:
                trouble.happened(error)
            else:
                if answer.status in _DONE or answer.status == _RANGE_BEYOND:
                    return answer
                if answer.status == _MISSING and _NO_BUCKET not in _message(answer):
                    return None
                if self._final(answer, trouble):
                    raise ReadRefused(f"{name}: {_refusal(answer)}")
            if not await course.again():
                raise StorageUnavailable(f"{name}: {trouble.cause}")

    async def _metadata(self, name: Key) -> _Metadata | None:
        answer = await self._ask(name, self.wire.object_url(self._name(name), fields=_FIELDS))
        return None if answer is None else _decoded(answer.body, _Metadata)

    async def _present(self, name: Key) -> Present | None:
        found = await self._metadata(name)
        return None if found is None else Present(found.generation, found.metadata.get(ATTEMPT_FIELD))

    def _final(self, answer: Answer, trouble: Trouble) -> bool:
        """Notes what the answer says, and whether asking again is in vain."""
        status = answer.status
        if status in _TRANSIENT or status >= 500:
            trouble.happened(NoAnswer(f"HTTP {status}"))
            return False
        if status == _UNAUTHORIZED and not trouble.renewed:
            trouble.renewed = True
            self.wire.forget_token()
            trouble.happened(NotSent(_refusal(answer)))
            return False
        trouble.refused(_refusal(answer))
        return True


def _is_generation(version: str) -> bool:
    # Zero is how the provider spells "no object": as a version it would turn a swap into a creation.
    return version.isascii() and version.isdecimal() and version.strip("0") != ""


def _generation(answer: Answer) -> str:
    found = answer.headers.get("x-goog-generation", "")
    if not _is_generation(found):
        raise StorageUnavailable("the store's answer names no generation: something else than Cloud Storage answers")
    return found


def _stored(answer: Answer, trouble: Trouble) -> Stored | None:
    """A write's version, or None when the answer was cut: then the next request finds our attempt."""
    try:
        return Stored(_decoded(answer.body, _Metadata).generation)
    except StorageUnavailable as error:
        trouble.happened(NoAnswer(str(error)))
        return None


def _info(key: Key, found: _Metadata) -> ObjectInfo:
    created = datetime.fromisoformat(found.timeCreated)
    return ObjectInfo(key, found.generation, int(found.size), int(created.timestamp() * 1000))


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StorageUnavailable(f"the store's answer cannot be read: {error}") from error


def _message(answer: Answer) -> str:
    """The sentence of an error, which is JSON or, on the media route, plain text."""
    try:
        found = msgspec.json.decode(answer.body)["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        found = answer.body[:300].decode("utf-8", "replace")
    return str(found)


def _refusal(answer: Answer) -> str:
    return f"HTTP {answer.status}: {' '.join(_message(answer).split())[:200]}"
