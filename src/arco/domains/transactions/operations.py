"""What a transaction may ask of the catalog and of lineage, and the hash its key stands for (catalog.md 4.11).

`AddEdges` is ours. Fields left out of an update are `UNSET`; null clears.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from arco.core.canonical_json import canonical_sha256
from arco.domains.lineage.rules import NewEdge


class ColumnDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table to register. `ordinal` is the caller's and is kept."""

    name: str
    data_type: str
    is_nullable: bool
    ordinal: int
    description: str | None = None


class Operation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=False):
    """One change."""


class CreateCatalog(Operation, frozen=True, kw_only=True, tag="create_catalog"):
    """Create a catalog."""

    catalog: str
    description: str | None = None


class CreateSchema(Operation, frozen=True, kw_only=True, tag="create_schema"):
    """Create a schema; the catalog `default` is made when it is missing."""

    catalog: str
    schema: str
    description: str | None = None


class RegisterTable(Operation, frozen=True, kw_only=True, tag="register_table"):
    """Register a table with its columns."""

    catalog: str
    schema: str
    table: str
    description: str | None = None
    location: str | None = None
    format: str | None = None
    columns: Sequence[ColumnDefinition] = ()


class UpdateTable(Operation, frozen=True, kw_only=True, tag="update_table"):
    """Change what is given; a format of null clears the stored one."""

    catalog: str
    schema: str
    table: str
    description: str | UnsetType | None = UNSET
    location: str | UnsetType | None = UNSET
    format: str | UnsetType | None = UNSET


class DropTable(Operation, frozen=True, kw_only=True, tag="drop_table"):
    """Remove a table from the catalog."""

    catalog: str
    schema: str
    table: str


class RenameTable(Operation, frozen=True, kw_only=True, tag="rename_table"):
    """Give a table another name in its schema."""

    catalog: str
    schema: str
    table: str
    new_table: str


class AddEdges(Operation, frozen=True, kw_only=True, tag="add_edges"):
    """Record lineage edges."""

    edges: Sequence[NewEdge]


_PREFIX: Final = "sha256:"


def hashed(operation: Operation) -> dict[str, Any]:
    """The object an operation is hashed as: its `type` and fields, those left out of an update left out here too."""
    found: dict[str, Any] = msgspec.to_builtins(operation)
    return found


def request_hash(operations: Sequence[Operation]) -> str:
    """The hash of a catalog transaction. One operation hashes as the contract says, several as a list of such."""
    if len(operations) == 1:
        return _PREFIX + canonical_sha256(hashed(operations[0]))
    return _PREFIX + canonical_sha256({"operations": [hashed(each) for each in operations]})


def hashed_request(operations: Sequence[Operation]) -> dict[str, Any]:
    """What the catalog's part of a root transaction is hashed as."""
    return hashed(operations[0]) if len(operations) == 1 else {"operations": [hashed(each) for each in operations]}


def root_request_hash(requests: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The hash of a root transaction: what is asked of each domain, in the order of the request."""
    mutations = [{"domain": domain, "request": request} for domain, request in requests]
    return _PREFIX + canonical_sha256({"mutations": mutations})
