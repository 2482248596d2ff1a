"""From the text of `ARCO_STORAGE_BUCKET` to a store.

`file:///absolute/path`, `file://./relative/path`, `memory://`, `gs://bucket[/prefix]`, `s3://bucket[/prefix]` and a
bare name, which is a bucket of Cloud Storage. Adapters of clouds are imported by whoever names one: they cost a second.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol, runtime_checkable
from urllib.parse import unquote

from arco.core.clock import Clock
from arco.core.errors import InvalidInput
from arco.core.paths import InvalidKey
from arco.storage.local import LocalStore
from arco.storage.memory import MemoryStore
from arco.storage.names import object_key
from arco.storage.port import ObjectStore
from arco.storage.signing import UrlSigner

EMULATOR_VARIABLE: Final = "STORAGE_EMULATOR_HOST"
"""Names an emulator of Cloud Storage, as for every other client of it; requests then carry no credentials."""

_SCHEMES: Final = {"gs": "gs", "gcs": "gs", "s3": "s3", "s3a": "s3"}
_ABSENT: Final = {"az": "Azure Blob Storage", "azure": "Azure Blob Storage"}
_EXTRA: Final = {"gs": ("gcs", "gcsfs"), "s3": ("s3", "s3fs")}
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,220}[a-z0-9]\Z")
_INSTEAD: Final = "use file:///absolute/path, file://./relative/path, memory://, gs://bucket or s3://bucket"


class StorageUrlRefused(InvalidInput):
    """The storage URL names nothing that this release can open; the message says what to write instead."""


class CloudStorageMissing(StorageUrlRefused):
    """The storage URL names a cloud bucket, and what it takes to open it is not installed or not offered."""


@runtime_checkable
class CloudStore(ObjectStore, Protocol):
    """A store across a network: it has a bucket, and connections to end."""

    bucket: str
    prefix: str

    def signer(self, clock: Clock) -> UrlSigner | None:
        """Who signs URLs of its objects; None for an emulator, which is asked without credentials."""
        ...

    async def close(self) -> None:
        """End every connection."""
        ...


def store_from_url(text: str, environ: Mapping[str, str] = os.environ) -> LocalStore | MemoryStore | CloudStore:
    """The store that a storage URL names; nothing is made yet, and no store is asked.

    Raises `StorageUrlRefused`, and `InvalidInput` when a cloud's credentials are not found.
    """
    scheme, separator, rest = text.strip().partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("gs", scheme)
    if not text.strip():
        raise StorageUrlRefused(f"the storage URL is empty: {_INSTEAD}")
    if scheme == "file":
        return LocalStore(_directory(text, rest))
    if scheme == "memory":
        if rest.strip("/"):
            raise StorageUrlRefused(f"{text!r}: memory:// takes no name, because nothing of it is kept")
        return MemoryStore()
    if scheme in _ABSENT:
        raise CloudStorageMissing(f"{text!r} is {_ABSENT[scheme]}, which this release cannot open: {_INSTEAD}")
    if scheme not in _SCHEMES:
        raise StorageUrlRefused(f"{text!r} has an unknown scheme: {_INSTEAD}")
    bucket, prefix = _bucket(text, rest)
    return _cloud(_SCHEMES[scheme], bucket, prefix, environ)


def _cloud(scheme: str, bucket: str, prefix: str, environ: Mapping[str, str]) -> CloudStore:
    extra, module = _EXTRA[scheme]
    try:
        if scheme == "gs":
            from arco.storage.gcs import GcsStore  # noqa: PLC0415  # gcsfs is an extra, and takes 0.8 s

            return GcsStore(bucket, prefix, endpoint=_endpoint(environ.get(EMULATOR_VARIABLE, "")))
        from arco.storage.s3 import S3Store  # noqa: PLC0415  # s3fs is an extra, and takes 1.2 s

        return S3Store(bucket, prefix)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in (module, "google", "botocore", "aiobotocore"):
            raise
        raise CloudStorageMissing(
            f"{scheme}:// needs {module}, which is not installed: pip install 'arco[{extra}]'"
        ) from missing


def _endpoint(text: str) -> str | None:
    if text in ("", "default"):
        return None
    return text.rstrip("/") if text.startswith(("http://", "https://")) else f"http://{text}".rstrip("/")


def _bucket(text: str, rest: str) -> tuple[str, str]:
    bucket, _, prefix = rest.partition("/")
    if not _BUCKET.match(bucket):
        raise StorageUrlRefused(f"{text!r} names no bucket: {_INSTEAD}")
    prefix = prefix.strip("/")
    try:
        return bucket, f"{object_key(prefix)}/" if prefix else ""
    except InvalidKey as invalid:
        raise StorageUrlRefused(f"{text!r}: what follows the bucket cannot begin a key: {invalid.reason}") from None


def _directory(text: str, rest: str) -> Path:
    path = unquote(rest)
    if path.startswith("localhost/"):
        path = path.removeprefix("localhost")
    if "\0" in path or not (path.startswith(("/", "./", "../")) or path in (".", "..")):
        raise StorageUrlRefused(f"{text!r} names no directory: {_INSTEAD}")
    return Path(path)
