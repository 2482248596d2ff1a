"""Deltas in memory: small sorted maps of changes over the trees, newest last.

A layer is immutable once built. Joining two layers keeps the newer change of each key; deletes stay as `None`, because
only the tree below knows whether there is something to delete.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from arco.core.errors import CorruptData
from arco.kernel.manifest import TableDelta
from arco.kernel.spec import R, RowKey, TableSpec

Changes = Mapping[str, Mapping[RowKey, Any]]
"""Per table name: key to row, or None for a delete."""

_BODY = msgspec.json.Decoder(dict[str, TableDelta])
_ENCODER = msgspec.json.Encoder()
_ROW_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}


class TableLayer:
    """The changes of one table in one delta."""

    __slots__ = ("changes", "keys")

    def __init__(self, changes: Mapping[RowKey, Any]) -> None:
        self.changes = changes
        self.keys: list[RowKey] = sorted(changes)

    def span(self, prefix: RowKey) -> tuple[int, int]:
        """The slice of `keys` that begins with `prefix`."""
        low = bisect_left(self.keys, prefix)
        width = len(prefix)
        high = bisect_left(self.keys, True, lo=low, key=lambda key: key[:width] > prefix)
        return low, high


Layer = Mapping[str, TableLayer]

LAYER_ROW_BYTES: Final = 900
"""What one row of a layer takes in memory, about."""


def layer_of(changes: Changes) -> Layer:
    """The layer of a commit's changes."""
    return {name: TableLayer(rows) for name, rows in changes.items() if rows}


def encode_layer(changes: Changes, specs: Mapping[str, TableSpec[Any]]) -> bytes:
    """The JSON body of a delta: per table its `put` rows and `delete` keys, in key order."""
    body: dict[str, dict[str, Any]] = {}
    for name in sorted(changes):
        rows = changes[name]
        ordered = sorted(rows)
        put = [rows[key] for key in ordered if rows[key] is not None]
        delete = [key for key in ordered if rows[key] is None]
        body[name] = {"put": put, "delete": delete}
        if not delete:
            del body[name]["delete"]
        assert name in specs, name
    return _ENCODER.encode(body)


def decode_layer(body: bytes, specs: Mapping[str, TableSpec[Any]]) -> Layer:
    """The layer of a delta body. Tables this build does not know are refused. Raises `CorruptData`."""
    try:
        tables = _BODY.decode(body)
        return {name: TableLayer(_changes(_known(specs, name), delta)) for name, delta in tables.items()}
    except msgspec.MsgspecError as error:
        raise CorruptData(f"a stored delta is not readable: {error}") from error


def joined(layers: Sequence[Layer]) -> dict[str, dict[RowKey, Any]]:
    """The changes of several layers, oldest first, as one."""
    result: dict[str, dict[RowKey, Any]] = {}
    for layer in layers:
        for name, table in layer.items():
            result.setdefault(name, {}).update(table.changes)
    return result


def row_count(changes: Changes) -> int:
    """Rows and deletes in a set of changes."""
    return sum(len(rows) for rows in changes.values())


def _known(specs: Mapping[str, TableSpec[Any]], name: str) -> TableSpec[Any]:
    if name not in specs:
        raise CorruptData(f"a stored delta holds the unknown table {name}; upgrade arco")
    return specs[name]


def _changes(spec: TableSpec[R], delta: TableDelta) -> dict[RowKey, R | None]:
    decoder = _ROW_DECODERS.get(spec.row)
    if decoder is None:
        decoder = _ROW_DECODERS[spec.row] = msgspec.json.Decoder(spec.row)
    rows: Iterable[R] = (decoder.decode(raw) for raw in delta.put)
    changes: dict[RowKey, R | None] = {spec.key_of(row): row for row in rows}
    changes.update((tuple(key), None) for key in delta.delete)
    return changes
