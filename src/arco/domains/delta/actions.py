"""The actions of a Delta commit, as the Delta protocol writes them ("Actions"). Fields beyond these are left alone."""

from typing import Annotated, Any, Final

import msgspec

Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Values = dict[str, str | None]


class DeletionVector(msgspec.Struct, frozen=True, rename="camel"):
    """A deletion vector inside the log (`i`) or in a file of the table (`u`); absolute paths (`p`) are refused."""

    storage_type: str
    path_or_inline_dv: NonEmpty
    size_in_bytes: Count
    cardinality: Count
    offset: Count | None = None


class Format(msgspec.Struct, frozen=True, rename="camel"):
    """How the data files are encoded."""

    provider: NonEmpty
    options: dict[str, str] = {}


class Protocol(msgspec.Struct, frozen=True, rename="camel"):
    """What readers and writers must know."""

    min_reader_version: Positive
    min_writer_version: Positive
    reader_features: list[NonEmpty] | None = None
    writer_features: list[NonEmpty] | None = None


class MetaData(msgspec.Struct, frozen=True, rename="camel"):
    """The table's schema and settings."""

    id: NonEmpty
    format: Format
    schema_string: str
    partition_columns: list[str]
    configuration: dict[str, str | None] = {}
    name: str | None = None
    description: str | None = None
    created_time: Long | None = None


class Add(msgspec.Struct, frozen=True, rename="camel"):
    """A file that is part of the table from this version on."""

    path: NonEmpty
    partition_values: Values
    size: Count
    modification_time: Long
    data_change: bool
    stats: str | None = None
    tags: Values | None = None
    deletion_vector: DeletionVector | None = None
    base_row_id: Count | None = None
    default_row_commit_version: Count | None = None
    clustering_provider: str | None = None


class Remove(msgspec.Struct, frozen=True, rename="camel"):
    """A file that is no longer part of the table."""

    path: NonEmpty
    data_change: bool
    deletion_timestamp: Long | None = None
    extended_file_metadata: bool | None = None
    partition_values: Values | None = None
    size: Count | None = None
    stats: str | None = None
    tags: Values | None = None
    deletion_vector: DeletionVector | None = None


class Cdc(msgspec.Struct, frozen=True, rename="camel"):
    """A file of row changes."""

    path: NonEmpty
    partition_values: Values
    size: Count
    data_change: bool
    tags: Values | None = None


class Txn(msgspec.Struct, frozen=True, rename="camel"):
    """How far an application has written."""

    app_id: NonEmpty
    version: Long
    last_updated: Long | None = None


class DomainMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """Settings of a named domain."""

    domain: NonEmpty
    configuration: str
    removed: bool


SHAPES: Final[dict[str, Any]] = {
    "protocol": Protocol,
    "metaData": MetaData,
    "add": Add,
    "remove": Remove,
    "cdc": Cdc,
    "txn": Txn,
    "domainMetadata": DomainMetadata,
    "commitInfo": dict[str, Any],
}
"""What may stand on a line of a commit."""

ONCE: Final = ("protocol", "metaData", "commitInfo")
"""Actions a commit has at most one of."""
