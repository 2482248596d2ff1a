"""The messages of `arco.controlplane.v1` (catalog.md 4.11, appendix B), declared once.

Message classes, the `.proto` file in the reference and the JSON schemas of the OpenAPI document come from this table.
Numbers below 1000 are the contract's; those from 1000 on are ours. Where the contract gives a number and no type, the
type is what its texts and examples show.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from google.protobuf import descriptor_pb2

PACKAGE: Final = "arco.controlplane.v1"
FILE: Final = "arco/controlplane/v1/transactions.proto"
TIMESTAMP: Final = "Timestamp"

Field = tuple[str, int, str]
"""Name, number, and type: a scalar, `Timestamp`, a message or an enum; `?` after it is optional, `*` is repeated."""

ENUMS: Final[dict[str, dict[str, int]]] = {
    "TableFormat": {
        "TABLE_FORMAT_UNSPECIFIED": 0,
        "TABLE_FORMAT_DELTA": 1,
        "TABLE_FORMAT_ICEBERG": 2,
        "TABLE_FORMAT_PARQUET": 3,
    },
    "TransactionStatus": {
        "TRANSACTION_STATUS_UNSPECIFIED": 0,
        "TRANSACTION_STATUS_PREPARED": 1,
        "TRANSACTION_STATUS_VISIBLE": 2,
        "TRANSACTION_STATUS_ABORTED": 3,
    },
    "TransactionDomain": {
        "TRANSACTION_DOMAIN_UNSPECIFIED": 0,
        "TRANSACTION_DOMAIN_CATALOG": 1,
        "TRANSACTION_DOMAIN_ORCHESTRATION": 2,
        "TRANSACTION_DOMAIN_ROOT": 3,
    },
}

_TABLE_NAME: Final[tuple[Field, ...]] = (("catalog", 1, "string"), ("schema", 2, "string"), ("table", 3, "string"))

MESSAGES: Final[dict[str, tuple[Field, ...]]] = {
    "CreateCatalogOp": (("catalog", 1, "string"), ("description", 2, "string?")),
    "CreateSchemaOp": (("catalog", 1, "string"), ("schema", 2, "string"), ("description", 3, "string?")),
    "ColumnDefinition": (
        ("name", 1, "string"),
        ("data_type", 2, "string"),
        ("is_nullable", 3, "bool"),
        ("ordinal", 4, "int32"),
        ("description", 5, "string?"),
    ),
    "RegisterTableOp": (
        *_TABLE_NAME,
        ("description", 4, "string?"),
        ("location", 5, "string?"),
        ("format", 6, "TableFormat?"),
        ("columns", 7, "ColumnDefinition*"),
    ),
    "UpdateTableOp": (
        *_TABLE_NAME,
        ("description", 4, "string?"),
        ("location", 5, "string?"),
        ("format", 6, "TableFormat?"),
    ),
    "DropTableOp": _TABLE_NAME,
    "RenameTableOp": (*_TABLE_NAME, ("new_table", 4, "string")),
    "LineageEdge": (
        ("source_id", 1, "string"),
        ("target_id", 2, "string"),
        ("edge_type", 3, "string?"),
        ("run_id", 4, "string?"),
    ),
    "AddEdgesOp": (("edges", 1, "LineageEdge*"),),
    "CatalogDdlOperation": (
        ("create_catalog", 1, "CreateCatalogOp|operation"),
        ("create_schema", 2, "CreateSchemaOp|operation"),
        ("register_table", 3, "RegisterTableOp|operation"),
        ("update_table", 4, "UpdateTableOp|operation"),
        ("drop_table", 5, "DropTableOp|operation"),
        ("rename_table", 6, "RenameTableOp|operation"),
        ("add_edges", 1000, "AddEdgesOp|operation"),
        ("batch", 1001, "CatalogDdlBatch|operation"),
    ),
    "CatalogDdlBatch": (("operations", 1, "CatalogDdlOperation*"),),
    "ApplyCatalogDdlRequest": (("ddl", 2, "CatalogDdlOperation"),),
    "CatalogTxReceipt": (
        ("tx_id", 1, "string"),
        ("event_id", 2, "string"),
        ("commit_id", 3, "string"),
        ("manifest_id", 4, "string"),
        ("snapshot_version", 5, "uint64"),
        ("pointer_version", 6, "string"),
        ("read_token", 7, "string"),
        ("visible_at", 8, TIMESTAMP),
    ),
    "ApplyCatalogDdlResponse": (("receipt", 1, "CatalogTxReceipt"), ("repair_pending", 2, "bool")),
    "GetCatalogTransactionRequest": (("tx_id", 2, "string"),),
    "CatalogTxStatus": (
        ("tx_id", 1, "string"),
        ("status", 2, "TransactionStatus"),
        ("request_hash", 5, "string"),
        ("lock_path", 6, "string"),
        ("fencing_token", 7, "uint64"),
        ("prepared_at", 8, TIMESTAMP),
        ("visible_at", 9, TIMESTAMP),
        ("result", 10, "CatalogTxReceipt"),
        ("repair_pending", 11, "bool"),
    ),
    "OrchestrationEvent": (),
    "CommitOrchestrationBatchRequest": (("events", 2, "OrchestrationEvent*"),),
    "GetOrchestrationTransactionRequest": (("tx_id", 2, "string"),),
    "OrchestrationTxReceipt": (
        ("tx_id", 1, "string"),
        ("commit_id", 2, "string"),
        ("manifest_id", 3, "string"),
        ("revision_ulid", 4, "string"),
        ("delta_id", 5, "string"),
        ("pointer_version", 6, "string"),
        ("events_processed", 7, "uint64"),
        ("read_token", 8, "string"),
        ("visible_at", 9, TIMESTAMP),
    ),
    "OrchestrationMutation": (("events", 1, "OrchestrationEvent*"),),
    "MetastoreMutation": (),
    "MetastoreScope": (
        ("tenant_id", 1, "string"),
        ("workspace_id", 2, "string"),
        ("metastore_id", 3, "string"),
        ("request_id", 4, "string"),
    ),
    "ScopedMetastoreMutation": (("scope", 1, "MetastoreScope"), ("mutation", 2, "MetastoreMutation")),
    "DomainMutation": (
        ("catalog", 1, "CatalogDdlOperation|mutation"),
        ("orchestration", 2, "OrchestrationMutation|mutation"),
        ("metastore", 3, "MetastoreMutation|mutation"),
        ("scoped_metastore", 4, "ScopedMetastoreMutation|mutation"),
    ),
    "CommitRootTransactionRequest": (("mutations", 2, "DomainMutation*"),),
    "DomainCommit": (
        ("domain", 1, "TransactionDomain"),
        ("tx_id", 2, "string"),
        ("commit_id", 3, "string"),
        ("manifest_id", 4, "string"),
        ("manifest_path", 5, "string"),
        ("read_token", 6, "string"),
    ),
    "RootTxReceipt": (
        ("tx_id", 1, "string"),
        ("root_commit_id", 2, "string"),
        ("super_manifest_path", 4, "string"),
        ("domain_commits", 6, "DomainCommit*"),
        ("read_token", 7, "string"),
        ("visible_at", 8, TIMESTAMP),
    ),
    "CommitRootTransactionResponse": (("receipt", 1, "RootTxReceipt"), ("repair_pending", 2, "bool")),
    "GetRootTransactionRequest": (("tx_id", 2, "string"),),
    "RootTxDomain": (
        ("domain", 1, "TransactionDomain"),
        ("lock_path", 2, "string"),
        ("tx_id", 3, "string"),
        ("manifest_id", 4, "string"),
        ("manifest_path", 5, "string"),
    ),
    "RootTxStatus": (
        ("tx_id", 1, "string"),
        ("status", 2, "TransactionStatus"),
        ("request_hash", 5, "string"),
        ("lock_path", 6, "string"),
        ("fencing_token", 7, "uint64"),
        ("prepared_at", 8, TIMESTAMP),
        ("visible_at", 9, TIMESTAMP),
        ("super_manifest_path", 11, "string"),
        ("repair_pending", 13, "bool"),
        ("domains", 14, "RootTxDomain*"),
        ("result", 15, "RootTxReceipt"),
    ),
}

_SCALARS: Final = {"string": 9, "bool": 8, "int32": 5, "uint64": 4}
_MESSAGE: Final = 11
_ENUM: Final = 14
_OPTIONAL: Final = 1
_REPEATED: Final = 3


def file_descriptor() -> "descriptor_pb2.FileDescriptorProto":
    """The file descriptor of all messages."""
    # Imported on first use, as in `message_class`: it takes a tenth of a second that a server's start does not need.
    from google.protobuf import descriptor_pb2, timestamp_pb2  # noqa: PLC0415  # protobuf loads with the first transaction

    file = descriptor_pb2.FileDescriptorProto(name=FILE, package=PACKAGE, syntax="proto3")
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields:
            _add_field(message, field)
        # An optional scalar is a oneof of its own, and those come after the real ones.
        for made in (each for each in message.field if each.proto3_optional):
            made.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{made.name}")
    return file


@cache
def message_class(name: str) -> Any:
    """The message class with this name, without its package."""
    from google.protobuf import descriptor_pool, message_factory  # noqa: PLC0415  # protobuf loads with the first message

    pool: Any = descriptor_pool
    known = pool.Default()
    try:
        found = known.FindMessageTypeByName(f"{PACKAGE}.{name}")
    except KeyError:
        known.Add(file_descriptor())
        found = known.FindMessageTypeByName(f"{PACKAGE}.{name}")
    return message_factory.GetMessageClass(found)


def _add_field(message: "descriptor_pb2.DescriptorProto", field: Field) -> None:
    name, number, spelled = field
    kind, _, oneof = spelled.rstrip("?*").partition("|")
    made: Any = message.field.add(name=name, number=number)
    made.label = _REPEATED if spelled.endswith("*") else _OPTIONAL
    if kind in _SCALARS:
        made.type = _SCALARS[kind]
    else:
        made.type = _ENUM if kind in ENUMS else _MESSAGE
        made.type_name = ".google.protobuf.Timestamp" if kind == TIMESTAMP else f".{PACKAGE}.{kind}"
    if spelled.endswith("?"):
        made.proto3_optional = True
    if oneof:
        if not any(each.name == oneof for each in message.oneof_decl):
            message.oneof_decl.add(name=oneof)
        made.oneof_index = [each.name for each in message.oneof_decl].index(oneof)


def proto_text() -> str:
    """The `.proto` file of these messages."""
    lines = ['syntax = "proto3";', "", f"package {PACKAGE};", "", 'import "google/protobuf/timestamp.proto";', ""]
    for name, values in ENUMS.items():
        lines += [f"enum {name} {{", *(f"  {value} = {number};" for value, number in values.items()), "}", ""]
    for name, fields in MESSAGES.items():
        lines += [f"message {name} {{", *_proto_fields(fields), "}", ""]
    return "\n".join(lines)


def _proto_fields(fields: tuple[Field, ...]) -> list[str]:
    lines: list[str] = []
    oneof = ""
    for name, number, spelled in fields:
        kind, _, group = spelled.rstrip("?*").partition("|")
        kind = "google.protobuf.Timestamp" if kind == TIMESTAMP else kind
        label = "repeated " if spelled.endswith("*") else "optional " if spelled.endswith("?") else ""
        if group and not oneof:
            lines.append(f"  oneof {group} {{")
        oneof = group
        lines.append(f"{'    ' if group else '  '}{label}{kind} {name} = {number};")
    return [*lines, "  }"] if oneof else lines
