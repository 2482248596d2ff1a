"""Reads a Delta log, in a sandbox child: the live files of its latest version, their partitions, the schema.

A small reader of our own, because the log is a stranger's and a child opens no files: it is handed bytes. What it does
not support it refuses (deletion vectors, column mapping, unknown reader features): better than rows that are not there.
Source: the Delta transaction log protocol, "Action Reconciliation" and "Protocol Evolution".
"""

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from arco.core.errors import InvalidInput
from arco.query.delta_names import checkpoint_version, commit_version

_READER_VERSION_MAX: Final = 3
_FEATURES: Final = frozenset({"timestampNtz", "deletionVectors", "columnMapping", "vacuumProtocolCheck"})
"""Reader features a table may name; files with deletion vectors and mapped columns are refused where they occur."""

_ACTIONS: Final = ("add", "remove", "metaData", "protocol")
_DAMAGED: Final = "its log is damaged or needs features that are not supported"


class LiveFile(msgspec.Struct, frozen=True):
    """A data file: its path below the table's folder, and its partition values as the log writes them."""

    path: str
    partition: Mapping[str, str | None]


class DeltaVersion(msgspec.Struct, frozen=True):
    """The latest version of a table."""

    files: tuple[LiveFile, ...]
    schema_json: str
    partition_columns: tuple[str, ...]


def live_files(location: str, log: Mapping[str, pa.Buffer]) -> list[str]:
    """Paths of the live data files below the table's folder. Raises `InvalidInput`."""
    return [file.path for file in read_log(location, log).files]


def read_log(location: str, log: Mapping[str, pa.Buffer]) -> DeltaVersion:
    """The version that these log files (by name) tell of. Raises `InvalidInput`, naming the table's `location`."""
    try:
        return _replayed(log)
    except InvalidInput as fact:
        raise InvalidInput(f"table cannot be read as Delta: {location}; {fact.message}") from None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInput(f"table cannot be read as Delta: {location}; {_DAMAGED}") from None


def _replayed(log: Mapping[str, pa.Buffer]) -> DeltaVersion:
    live: dict[str, Mapping[str, Any]] = {}
    metadata: Mapping[str, Any] | None = None
    protocol: Mapping[str, Any] | None = None
    for kind, action in _actions(log):
        if kind == "add":
            live[action["path"]] = action
        elif kind == "remove":
            live.pop(action["path"], None)
        elif kind == "metaData":
            metadata = action
        else:
            protocol = action
    if metadata is None or protocol is None:
        raise InvalidInput(_DAMAGED)
    _check_protocol(protocol, metadata)
    files = tuple(LiveFile(_inside(path), dict(_pairs(live[path].get("partitionValues")))) for path in sorted(live))
    if any(action.get("deletionVector") for action in live.values()):
        raise InvalidInput("it has deletion vectors, which are not supported")
    return DeltaVersion(files, metadata["schemaString"], tuple(metadata.get("partitionColumns") or ()))


def _actions(log: Mapping[str, pa.Buffer]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every action, oldest first: the checkpoint's, then those of the commits, which must have no gap."""
    checkpoints = [name for name in log if checkpoint_version(name) is not None]
    version = checkpoint_version(checkpoints[0]) if checkpoints else -1
    for name in checkpoints:
        for batch in pq.ParquetFile(pa.BufferReader(log[name])).iter_batches(columns=_wanted(log[name])):
            for row in batch.to_pylist():
                yield from ((kind, action) for kind, action in row.items() if action is not None)
    for name in sorted(name for name in log if commit_version(name) is not None):
        expected = -1 if version is None else version + 1
        if commit_version(name) != expected:
            raise InvalidInput(_DAMAGED)
        version = expected
        for line in io.BytesIO(log[name].to_pybytes()):
            entry = json.loads(line) if line.strip() else {}
            yield from ((kind, entry[kind]) for kind in _ACTIONS if kind in entry)


def _wanted(checkpoint: pa.Buffer) -> list[str]:
    return [name for name in pq.read_schema(pa.BufferReader(checkpoint)).names if name in _ACTIONS]


def _check_protocol(protocol: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    features = set(protocol.get("readerFeatures") or ())
    if int(protocol["minReaderVersion"]) > _READER_VERSION_MAX or features - _FEATURES:
        raise InvalidInput("it needs reader features that are not supported")
    if dict(_pairs(metadata.get("configuration"))).get("delta.columnMapping.mode", "none") != "none":
        raise InvalidInput("its columns are mapped, which is not supported")


def _pairs(mapping: Any) -> list[tuple[str, Any]]:
    """A map as JSON has it, or as Parquet has it: a list of pairs."""
    return list(mapping.items()) if isinstance(mapping, dict) else list(mapping or ())


def _inside(path: str) -> str:
    """The path a log names, which must stay below the table's folder."""
    plain = unquote(path)
    parts = plain.split("/")
    if "://" in plain or plain.startswith(("/", "file:")) or "\\" in plain or not all(parts) or ".." in parts:
        raise InvalidInput("its log names files outside its folder")
    return plain
