"""What a table's folder says about itself: its shape, and a receipt of the last publication of each part.

A receipt is written after its data is visible. A crash in between leaves an attempt that has not succeeded; the next
one publishes the same part again, and its receipt.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from arco.sdk.errors import ConfigurationFailed, InfrastructureFailed
from arco.sdk.io.places import Place, partition_of_receipt
from arco.sdk.io.port import Writing
from arco.sdk.partitions import Dimension, Partition, partition_of


class Shape(msgspec.Struct, frozen=True, rename="camel"):
    """How a table is stored and cut: what no publication may change."""

    format: str
    dimensions: list[tuple[str, str, str, str]]
    partition_by: list[str] = []


class Receipt(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The last publication of a part. `version` is Delta's, or the materialization that wrote the Parquet file."""

    partition: str
    run_id: str
    attempt: int
    attempt_id: str
    version: str
    rows: int
    published_at: str


def checked_shape(place: Place, writing: Writing) -> None:
    """Write down the shape of a new table. Raises `ConfigurationFailed` when the table that is there has another."""
    io = writing.asset.io
    wanted = Shape(io.format, [_cut(one) for one in writing.asset.partitions], list(io.partition_by))
    path = f"{place.path}/_arco/table.json"
    found = _decoded(place.read(path), Shape, path)
    if found is None:
        place.replace(path, msgspec.json.encode(wanted), attempt=writing.task.attempt_id)
    elif found != wanted:
        raise ConfigurationFailed(
            f"{place.url} holds {_words(found)}, and {writing.asset.key} is {_words(wanted)} now: "
            "delete that folder to start anew, or give the asset another name"
        )


def keep_receipt(place: Place, receipt: Receipt, partition: Partition) -> None:
    """Write down that a part was published."""
    place.replace(place.receipt_path(partition), msgspec.json.encode(receipt), attempt=receipt.attempt_id)


def receipt_of(place: Place, partition: Partition) -> Receipt | None:
    """The receipt of a part, if it was ever published."""
    path = place.receipt_path(partition)
    found: Receipt | None = _decoded(place.read(path), Receipt, path)
    return found


def published_parts(place: Place, dimensions: Sequence[Dimension]) -> list[Partition]:
    """Every part that was ever published."""
    return [partition_of(dimensions, partition_of_receipt(path)) for path in place.receipts()]


def check_not_overtaken(place: Place, writing: Writing) -> None:
    """Raise `InfrastructureFailed` when a later attempt of the same run has published already."""
    last = receipt_of(place, writing.partition)
    if last is not None and last.run_id == writing.task.run_id and last.attempt > writing.task.attempt:
        raise InfrastructureFailed(
            f"attempt {last.attempt} has published already, this is {writing.task.attempt}", retryable=False
        )


def _cut(dimension: Dimension) -> tuple[str, str, str, str]:
    return dimension.name, dimension.kind, dimension.granularity or "", dimension.column


def _words(shape: Shape) -> str:
    cut = ", ".join(f"{name} ({granularity or kind})" for name, kind, granularity, _ in shape.dimensions)
    files = f", files by {', '.join(shape.partition_by)}" if shape.partition_by else ""
    return f"{shape.format} {f'partitioned by {cut}' if cut else 'without partitions'}{files}"


def _decoded(content: bytes | None, kind: Any, path: str) -> Any:
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise InfrastructureFailed(f"{path} cannot be read: {error}") from None
