"""Columns from what callers say: new ones get ids, known ones keep theirs, positions are list positions."""

from collections.abc import Sequence

import msgspec

from arco.core.entropy import Ids
from arco.core.errors import InvalidInput
from arco.domains.catalog.events import ColumnRecord
from arco.domains.catalog.rows import ColumnRow, TableRow
from arco.domains.catalog.rules import ColumnSpec


class _Stored(msgspec.Struct):
    id: str
    name: str
    data_type: str
    nullable: bool
    position: int
    description: str | None = None


_STORED = msgspec.json.Decoder(list[_Stored])


def columns_of(row: TableRow) -> list[ColumnRow]:
    """The columns a table row carries, in position order."""
    return [
        ColumnRow(
            id=column.id,
            table_id=row.id,
            name=column.name,
            data_type=column.data_type,
            is_nullable=column.nullable,
            ordinal=column.position,
            description=column.description,
        )
        for column in _STORED.decode(row.columns_json)
    ]


def fresh_columns(ids: Ids, table_id: str, specs: Sequence[ColumnSpec]) -> list[ColumnRow]:
    """Columns of a new table."""
    return [_row(ids.uuid7(), table_id, index, spec) for index, spec in enumerate(specs)]


def patched_columns(
    ids: Ids, table_id: str, stored: Sequence[ColumnRow], specs: Sequence[ColumnSpec]
) -> list[ColumnRow]:
    """The new column list of a table. Raises `InvalidInput` for an id that is not one of its columns, or is used twice.

    A spec with an id is that column; one without is the column of that name, unless another spec claims its id.
    """
    known = {column.id for column in stored}
    claimed: set[str] = set()
    for index, spec in enumerate(specs):
        if spec.id is None:
            continue
        if spec.id not in known:
            raise InvalidInput(f"columns[{index}].id is not a column of this table; leave it out for a new column")
        if spec.id in claimed:
            raise InvalidInput(f"columns[{index}].id is used twice")
        claimed.add(spec.id)
    by_name = {column.name: column.id for column in stored if column.id not in claimed}
    return [
        _row(spec.id or by_name.get(spec.name) or ids.uuid7(), table_id, index, spec)
        for index, spec in enumerate(specs)
    ]


def column_records(columns: Sequence[ColumnRow]) -> list[ColumnRecord]:
    """The columns as events carry them."""
    return [
        ColumnRecord(
            id=column.id,
            table_id=column.table_id,
            name=column.name,
            data_type=column.data_type,
            is_nullable=column.is_nullable,
            ordinal=column.ordinal,
            description=column.description,
        )
        for column in columns
    ]


def _row(column_id: str, table_id: str, index: int, spec: ColumnSpec) -> ColumnRow:
    return ColumnRow(
        id=column_id,
        table_id=table_id,
        name=spec.name,
        data_type=spec.data_type,
        is_nullable=spec.nullable,
        ordinal=index,
        description=spec.description,
    )
