"""Where the tables of assets lie below a root, on this machine or behind any URL that fsspec knows.

    {root}/{namespace}/{name}/                  one table: its location in the catalog
        _arco/table.json                        its shape: format and dimensions
        _arco/parts/{name of the part}.json     receipt of the last publication of a part
        data.parquet                            Parquet, not partitioned
        {value}/{value}/data.parquet            Parquet, a part for each value of its dimensions
        _delta_log/, part-*.parquet             Delta

Names that begin with `_` are not data to whoever reads the folder. A file is replaced in one step: by a rename on this
machine, by one upload elsewhere.
"""

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from arco.core.partitions import Value
from arco.sdk.errors import ConfigurationFailed
from arco.sdk.partitions import Partition

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_NAME_CHARS_MAX: Final = 200
WHOLE: Final = "whole"


class Place:
    """The folder of one table. `url` is its location as others write it, `path` as its file system does."""

    def __init__(self, root: str, key: str, options: Mapping[str, Any]) -> None:
        from fsspec.core import url_to_fs  # noqa: PLC0415  # only who touches files needs it

        namespace, _, name = key.partition(".")
        self.files, base = url_to_fs(root, **options)
        self.path = f"{base.rstrip('/')}/{namespace}/{name}"
        self.local = "file" in _protocols(self.files)
        self.url = self.path if self.local else str(self.files.unstrip_protocol(self.path))

    def data_path(self, partition: Partition) -> str:
        """The Parquet file of a part. Raises `ConfigurationFailed` for values that are too long."""
        return "/".join([self.path, *(_folder(value) for value in partition.values()), "data.parquet"])

    def url_of(self, path: str) -> str:
        """A path as others write it."""
        return path if self.local else str(self.files.unstrip_protocol(path))

    def receipt_path(self, partition: Partition) -> str:
        """Where the receipt of a part lies. Raises `ConfigurationFailed` for keys that are too long."""
        encoded = base64.urlsafe_b64encode(partition.key.encode()).decode().rstrip("=") or WHOLE
        return f"{self.path}/_arco/parts/{_bounded(encoded)}.json"

    def receipts(self) -> list[str]:
        """The paths of all receipts."""
        folder = f"{self.path}/_arco/parts"
        self.files.invalidate_cache(folder)
        try:
            found = self.files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(one) for one in found if str(one).endswith(".json"))

    def read(self, path: str) -> bytes | None:
        """The bytes of a file; None when there is none."""
        try:
            content = self.files.cat_file(path)
        except FileNotFoundError:
            return None
        return bytes(content)

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return int(self.files.size(path))

    def replace(self, path: str, content: bytes, *, attempt: str) -> None:
        """Have these bytes there, in one step."""
        if not self.local:
            self.files.pipe_file(path, content)
            return
        with _replacing(path, attempt) as file:
            file.write(content)

    def put(self, source: Path, path: str, *, attempt: str) -> None:
        """Have a file of this machine there, in one step; the file itself stays where it is."""
        if not self.local:
            self.files.put_file(str(source), path)
            return
        with source.open("rb") as read, _replacing(path, attempt) as file:
            while piece := read.read(1 << 20):
                file.write(piece)


def partition_of_receipt(path: str) -> str:
    """The canonical key in the name of a receipt; empty for a table without partitions."""
    encoded = path.rpartition("/")[2].removesuffix(".json")
    if encoded == WHOLE:
        return ""
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()


@contextmanager
def _replacing(path: str, attempt: str) -> Iterator[BinaryIO]:
    """A file that takes the place of another when the block ends: once its bytes are sure to stay, or not at all."""
    target = Path(path)
    fresh = target.with_name(f".{target.name}.{attempt}.{os.getpid()}")  # hidden, and of this attempt alone
    fresh.parent.mkdir(parents=True, exist_ok=True)
    try:
        with fresh.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the new name, too
        finally:
            os.close(folder)


def _folder(value: Value) -> str:
    """A value as the name of a folder: readable, and never one that readers leave out."""
    if isinstance(value, datetime):
        text = value.strftime("%Y-%m-%dT%H")
    else:
        text = value.isoformat() if isinstance(value, date) else str(value)
    return _bounded("".join(one if one in _PLAIN else _escaped(one) for one in text))


def _escaped(character: str) -> str:
    return "".join(f"~{byte:02x}" for byte in character.encode())


def _bounded(name: str) -> str:
    if len(name) > _NAME_CHARS_MAX:
        raise ConfigurationFailed(
            f"a value of the partition is too long to name a file: {name[:40]}…; use shorter ones"
        )
    return name


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
