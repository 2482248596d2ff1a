"""From messages to what the domain is asked for. Errors name the field as the contract spells it."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import UNSET

from arco.core.errors import InvalidInput
from arco.core.limits import TRANSACTION_MUTATIONS_MAX, TRANSACTION_PARTS_MAX
from arco.domains.lineage.rules import DEFAULT_EDGE_TYPE, NewEdge
from arco.domains.transactions.operations import (
    AddEdges,
    ColumnDefinition,
    CreateCatalog,
    CreateSchema,
    DropTable,
    Operation,
    RegisterTable,
    RenameTable,
    UpdateTable,
)

_FORMATS: Final = {1: "delta", 2: "iceberg", 3: "parquet"}


def operations_of(ddl: Any, field: str = "ddl") -> list[Operation]:
    """The operations of a `CatalogDdlOperation`: one, or those of a batch. Raises `InvalidInput`."""
    kind = ddl.WhichOneof("operation")
    if kind is None:
        raise InvalidInput(f"{field} is required: one operation, for instance create_catalog")
    _check_size(ddl.batch.operations if kind == "batch" else [ddl], field)
    if kind != "batch":
        return [_operation(ddl, kind)]
    if not ddl.batch.operations:
        raise InvalidInput("batch.operations must hold at least one operation")
    found: list[Operation] = []
    for index, each in enumerate(ddl.batch.operations):
        nested = each.WhichOneof("operation")
        if nested is None or nested == "batch":
            raise InvalidInput(f"operations[{index}] must be one operation, and not a batch", mutation=index)
        try:
            found.append(_operation(each, nested))
        except InvalidInput as error:
            raise InvalidInput(f"operations[{index}]: {error.message}", mutation=index) from error
    return found


def _check_size(operations: Sequence[Any], field: str) -> None:
    """Count before anything is looked at: a message of a megabyte may hold half a million of nothing."""
    if len(operations) > TRANSACTION_MUTATIONS_MAX:
        raise InvalidInput(f"batch.operations must hold 1 to {TRANSACTION_MUTATIONS_MAX} operations")
    parts = sum(len(each.register_table.columns) + len(each.add_edges.edges) for each in operations)
    if parts > TRANSACTION_PARTS_MAX:
        raise InvalidInput(f"{field} holds {parts} columns and edges, more than the limit of {TRANSACTION_PARTS_MAX}")


def _operation(ddl: Any, kind: str) -> Operation:
    return _MAKERS[kind](getattr(ddl, kind))


def _create_catalog(op: Any) -> Operation:
    return CreateCatalog(catalog=op.catalog, description=_optional(op, "description"))


def _create_schema(op: Any) -> Operation:
    return CreateSchema(catalog=op.catalog, schema=op.schema, description=_optional(op, "description"))


def _register_table(op: Any) -> Operation:
    return RegisterTable(
        catalog=op.catalog,
        schema=op.schema,
        table=op.table,
        description=_optional(op, "description"),
        location=_optional(op, "location"),
        format=_format("register_table.format", op.format) if op.HasField("format") else None,
        columns=[
            ColumnDefinition(
                name=column.name,
                data_type=column.data_type,
                is_nullable=column.is_nullable,
                ordinal=column.ordinal,
                description=_optional(column, "description"),
            )
            for column in op.columns
        ],
    )


def _update_table(op: Any) -> Operation:
    format_ = None if not op.format else _format("update_table.format", op.format)
    return UpdateTable(
        catalog=op.catalog,
        schema=op.schema,
        table=op.table,
        description=op.description if op.HasField("description") else UNSET,
        location=op.location if op.HasField("location") else UNSET,
        format=format_ if op.HasField("format") else UNSET,
    )


def _drop_table(op: Any) -> Operation:
    return DropTable(catalog=op.catalog, schema=op.schema, table=op.table)


def _rename_table(op: Any) -> Operation:
    return RenameTable(catalog=op.catalog, schema=op.schema, table=op.table, new_table=op.new_table)


def _add_edges(op: Any) -> Operation:
    edges = [
        NewEdge(
            source_id=edge.source_id,
            target_id=edge.target_id,
            edge_type=edge.edge_type if edge.HasField("edge_type") else DEFAULT_EDGE_TYPE,
            run_id=_optional(edge, "run_id"),
        )
        for edge in op.edges
    ]
    return AddEdges(edges=edges)


_MAKERS: Final[dict[str, Callable[[Any], Operation]]] = {
    "create_catalog": _create_catalog,
    "create_schema": _create_schema,
    "register_table": _register_table,
    "update_table": _update_table,
    "drop_table": _drop_table,
    "rename_table": _rename_table,
    "add_edges": _add_edges,
}


def _optional(message: Any, field: str) -> str | None:
    return getattr(message, field) if message.HasField(field) else None


def _format(field: str, number: int) -> str:
    found = _FORMATS.get(number)
    if found is None:
        raise InvalidInput(f"{field} must be DELTA, ICEBERG or PARQUET")
    return found
