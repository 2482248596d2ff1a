"""The port between a task and its tables: read an input, stage a result, publish or discard it.

Law for implementations: nothing that is staged can be seen by anybody; `publish` makes all of it visible in one step
and in place of what the same asset and partition had before, so that a repeated attempt never adds rows; `discard`
leaves no trace that a reader could meet. Errors that are not `TaskFailed` count as trouble of the infrastructure.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

from arco.sdk.assets import Asset
from arco.sdk.checks import Examined
from arco.sdk.context import TaskRun
from arco.sdk.forms import Form
from arco.sdk.partitions import Partition
from arco.sdk.settings import AssetIn

PARTITIONS_TOLD_MAX: Final = 1_000
"""Partitions of an input that a report names: it is one request with everything else."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that wants the table of an asset; `partition` is the one the task makes."""

    asset: Asset
    parameter: str
    reads: AssetIn
    form: Form
    partition: Partition


class InputFacts(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a task really read. `partitions` are canonical keys, `PARTITIONS_TOLD_MAX` of `partition_count` at most.

    `version` is Delta's, or the materialization that wrote the file; of files by several `versions` has each, by part.
    """

    asset_key: str
    parameter_name: str
    mapping: str
    partitions: list[str] = []
    partition_count: int = 0
    location: str | None = None
    format: str | None = None
    version: str | None = None
    versions: dict[str, str] = {}
    row_count: int | None = None
    byte_size: int | None = None
    columns: list[str] = []


class Loaded(msgspec.Struct, frozen=True):
    """The value for a parameter, and what is known of it."""

    value: Any
    facts: InputFacts


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a task that becomes a table, or a part of one."""

    asset: Asset
    partition: Partition
    task: TaskRun


class Column(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A column of a table; `type` is Arrow's name of it."""

    name: str
    type: str
    nullable: bool = True


class OutputFacts(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was published: the members of the contract's `output` (orchestration.md 7.4), and the table's columns."""

    row_count: int | None = None
    byte_size: int | None = None
    output_path: str | None = None
    delta_table: str | None = None
    delta_version: int | None = None
    delta_partition: str | None = None
    published_at: str | None = None
    format: str | None = None
    partition: str | None = None
    schema: list[Column] = []


class Staged(Examined, Protocol):
    """A result that is kept and that nobody can see yet."""

    @property
    def schema(self) -> Any:
        """Its `pyarrow.Schema`."""
        ...

    def batches(self) -> Iterator[Any]:
        """All rows once more, as `pyarrow.RecordBatch`."""
        ...

    def close(self) -> None:
        """Give back what it takes up."""
        ...


class IoManager(Protocol):
    """Where tables of assets are."""

    def read(self, reading: Reading) -> Loaded:
        """The table, or the partitions of it, that a parameter wants. Raises `ConfigurationFailed` when it has none."""
        ...

    def stage(self, writing: Writing, made: Any) -> Staged:
        """Keep a result: a `pyarrow.Table`, or a `pyarrow.RecordBatchReader` that is read to its end."""
        ...

    def publish(self, writing: Writing, staged: Staged) -> OutputFacts:
        """Make a result the table, or the partition, that readers see. Raises `DataQualityFailed`."""
        ...

    def discard(self, staged: Staged) -> None:
        """Forget a result; also one that was published, of which the readers' copy stays."""
        ...

    def release(self) -> None:
        """Give back what inputs took up: the task that read them is over."""
        ...


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalog is told of a table. `location` is the folder of all its partitions."""

    asset_key: str
    location: str
    format: str
    columns: Sequence[Column]
    description: str = ""
    owners: Sequence[str] = ()
    tags: dict[str, str] = {}
    materialization_id: str = ""
    facts: OutputFacts | None = None


class Registrar(Protocol):
    """Whoever tells the catalog of tables."""

    def register(self, registration: Registration) -> None:
        """Make the table known, or known anew. Repeating it changes nothing. Raises `InfrastructureFailed`."""
        ...
