"""The catalog's index of runs (orchestration.md 3): one row for each task of an asset, with what its run says. Pure.

Columns are the contract's, in its order. `row_version` is the event that changed the row last, and `updated_at` its
time: what a run counts with every task that ends is not in the index, and does not move it.
"""

from typing import Final

from arco.domains.orchestration.rows import ORCHESTRATION
from arco.kernel.spec import Row, TableSpec, Uint32

SCHEMA_VERSION: Final = 1


class RunIndexRow(Row, frozen=True, kw_only=True, gc=False):
    """A task and its run. `run_status`, `task_status` are the states of the tables `runs` and `tasks`; times in ms."""

    born: str
    schema_version: Uint32 = SCHEMA_VERSION
    org_id: str
    workspace_id: str
    run_id: str
    task_key: str
    plan_id: str
    run_key: str | None = None
    kind: str | None = None
    reference_id: str | None = None
    source_type: str | None = None
    run_status: str
    cancel_requested: bool = False
    task_status: str
    asset_key: str | None = None
    target_namespace: str | None = None
    target_table: str | None = None
    partition_key: str | None = None
    attempt: Uint32 = 0
    attempt_id: str | None = None
    requires_visible_output: bool = False
    materialization_id: str | None = None
    output_visibility_state: str | None = None
    published_at: int | None = None
    publish_error: str | None = None
    delta_table: str | None = None
    delta_version: int | None = None
    delta_partition: str | None = None
    execution_lineage_ref: str | None = None
    started_at: int | None = None
    last_heartbeat_at: int | None = None
    triggered_at: int
    completed_at: int | None = None
    updated_at: int
    code_version: str | None = None
    error_message: str | None = None
    row_version: str


class RunIndexBuildingRow(Row, frozen=True, kw_only=True):
    """How far the index of a chain that is older than it is built: up to the task with this key, inclusive.

    It is there while the index is being built, and not afterwards.
    """

    index: str
    born: str
    task_key: str


RUN_INDEX: Final = TableSpec(
    "catalog_run_index",
    RunIndexRow,
    key=("born", "task_key"),
    domain=ORCHESTRATION,
    private=frozenset({"born"}),
)
RUN_INDEX_BUILDING: Final = TableSpec("run_index_building", RunIndexBuildingRow, key=("index",), domain=ORCHESTRATION)
