"""The messages of `arco.controlplane.v1` (catalog.md 4.11, appendix B), declared once.

Message classes, the `.proto` file in the reference and the JSON schemas of the OpenAPI document come from this table.
Numbers below 1000 are the contract's; those from 1000 on are ours. Where the contract gives a number and no type, the
type is what its texts and examples show.
"""

from typing import Any, Final

from arco.routes.wire import protos
from arco.routes.wire.orchestration import ENVELOPE, ORCHESTRATION_FILE
from arco.routes.wire.protos import TIMESTAMP, Field, ProtoFile

PACKAGE: Final = "arco.controlplane.v1"

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
    "CommitOrchestrationBatchRequest": (("events", 2, f"{ENVELOPE}*"),),
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
    "CommitOrchestrationBatchResponse": (("receipt", 1, "OrchestrationTxReceipt"), ("repair_pending", 2, "bool")),
    "OrchestrationTxStatus": (
        ("tx_id", 1, "string"),
        ("status", 2, "TransactionStatus"),
        ("request_hash", 5, "string"),
        ("lock_path", 6, "string"),
        ("fencing_token", 7, "uint64"),
        ("prepared_at", 8, TIMESTAMP),
        ("visible_at", 9, TIMESTAMP),
        ("result", 10, "OrchestrationTxReceipt"),
        ("repair_pending", 11, "bool"),
    ),
    "OrchestrationMutation": (("events", 1, f"{ENVELOPE}*"),),
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

CONTROLPLANE_FILE: Final = ProtoFile(
    package=PACKAGE,
    path="arco/controlplane/v1/transactions.proto",
    enums=ENUMS,
    messages=MESSAGES,
    imports=(ORCHESTRATION_FILE,),
)


def message_class(name: str) -> Any:
    """The message class with this name, without its package."""
    return protos.message_class(CONTROLPLANE_FILE, name)
