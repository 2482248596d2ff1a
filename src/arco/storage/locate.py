"""From the text of `ARCO_STORAGE_BUCKET` to a store.

`file:///absolute/path`, `file://./relative/path` and `memory://` are served. `gs://bucket`, `s3://bucket` and a bare
name (GCS) are understood and refused until their adapters are here.
"""

from pathlib import Path
from typing import Final
from urllib.parse import unquote

from arco.core.errors import InvalidInput
from arco.storage.local import LocalStore
from arco.storage.memory import MemoryStore

_CLOUDS: Final = {
    "gs": "Google Cloud Storage",
    "gcs": "Google Cloud Storage",
    "s3": "S3",
    "s3a": "S3",
    "az": "Azure Blob Storage",
    "azure": "Azure Blob Storage",
}
_INSTEAD: Final = "use file:///absolute/path, file://./relative/path or memory://"


class StorageUrlRefused(InvalidInput):
    """The storage URL names nothing that this release can open; the message says what to write instead."""


class CloudStorageMissing(StorageUrlRefused):
    """The storage URL names a cloud bucket and this release has no adapter for it."""


def store_from_url(text: str) -> LocalStore | MemoryStore:
    """The store that a storage URL names; nothing is opened or made yet. Raises `StorageUrlRefused`."""
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower() if separator else "gs"
    if not text.strip():
        raise StorageUrlRefused(f"the storage URL is empty: {_INSTEAD}")
    if scheme == "file":
        return LocalStore(_directory(text, rest))
    if scheme == "memory":
        if rest.strip("/"):
            raise StorageUrlRefused(f"{text!r}: memory:// takes no name, because nothing of it is kept")
        return MemoryStore()
    if scheme in _CLOUDS:
        raise CloudStorageMissing(
            f"{text!r} is a bucket of {_CLOUDS[scheme]}; cloud storage arrives with its own extra and is not in this "
            f"release: {_INSTEAD}"
        )
    raise StorageUrlRefused(f"{text!r} has an unknown scheme: {_INSTEAD}")


def _directory(text: str, rest: str) -> Path:
    path = unquote(rest)
    if path.startswith("localhost/"):
        path = path.removeprefix("localhost")
    if "\0" in path or not (path.startswith(("/", "./", "../")) or path in (".", "..")):
        raise StorageUrlRefused(f"{text!r} names no directory: {_INSTEAD}")
    return Path(path)
