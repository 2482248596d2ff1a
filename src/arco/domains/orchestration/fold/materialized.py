"""What attempts say about partitions of assets (orchestration.md 4.8). Pure.

Beyond the contract an unpartitioned asset has one partition with an empty key: when it was last made is worth as much.
"""

from typing import Any

import msgspec

from arco.domains.orchestration.events import TaskFinished
from arco.domains.orchestration.fold.board import Moment
from arco.domains.orchestration.rows import PARTITIONS, PartitionStatusRow, RunRow, TaskRow
from arco.kernel.fold import View


def note_attempt(view: View, task: TaskRow, event: TaskFinished, moment: Moment, *, run: RunRow | None) -> None:
    """Note how an attempt at a partition ended, and with success what it made."""
    if task.asset_key is None:
        return
    key = task.partition_key or (event.output.delta_partition if event.output else None) or ""
    old = view.get(PARTITIONS, (task.asset_key, key))
    if old is not None and old.last_attempt_at is not None and old.last_attempt_at > moment.at_ms:
        return  # an older attempt of another run was heard of late
    row = old or PartitionStatusRow(
        tenant_id=moment.tenant,
        workspace_id=moment.workspace,
        asset_key=task.asset_key,
        partition_key=key,
        row_version=moment.version,
    )
    changes: dict[str, Any] = {
        "last_attempt_run_id": task.run_id,
        "last_attempt_at": moment.at_ms,
        "last_attempt_outcome": event.outcome.upper(),
        "row_version": moment.version,
    }
    if event.outcome == "succeeded":
        changes |= {
            "last_materialization_run_id": task.run_id,
            "last_materialization_at": moment.at_ms,
            "last_materialization_code_version": event.code_version or (run.code_version if run else None),
            "stale_since": None,
            "stale_reason_code": None,
            "delta_table": task.delta_table,
            "delta_version": task.delta_version,
            "delta_partition": task.delta_partition,
            "execution_lineage_ref": task.execution_lineage_ref,
        }
    view.put(PARTITIONS, msgspec.structs.replace(row, **changes))
